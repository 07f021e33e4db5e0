"""Sums and products kept in one form: a narrow factor, one value or a few, times a wide one, with a value per pixel.

So factors that do not depend on the pixel are multiplied among themselves, and a wide value is scaled once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lossdsl.graph.nodes import AXES, NUMBER_ARITHMETIC, Graph, Node
from lossdsl.graph.rewrites import ELEMENTWISE

# Operations whose result has, along each of its axes, the size that its arguments have there.
_SAME_SIZE = ELEMENTWISE | {
    "cast", "cast_like", "index", "one_hot", "pick", "both", "differs", "softmax", "log_softmax",
    "log_one_minus_softmax", "sum", "mean", "any", "reduce_max", "reduce_min", "quotient", "safe_denominator",
    "undefined", "bounded", "foreground", "class_is_one_of", "per_class", "ones",
}  # fmt: skip


class Unsupported(Exception):
    """A part of a graph has no derivative here; the loss is then run by torch's own autograd."""


def is_wide(node: Node) -> bool:
    return "pixel" in node.axes


def is_number(node: Node) -> bool:
    """Whether the value is a Python number at run time rather than a tensor."""
    return node.is_number


# Operations that take numbers as they take tensors; others need a tensor as their first argument.
_OF_NUMBERS = NUMBER_ARITHMETIC | {
    "constant", "size", "power", "minimum", "maximum", "where", "compare", "cast_like", "per_class", "input",
    "scaled_difference", "squared_difference", "add_product", "subtract_product", "interpolate", "filled_image",
    "raw_power", "add_at_class", "scatter", "placed",
}  # fmt: skip


def wants_a_tensor(node: Node) -> bool:
    """Whether a node is given a number where only a tensor will do."""
    return bool(node.arguments) and node.arguments[0].is_number and node.operation not in _OF_NUMBERS


@dataclass(frozen=True, slots=True)
class Factors:
    """sign * narrow * wide; None stands for 1."""

    sign: int
    narrow: Node | None
    wide: Node | None


def split(node: Node) -> Factors:
    passed: list[tuple[Node, Node | None]] = []
    while True:  # down to what is neither a sign nor a wide value with a narrow factor
        if node.operation == "negative":
            passed.append((node, None))
            node = node.arguments[0]
        elif node.operation == "multiply" and is_wide(node) and not all(map(is_wide, node.arguments)):
            factor, rest = sorted(node.arguments, key=is_wide)
            passed.append((node, factor))
            node = rest
        else:
            break
    found = Factors(1, None, node) if is_wide(node) else Factors(1, node, None)
    for above, narrow in reversed(passed):
        if narrow is None:
            found = Factors(-found.sign, found.narrow, found.wide)
        elif found.narrow is None:
            sign, unsigned = _unsigned(narrow)
            found = Factors(sign * found.sign, unsigned, found.wide)
        else:
            found = Factors(1, None, above)
    return found


def _unsigned(node: Node) -> tuple[int, Node]:
    sign = 1
    while node.operation == "negative":
        sign, node = -sign, node.arguments[0]
    return sign, node


def join(graph: Graph, factors: Factors) -> Node:
    parts = [part for part in (factors.narrow, factors.wide) if part is not None]
    result = graph.make("multiply", *parts) if len(parts) == 2 else next(iter(parts), graph.constant(1.0))
    return result if factors.sign > 0 else graph.make("negative", result)


def product(graph: Graph, left: Node, right: Node) -> Node:
    one, other = split(left), split(right)
    return join(
        graph,
        Factors(
            one.sign * other.sign,
            _times(graph, one.narrow, other.narrow),
            _times(graph, one.wide, other.wide),
        ),
    )


def quotient(graph: Graph, numerator: Node, denominator: Node) -> Node:
    """numerator / denominator without regard to zeros."""
    one = split(numerator)
    if is_wide(denominator):
        wide = graph.make("quotient", one.wide or graph.constant(1.0), denominator)
        return join(graph, Factors(one.sign, one.narrow, wide))
    narrow = graph.make("quotient", one.narrow or graph.constant(1.0), denominator)
    return join(graph, Factors(one.sign, narrow, one.wide))


def chosen(graph: Graph, condition: Node, node: Node, where: bool = True) -> Node:
    """The node where the condition is as given, 0 elsewhere."""
    one = split(node)
    inner, outer = (one.wide, one.narrow) if one.wide is not None else (one.narrow, None)
    assert inner is not None
    zero = graph.constant(0.0)
    masked = graph.make("where", condition, *((inner, zero) if where else (zero, inner)))
    if outer is None:
        return join(graph, Factors(one.sign, None, masked))
    return join(graph, Factors(one.sign, outer, masked))


def _times(graph: Graph, left: Node | None, right: Node | None) -> Node | None:
    if left is None or right is None:
        return left if right is None else right
    return graph.make("multiply", left, right)


def total(graph: Graph, summands: Iterable[Node]) -> Node:
    """The sum, with wide values that have the same narrow factor added up before they are scaled."""
    groups: dict[Node | None, list[tuple[int, Node | None]]] = {}
    for summand in summands:
        factors = split(summand)
        groups.setdefault(factors.narrow, []).append((factors.sign, factors.wide))
    scaled = []
    for narrow, members in groups.items():
        inner = _signed_sum(graph, [(sign, wide or graph.constant(1.0)) for sign, wide in members])
        if inner.is_constant:
            factors = Factors(-1 if inner.value < 0 else 1, graph.constant(abs(inner.value)), None)
        else:
            factors = split(inner) if is_wide(inner) else Factors(1, inner, None)
        scaled.append((factors.sign, join(graph, Factors(1, _times(graph, narrow, factors.narrow), factors.wide))))
    scaled.sort(key=lambda signed: is_wide(signed[1]))
    return _signed_sum(graph, scaled)


def _signed_sum(graph: Graph, members: list[tuple[int, Node]]) -> Node:
    ordered = sorted(members, key=lambda member: -member[0])
    sign, result = ordered[0]
    if sign < 0:
        return graph.make("negative", _signed_sum(graph, [(-s, node) for s, node in members]))
    for sign, node in ordered[1:]:
        result = graph.make("add" if sign > 0 else "subtract", result, node)
    return result


def add_up(graph: Graph, node: Node, over: frozenset[str]) -> Node:
    """The sum over axes that the node has; narrow factors are taken out of the sum over pixels."""
    factors = split(node)
    if factors.wide is None or factors.narrow is None:
        inner = _sum(graph, factors.wide or factors.narrow or node, over)
        return join(graph, Factors(factors.sign, None, inner))
    first = (over - factors.narrow.axes) & factors.wide.axes
    assert over - factors.narrow.axes <= factors.wide.axes
    scaled = join(graph, Factors(1, factors.narrow, _sum(graph, factors.wide, first)))
    return join(graph, Factors(factors.sign, None, _sum(graph, scaled, over - first)))


def _sum(graph: Graph, node: Node, over: frozenset[str]) -> Node:
    if not over:
        return node
    ordered = tuple(axis for axis in AXES if axis in over)
    if ordered == ("class",) and node.operation == "scatter":
        return node.arguments[0]
    return graph.make("sum", node, attributes=(ordered,), axes=node.axes - over)


def collapse(graph: Graph, node: Node, origin: Node, axes: frozenset[str]) -> Node:
    """What stands for each element of `origin`, added up to fewer axes; along an axis that it lacks it is repeated."""
    gone = origin.axes - axes
    result = add_up(graph, node, gone & node.axes) if gone & node.axes else node
    for axis in AXES:
        if axis in gone - node.axes:
            result = product(graph, result, size(graph, origin, axis))
    return result


def size(graph: Graph, node: Node, axis: str) -> Node:
    """The number of elements of a node along an axis, read from an input."""
    return graph.make("size", source(node, axis), attributes=(axis,), axes=())


def source(node: Node, axis: str) -> Node:
    """An input that has the size of a node along an axis."""
    while node.operation != "input":
        if node.operation not in _SAME_SIZE:
            raise Unsupported(node.operation)
        having = [argument for argument in node.arguments if axis in argument.axes]
        if not having:
            raise Unsupported(node.operation)
        node = having[0]
    return node
