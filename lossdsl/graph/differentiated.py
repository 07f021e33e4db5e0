"""A loss with its gradient: one graph of both, in the form in which it is run operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossdsl.graph.gradient import dependent, expanded, gradients
from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.rewrites import RULES
from lossdsl.graph.selection import selected


@dataclass(frozen=True, slots=True)
class Differentiated:
    """outputs: in the order of the originals. moving: whether each depends on the inputs of the gradient.

    gradients: by the names of inputs, made from the outputs' own derivatives, the inputs `seed:0`, `seed:1`, ...
    """

    outputs: tuple[Node, ...]
    moving: tuple[bool, ...]
    gradients: dict[str, Node]


def differentiated(outputs: Sequence[Node], names: Sequence[str], large: bool = True) -> Differentiated:
    """Raises Unsupported where an operation between the inputs and the outputs has no derivative rule."""
    graph = Graph(RULES)
    plain = expanded(graph, outputs)
    found = gradients(graph, plain, names)
    chosen = selected(Graph(RULES), [*plain, *found.values()], large)
    depends = dependent(in_order(plain), names)
    moving = tuple(output in depends for output in plain)
    return Differentiated(tuple(chosen[: len(plain)]), moving, dict(zip(found, chosen[len(plain) :], strict=True)))
