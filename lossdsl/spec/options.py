"""The options of the long form: task, input, ignore_index, class_weight, backend. `null` is the same as leaving out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossdsl.errors import nearest
from lossdsl.spec.model import BACKENDS, INPUTS, TASKS, Options
from lossdsl.spec.scalars import finite_number, whole_number
from lossdsl.spec.values import Entry, Found, Row, Scalar, Unread, Value, described, is_null

_CHOICES: Mapping[str, tuple[str, ...]] = {"task": TASKS, "input": INPUTS, "backend": BACKENDS}


def read_options(entries: Mapping[str, Entry]) -> Found[Options]:
    """The options among the entries of a long form; an option that is wrong counts as not given."""
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
        hint, edit = nearest(value.text, choices), value.place.respelt(value.text, choices)
    return Found(None, (value.place.says("LD405", message, hint, edit),))


def _ignore_index(entry: Entry) -> Found[int | None]:
    value = entry.value
    if is_null(value) or isinstance(value, Unread):
        return Found(None)
    number = whole_number(value.text) if isinstance(value, Scalar) and value.kind == "number" else None
    if number is not None:
        return Found(number)
    message = f"ignore_index must be a whole number, got {described(value)}"
    return Found(None, (value.place.says("LD405", message, _unquote(value)),))


def _class_weight(entry: Entry) -> Found[tuple[float, ...] | None]:
    value = entry.value
    if is_null(value) or isinstance(value, Unread):
        return Found(None)
    if not isinstance(value, Row) or not value.items:
        got = "an empty list" if isinstance(value, Row) else described(value)
        message = f"class_weight must be a list of numbers, one for each class, got {got}"
        return Found(None, (value.place.says("LD405", message, "write for example [1, 2.5, 1]"),))
    weights = [_weight(item) for item in value.items]
    findings = tuple(finding for weight in weights for finding in weight.findings)
    numbers = tuple(weight.value for weight in weights if weight.value is not None)
    return Found(numbers if len(numbers) == len(weights) else None, findings)


def _weight(item: Value) -> Found[float | None]:
    if isinstance(item, Unread):
        return Found(None)
    number = finite_number(item.text) if isinstance(item, Scalar) and item.kind == "number" else None
    if number is not None and number >= 0:
        return Found(number)
    message = f"a class weight must be a number of at least 0, got {described(item)}"
    return Found(None, (item.place.says("LD405", message, _unquote(item)),))


def _unquote(value: Value) -> str | None:
    quoted = isinstance(value, Scalar) and value.kind == "text" and whole_number(value.text) is not None
    return "write it without quotes" if quoted else None


_READERS = {
    "task": _choice,
    "input": _choice,
    "ignore_index": _ignore_index,
    "class_weight": _class_weight,
    "backend": _choice,
}
