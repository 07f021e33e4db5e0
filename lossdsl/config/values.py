"""Config data: scalars, tables and rows, each with its place in the user's text.

YAML files and Python mappings are both turned into these, so that the rules of the long form are written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from lossdsl.errors import Diagnostic, Place, Source, Span

Kind = Literal["text", "number", "bool", "null"]
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text as the user wrote it; `kind` says what YAML 1.2 reads it as. A formula is read from `source.text`."""

    kind: Kind
    source: Source

    @property
    def text(self) -> str:
        return self.source.text

    @property
    def place(self) -> Place:
        return Place(self.source, Span(0, len(self.text.rstrip())))


@dataclass(frozen=True, slots=True)
class Entry:
    """One `name: value` of a table; `place` is that of the name."""

    name: str
    place: Place
    value: Value
    refusal: Diagnostic | None = None
    """The finding if the key is not a name, for example a number; else None."""


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with unique keys. Use `named` to get the entries whose keys are names."""

    entries: tuple[Entry, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Row:
    """A list."""

    items: tuple[Value, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Foreign:
    """Other Python data, such as a set. kind: the name of its type."""

    kind: str
    place: Place


@dataclass(frozen=True, slots=True)
class Unread:
    """A value that already has a finding, so that no second one is reported."""

    place: Place


Value: TypeAlias = Scalar | Table | Row | Foreign | Unread


@dataclass(frozen=True, slots=True)
class Found(Generic[T_co]):
    """The result of a reader (None: nothing), and its findings."""

    value: T_co
    findings: tuple[Diagnostic, ...] = ()


def named(table: Table) -> Found[Table]:
    """The entries of a mapping whose keys are names, and the findings for the other keys."""
    refused = tuple(entry.refusal for entry in table.entries if entry.refusal)
    entries = tuple(entry for entry in table.entries if not entry.refusal)
    return Found(Table(entries, table.place) if refused else table, refused)


def is_null(value: Value) -> bool:
    return isinstance(value, Scalar) and value.kind == "null"


def shown(text: str, width: int = 40) -> str:
    """Text in backticks, on one line and shortened."""
    line = " ".join(text.split())
    return f"`{line if len(line) <= width else line[: width - 3] + '...'}`"


def described(value: Value) -> str:
    """The value for the end of a sentence such as 'must be a number, got ...'."""
    match value:
        case Scalar(kind="null"):
            return "nothing"
        case Scalar():
            return shown(value.text) if value.text.strip() else "an empty string"
        case Table():
            return "a mapping"
        case Row():
            return "a list"
        case Foreign(kind=kind):
            return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
        case Unread():
            return "something unreadable"
