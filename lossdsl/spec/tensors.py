"""`tensors: [edge, depth]`: the tensors that a call passes by name, so that no other name stands for one."""

from __future__ import annotations

from lossdsl.errors import Diagnostic
from lossdsl.spec.model import Passed
from lossdsl.spec.parts import name_fault
from lossdsl.spec.values import Entry, Found, Row, Scalar, Unread, Value, described, is_null

_EXAMPLE = "write for example tensors: [edge, depth]"


def read_tensors(entry: Entry | None) -> Found[tuple[Passed, ...] | None]:
    """None where the key is not given, or where it cannot be read: then any name may be a tensor."""
    if entry is None or is_null(entry.value) or isinstance(entry.value, Unread):
        return Found(None)
    if not isinstance(entry.value, Row):
        message = f"tensors must be a list of names, got {described(entry.value)}"
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
