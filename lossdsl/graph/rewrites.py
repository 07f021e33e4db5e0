"""Rewrites that keep the value: folded numbers, stable forms of logarithms, and gathers instead of one-hot sums.

A rule sees the arguments of a node that is about to be made and returns another node, or None. Rules with a name are
shown by `explain`; unnamed ones are plain arithmetic.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from lossdsl.graph.exponentials import exp_of_logarithm, log_of_exponentials, quotient_of_exponentials
from lossdsl.graph.nodes import Graph, Node, Rule, in_order
from lossdsl.operations.functions import FUNCTIONS

_Attributes = tuple[Hashable, ...]

MOST_FACTORS = 64

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
ELEMENTWISE = frozenset({
    *FUNCTIONS, "add", "subtract", "multiply", "divide", "power", "negative", "log", "sqrt", "minimum", "maximum",
    "stop_gradient", "where", "compare", "keep", "log1p", "finite",
})  # fmt: skip
# Elementwise operations whose result is the same to the last bit, however many elements are computed at once.
_EXACT = frozenset({
    *(name for name, function in FUNCTIONS.items() if function.exact),
    "add", "subtract", "multiply", "divide", "negative", "sqrt", "minimum", "maximum", "where", "compare", "keep",
    "stop_gradient",
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
    if probability.operation in _CHOOSING:
        inner = graph.make("log", graph.make("subtract", value.arguments[0], probability.arguments[0]))
        return _chosen(graph, probability, inner, _FALLING[probability.operation]) if _is_stable(inner) else None
    return None


# Operations that choose one of several values. A function that never falls can be taken before the choice or after.
_CHOOSING = frozenset({"pick", "reduce_max", "reduce_min"})
# The operation that makes the same choice among the values of a function that never rises.
_FALLING = {"pick": "pick", "reduce_max": "reduce_min", "reduce_min": "reduce_max"}


def _log_of_chosen(graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    """The logarithm of a probability that is picked, or the largest of some, where that of each has a stable form.

    So the logarithms of numbers that are equal are equal too.
    """
    (value,) = arguments
    if value.operation not in _CHOOSING:
        return None
    inner = graph.make("log", value.arguments[0])
    return _chosen(graph, value, inner, value.operation) if _is_stable(inner) else None


def _is_stable(logarithm: Node) -> bool:
    return logarithm.operation in ("log_sigmoid", "log_softmax", "log_one_minus_softmax")


def _chosen(graph: Graph, choice: Node, value: Node, operation: str) -> Node:
    """The same choice among other values."""
    return graph.make(operation, value, *choice.arguments[1:], attributes=choice.attributes, axes=choice.axes)


def _log_of_exp(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    return arguments[0].arguments[0] if arguments[0].operation == "exp" else None


def _log_near_one(graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    """log(1 + x), where adding x to 1 would round a small x away; -log(1 - dice) is such a logarithm."""
    rest = _beside_one(graph, arguments[0])
    return None if rest is None or rest.is_constant else graph.make("log1p", rest)


def _beside_one(graph: Graph, node: Node) -> Node | None:
    """x where a sum is 1 + x with the 1 written out: what is 1 + a - b is 1 + (a - b)."""
    above: list[Node] = []
    rest: Node | None = None
    while rest is None:
        if node.operation not in ("add", "subtract"):
            return None
        left, right = node.arguments
        if _is(left, 1):
            rest = right if node.operation == "add" else graph.make("negative", right)
        elif _is(right, 1) and node.operation == "add":
            rest = left
        else:
            above.append(node)
            node = left
    for outer in reversed(above):
        rest = graph.make(outer.operation, rest, outer.arguments[1])
    return rest


def _mean_of_complement(graph: Graph, arguments: tuple[Node, ...], attributes: _Attributes) -> Node | None:
    """mean(1 - x) is 1 - mean(x), which keeps all digits of a small mean."""
    (value,) = arguments
    (over,) = attributes
    if value.operation != "subtract" or not _is(value.arguments[0], 1):
        return None
    x = value.arguments[1]
    assert isinstance(over, tuple)
    if x.axes != value.axes:
        return None
    return graph.make(
        "subtract", value.arguments[0], graph.make("mean", x, attributes=attributes, axes=x.axes - set(over))
    )


def _sum_of_one_hot(at_class: Callable[[Graph, Node, Node], Node]) -> Rule:
    """sum(y*f, over=class) for a target of class indices is f at the target's class: a gather."""

    def rule(graph: Graph, arguments: tuple[Node, ...], attributes: _Attributes) -> Node | None:
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
                result = graph.make("multiply", result, at_class(graph, factor, index))
        return result

    return rule


def _factors(graph: Graph, value: Node) -> tuple[float, list[Node]]:
    """A product as its sign and its factors; a quotient counts as numerator times the rest.

    One with more than a few is a factor by itself: a product of products has a number of them that has no end.
    """
    sign, factors = 1.0, []
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if node.operation == "negative":
            sign = -sign
            waiting.append(node.arguments[0])
        elif node.operation == "divide" and not node.arguments[0].is_constant:
            waiting.append(graph.make("divide", graph.constant(1.0), node.arguments[1]))
            waiting.append(node.arguments[0])
        elif node.operation == "multiply":
            waiting += reversed(node.arguments)
        else:
            factors.append(node)
        if len(factors) + len(waiting) > MOST_FACTORS:
            return 1.0, [value]
    return sign, factors


def pick(graph: Graph, value: Node, index: Node) -> Node:
    """The value at the target's class. What is exact is computed from what is picked.

    A rounded function is not: a probability that is picked must equal the same probability among all classes, and
    `exp` of one element may differ from `exp` of many in the last bit. See graph/stable_form.py for what is run.
    """
    return _at_class(graph, value, index, _EXACT, _picked)


def picked(graph: Graph, value: Node, index: Node) -> Node:
    """The same, of as few elements as can be, where no other number need equal it to the last bit."""
    return _at_class(graph, value, index, ELEMENTWISE, _picked_softmax)


class _NotAfter:
    """What is picked as it is: all but what is computed after picking."""

    def __init__(self, computed_after: frozenset[str]):
        self.computed_after = computed_after

    def __contains__(self, node: object) -> bool:
        return isinstance(node, Node) and not ("class" in node.axes and node.operation in self.computed_after)


def _at_class(
    graph: Graph, value: Node, index: Node, computed_after: frozenset[str], leaf: Callable[[Graph, Node, Node], Node]
) -> Node:
    """computed_after: the operations that are done on what is picked. leaf: how all else is."""
    leaves = _NotAfter(computed_after)
    made: dict[Node, Node] = {}
    for node in in_order([value], leaves):
        if "class" not in node.axes:
            made[node] = node
        elif node in leaves:
            made[node] = leaf(graph, node, index)
        else:
            arguments = [made[argument] for argument in node.arguments]
            made[node] = graph.make(node.operation, *arguments, attributes=node.attributes)
    return made[value]


def _picked(graph: Graph, value: Node, index: Node) -> Node:
    if value.operation == "one_hot" and value.arguments[0] is index:
        return graph.constant(1.0)
    return graph.make("pick", value, index, axes=value.axes - {"class"} | index.axes)


def _picked_softmax(graph: Graph, value: Node, index: Node) -> Node:
    """Of a probability the logarithm is picked: it stays finite."""
    if value.operation != "softmax":
        return _picked(graph, value, index)
    logarithm = graph.make("log_softmax", *value.arguments)
    return graph.make("exp", graph.make("finite", _picked(graph, logarithm, index)))


def _sum_of_negative(graph: Graph, arguments: tuple[Node, ...], attributes: _Attributes) -> Node | None:
    (value,) = arguments
    if value.operation != "negative":
        return None
    inner = value.arguments[0]
    (over,) = attributes
    assert isinstance(over, tuple)
    return graph.make("negative", graph.make("sum", inner, attributes=attributes, axes=inner.axes - set(over)))


def _mean_of_number(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    """What is picked can turn out to be a number, the same for each element."""
    return arguments[0] if arguments[0].is_constant else None


def _of_zero(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    return arguments[0] if _is(arguments[0], 0) else None


def _keep_twice(_graph: Graph, arguments: tuple[Node, ...], _: _Attributes) -> Node | None:
    return arguments[0] if arguments[0].operation == "keep" and arguments[0].arguments[1] is arguments[1] else None


_Rules: TypeAlias = dict[str, tuple[tuple[str, Rule], ...]]

_ALWAYS: _Rules = {
    "add": (("", _folds(lambda a, b: a + b)), ("", _add)),
    "subtract": (("", _folds(lambda a, b: a - b)), ("", _subtract)),
    "multiply": (("", _folds(lambda a, b: a * b)), ("", _multiply)),
    "divide": (("", _folds(lambda a, b: a / b)), ("", _divide)),
    "power": (("", _folds(lambda a, b: a**b)), ("", _power)),
    "negative": (("", _folds(lambda a: -a)), ("", _negative)),
    "compare": (("", _compare),),
    "where": (("", _where),),
    **{name: (("", _folds(row.value)),) for name, row in FUNCTIONS.items() if row.latex is not None},
    "sqrt": (("", _folds(math.sqrt)),),
    "stop_gradient": (("", _folds(lambda a: a)),),
    "minimum": (("", _folds(min)),),
    "maximum": (("", _folds(max)),),
    "log": (
        ("", _folds(math.log)),
        ("log(exp(x)) -> x", _log_of_exp),
        ("log of a probability from logits", _log_of_probability),
        ("log of one minus a probability from logits", _log_of_complement),
    ),
    "log1p": (("", _folds(math.log1p)),),
    "keep": (("", _of_zero), ("", _keep_twice)),
}

# Rules for what is computed may choose a cheaper form; those for what is written keep equal numbers equal, and may be
# undone by what is computed: a log-sum-exp is run as the logarithm of a sum.
_GATHER = "sum over classes of a one-hot target -> gather"
_COMPUTED: _Rules = {
    "sum": (("", _of_zero), ("", _sum_of_negative), (_GATHER, _sum_of_one_hot(picked))),
    "mean": (("", _mean_of_number),),
}
_WRITTEN: _Rules = {
    "sum": (("", _sum_of_negative), (_GATHER, _sum_of_one_hot(pick))),
    "mean": (("mean(1 - x) -> 1 - mean(x)", _mean_of_complement),),
    "divide": (("quotient of exponentials -> exponential of a difference", quotient_of_exponentials),),
    "exp": (("exp of a log-probability -> the probability", exp_of_logarithm),),
    "log": (
        ("log of a chosen probability -> the chosen logarithm", _log_of_chosen),
        ("log of exponentials without overflow", log_of_exponentials),
        ("log(1 + x) exact for small x", _log_near_one),
    ),
}


def _after(first: _Rules, second: _Rules) -> _Rules:
    return {operation: (*first.get(operation, ()), *second.get(operation, ())) for operation in (*first, *second)}


COMPUTED = _after(_ALWAYS, _COMPUTED)
RULES = _after(_ALWAYS, _WRITTEN)
