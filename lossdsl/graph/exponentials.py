"""Sums, products and quotients of exponentials without overflow: exp(z) is infinite in single precision at z = 89.

A value is written as exp(exponent)*rest, where the rest is of moderate size. So its logarithm is exponent + log(rest),
and a quotient of two such values needs only the difference of their exponents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lossdsl.graph.nodes import NO_AXES, Graph, Node, in_order


@dataclass(frozen=True, slots=True)
class Scaled:
    """exp(exponent)*rest; without an exponent just the rest. valid: which elements are not 0, None for all."""

    exponent: Node | None
    rest: Node
    valid: Node | None = None


class _Others:
    """What a value is not taken apart further at."""

    def __contains__(self, node: object) -> bool:
        return isinstance(node, Node) and node.operation not in _TAKEN_APART


_TAKEN_APART = frozenset({
    "add", "subtract", "negative", "multiply", "divide", "power", "sqrt", "sum", "mean", "keep",
})  # fmt: skip


def log_of_exponentials(graph: Graph, arguments: tuple[Node, ...], _: object) -> Node | None:
    """log(sum(exp(x), over=axis)), also with factors, constants and quotients inside; log(1 + exp(x)) is softplus."""
    (value,) = arguments
    if value.operation == "subtract" and value.arguments[0].is_constant:
        return None  # in the domain nothing overflows
    found = scaled(graph, value)
    if found.exponent is None or found.valid is not None:
        return None
    if _is_one(found.rest):
        return found.exponent
    return graph.make("add", found.exponent, graph.make("log", found.rest))


def quotient_of_exponentials(graph: Graph, arguments: tuple[Node, ...], _: object) -> Node | None:
    """A quotient whose denominator is made of exponentials, such as a softmax or a sigmoid that is written out."""
    numerator, denominator = (scaled(graph, argument) for argument in arguments)
    if denominator.exponent is None or numerator.valid is not None or denominator.valid is not None:
        return None
    exponent = graph.make("negative", denominator.exponent)
    if numerator.exponent is not None:
        exponent = graph.make("subtract", numerator.exponent, denominator.exponent)
    rest = graph.make("divide", numerator.rest, denominator.rest)
    return graph.make("multiply", rest, graph.make("exp", exponent))


def exp_of_logarithm(graph: Graph, arguments: tuple[Node, ...], _: object) -> Node | None:
    """exp(x - logsumexp(x)) is a softmax, exp(-softplus(x)) a sigmoid."""
    (value,) = arguments
    if value.operation == "negative" and value.arguments[0].operation == "softplus":
        return graph.make("sigmoid", graph.make("negative", *value.arguments[0].arguments))
    if value.operation == "subtract":
        x, total = value.arguments
        if total.operation == "logsumexp" and total.arguments == (x,) and total.attributes == (("class",),):
            return graph.make("softmax", x)
    return None


def scaled(graph: Graph, value: Node) -> Scaled:
    """A value with its exponentials taken out."""
    known = _Others()
    found: dict[Node, Scaled] = {}
    if value in known:
        return _leaf(graph, value)
    for node in in_order([value], known):
        found[node] = _leaf(graph, node) if node in known else _taken_apart(graph, node, found)
    return found[value]


def _leaf(graph: Graph, node: Node) -> Scaled:
    if node.operation == "exp" and not _is_relative(node.arguments[0]):
        return Scaled(node.arguments[0], graph.constant(1.0))
    return Scaled(None, node)


def _is_relative(exponent: Node) -> bool:
    """Whether it is relative to the largest one, here or in the text."""
    if exponent.operation == "keep":
        exponent = exponent.arguments[0]
    return exponent.operation in ("subtract", "negative") and exponent.arguments[-1].operation == "stop_gradient"


def _taken_apart(graph: Graph, node: Node, found: dict[Node, Scaled]) -> Scaled:
    make = graph.make
    parts = [found[argument] for argument in node.arguments]
    first = parts[0]
    if all(part.exponent is None for part in parts):
        return Scaled(None, node)
    masks = [part.valid for part in parts if part.valid is not None]
    match node.operation:
        case "negative":
            return Scaled(first.exponent, make("negative", first.rest), first.valid)
        case "multiply" if len(set(masks)) <= 1:  # 0 where either factor is
            exponent = _joined(graph, "add", first.exponent, parts[1].exponent)
            valid = masks[0] if masks else None
            return _settled(graph, exponent, make("multiply", first.rest, parts[1].rest), valid)
        case "divide" if parts[1].valid is None:
            exponent = _joined(graph, "subtract", first.exponent, parts[1].exponent)
            return _settled(graph, exponent, make("divide", first.rest, parts[1].rest), first.valid)
        case "add" | "subtract" if not masks:
            return _sum_of_two(graph, node.operation, *parts)
        case "keep" if not masks:
            return Scaled(first.exponent, first.rest, node.arguments[1])
        case "power" if node.arguments[1].is_constant and first.exponent is not None and _is_pure(first):
            return Scaled(make("multiply", node.arguments[1], first.exponent), first.rest)
        case "sqrt" if first.exponent is not None and _is_pure(first):
            return Scaled(make("multiply", graph.constant(0.5), first.exponent), first.rest)
        case "sum" | "mean" if first.exponent is not None:
            return _reduced(graph, node, first.exponent, first)
    return Scaled(None, node)


def _settled(graph: Graph, exponent: Node | None, rest: Node, valid: Node | None) -> Scaled:
    """A positive constant as part of the exponent."""
    if exponent is None or not rest.is_constant or rest.value <= 0 or rest.value == 1:
        return Scaled(exponent, rest, valid)
    return Scaled(graph.make("add", exponent, graph.constant(math.log(rest.value))), graph.constant(1.0), valid)


def _joined(graph: Graph, sign: str, left: Node | None, right: Node | None) -> Node | None:
    if right is None:
        return left
    if left is None:
        return right if sign == "add" else graph.make("negative", right)
    return graph.make(sign, left, right)


def _sum_of_two(graph: Graph, operation: str, left: Scaled, right: Scaled) -> Scaled:
    make = graph.make
    logarithms = [_logarithm(graph, part) for part in (left, right)]
    if operation == "add" and all(logarithms):
        # exp(a) + exp(b) is exp(a)*(1 + exp(b - a)), exact for any difference. A constant comes first: 1 + exp(x).
        a, b = sorted((part for part in logarithms if part), key=lambda part: not part.is_constant)
        return Scaled(make("add", a, make("softplus", make("subtract", b, a))), graph.constant(1.0))
    zero = graph.constant(0.0)
    exponents = [part.exponent or zero for part in (left, right)]
    largest = make("stop_gradient", make("maximum", *exponents))
    parts = [
        make("multiply", part.rest, make("exp", make("subtract", exponent, largest)))
        for part, exponent in zip((left, right), exponents, strict=True)
    ]
    return Scaled(largest, make(operation, *parts))


def _logarithm(graph: Graph, part: Scaled) -> Node | None:
    """The logarithm of what is positive for certain: one exponential, or a constant."""
    if part.exponent is not None:
        return part.exponent if _is_pure(part) else None
    constant = part.rest.is_constant and 0 < part.rest.value < math.inf
    return graph.constant(math.log(part.rest.value)) if constant else None


def _reduced(graph: Graph, node: Node, exponent: Node, part: Scaled) -> Scaled:
    """A sum or mean from its largest exponent; what is 0 does not count for that."""
    make, (over,) = graph.make, node.attributes
    assert isinstance(over, tuple)
    if not set(over) <= exponent.axes:
        return Scaled(None, node)
    if not part.rest.is_constant and not part.rest.axes & set(over):  # the same for all that is added up
        inner = _reduced(graph, node, exponent, Scaled(exponent, graph.constant(1.0), part.valid))
        return Scaled(inner.exponent, make("multiply", part.rest, inner.rest), inner.valid)
    pure, valid = _is_one(part.rest), part.valid
    if not part.rest.is_constant:
        there = make("compare", part.rest, graph.constant(0.0), attributes=("!=",))
        valid = there if valid is None else make("both", valid, there)
    if pure and node.operation == "sum":
        return Scaled(log_sum_exp(graph, exponent, valid, over), part.rest)
    largest = largest_exponent(graph, exponent, valid, over)
    value = make("multiply", part.rest, relative_power(graph, exponent, largest, valid))
    if part.valid is not None:
        value = make("keep", value, part.valid)
    return Scaled(largest, make(node.operation, value, attributes=node.attributes, axes=value.axes - set(over)))


def log_sum_exp(graph: Graph, x: Node, valid: Node | None, over: tuple[str, ...]) -> Node:
    """log(sum(exp(x))) of the elements that are valid."""
    arguments = (x,) if valid is None else (x, valid)
    axes = NO_AXES.union(*(argument.axes for argument in arguments)) - set(over)
    return graph.make("logsumexp", *arguments, attributes=(over,), axes=axes)


def largest_exponent(graph: Graph, x: Node, valid: Node | None, over: tuple[str, ...]) -> Node:
    """What exponents are taken relative to. The value does not depend on it, so no gradient flows through it."""
    arguments = (x,) if valid is None else (x, valid)
    axes = NO_AXES.union(*(argument.axes for argument in arguments)) - set(over)
    return graph.make("stop_gradient", graph.make("reduce_max", *arguments, attributes=(over,), axes=axes))


def relative_power(graph: Graph, x: Node, largest: Node, valid: Node | None) -> Node:
    """exp(x - largest), which is at most 1; what does not count may be larger than the largest."""
    difference = graph.make("subtract", x, largest)
    return graph.make("exp", difference if valid is None else graph.make("keep", difference, valid))


def _is_pure(part: Scaled) -> bool:
    """Whether it is one exponential and nothing else."""
    return _is_one(part.rest) and part.valid is None


def _is_one(node: Node) -> bool:
    return node.is_constant and node.value == 1
