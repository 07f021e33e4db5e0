"""What unquoted YAML text means, by the rules of YAML 1.2, and how much data is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from lossdsl.config.values import Kind

MAX_NODES = 10_000
MAX_DEPTH = 50
MAX_CHARACTERS = 1_000_000
T = TypeVar("T")


def excess(root: T, children: Callable[[T], Iterable[T]], length: Callable[[T], int]) -> tuple[str, T] | None:
    """The limit that the tree below `root` exceeds, and the node at which it does; None if it exceeds none.

    Shared nodes count each time, because they are traversed each time.
    """
    stack: list[tuple[T, tuple[T, ...]]] = [(root, ())]
    nodes = characters = 0
    while stack:
        node, above = stack.pop()
        nodes, characters = nodes + 1, characters + length(node)
        if any(node is other for other in above):
            return "it contains itself", node
        if len(above) >= MAX_DEPTH:
            return f"it is nested more than {MAX_DEPTH} levels deep", node
        if nodes > MAX_NODES:
            return f"it has more than {MAX_NODES:,} parts, aliases counted each time", node
        if characters > MAX_CHARACTERS:
            return f"it has more than {MAX_CHARACTERS:,} characters, aliases counted each time", node
        stack.extend((child, (*above, node)) for child in islice(children(node), MAX_NODES + 1))
    return None


_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"[-+]?[0-9]{1,19}", re.ASCII)
_ZEROS = re.compile(r"([-+]?)0+([0-9])", re.ASCII)
_NOT_FINITE = {".inf", "+.inf", "-.inf", ".nan", "inf", "-inf", "nan"}
_BOOLS = {"true", "True", "TRUE", "false", "False", "FALSE"}
_NULLS = {"", "~", "null", "Null", "NULL"}
_LARGEST = 2**63


def kind_of_plain(text: str) -> Kind:
    """The kind of an unquoted scalar. `inf` and `nan` are words; `.inf` and `.nan` are numbers."""
    if text in _NULLS:
        return "null"
    if text in _BOOLS:
        return "bool"
    return "number" if looks_like_number(text) or text.lower() in (".inf", "+.inf", "-.inf", ".nan") else "text"


def looks_like_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def finite_number(text: str) -> float | None:
    """The value of number text, or None when it has none that is finite."""
    if text.lower() in _NOT_FINITE:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def whole_number(text: str) -> int | None:
    """The value of text that is a whole number of at most 64 bits."""
    if not _WHOLE.fullmatch(text):
        return None
    value = int(text)
    return value if -_LARGEST <= value < _LARGEST else None


def has_zeros_in_front(text: str) -> bool:
    """Whether a number is written like 012, which is 10 in YAML 1.1 and 12 in YAML 1.2."""
    return _ZEROS.match(text) is not None


def without_zeros(text: str) -> str:
    """The hint for such a number."""
    plain = _ZEROS.sub(lambda found: found[1] + found[2], text)
    thousands = "; a thousand is 1000, without a comma" if re.match(r"[-+]?[0-9]{3}(?:\.|$)", text) else ""
    return f"write {plain.removeprefix('+')}{thousands}"
