"""A config file: its text, and places in it."""

from __future__ import annotations

import difflib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from lossdsl.config.values import Found
from lossdsl.errors import Diagnostic, Place, Source, Span

MAX_CHARACTERS = 1_000_000
_SPECIAL = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))
_MARKS = (("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"))


@dataclass(frozen=True, slots=True)
class Page:
    """The whole text of a file, without byte order mark; line ends are kept, so that offsets count what is there.

    mark: the byte order mark of the file. encoding: the encoding of the text after it.
    """

    text: str = field(repr=False)
    file: str
    encoding: str = "utf-8"
    mark: bytes = b""

    @property
    def whole(self) -> Place:
        return Place(Source(self.text, self.file))

    def at(self, start: int, end: int | None = None) -> Place:
        """The place between two offsets; one character when `end` is not given."""
        return Place(Source(self.text, self.file), Span(start, start + 1 if end is None else end))

    def encoded(self) -> bytes:
        """The bytes of the file."""
        return self.mark + self.text.encode(self.encoding)

    def line_of(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1


def open_page(path: str | os.PathLike[str]) -> Found[Page | None]:
    """Read a text file, UTF-8 unless a byte order mark says UTF-16."""
    name = os.fsdecode(path)
    try:
        if kind := special(Path(name).stat().st_mode):  # to open a pipe waits for a writer
            return Found(None, (Place(Source("", name)).says("LD407", f"`{name}` is a {kind}, not a file"),))
        with Path(name).open("rb") as file:
            # In UTF-8 a character has at most four bytes: what is longer than this is too long in any case.
            data = file.read(4 * MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        return Found(None, (_unopened(name, error),))
    page, finding = _decoded(name, data)
    if finding is None and len(page.text) > MAX_CHARACTERS:
        finding = page.whole.says("LD408", f"the file is too large: more than {MAX_CHARACTERS:,} characters")
    return Found(None, (finding,)) if finding else Found(page)


def special(mode: int) -> str | None:
    """The kind of something that is neither a file nor a folder; None for files and folders."""
    return next((kind for is_one, kind in _SPECIAL if is_one(mode)), None)


def _decoded(name: str, data: bytes) -> tuple[Page, Diagnostic | None]:
    encoding, mark = next((pair for pair in _MARKS if data.startswith(pair[1])), ("utf-8", b""))
    body = data.removeprefix(mark)
    try:
        return Page(body.decode(encoding), name, encoding, mark), None
    except UnicodeDecodeError as error:
        page = Page(body.decode(encoding, errors="replace"), name)
        before = body[: error.start].decode(encoding, errors="replace")
        message = f"the file is not valid UTF-8: {error.reason}"
        return page, page.at(len(before)).says("LD407", message, "save it with the encoding UTF-8")


def _unopened(name: str, error: OSError | ValueError) -> Diagnostic:
    place = Place(Source("", name))
    if isinstance(error, FileNotFoundError):
        return place.says("LD407", f"there is no file `{name}`", _neighbour(Path(name)))
    if isinstance(error, IsADirectoryError):
        return place.says("LD407", f"`{name}` is a folder, not a file")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return place.says("LD407", f"the file cannot be read: {reason}")


def _neighbour(path: Path) -> str | None:
    """The hint that names a file with a similar name in the same folder."""
    try:
        names = sorted(item.name for item in path.parent.iterdir() if item.is_file())
    except (OSError, ValueError):
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean `{path.with_name(close[0])}`?" if close else None
