"""Formulas that YAML cut at a comma: `{expr: focal(gamma=2, alpha=0.25), weight: 1}` has four keys for YAML.

This is the most common mistake with formulas in YAML, so it is recognised and read as intended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from lossdsl.spec.loader import PLAIN

Pair = tuple[yaml.Node, yaml.Node]


@dataclass(frozen=True, slots=True)
class Item:
    """A key and its value. end: the real end of a value that was cut, else None."""

    key: yaml.Node
    value: yaml.Node
    end: int | None = None


def items_of(mapping: yaml.MappingNode) -> Iterator[Item]:
    """The pairs of a mapping, with the pieces of cut formulas joined."""
    pairs: Sequence[Pair] = mapping.value
    index = 0
    while index < len(pairs):
        key, value = pairs[index]
        pieces = _pieces(value, pairs[index + 1 :]) if mapping.flow_style else 0
        yield Item(key, value, pairs[index + pieces][0].end_mark.index if pieces else None)
        index += 1 + pieces


def _pieces(value: yaml.Node, rest: Sequence[Pair]) -> int:
    """How many of the following keys are really the rest of `value`; 0 if that does not close its brackets."""
    depth = _open_brackets(value)
    if depth <= 0:
        return 0
    for count, (key, nothing) in enumerate(rest, start=1):
        if not (key.tag == PLAIN and nothing.tag == PLAIN and nothing.value == ""):
            return 0
        depth += _open_brackets(key)
        if depth <= 0:
            return count
    return 0


def _open_brackets(node: yaml.Node) -> int:
    if node.tag != PLAIN:
        return 0
    text: str = node.value
    return text.count("(") - text.count(")")
