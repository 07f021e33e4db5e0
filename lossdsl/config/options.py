"""The options and keys of the long form, by the same rules in a file, a mapping or by keyword."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from lossdsl import words
from lossdsl.config.scalars import finite_number, has_zeros_in_front, whole_number, without_zeros
from lossdsl.config.values import Entry, Found, Row, Scalar, Table, Unread, Value, described, is_null, shown
from lossdsl.errors import Diagnostic, nearest
from lossdsl.registry.model import INPUTS
from lossdsl.tasks import TASKS, Task

if TYPE_CHECKING:
    from lossdsl.config.python_data import Array


def unknown_keys(table: Table, allowed: Sequence[str]) -> tuple[Diagnostic, ...]:
    """A finding for each key that is not allowed, with the nearest one that is, and all of them."""
    return tuple(
        entry.place.says(
            "LD402",
            f"unknown key {shown(entry.name)}",
            _hint(entry.name, allowed),
            entry.place.respelt(entry.name, allowed, "key"),
        )
        for entry in table.entries
        if entry.name not in allowed
    )


def _hint(name: str, allowed: Sequence[str]) -> str:
    keys = f"the keys are {', '.join(allowed)}"
    word = words.word(name, "key")
    near = f"{word.hint};" if word else nearest(name, allowed)
    return f"{near} {keys}" if near else keys


BACKENDS = ("eager", "inductor")

_WEIGHTS = "for example [1, 2.5, 1], or {0: 1, 1: 2.5, 2: 1} with all labels"
# Weights are added up in float32: the sum over a hundred million pixels is not infinite, that of one pixel not 0.
_LARGEST_WEIGHT, _SMALLEST_WEIGHT = 1e30, 1e-15
_ROW = "row"


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of one option.

    read: its value from an entry that is not null, None where something is wrong. schema: its values in JSON Schema.
    doc, values, without: what it does, what it may be and what holds without it, for people. choices: the words that it
    may be, if it is one. in_shell: whether commands that read a loss have it too.
    """

    read: Callable[[Entry], Found[Any]]
    schema: Mapping[str, Any]
    doc: str
    values: str
    without: str
    choices: tuple[str, ...] = ()
    in_shell: bool = False


def _row(**known: Any) -> Mapping[str, Option]:
    """The row of a field, which keeps it as its metadata; one that lacks something is an error at import."""
    return {_ROW: Option(**known)}


def _choice(choices: tuple[str, ...], **known: Any) -> Mapping[str, Option]:
    """The row of an option that is one of some words."""
    values = ", ".join(f"`{choice}`" for choice in choices)
    schema = {"type": "string", "enum": list(choices)}
    return _row(read=lambda entry: _chosen(entry, choices), schema=schema, values=values, choices=choices, **known)


def _chosen(entry: Entry, choices: tuple[str, ...]) -> Found[str | None]:
    value = entry.value
    if isinstance(value, Scalar) and value.text in choices:
        return Found(value.text)
    message = f"{entry.name} must be one of {', '.join(choices)}, got {described(value)}"
    hint, edit = None, None
    if isinstance(value, Scalar):
        word = words.word(value.text, "choice")
        hint = word.hint if word and word.write_has(entry.name) else nearest(value.text, choices)
        edit = value.place.respelt(value.text, choices, "choice")
    return Found(None, (value.place.says("LD405", message, hint, edit),))


def _ignore_index(entry: Entry) -> Found[int | None]:
    value = entry.value
    number = whole_number(_digits(value))
    if number is not None:
        return Found(number)
    message = f"ignore_index must be a whole number, got {described(value)}"
    hint = _plain(value) or "for example 255; it fits into 64 bits"
    return Found(None, (value.place.says("LD405", message, hint),))


def _class_weight(entry: Entry) -> Found[tuple[float, ...] | None]:
    value = entry.value
    if isinstance(value, Table) and value.entries:
        findings, items = _by_label(value.entries)
    elif isinstance(value, Row) and value.items:
        findings, items = (), value.items
    else:
        empty = isinstance(value, (Row, Table))
        got = f"an empty {'list' if isinstance(value, Row) else 'mapping'}" if empty else described(value)
        message = f"class_weight must be a list of numbers, one for each class, got {got}"
        return Found(None, (value.place.says("LD405", message, _WEIGHTS),))
    weights = [_weight(item) for item in items]
    findings += tuple(finding for weight in weights for finding in weight.findings)
    numbers = tuple(weight.value for weight in weights if weight.value is not None)
    if findings or len(numbers) < len(weights):
        return Found(None, findings)
    if not any(numbers):
        hint = "give at least one class a weight above 0"
        return Found(None, (value.place.says("LD405", "all class weights are 0, so no class counts", hint),))
    return Found(numbers)


def _by_label(entries: tuple[Entry, ...]) -> tuple[tuple[Diagnostic, ...], tuple[Value, ...]]:
    """The findings for the labels of a mapping `{0: 1, 1: 2.5}`, and the weights in the order of the labels."""
    labels = {entry: _label(entry) for entry in entries}
    wrong = [entry for entry, label in labels.items() if label is None]
    if wrong:
        return tuple(
            entry.place.says("LD405", f"the label {shown(entry.name)} must be a whole number of at least 0", _WEIGHTS)
            for entry in wrong
        ), ()
    known = {label: entry for entry, label in labels.items()}
    missing = next((label for label in range(len(entries)) if label not in known), None)
    if missing is not None:
        message = f"class_weight has no weight for the label {missing}"
        return (entries[0].place.says("LD405", message, "give a weight for every label, starting at 0"),), ()
    return (), tuple(known[label].value for label in range(len(entries)))


def _label(entry: Entry) -> int | None:
    """The label of a key; None for a name, such as a quoted key."""
    number = whole_number(entry.name) if entry.refusal else None
    return number if number is not None and number >= 0 else None


def _weight(item: Value) -> Found[float | None]:
    if isinstance(item, Unread):
        return Found(None)
    digits = _digits(item)
    number = finite_number(digits) if digits else None
    if number is not None and (number == 0 or _SMALLEST_WEIGHT <= number <= _LARGEST_WEIGHT):
        return Found(number)
    message = f"a class weight must be a finite number of at least 0, got {described(item)}"
    if number is not None and number > 0:
        ends = f"at least {_SMALLEST_WEIGHT:g} and at most {_LARGEST_WEIGHT:g}"
        message = f"a class weight must be 0, or {ends}, got {described(item)}: the sum is computed in float32"
    return Found(None, (item.place.says("LD405", message, _plain(item)),))


def _digits(value: Value) -> str:
    """The text of a number in its normal form; empty for anything else."""
    if not isinstance(value, Scalar) or value.kind != "number" or has_zeros_in_front(value.text):
        return ""
    return value.text


def _plain(value: Value) -> str | None:
    """The hint for a quoted number."""
    if not isinstance(value, Scalar):
        return None
    if value.kind == "text" and whole_number(value.text) is not None:
        return "write it without quotes"
    is_padded = value.kind == "number" and has_zeros_in_front(value.text)
    return without_zeros(value.text) if is_padded else None


_WEIGHT_SCHEMA = {"type": "number", "minimum": 0, "maximum": _LARGEST_WEIGHT}
_LIST_SCHEMA = {"type": "array", "items": _WEIGHT_SCHEMA, "minItems": 1}
_MAPPING_SCHEMA = {
    "type": "object",
    "patternProperties": {"^[0-9]+$": _WEIGHT_SCHEMA},
    "additionalProperties": False,
    "minProperties": 1,
}


@dataclass(frozen=True, slots=True)
class Options:
    """The rows, and as an instance what was asked for; None means not given (task) or not wanted (the others)."""

    task: Task | None = field(
        default=None,
        metadata=_choice(TASKS, doc="what is predicted", without="the shapes of the first batch decide", in_shell=True),
    )
    input: Literal["logits", "probs"] = field(
        default="logits", metadata=_choice(INPUTS, doc="what the model returns", without="`logits`", in_shell=True)
    )
    ignore_index: int | None = field(
        default=None,
        metadata=_row(
            read=_ignore_index,
            schema={"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
            doc="target value of elements that do not count, in every term",
            values="a whole number",
            without="all elements count",
        ),
    )
    class_weight: Sequence[float] | None = field(
        default=None,
        metadata=_row(
            read=_class_weight,
            schema={"oneOf": [_LIST_SCHEMA, _MAPPING_SCHEMA]},
            doc="makes every mean over classes a weighted mean",
            values="one weight of at least 0 for each class, not all of them 0: a list, or a mapping of all labels; "
            "in Python also a 1-d array or tensor",
            without="all classes weigh the same",
        ),
    )
    backend: Literal["eager", "inductor"] = field(
        default="eager",
        metadata=_choice(BACKENDS, doc="`inductor` compiles the loss with torch.compile", without="`eager`"),
    )


class Keywords(TypedDict, total=False):
    """The types that the options have as keywords; None is the same as leaving out."""

    task: Task | None
    input: Literal["logits", "probs"] | None
    ignore_index: int | None
    class_weight: Sequence[float] | Mapping[int, float] | Array | None
    backend: Literal["eager", "inductor"] | None


ROWS: Mapping[str, Option] = MappingProxyType({option.name: option.metadata[_ROW] for option in fields(Options)})
OPTIONS = tuple(ROWS)
assert tuple(Keywords.__annotations__) == OPTIONS, "each option has a type as a keyword"


def read_options(entries: Mapping[str, Entry]) -> Found[Options]:
    """The options among the entries of a long form; an option that is wrong counts as not given."""
    given = read_given(entries)
    return Found(Options(**given.value), given.findings)


def read_given(entries: Mapping[str, Entry]) -> Found[dict[str, Any]]:
    """The values of the options that are given, and are right."""
    values: dict[str, Any] = {}
    findings: list[Diagnostic] = []
    for name, row in ROWS.items():
        if name not in entries or is_null(entries[name].value) or isinstance(entries[name].value, Unread):
            continue
        found = row.read(entries[name])
        findings += found.findings
        if found.value is not None:
            values[name] = found.value
    return Found(values, tuple(findings))
