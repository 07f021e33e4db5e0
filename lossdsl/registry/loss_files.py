"""Find .loss files and split them without parsing; a definition is parsed at its first use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from lossdsl.errors import FormulaError, Place, PluginError, Source
from lossdsl.registry.model import INPUTS, Documentation, Formula, Parameter, Provider, Taken, signature_faults
from lossdsl.syntax.parse import parse_library
from lossdsl.syntax.tree import Declaration
from lossdsl.tasks import TASKS

_FIELDS = (
    "Summary", "Source", "Note", "Refused", "Accepted", "Otherwise", "Better", "Example", "Except", "Shape", "Input",
    "Absent", "Classes",
)  # fmt: skip
_REASONED = {
    "Refused": "word -- what to write instead",
    "Accepted": "word -- reason",
    "Otherwise": "task -- what to use instead",
    "Except": "rule -- reason",
}
_CONDITIONS: tuple[str, ...] = ("for", "if", "unless")
_SHAPE = re.compile(r"\(N, ([1-9]\d{0,3})(?:, ([1-9]\d{0,3}))?\)")
_HEAD = re.compile(r"^loss[ \t]+([A-Za-z_]\w*)", re.MULTILINE | re.ASCII)
_FULL_NAMES = re.compile(r"^#[ \t]*Names:[ \t]*full[ \t]*$", re.MULTILINE)
_PACKAGE = re.compile(r"^#[ \t]*Package:[ \t]*(\S.*)$", re.MULTILINE)
_ABSENT = re.compile(r"^#[ \t]*Absent:(.*(?:\n#(?![ \t]*[A-Z][a-z]+:)[ \t]*\S.*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """The text of one definition with the comment above it, not yet parsed.

    qualified: formulas must write its full name, because its file has `# Names: full`.
    """

    name: str
    source: Source
    comment: str
    qualified: bool = False


@dataclass(frozen=True, slots=True)
class Absence:
    """A name that a library deliberately does not have: the reason, and what to write instead."""

    name: str
    reason: str
    instead: str


def library_files(module: str) -> tuple[Path, ...]:
    """The .loss files in the package `module`, sorted by name. Neither it nor its parents are imported."""
    first, *rest = module.split(".")
    spec = find_spec(first)
    folders = dict.fromkeys(Path(folder).resolve() for folder in (spec and spec.submodule_search_locations) or ())
    inner = [folder.joinpath(*rest) for folder in folders if folder.joinpath(*rest).is_dir()]
    if not inner:
        raise PluginError(f"`{module}` is not a package with .loss files")
    return tuple(sorted(path for folder in inner for path in folder.glob("*.loss")))


@lru_cache(maxsize=256)
def read_entries(path: Path) -> tuple[Entry, ...]:
    """The definitions of a file in their order."""
    return entries_of(Source(_text(path), str(path)))


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise PluginError(f"`{path}` is not a file")
    return path.read_text(encoding="utf-8")


def entries_of(source: Source) -> tuple[Entry, ...]:
    """The definitions of a .loss file's text in their order."""
    text = source.text
    heads = list(_HEAD.finditer(text))
    starts = [_comment_start(text, head.start()) for head in heads]
    ends = [*starts[1:], len(text)][: len(heads)]
    qualified = bool(_FULL_NAMES.search(text))
    return tuple(
        Entry(head.group(1), _slice(source, head.start(), end), text[start : head.start()], qualified)
        for head, start, end in zip(heads, starts, ends, strict=True)
    )


@lru_cache(maxsize=256)
def read_absences(path: Path) -> tuple[Absence, ...]:
    """`# Absent: names -- reason -- what to write instead`, on one or more comment lines, anywhere in a file."""
    absences = []
    for found in _ABSENT.finditer(_text(path)):
        text = " ".join(line.lstrip("# \t") for line in found.group(1).splitlines())
        names, reason, instead = (part.strip() for part in (*text.split("--", 2), "", "")[:3])
        absences += [Absence(name.strip(), reason, instead) for name in names.split(",")]
    return tuple(absences)


@lru_cache(maxsize=256)
def read_packages(path: Path) -> tuple[str, ...]:
    """`# Package: name, name`: the Python packages whose losses are in a file."""
    return tuple(name.strip() for found in _PACKAGE.finditer(_text(path)) for name in found.group(1).split(","))


def parse_entry(entry: Entry, namespace: str, provider: Provider) -> Formula:
    """The definition as a loss. Raises FormulaError at the place in the .loss file."""
    declaration, *more = parse_library(entry.source)
    if more:
        message = f"`loss {more[0].name}` must be at the start of a line"
        raise FormulaError([Place(entry.source, more[0].span).says("LD109", message)])
    documentation = read_documentation(entry.comment, declaration, entry.source)
    return Formula(entry.name, namespace, declaration, documentation, provider=provider, source=entry.source)


def read_documentation(comment: str, declaration: Declaration, source: Source) -> Documentation:
    """The comment above a definition. Raises FormulaError with all problems there and in the signature."""
    faults = list(signature_faults(declaration.parameters, source))
    documentation = Documentation("")
    try:
        documentation = read_comment(comment)
        check_taken(documentation, declaration.parameters)
    except PluginError as error:
        faults += [Place(source, declaration.span).says("LD109", found.message) for found in error.diagnostics]
    if faults:
        raise FormulaError(faults)
    return documentation


def read_comment(comment: str) -> Documentation:
    """The `# text` lines; a line that starts with `Source:`, `Note:` or another word of `_FIELDS` is a field.

    An `Absent:` line is about another name and is read by `read_absences`.
    """
    lines = [line.lstrip("# ").rstrip() for line in comment.splitlines() if line.strip("# ")]
    fields: dict[str, list[str]] = {key: [] for key in _FIELDS}
    current = "Summary"
    for line in lines:
        key, colon, rest = line.partition(":")
        if colon and key in fields:
            current = key
            fields[key].append(rest.strip())
        elif fields[current] and current != "Summary":
            fields[current][-1] += " " + line
        else:
            fields[current].append(line)
    _check_words(fields)
    return Documentation(
        " ".join(fields["Summary"]),
        " ".join(fields["Source"]),
        tuple(fields["Note"]),
        _instead(fields["Refused"]),
        _instead(fields["Otherwise"]),
        _better(fields["Better"]),
        " ".join(fields["Example"]),
        _instead(fields["Except"]),
        _shape(fields["Shape"]),
        _instead(fields["Accepted"]),
        tuple(_taken(line) for line in fields["Input"]),
        tuple(word.strip() for line in fields["Classes"] for word in line.split(",")),
    )


def _check_words(fields: dict[str, list[str]]) -> None:
    """Check that lines of the form `word -- text` have both parts, and that tasks are valid."""
    for key in _REASONED:
        for line in fields[key]:
            words, _, text = line.partition("--")
            unknown = [word.strip() for word in words.split(",") if key == "Otherwise" and word.strip() not in TASKS]
            if not text.strip() or not all(word.strip() for word in words.split(",")):
                raise PluginError(f"`{key}: {line}` must have the form `{key}: {_REASONED[key]}`")
            if unknown:
                raise PluginError(f"`{key}: {unknown[0]}` is not one of {', '.join(TASKS)}")


def _taken(line: str) -> Taken:
    """`probs`, with its conditions: `for binary, multilabel`, `if sigmoid=true`, `unless softmax=true`."""
    kind, tasks, *conditions = _conditions(line)
    if kind not in INPUTS:
        raise PluginError(f"`Input: {kind}` is not one of {', '.join(INPUTS)}")
    wanted = tuple(word.strip() for word in tasks.split(",")) if tasks else ()
    unknown = [word for word in wanted if word not in TASKS]
    if unknown:
        raise PluginError(f"`Input: {line}`: `{unknown[0]}` is not one of {', '.join(TASKS)}")
    return Taken(kind, wanted, *map(_pairs, conditions))


def _conditions(line: str) -> tuple[str, str | None, str | None, str | None]:
    """The parts before `for`, and after `for`, `if` and `unless`; the whole line if it does not have this form."""
    parts: dict[str, list[str]] = {"": []}
    last, left = "", _CONDITIONS
    for word in line.split():
        if word in left:
            last, left = word, left[left.index(word) + 1 :]
            parts[last] = []
        else:
            parts[last].append(word)
    if len(parts[""]) != 1 or not all(parts.values()):
        return line, None, None, None
    tasks, when, unless = (parts.get(word, ()) for word in _CONDITIONS)
    return parts[""][0], " ".join(tasks) or None, " ".join(when) or None, " ".join(unless) or None


def _pairs(text: str | None) -> tuple[tuple[str, str], ...]:
    """`sigmoid=true, softmax=true` as parameters with a word."""
    pairs = [word.partition("=")[::2] for word in text.split(",")] if text else []
    return tuple((name.strip(), word.strip()) for name, word in pairs)


def check_taken(documentation: Documentation, parameters: Sequence[Parameter]) -> None:
    """Check the conditions after `if` and `unless`. Raises PluginError if one is not a word of a parameter."""
    words = {parameter.name: parameter.words for parameter in parameters}
    for taken in documentation.taken:
        for name, word in (*taken.when, *taken.unless):
            if word not in words.get(name, ()):
                raise PluginError(f"`Input: {taken}`: no parameter takes `{name}={word}`")


def _shape(lines: list[str]) -> tuple[int, int] | None:
    """`(N, 4)` or `(N, 3, 16)`: the classes and pixels of an example call."""
    written = " ".join(lines)
    match = _SHAPE.fullmatch(written)
    if written and match is None:
        raise PluginError(f"`Shape: {written}` must have a form such as (N, 4) or (N, 3, 16)")
    return (int(match[1]), int(match[2] or 1)) if match else None


def _better(lines: list[str]) -> str:
    word = " ".join(lines) or "lower"
    if word not in ("lower", "higher", "neither"):
        raise PluginError(f"`Better: {word}` is not one of lower, higher, neither")
    return word


def _instead(lines: list[str]) -> tuple[tuple[str, str], ...]:
    """`alpha, beta -- write fp_weight or fn_weight` as pairs of a word and what to write instead."""
    pairs = []
    for line in lines:
        words, _, instead = line.partition("--")
        pairs += [(word.strip(), instead.strip()) for word in words.split(",")]
    return tuple(pairs)


def _comment_start(text: str, head: int) -> int:
    """The start of the block of comment lines directly above `head`."""
    lines = text[:head].splitlines(keepends=True)
    start = head
    while lines and lines[-1].startswith("#"):
        start -= len(lines.pop())
    return start


def _slice(source: Source, start: int, end: int) -> Source:
    return Source(source.text[start:end], source.file, document=source.text, offsets=tuple(range(start, end + 1)))
