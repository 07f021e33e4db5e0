"""The form of a graph that a compiler makes the fewest and shortest loops of.

Everything is written out in operations of single elements and sums, so that what has the same parts is found to have
them, and nothing between the inputs and the sums has to be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.products import is_wide

Made: TypeAlias = Mapping[Node, Node]


def for_a_compiler(graph: Graph, outputs: Sequence[Node]) -> list[Node]:
    """The outputs made anew in a graph."""
    made: dict[Node, Node] = {}
    for node in in_order(outputs):
        arguments = [made[argument] for argument in node.arguments]
        rule = _RULES.get(node.operation)
        result = rule(graph, node, made) if rule else None
        made[node] = result or graph.make(node.operation, *arguments, attributes=node.attributes, axes=node.axes)
    return [made[output] for output in outputs]


def _from_one_exponential(graph: Graph, node: Node, made: Made) -> Node:
    """sigmoid(x), sigmoid(-x) and their logarithms from e = exp(-|x|), which is 0 for an infinite x."""
    make, one = graph.make, graph.constant(1.0)
    (value,) = node.arguments
    flipped = value.operation == "negative"
    logits = value.arguments[0] if flipped else value
    x = made[logits.arguments[0] if logits.operation == "finite" else logits]
    e = make("exp", make("negative", make("abs", x)))
    if node.operation == "log_sigmoid":
        x = made[logits]
        below = make("minimum", x, graph.constant(0.0))
        return make("subtract", make("subtract", below, x) if flipped else below, make("log1p_of_share", e))
    larger = make("quotient", one, make("add", one, e))
    smaller = make("multiply", e, larger)
    positive = make("compare", x, graph.constant(0.0), attributes=(">=",))
    return make("where", positive, *((smaller, larger) if flipped else (larger, smaller)))


def _from_one_sum(graph: Graph, node: Node, made: Made) -> Node:
    """softmax(x) and its logarithm from the largest x and the sum of exp(x - largest) over the classes."""
    x = made[node.arguments[0]]
    narrow = x.axes - {"class"}
    largest = graph.make("reduce_max", x, attributes=(("class",),), axes=narrow)
    difference = graph.make("subtract", x, largest)
    e = graph.make("exp", difference)
    added = graph.make("sum", e, attributes=(("class",),), axes=narrow)
    if node.operation == "log_softmax":
        return graph.make("subtract", difference, graph.make("log", added))
    return graph.make("multiply", e, graph.make("quotient", graph.constant(1.0), added))


def _sum(graph: Graph, node: Node, made: Made) -> Node | None:
    """Over pixels, then over what else: so all sums over pixels have the same domain."""
    (value,) = node.arguments
    over = node.attributes[0]
    assert isinstance(over, tuple)
    if "pixel" not in over or len(over) == 1 or not is_wide(value):
        return None
    rest = tuple(axis for axis in over if axis != "pixel")
    inner = graph.make("sum", made[value], attributes=(("pixel",),), axes=value.axes - {"pixel"})
    return graph.make("sum", inner, attributes=(rest,), axes=inner.axes - set(rest))


def _scatter(graph: Graph, node: Node, made: Made) -> Node:
    """By comparison, because scattering is a loop of its own."""
    return graph.make("placed", *(made[argument] for argument in node.arguments), axes=node.axes)


_RULES: Mapping[str, Callable[[Graph, Node, Made], Node | None]] = {
    "sigmoid": _from_one_exponential,
    "log_sigmoid": _from_one_exponential,
    "softmax": _from_one_sum,
    "log_softmax": _from_one_sum,
    "sum": _sum,
    "scatter": _scatter,
}
