"""Rewrites that keep the value: folded numbers, stable forms of logarithms, and gathers instead of one-hot sums.

A rule sees the arguments of a node that is about to be made and returns another node, or None. Rules with a name are
shown by `explain`; unnamed ones are plain arithmetic.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable
from typing import Any

from lossdsl.graph.nodes import Graph, Node, Rule

_Attributes = tuple[Hashable, ...]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
ELEMENTWISE = frozenset({
    "add", "subtract", "multiply", "divide", "power", "negative", "exp", "log", "sqrt", "abs", "tanh", "sigmoid",
    "softplus", "cosh", "logcosh", "relu", "minimum", "maximum", "log_sigmoid", "stop_gradient", "where", "compare",
    "keep",
})  # fmt: skip


def _folds(function: Callable[..., float]) -> Rule:
    """Arithmetic on constants."""

    def rule(graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
        if not all(argument.is_constant for argument in arguments):
            return None
        try:
            result = function(*(argument.value for argument in arguments))
        except (ArithmeticError, ValueError):
            return None
        return graph.constant(result) if isinstance(result, float) and math.isfinite(result) else None

    return rule


def _is(node: Node, number: float) -> bool:
    return node.is_constant and node.value == number


def _add(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    left, right = arguments
    if _is(left, 0):
        return right
    return left if _is(right, 0) else None


def _subtract(graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    left, right = arguments
    if _is(right, 0):
        return left
    return graph.make("negative", right) if _is(left, 0) else None


def _multiply(graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    for one, other in (arguments, arguments[::-1]):
        if _is(one, 1):
            return other
        if _is(one, -1):
            return graph.make("negative", other)
        if _is(one, 0):
            return graph.constant(0.0)
    return None


def _divide(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    return arguments[0] if _is(arguments[1], 1) else None


def _negative(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    return arguments[0].arguments[0] if arguments[0].operation == "negative" else None


def _power(graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    base, exponent = arguments
    if _is(exponent, 1):
        return base
    return graph.constant(1.0) if _is(exponent, 0) else None


def _compare(graph: Graph, arguments: tuple[Node, ...], attributes: _Attributes) -> Node | None:
    if not all(argument.is_constant for argument in arguments):
        return None
    left, right = arguments
    return graph.constant(float(COMPARISONS[str(attributes[0])](left.value, right.value)))


def _where(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    condition, chosen, otherwise = arguments
    if not condition.is_constant:
        return None
    return chosen if condition.value else otherwise


def _log_of_probability(graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    """log(sigmoid(z)) and log(softmax(z)): no probability is rounded to 0 on the way."""
    (value,) = arguments
    if value.operation == "sigmoid":
        return graph.make("log_sigmoid", *value.arguments)
    if value.operation == "softmax":
        return graph.make("log_softmax", *value.arguments)
    return None


def _log_of_complement(graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    """log(1 - sigmoid(z)) and log(1 - softmax(z)): exact where the probability is nearly 1."""
    (value,) = arguments
    if value.operation != "subtract" or not _is(value.arguments[0], 1):
        return None
    probability = value.arguments[1]
    if probability.operation == "sigmoid":
        return graph.make("log_sigmoid", graph.make("negative", *probability.arguments))
    if probability.operation == "softmax":
        return graph.make("log_one_minus_softmax", *probability.arguments)
    return None


def _log_of_exp(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    return arguments[0].arguments[0] if arguments[0].operation == "exp" else None


def _sum_of_one_hot(graph: Graph, arguments: tuple[Node, ...], attributes: _Attributes) -> Node | None:
    """sum(y*f, over=class) for a target of class indices is f at the target's class: a gather."""
    (value,) = arguments
    if attributes != (("class",),):
        return None
    sign, factors = _factors(graph, value)
    one_hot = [factor for factor in factors if factor.operation == "one_hot"]
    if len(one_hot) != 1 or any("class" not in factor.axes for factor in one_hot):
        return None
    index = one_hot[0].arguments[0]
    result = graph.constant(sign)
    for factor in factors:
        if factor is not one_hot[0]:
            result = graph.make("multiply", result, pick(graph, factor, index))
    return result


def _factors(graph: Graph, value: Node) -> tuple[float, list[Node]]:
    """A product as its sign and its factors; a quotient counts as numerator times the rest."""
    if value.operation == "negative":
        sign, factors = _factors(graph, value.arguments[0])
        return -sign, factors
    if value.operation == "divide" and not value.arguments[0].is_constant:
        sign, factors = _factors(graph, value.arguments[0])
        return sign, [*factors, graph.make("divide", graph.constant(1.0), value.arguments[1])]
    if value.operation != "multiply":
        return 1.0, [value]
    left_sign, left = _factors(graph, value.arguments[0])
    right_sign, right = _factors(graph, value.arguments[1])
    return left_sign * right_sign, left + right


def pick(graph: Graph, value: Node, index: Node) -> Node:
    """The value at the target's class, computed from what is picked rather than picked from what is computed."""
    if "class" not in value.axes:
        return value
    if value.operation in ELEMENTWISE:
        picked = [pick(graph, argument, index) for argument in value.arguments]
        return graph.make(value.operation, *picked, attributes=value.attributes)
    if value.operation == "one_hot" and value.arguments[0] is index:
        return graph.constant(1.0)
    if value.operation == "softmax":
        return graph.make("exp", pick(graph, graph.make("log_softmax", *value.arguments), index))
    axes = value.axes - {"class"} | index.axes
    return graph.make("pick", value, index, axes=axes)


def _sum_of_negative(graph: Graph, arguments: tuple[Node, ...], attributes: _Attributes) -> Node | None:
    (value,) = arguments
    if value.operation != "negative":
        return None
    inner = value.arguments[0]
    (over,) = attributes
    assert isinstance(over, tuple)
    return graph.make("negative", graph.make("sum", inner, attributes=attributes, axes=inner.axes - set(over)))


def _keep_twice(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    return arguments[0] if arguments[0].operation == "keep" and arguments[0].arguments[1] is arguments[1] else None


RULES: dict[str, tuple[tuple[str, Rule], ...]] = {
    "add": (("", _folds(lambda a, b: a + b)), ("", _add)),
    "subtract": (("", _folds(lambda a, b: a - b)), ("", _subtract)),
    "multiply": (("", _folds(lambda a, b: a * b)), ("", _multiply)),
    "divide": (("", _folds(lambda a, b: a / b)), ("", _divide)),
    "power": (("", _folds(lambda a, b: a**b)), ("", _power)),
    "negative": (("", _folds(lambda a: -a)), ("", _negative)),
    "compare": (("", _compare),),
    "where": (("", _where),),
    "exp": (("", _folds(math.exp)),),
    "sqrt": (("", _folds(math.sqrt)),),
    "abs": (("", _folds(abs)),),
    "tanh": (("", _folds(math.tanh)),),
    "sigmoid": (("", _folds(lambda a: 1 / (1 + math.exp(-a)))),),
    "softplus": (("", _folds(lambda a: max(a, 0) + math.log1p(math.exp(-abs(a))))),),
    "cosh": (("", _folds(math.cosh)),),
    "logcosh": (("", _folds(lambda a: abs(a) + math.log1p(math.exp(-2 * abs(a))) - math.log(2))),),
    "relu": (("", _folds(lambda a: max(a, 0.0))),),
    "stop_gradient": (("", _folds(lambda a: a)),),
    "minimum": (("", _folds(min)),),
    "maximum": (("", _folds(max)),),
    "log": (
        ("", _folds(math.log)),
        ("log(exp(x)) -> x", _log_of_exp),
        ("log of a probability from logits", _log_of_probability),
        ("log of one minus a probability from logits", _log_of_complement),
    ),
    "sum": (("", _sum_of_negative), ("sum over classes of a one-hot target -> gather", _sum_of_one_hot)),
    "keep": (("", _keep_twice),),
}
