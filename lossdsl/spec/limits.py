"""Limits of config data, checked before it is traversed: aliases can make a small file huge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

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
