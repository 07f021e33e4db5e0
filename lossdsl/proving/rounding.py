"""Roots and fractional powers of numbers that are known to a rounding error only.

Near 0 a root is steep without bound. Of a number that is known to all its digits, such as a squared difference of two
inputs, that slope is right. Of what is left of numbers that nearly cancel, such as a Dice loss of a good prediction,
the digits are those of the rounding, and so would be the slope: there it grows no further than at one rounding error
of 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.graphs import Graphs
from lossdsl.graph.nodes import Node, for_each_operation, in_order
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.proving.analysis import prove
from lossdsl.proving.interval import Interval, Known

# Operations that only choose, move or look at values of their first argument.
_PASSING = frozenset({
    *(name for name, function in FUNCTIONS.items() if function.passes_rounding),
    "keep", "cast", "cast_like", "pick", "reduce_max", "reduce_min", "topk", "mean", "sum", "negative",
    "stop_gradient", "power", "sqrt", "log1p", "local_mean", "local_min", "local_max",
})  # fmt: skip
# Operations with a result of many terms, which cancel unless all have the same sign.
_SUMS = frozenset({"sum", "mean", "local_mean"})
# Values that are given or exact: what is left of a difference of two of them is exact too.
_GIVEN = frozenset({"input", "constant", "one_hot", "foreground", "class_is_one_of", "size", "classes", "per_class"})
# Near 0 these are the difference of two numbers of usual size.
_DIFFERENCES = frozenset({"log", "log_softmax", "log_one_minus_softmax", "logsumexp"})
_OF_TWO = frozenset({"add", "subtract", "multiply", "minimum", "maximum", "divide", "where"})
# Operations whose result is known to all its digits near 0, or is not near 0, or says only which elements count.
_TO_ALL_DIGITS = frozenset({
    *(name for name, function in FUNCTIONS.items() if not function.passes_rounding),
    "softmax", "kernel", "ones", "filled_image", "index",
    "compare", "differs", "both", "any", "any_of",
})  # fmt: skip
for_each_operation(dict.fromkeys((*_PASSING, *_SUMS, *_GIVEN, *_DIFFERENCES, *_OF_TWO, *_TO_ALL_DIGITS)))


def rounded_roots(graphs: Graphs, built: BuiltLoss) -> frozenset[Node]:
    """The roots of the loss and its terms, and powers between 0 and 1, of what is known to a rounding error only."""
    roots = [node for node in in_order(built.outputs) if _is_root(node)]
    if not roots:
        return frozenset()
    proof = prove(graphs, built, related=(), nodes=roots)
    rounded = _rounded(proof.order, proof.intervals)
    return frozenset(node for node in roots if node.arguments[0] in rounded)


def _is_root(node: Node) -> bool:
    if node.operation != "power":
        return node.operation == "sqrt"
    exponent = node.arguments[1]
    return not exponent.is_constant or 0 < exponent.value < 1


def _rounded(order: Sequence[Node], known: Known) -> set[Node]:
    """The nodes that are not exact near 0."""
    found: set[Node] = set()
    for node in order:
        if _is_rounded(node, known, found):
            found.add(node)
    return found


def _is_rounded(node: Node, known: Known, rounded: set[Node]) -> bool:
    arguments = node.arguments
    match node.operation:
        case "add" | "subtract":
            if all(_is_given(argument) for argument in arguments):
                return False
            left, right = (known[argument] for argument in arguments)
            if not _same_sign(left, right, node.operation):
                return True
            return any(argument in rounded for argument in arguments)
        case "multiply" | "minimum" | "maximum":
            return any(argument in rounded for argument in arguments)
        case "divide":
            return arguments[0] in rounded
        case "where":
            return any(argument in rounded for argument in arguments[1:])
        case operation if operation in _DIFFERENCES:
            return True
        case operation if operation in _PASSING:
            cancels = operation in _SUMS and not _one_sign(known[arguments[0]])
            return arguments[0] in rounded or cancels
    return False


def _is_given(node: Node) -> bool:
    while node.operation in ("cast", "cast_like", "keep", "pick"):
        node = node.arguments[0]
    return node.operation in _GIVEN


def _one_sign(interval: Interval) -> bool:
    return interval.at_least_0 or interval.at_most_0


def _same_sign(left: Interval, right: Interval, operation: str) -> bool:
    """Whether two numbers do not cancel."""
    if operation == "subtract":
        return (left.at_least_0 and right.at_most_0) or (left.at_most_0 and right.at_least_0)
    return (left.at_least_0 and right.at_least_0) or (left.at_most_0 and right.at_most_0)
