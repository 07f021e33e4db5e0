"""YAML text to nodes, and the place of each character of a scalar's value. Nothing is constructed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from lossdsl.config.other_formats import refused
from lossdsl.config.page import Page
from lossdsl.config.values import Found

PLAIN = "plain"
STANDARD = "standard"
MAX_YAML_DEPTH = 100


class TooDeep(yaml.MarkedYAMLError):
    """The file is nested so deeply that composing it would overflow the stack."""


class NodeLoader(yaml.SafeLoader):
    """Composes nodes only. A node's tag is PLAIN (unquoted text), STANDARD, or what the user wrote after `!`."""

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ARG002 - PyYAML calls it
        """The tag of a scalar: PLAIN if it is unquoted, instead of a type that YAML 1.1 guesses."""
        return PLAIN if kind is yaml.ScalarNode and implicit[0] else STANDARD

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_YAML_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise TooDeep(problem=f"more than {MAX_YAML_DEPTH} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def compose(page: Page) -> Found[yaml.Node | None]:
    """The node of a file's only document."""
    foreign = refused(page)
    if foreign:
        return Found(None, (foreign,))
    try:
        node = NodeLoader(without_tabs(page.text)).get_single_node()
    except TooDeep as error:
        start = error.problem_mark.index if error.problem_mark else 0
        return Found(None, (page.at(start).says("LD408", f"the file is nested too deeply: {error.problem}"),))
    except yaml.YAMLError as error:
        from lossdsl.config.yaml_mistakes import explain  # a right file needs none of it

        return Found(None, (refused(page, unreadable=True) or explain(error, page),))
    if node is None:
        hint = "for example loss: 0.5*bce + 0.5*dice"
        return Found(None, (page.whole.says("LD401", "the file is empty", hint),))
    return Found(node)


def without_tabs(text: str) -> str:
    """Replace the tabs of JSON, which PyYAML refuses, by spaces; offsets stay the same."""
    return text.replace("\t", " ") if text.lstrip()[:1] in ("{", "[") else text


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


def changed_scalars(before: str, after: str) -> tuple[tuple[str, str], ...] | None:
    """The scalars whose text differs, before and after; None if anything else differs."""
    try:
        old, new = _events(before), _events(after)
    except yaml.YAMLError:
        return None
    if len(old) != len(new) or any(one[:-1] != other[:-1] for one, other in zip(old, new, strict=True)):
        return None
    pairs = ((one[-1], other[-1]) for one, other in zip(old, new, strict=True))
    return tuple((one, other) for one, other in pairs if one != other)


def _events(text: str) -> list[tuple[Any, ...]]:
    """The events of the parser without places; the text of a scalar comes last."""
    return [
        (
            type(event),
            getattr(event, "anchor", None),
            getattr(event, "tag", None),
            getattr(event, "implicit", None),
            getattr(event, "style", None),
            getattr(event, "flow_style", None),
            getattr(event, "value", None),
        )
        for event in yaml.parse(without_tabs(text), Loader=NodeLoader)
    ]
