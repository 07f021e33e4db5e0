"""The options task, input, ignore_index, class_weight and backend, of a file, a mapping or keywords.

`null` is the same as a missing option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lossdsl import words
from lossdsl.errors import Diagnostic, nearest
from lossdsl.spec.model import BACKENDS, INPUTS, TASKS, Options
from lossdsl.spec.scalars import finite_number, has_zeros_in_front, whole_number, without_zeros
from lossdsl.spec.values import Entry, Found, Row, Scalar, Table, Unread, Value, described, is_null, shown

_WEIGHTS = "for example [1, 2.5, 1], or {0: 1, 1: 2.5, 2: 1} with all labels"
# Weights are added up in float32: the sum over a hundred million pixels is not infinite, that of one pixel not 0.
_LARGEST_WEIGHT, _SMALLEST_WEIGHT = 1e30, 1e-15
_CHOICES: Mapping[str, tuple[str, ...]] = {"task": TASKS, "input": INPUTS, "backend": BACKENDS}


OPTIONS = tuple(option.name for option in fields(Options))


def read_options(entries: Mapping[str, Entry]) -> Found[Options]:
    """The options among the entries of a long form; a wrong option counts as missing."""
    given = {name: read(entries[name]) for name, read in _READERS.items() if name in entries}
    # The readers check each value against the choices that the fields' types spell out.
    values: dict[str, Any] = {name: found.value for name, found in given.items()}
    return Found(Options(**values), tuple(finding for found in given.values() for finding in found.findings))


def _choice(entry: Entry) -> Found[str | None]:
    value, choices = entry.value, _CHOICES[entry.name]
    if is_null(value) or isinstance(value, Unread):
        return Found(None)
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
    if is_null(value) or isinstance(value, Unread):
        return Found(None)
    number = whole_number(_digits(value))
    if number is not None:
        return Found(number)
    message = f"ignore_index must be a whole number, got {described(value)}"
    hint = _plain(value) or "for example 255; it fits into 64 bits"
    return Found(None, (value.place.says("LD405", message, hint),))


def _class_weight(entry: Entry) -> Found[tuple[float, ...] | None]:
    value = entry.value
    if is_null(value) or isinstance(value, Unread):
        return Found(None)
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


_READERS = {
    "task": _choice,
    "input": _choice,
    "ignore_index": _ignore_index,
    "class_weight": _class_weight,
    "backend": _choice,
}
