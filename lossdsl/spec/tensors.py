"""`tensors: [edge, depth]`, or with ranges `tensors: {depth: "(0, inf)"}`: the tensors that a call passes by name.

Any other name is then an error.
"""

from __future__ import annotations

from lossdsl.errors import Diagnostic
from lossdsl.spec.model import Passed
from lossdsl.spec.parts import name_fault
from lossdsl.spec.values import Entry, Found, Row, Scalar, Table, Unread, Value, described, is_null, named, shown
from lossdsl.syntax.parse import parse_range

_EXAMPLE = 'for example tensors: [edge, depth], or tensors: {depth: "(0, inf)"}'
_RANGE = 'a range of its values, as in depth: "(0, inf)", or null'


def read_tensors(entry: Entry | None) -> Found[tuple[Passed, ...] | None]:
    """None if the key is missing or invalid: then any name can be a tensor."""
    if entry is None or is_null(entry.value) or isinstance(entry.value, Unread):
        return Found(None)
    if isinstance(entry.value, Table):
        return _with_ranges(entry.value)
    if not isinstance(entry.value, Row):
        message = f"tensors must be a list of names or a mapping, got {described(entry.value)}"
        return Found(None, (entry.value.place.says("LD405", message, _EXAMPLE),))
    faults = tuple(fault for item in entry.value.items if (fault := _fault(item)))
    names = tuple(Passed(item.text, item.place) for item in entry.value.items if isinstance(item, Scalar))
    return Found(None, faults) if faults or len(names) < len(entry.value.items) else Found(names)


def _fault(item: Value) -> Diagnostic | None:
    if isinstance(item, Unread):
        return None
    if isinstance(item, Scalar) and item.kind == "text":
        return name_fault(item.text, item.place)
    return item.place.says("LD405", f"tensors must be a list of names, got {described(item)}", _EXAMPLE)


def _with_ranges(table: Table) -> Found[tuple[Passed, ...] | None]:
    """A mapping of names to the ranges of their values."""
    found = named(table)
    faults = [*found.findings]
    passed = []
    for entry in found.value.entries:
        fault = name_fault(entry.name, entry.place)
        interval = None
        if not fault and not is_null(entry.value) and not isinstance(entry.value, Unread):
            interval = parse_range(entry.value.text) if isinstance(entry.value, Scalar) else None
            fault = None if interval else _no_range(entry)
        faults += [fault] if fault else []
        passed.append(Passed(entry.name, entry.place, interval))
    read = not faults and not any(isinstance(entry.value, Unread) for entry in found.value.entries)
    return Found(tuple(passed) if read else None, tuple(faults))


def _no_range(entry: Entry) -> Diagnostic:
    hint = _RANGE
    if isinstance(entry.value, Row) and len(entry.value.items) == 2:
        ends = [item.text for item in entry.value.items if isinstance(item, Scalar)]
        hint = f'quote the range: {entry.name}: "[{", ".join(ends)}]"'
    message = f"{shown(entry.name)} must be {_RANGE.split(',')[0]}, got {described(entry.value)}"
    return entry.value.place.says("LD405", message, hint)
