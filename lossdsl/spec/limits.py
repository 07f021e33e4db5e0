"""Bounds on config data, checked before it is walked: aliases may make a small file endless."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

MAX_NODES = 10_000
MAX_DEPTH = 50
MAX_CHARACTERS = 1_000_000
T = TypeVar("T")


def excess(root: T, children: Callable[[T], Iterable[T]], length: Callable[[T], int]) -> tuple[str, T] | None:
    """What is too much about the tree below `root`, and the node where that was noticed; None if it can be walked.

    Shared nodes count each time they are met, since the walk meets them each time.
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
