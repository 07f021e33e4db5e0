"""What a command is given: config files, folders and patterns, formulas typed with -e, and a formula on stdin."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from lossdsl.config.options import ROWS
from lossdsl.errors import Diagnostic, Source
from lossdsl.syntax.parse import MAX_LENGTH

Command = TypeVar("Command", bound=Callable[..., Any])

STDIN = "-"
_UNREADABLE = "LD407"
_MOST_BYTES = 4 * (MAX_LENGTH + 1)  # in UTF-8; what is longer is too long for a formula in any case

_LIKE_A_FORMULA = re.compile(r"[+*()= ]|\A\w+\Z")


class FileName(str):
    """A path as the user typed it. `lossdsl.check` reads it as a file even if it looks like a formula."""

    def __fspath__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Input:
    """One loss to read. label: its name in findings if it is not in a file; empty for the default."""

    source: FileName | str
    label: str = ""

    @property
    def in_file(self) -> bool:
        return isinstance(self.source, FileName)

    def named(self, diagnostic: Diagnostic) -> Diagnostic:
        """The finding with the place as the user named this input."""
        if isinstance(self.source, FileName):
            return advised(diagnostic.at(Source("", self.source)))
        source = diagnostic.source
        if not self.label or (source and source.file):
            return diagnostic
        return replace(diagnostic, source=replace(source or Source(""), path=self.label))


def input_options(key: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """The arguments and options of every command that reads losses; `key` is the option --key of the command."""

    def decorate(command: Command) -> Command:
        for add in reversed((*_INPUTS, key, *_OPTIONS)):  # the last one applied is the first in the help
            command = add(command)
        return command

    return decorate


_INPUTS: tuple[Callable[[Any], Any], ...] = (
    click.argument("files", nargs=-1, metavar="[FILE]..."),
    click.option("-e", "--expr", "formulas", multiple=True, metavar="EXPR", help="A formula; can be repeated."),
)
_OPTIONS: tuple[Callable[[Any], Any], ...] = tuple(
    click.option(f"--{name}", type=click.Choice(row.choices), help="Overrides the value in FILE.")
    for name, row in ROWS.items()
    if row.in_shell
)


def gather(files: Sequence[str], formulas: Sequence[str]) -> tuple[Input, ...]:
    """The inputs in the given order, files first, each file once. No input at all is a usage error."""
    names, typed = files_and_formulas(files, formulas)
    return (*(Input(FileName(name)) for name in names), *(Input(text, label) for text, label in typed))


def files_and_formulas(files: Sequence[str], formulas: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of files, each once, and the formulas of stdin and -e with their labels."""
    if not files and not formulas:
        raise click.UsageError("nothing to read: name a FILE, give a formula with -e, or - for a formula on stdin")
    if "" in files:
        raise click.UsageError("the name of a FILE is empty")
    names = [name for name in dict.fromkeys(files) if name != STDIN]
    labels = [f"formula {n}" if len(formulas) > 1 else "" for n in range(1, len(formulas) + 1)]
    typed = [(_stdin(), "stdin")] if STDIN in files else []
    return names, [*typed, *zip(formulas, labels, strict=True)]


def unopened(diagnostics: Sequence[Diagnostic]) -> bool:
    """Whether a FILE could not be opened, which is a usage error and not a finding about a loss."""
    return any(diagnostic.code == _UNREADABLE and diagnostic.line is None for diagnostic in diagnostics)


def _stdin() -> str:
    if sys.stdin is None:
        raise click.UsageError("stdin is closed")
    try:
        data = sys.stdin.buffer.read(_MOST_BYTES)
    except OSError as error:
        raise click.UsageError(f"stdin cannot be read: {error.strerror}") from None
    # Bytes that are not UTF-8 become a character that the language refuses, so that the finding points at them.
    return data.decode("utf-8-sig", errors="replace")


def advised(diagnostic: Diagnostic) -> Diagnostic:
    """Suggest -e if the name of a missing file looks like a formula."""
    if diagnostic.hint or not unopened([diagnostic]) or not _LIKE_A_FORMULA.search(diagnostic.file or ""):
        return diagnostic
    return replace(diagnostic, hint=f'for a formula: -e "{diagnostic.file}"')


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
