"""The offset in the file of each character of a YAML scalar.

Reading a scalar only drops or changes white space (folding, indentation) and decodes escapes; all other characters keep
their order. So one pass over the raw text finds them again, in every style.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WHITE = frozenset(" \t\r\n\x85\u2028\u2029")
_WHITE_ESCAPES = frozenset("\\" + character for character in "tnrNLP \t\r\n") | {"\\\r\n"}
_CHARACTER = re.compile(r".", re.DOTALL)
_UNITS = {
    '"': re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r\n|.)|.", re.DOTALL),
    "'": re.compile(r"''|.", re.DOTALL),
}
_PROPERTIES = re.compile(r"(?:(?:&[\w-]+|!)(?=\s|$)(?:\s|(?<=\s)#[^\n]*)*)*")
_BLOCK_HEADER = re.compile(r"[|>][^\r\n]*(?:\r\n|.)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Unit:
    """The smallest piece of raw text that is one character of the value, or none."""

    start: int
    white: bool


def offsets_of(value: str, document: str, start: int, end: int, style: str | None) -> tuple[int, ...]:
    """For each character of `value`, and one past its end, its offset in `document`.

    The scalar's raw text is `document[start:end]`. Exact for all but white space; white space that was folded away
    counts as the first white character of its run.
    """
    body, stop = _body(document, start, end, style)
    return _align(value, tuple(_units(document, body, stop, style)), stop)


def _body(document: str, start: int, end: int, style: str | None) -> tuple[int, int]:
    """The range of the characters of the scalar, without anchor, quotes and the header of a block."""
    properties = _PROPERTIES.match(document, start, end)
    start = properties.end() if properties else start
    if style in ("'", '"'):
        return start + 1, end - 1
    header = _BLOCK_HEADER.match(document, start, end) if style in ("|", ">") else None
    return (header.end() if header else start), end


def _units(document: str, start: int, stop: int, style: str | None) -> Iterator[_Unit]:
    for match in _UNITS.get(style or "", _CHARACTER).finditer(document, start, stop):
        yield _Unit(match.start(), _is_white(match.group()))


def _is_white(raw: str) -> bool:
    if raw[0] == "\\" and raw[1:2] in ("x", "u", "U"):
        return chr(int(raw[2:], 16)) in _WHITE
    return raw in _WHITE or raw in _WHITE_ESCAPES


def _align(value: str, units: tuple[_Unit, ...], stop: int) -> tuple[int, ...]:
    offsets: list[int] = []
    index = 0
    for character in value:
        if character not in _WHITE:
            index = _skip_white(units, index)
        offsets.append(units[index].start if index < len(units) else stop)
        # A white character for which no raw one is left takes the place of what follows.
        if index < len(units) and (character not in _WHITE or units[index].white):
            index += 1
    offsets.append(units[index].start if index < len(units) else stop)
    return tuple(offsets)


def _skip_white(units: tuple[_Unit, ...], index: int) -> int:
    while index < len(units) and units[index].white:
        index += 1
    return index
