"""Convert a tree of frozen dataclasses to a flat table, and back: pickle recurses into a tree, and
a deep one overflows the stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

Row: TypeAlias = tuple[type | None, Any]
"""An instance of a class, with the places of its parts in the table; or None and a value that is stored as it is."""


_LOW = 12
"""The number of levels that are stored as they are."""


def flattened(root: Any) -> tuple[Row, ...]:
    """The deep dataclasses and tuples in a value as rows, parts before the whole; shared parts have one row."""
    heights: dict[int, int] = {}
    rows: list[Row] = []
    places: dict[int, int] = {}

    def place(value: Any) -> int:
        if id(value) not in places:
            parts = _parts(value) if heights[id(value)] > _LOW else None
            row: Row = (None, value) if parts is None else (type(value), tuple([place(part) for part in parts]))
            places[id(value)] = len(rows)
            rows.append(row)
        return places[id(value)]

    waiting = [root]
    while waiting:
        value = waiting[-1]
        parts = _parts(value) or ()
        missing = [part for part in parts if id(part) not in heights]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        heights[id(value)] = 1 + max((heights[id(part)] for part in parts), default=0)
        if heights[id(value)] > _LOW:
            place(value)  # its high parts have their places
    place(root)
    return tuple(rows)


def rebuilt(rows: Sequence[Row]) -> Any:
    """The value of a table."""
    values: list[Any] = []
    for made, value in rows:
        if made is None:
            values.append(value)
        else:
            parts = [values[place] for place in value]
            values.append(tuple(parts) if made is tuple else made(*parts))
    return values[-1]


def _parts(value: Any) -> Sequence[Any] | None:
    """The parts of a value; None for a value that is stored as it is, or that defines its own pickling."""
    if type(value) is tuple:
        return value
    kind = type(value)
    if not is_dataclass(kind) or kind.__reduce__ is not object.__reduce__:
        return None
    return [getattr(value, field.name) for field in fields(value) if field.init]
