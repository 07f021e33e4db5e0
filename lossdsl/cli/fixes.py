"""`--fix`: the edits that findings carry, applied and written back whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lossdsl.errors import Diagnostic, Edit, Source, Span


@dataclass(frozen=True, slots=True)
class Replacement:
    """Replace the characters of the document from `start` to before `end`."""

    start: int
    end: int
    text: str
    finding: Diagnostic


def replacement(document: str, finding: Diagnostic) -> Replacement | None:
    """The place of an edit in the document. None if its characters are not contiguous there, or are escaped."""
    source, edit = finding.source, finding.edit
    if source is None or edit is None or source.page != document:
        return None
    if not source.offsets:
        return Replacement(edit.span.start, edit.span.end, edit.text, finding)
    first = max(0, edit.span.start - 1) if edit.span.start == edit.span.end else edit.span.start
    places = [(source.offsets[index], source.text[index]) for index in range(first, edit.span.end)]
    if not places:
        return Replacement(source.offsets[0], source.offsets[0], edit.text, finding)
    start, end = places[0][0], places[-1][0] + 1
    if document[start:end] != source.text[first : edit.span.end]:
        return None
    return Replacement(end if edit.span.start == edit.span.end else start, end, edit.text, finding)


def save(path: str, data: bytes, folder: str) -> None:
    """Replace the content of a file atomically. Its mode and, if permitted, its owner are kept.

    A link stays a link: its target is replaced, if it is in the folder. Raises OSError.
    """
    target = Path(path).resolve(strict=True)
    if not target.is_relative_to(Path(folder).resolve()):
        raise OSError(f"it is a link to `{target}`, which lies elsewhere; name that file")
    before = target.stat()
    if not os.access(target, os.W_OK):  # to replace a file, its folder alone must be writable
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    written = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if hasattr(os, "chown"):
            with suppress(OSError):
                os.chown(written, before.st_uid, before.st_gid)
        written.chmod(stat.S_IMODE(before.st_mode))
        written.replace(target)
    except BaseException:
        written.unlink(missing_ok=True)
        raise


Look: TypeAlias = Callable[[str], Sequence[Diagnostic]]
# The texts that differ between two documents, as they were and as they are; None when more than texts differs.
Changes: TypeAlias = Callable[[str, str], Sequence[tuple[str, str]] | None]


@dataclass(frozen=True, slots=True)
class Mended:
    """A document after its edits. fixed: the findings that are resolved; left: the findings that remain."""

    text: str
    fixed: tuple[Diagnostic, ...]
    left: tuple[Diagnostic, ...]


def mend(document: str, look: Look, changes: Changes | None = None, *, unsafe: bool = False) -> Mended:
    """Apply edits and check again, until no edit is left that resolves its finding.

    look: returns the findings of a document. changes: returns how two documents differ; None if the whole document is
    one formula. unsafe: also apply suggested edits.
    """
    fixed: list[Diagnostic] = []
    found = tuple(look(document))
    seen = {document}
    while True:
        step = _step(document, found, look, changes, unsafe)
        if step is None or step.text in seen:
            return Mended(document, tuple(fixed), found)
        document, found = step.text, step.left
        seen.add(document)
        fixed += step.fixed


def _step(
    document: str, found: Sequence[Diagnostic], look: Look, changes: Changes | None, unsafe: bool
) -> Mended | None:
    """Apply all edits at once if that succeeds, else the first one that succeeds."""
    wanted = [finding for finding in found if finding.edit and (unsafe or finding.edit.is_safe)]
    replacements = _apart(filter(None, (replacement(document, finding) for finding in wanted)))
    tries = [replacements, *([one] for one in replacements)] if len(replacements) > 1 else [replacements]
    for attempt in tries if replacements else ():
        text = _replaced(document, [(r.start, r.end, r.text) for r in attempt])
        if changes and not _only_as_said(changes(document, text), attempt):
            continue
        left = tuple(look(text))
        if not any(_is_still_there(made, attempt, left) for made in attempt):
            return Mended(text, tuple(made.finding for made in attempt), left)
    return None


def _apart(replacements: Iterable[Replacement]) -> list[Replacement]:
    """The edits that do not overlap; of overlapping ones the first."""
    chosen: list[Replacement] = []
    for one in sorted(replacements, key=lambda r: (r.start, r.end)):
        if not chosen or one.start > chosen[-1].end:
            chosen.append(one)
    return chosen


def _replaced(text: str, pieces: Iterable[tuple[int, int, str]]) -> str:
    for start, end, new in sorted(pieces, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _only_as_said(changed: Sequence[tuple[str, str]] | None, attempt: Sequence[Replacement]) -> bool:
    """Whether the texts differ only by the edits of the findings."""
    edits: dict[Source, list[Edit]] = {}
    expected: list[tuple[str, str]] = []
    for finding in (made.finding for made in attempt):
        if finding.source is None or finding.edit is None:
            return False
        if finding.source.offsets:
            edits.setdefault(finding.source, []).append(finding.edit)
        else:
            expected.append((_cut(finding.source, finding.edit.span), finding.edit.text))
    for source, own in edits.items():
        expected.append((source.text, _replaced(source.text, [(e.span.start, e.span.end, e.text) for e in own])))
    return changed is not None and sorted(changed) == sorted(expected)


def _cut(source: Source, span: Span) -> str:
    return source.text[span.start : span.end]


def _is_still_there(made: Replacement, attempt: Sequence[Replacement], left: Sequence[Diagnostic]) -> bool:
    """Whether the finding is still at its place, shifted by the edits before it."""
    finding = made.finding
    start = _start(finding)
    moved = start + sum(len(r.text) - (r.end - r.start) for r in attempt if r.end <= start)
    return any((d.code, d.message, _start(d)) == (finding.code, finding.message, moved) for d in left)


def _start(finding: Diagnostic) -> int:
    return finding.source.offset(finding.span.start) if finding.source and finding.span else -1
