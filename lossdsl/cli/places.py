"""The files of a FILE argument: the file itself, matches of a pattern, or files in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".yaml", ".yml", ".json", ".loss")
_OF_OTHERS = "node_modules"  # packages of others, with thousands of JSON files


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to check. named: the user named it or a pattern matched it, so it must contain a loss.

    folder: the folder that the user named; nothing is written outside of it, even through links.
    """

    path: str
    named: bool = True
    folder: str = "."


def places(names: Sequence[str]) -> Iterator[InputFile]:
    """The files of the names, each once, in the order of the names; files of a folder are sorted."""
    seen: set[str] = set()
    for name in names:
        for place in _matching(name):
            if os.path.normpath(place.path) not in seen:
                seen.add(os.path.normpath(place.path))
                yield place


def _matching(name: str) -> Iterator[InputFile]:
    if _exists(name) or not any(sign in name for sign in "*?["):
        yield from _inside(name, os.path.dirname(name))  # noqa: PTH120 - a name may be no path
        return
    from glob import glob

    matches = sorted(glob(name, recursive=True))  # noqa: PTH207 - a pattern may be absolute
    for match in matches:
        if _OF_OTHERS in Path(match).parts and _OF_OTHERS not in name:
            continue
        yield from _inside(match, os.path.dirname(re.split(r"[*?\[]", name, maxsplit=1)[0]))  # noqa: PTH120
    if not matches:
        yield InputFile(name)


def _exists(name: str) -> bool:
    try:
        return os.path.lexists(name)
    except ValueError:  # a zero byte
        return False


def _inside(name: str, above: str) -> Iterator[InputFile]:
    """The file of this name, or the files of the folder, without hidden files and folders.

    `node_modules` is skipped too.
    """
    if not _exists(name) or not os.path.isdir(name):  # noqa: PTH112 - a name may be no path
        yield InputFile(name, folder=above or ".")
        return
    for root, folders, files in os.walk(name):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != _OF_OTHERS)
        for file in sorted(files):
            if file.endswith(SUFFIXES) and not file.startswith("."):
                yield InputFile(str(Path(root) / file), named=False, folder=name)
