"""Python data to values: what a YAML reader, OmegaConf or a test hands over. It is only looked at, never changed.

There are no lines to point at, so a place is the key path, such as loss.terms.pixel.expr.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from lossdsl.errors import Diagnostic, Source
from lossdsl.spec.limits import excess
from lossdsl.spec.scalars import looks_like_number
from lossdsl.spec.values import Entry, Found, Kind, Place, Row, Scalar, Table, Unread, Value, shown

_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class _Broken:
    """What stands for a value that the mapping refused to give."""

    reason: str


def value_of(data: object, path: str) -> Found[Value]:
    """The value of Python data that stands at `path`."""
    fault = excess(data, _children, lambda item: len(item) if isinstance(item, str) else 0)
    if fault:
        place = Place(Source("", path=path))
        return Found(Unread(place), (place.says("LD408", f"this cannot be read: {fault[0]}"),))
    return _value(data, path)


def _children(data: object) -> Iterable[object]:
    if isinstance(data, Mapping):
        return (value for _, value in _pairs(data))
    return data if _is_row(data) else ()


def _is_row(data: object) -> TypeGuard[Sequence[object]]:
    return isinstance(data, Sequence) and not isinstance(data, (str, bytes, bytearray))


def _pairs(data: Mapping[object, object]) -> Iterator[tuple[object, object]]:
    for key in data:
        try:
            yield key, data[key]
        except Exception as error:  # OmegaConf computes values on access, with errors of its own
            yield key, _Broken(str(error).partition("\n")[0])


def _value(data: object, path: str) -> Found[Value]:
    if isinstance(data, Mapping):
        return _table(data, path)
    if _is_row(data):
        items = [_value(item, f"{path}[{index}]") for index, item in enumerate(data)]
        row = Row(tuple(item.value for item in items), Place(Source("", path=path)))
        return Found(row, tuple(finding for item in items for finding in item.findings))
    return _scalar(data, path)


def _table(data: Mapping[object, object], path: str) -> Found[Value]:
    entries: list[Entry] = []
    findings: list[Diagnostic] = []
    for key, item in _pairs(data):
        place = Place(Source(str(key), path=f"{path}.{key}"))
        if not isinstance(key, str):
            message = f"the key {shown(str(key))} must be text, it is a {_kind(key)}"
            findings.append(place.says("LD405", message, _why(key)))
            continue
        value = _value(item, f"{path}.{key}")
        entries.append(Entry(key, place, value.value))
        findings.extend(value.findings)
    return Found(Table(tuple(entries), Place(Source("", path=path))), tuple(findings))


def _kind(item: object) -> str:
    return type(item).__name__


def _why(key: object) -> str | None:
    return "in YAML 1.1 yes, no, on and off are truth values: put the key in quotes" if isinstance(key, bool) else None


def _scalar(data: object, path: str) -> Found[Value]:
    match data:
        case None:
            return Found(_made("null", "null", path))
        case bool():
            return Found(_made("bool", str(data).lower(), path))
        case str():
            # PyYAML hands over 1e-3 as text; where a number is wanted, text that is one is meant as one.
            return Found(_made("number" if looks_like_number(data) else "text", str(data), path))
        case numbers.Integral() if -_LARGEST <= int(data) < _LARGEST:
            return Found(_made("number", str(int(data)), path))
        case numbers.Real():
            return Found(_made("number", repr(_float(data)), path))
        case _Broken(reason):
            message = f"the value cannot be read: {reason}"
        case _:
            message = f"a value must be text, a number, a list or a mapping, not a {_kind(data)}"
    place = Place(Source("", path=path))
    return Found(Unread(place), (place.says("LD405", message),))


def _float(value: numbers.Real) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _made(kind: Kind, text: str, path: str) -> Scalar:
    return Scalar(kind, Source(text, path=path))
