"""How the total moves with a part of it: intervals of derivatives, from the total down."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from lossdsl.graph.nodes import Node, for_each_operation
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.operations.row import Function
from lossdsl.proving import interval as of
from lossdsl.proving.interval import ALL, ONE, POSITIVE, UNIT, ZERO, Interval, Known, interval

_Slopes: TypeAlias = Callable[[Node, Known], list[Interval]]

MINUS_ONE = interval(-1, -1)


def slopes(total: Node, order: Sequence[Node], known: Known, leaves: Collection[Node]) -> dict[Node, Interval]:
    """Where the derivative of the total by each node above and at the leaves lies. What is below them is left out.

    order: the nodes, arguments first.
    """
    found: dict[Node, Interval] = {total: ONE}
    for node in reversed(order):
        if node not in found or node in leaves or not node.arguments:
            continue
        for argument, slope in zip(node.arguments, _local(node, known), strict=False):
            found[argument] = of.add(found.get(argument, ZERO), of.multiply(found[node], slope))
    return found


def _local(node: Node, known: Known) -> list[Interval]:
    """The derivatives of a node by its arguments that have one."""
    return _LOCAL[node.operation](node, known)


def _divide(node: Node, known: Known) -> list[Interval]:
    a, b = (known[argument] for argument in node.arguments)
    return [of.reciprocal(b), of.negative(of.divide(a, of.whole_power(b, 2)))]


def _power(node: Node, known: Known) -> list[Interval]:
    base, exponent = node.arguments
    if not exponent.is_constant:
        return [of.multiply(known[exponent], POSITIVE), ALL]
    e = exponent.value
    if e == math.floor(e) and 1 < e < 1000:
        return [of.scale(of.whole_power(known[base], int(e) - 1), e)]
    return [of.scale(of.power(known[base], of.point(e - 1)), e)]


def _of_function(function: Function) -> _Slopes:
    """The rule of a function of one number."""
    return lambda node, known: [Interval(*function.slopes(known[node.arguments[0]], known[node]))]


# Operations with one argument that has a derivative; others, such as a mask, stand behind it.
_ONE_ARGUMENT: dict[str, Interval] = {
    "negative": MINUS_ONE,
    "sqrt": POSITIVE,
    **dict.fromkeys(("cast", "cast_like", "sum", "mean", "pick"), ONE),
    **dict.fromkeys(
        ("keep", "reduce_max", "reduce_min", "topk", "logsumexp", "local_mean", "local_min", "local_max"), UNIT
    ),
    **dict.fromkeys(("stop_gradient", "compare", "index", "one_hot", "size", "foreground", "class_is_one_of"), ZERO),
    **dict.fromkeys(("differs", "both", "any", "any_of", "ones", "classes", "filled_image"), ZERO),
}


def _constantly(slope: Interval) -> _Slopes:
    return lambda _node, _known: [slope]


def _anything(node: Node, _: Known) -> list[Interval]:
    """The value depends on several elements, some up and some down."""
    return [ALL for _ in node.arguments]


_LOCAL: Mapping[str, _Slopes] = for_each_operation({
    **{operation: _constantly(slope) for operation, slope in _ONE_ARGUMENT.items()},
    **dict.fromkeys(("input", "constant"), lambda _node, _known: []),
    **dict.fromkeys(("kernel", "softmax", "log_softmax", "log_one_minus_softmax"), _anything),
    "add": lambda _node, _known: [ONE, ONE],
    "subtract": lambda _node, _known: [ONE, MINUS_ONE],
    "multiply": lambda node, known: [known[node.arguments[1]], known[node.arguments[0]]],
    "divide": _divide,
    "power": _power,
    **{name: _of_function(function) for name, function in FUNCTIONS.items()},
    "log": lambda node, known: [of.reciprocal(of.clipped(known[node.arguments[0]]))],
    "log1p": lambda node, known: [of.reciprocal(of.clipped(of.add(known[node.arguments[0]], ONE)))],
    "minimum": lambda _node, _known: [UNIT, UNIT],
    "maximum": lambda _node, _known: [UNIT, UNIT],
    "where": lambda _node, _known: [ZERO, UNIT, UNIT],
    "per_class": lambda node, _known: [ZERO, *(UNIT for _ in node.arguments[1:])],
})  # fmt: skip


def moves(node: Node, sources: Collection[Node]) -> bool:
    """Whether a gradient flows from a node to one of the sources."""
    seen = {node}
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current in sources:
            return True
        for argument in _with_gradient(current):
            if argument not in seen:
                seen.add(argument)
                waiting.append(argument)
    return False


def _with_gradient(node: Node) -> tuple[Node, ...]:
    if node.operation in ("where", "per_class"):
        return node.arguments[1:]
    slope = _ONE_ARGUMENT.get(node.operation)
    if slope is None:
        return node.arguments
    return () if slope == ZERO else node.arguments[:1]
