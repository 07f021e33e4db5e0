"""The classes that count: those that `for_class` names, in the text around a value or of a map itself.

A choice stands beside a node and not in the graph, so no rewrite loses it, and the graph of
`mean(for_class(bce(reduction=none), [1]))` is that of `for_class(bce, [1])`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lossdsl.errors import Place
from lossdsl.graph.nodes import Graph, Node


@dataclass(frozen=True, slots=True)
class Classes:
    """Some classes, and the mask that leaves all others out. origin: where they were chosen."""

    numbers: frozenset[int]
    mask: Node
    origin: Place

    def __str__(self) -> str:
        return f"[{', '.join(map(str, sorted(self.numbers)))}]"

    def around(self, text: str) -> str:
        """The choice as it is written around a formula."""
        return f"for_class({text}, {self})"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A map of which only some classes count, until a reduction over the classes."""

    node: Node
    classes: Classes


def narrowed(graph: Graph, outer: Classes | None, inner: Classes | None) -> Classes | None:
    """The classes that count when both choices hold."""
    if outer is None or inner is None or outer.numbers == inner.numbers:
        return outer if inner is None else inner
    return Classes(outer.numbers & inner.numbers, graph.make("both", outer.mask, inner.mask), inner.origin)


def marked(node: Node, classes: Classes | None) -> Node | Chosen:
    """A value with its choice."""
    return node if classes is None else Chosen(node, classes)


def parted(value: Node | Chosen) -> tuple[Node, Classes | None]:
    """A value without its choice, and the choice."""
    return (value.node, value.classes) if isinstance(value, Chosen) else (value, None)
