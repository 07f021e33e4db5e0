"""Convert Python data, for example of a YAML reader or OmegaConf, to values. The data is never changed.

The data has no lines, so a place is the key path, such as loss.terms.pixel.expr. Arrays of numpy and tensors
of torch are lists of numbers, or one number; neither library is imported for that.
"""

from __future__ import annotations

import numbers
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, TypeGuard

from lossdsl.config.scalars import excess, looks_like_number
from lossdsl.config.values import Entry, Foreign, Found, Kind, Row, Scalar, Table, Unread, Value, shown
from lossdsl.errors import Diagnostic, Place, Source

_LARGEST = 10**308  # a whole number that is larger is not finite as a number
_ARRAYS = (("numpy", "ndarray"), ("torch", "Tensor"))


class Array(Protocol):
    """The interface of numpy arrays and torch tensors that is used here."""

    @property
    def ndim(self) -> int: ...

    def tolist(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Broken:
    """Stands for a value that could not be read from the mapping."""

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
    data = _plain(data)
    return data if _is_row(data) else ()


def _is_array(data: object) -> TypeGuard[Array]:
    """Whether it is an array or a tensor. If it is, its library is already imported."""
    kinds = (getattr(sys.modules.get(library), name, None) for library, name in _ARRAYS)
    return any(isinstance(kind, type) and isinstance(data, kind) for kind in kinds)


def _plain(data: object) -> object:
    """One number or a list of numbers for an array; other data as it is."""
    if not _is_array(data) or data.ndim > 1:
        return data
    try:
        return data.tolist()
    except Exception as error:  # one without memory, such as a meta tensor
        return _Broken(str(error).partition("\n")[0])


def _is_row(data: object) -> TypeGuard[Sequence[object]]:
    return isinstance(data, Sequence) and not isinstance(data, (str, bytes, bytearray))


def _pairs(data: Mapping[object, object]) -> Iterator[tuple[object, object]]:
    for key in data:
        try:
            yield key, data[key]
        except Exception as error:  # OmegaConf computes values on access, with errors of its own
            yield key, _Broken(str(error).partition("\n")[0])


def _value(data: object, path: str) -> Found[Value]:
    data = _plain(data)
    if isinstance(data, Counter):
        place = Place(Source("", path=path))
        message = "a Counter holds counts of labels, not class weights; a weight usually falls as the count grows"
        return Found(Unread(place), (place.says("LD405", message, "for example {0: 1, 1: 2.5, 2: 1}"),))
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
        name = _text(key) if isinstance(key, str) else _name_of(key)
        place = Place(Source(name, path=f"{path}.{name}"))
        refusal = None
        if not isinstance(key, str):
            message = f"the key {shown(name)} must be a string, not {_kind(key)}"
            refusal = place.says("LD405", message, _why(key))
        value = _value(item, f"{path}.{name}")
        entries.append(Entry(name, place, value.value, refusal))
        findings.extend(value.findings)
    return Found(Table(tuple(entries), Place(Source("", path=path))), tuple(findings))


def _name_of(key: object) -> str:
    """The text of a key that is not a string. Conversion can fail for long numbers and other objects."""
    try:
        return str(key)
    except Exception:
        return _kind(key)


def _kind(item: object) -> str:
    return type(item).__name__


def _text(data: str) -> str:
    """The string itself, also for a member of a string enumeration."""
    return str.__str__(data)


def _why(key: object) -> str | None:
    return "YAML 1.1 reads yes, no, on and off as booleans; quote the key" if isinstance(key, bool) else None


def _scalar(data: object, path: str) -> Found[Value]:
    match data:
        case None:
            return Found(_made("null", "null", path))
        case bool():
            return Found(_made("bool", str(data).lower(), path))
        case str():
            # PyYAML hands over 1e-3 as text. Digits without an exponent are text only where someone put quotes.
            is_number = looks_like_number(data) and "e" in data.lower()
            return Found(_made("number" if is_number else "text", _text(data), path))
        case numbers.Integral() if -_LARGEST <= int(data) <= _LARGEST:
            return Found(_made("number", str(int(data)), path))
        case numbers.Real() | Decimal():
            return Found(_made("number", repr(_float(data)), path))
        case _Broken(reason):
            message = f"the value cannot be read: {reason}"
        case _:
            return Found(Foreign(_kind(data), Place(Source("", path=path))))
    place = Place(Source("", path=path))
    return Found(Unread(place), (place.says("LD405", message),))


def _float(value: numbers.Real | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")
    except ValueError:  # a signalling NaN
        return float("nan")


def _made(kind: Kind, text: str, path: str) -> Scalar:
    return Scalar(kind, Source(text, path=path))
