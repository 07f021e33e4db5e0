"""Weighted means as products of factors, and products of a number with its own logarithm."""

from __future__ import annotations

import math
from typing import NamedTuple

from lossdsl.graph.nodes import Node
from lossdsl.proving import interval as of
from lossdsl.proving.interval import Interval, Known, interval

_LOGARITHMS = frozenset({"log", "log_sigmoid", "log_softmax", "log_one_minus_softmax"})


def is_logarithm(node: Node) -> bool:
    """Whether a node is a logarithm, also of a probability from logits."""
    return node.operation in _LOGARITHMS


def is_logarithm_of(logarithm: Node, value: Node) -> bool:
    """log(x) for x, also in the form that it has for a probability from logits, and for one minus such."""
    if not is_logarithm(logarithm):
        return False
    (argument,) = logarithm.arguments
    if logarithm.operation == "log":
        return argument is value
    if value.operation == "subtract" and value.arguments[0].is_constant and value.arguments[0].value == 1:
        probability = value.arguments[1]
        if (probability.operation, logarithm.operation) == ("softmax", "log_one_minus_softmax"):
            return probability.arguments[0] is argument
        if (probability.operation, logarithm.operation) == ("sigmoid", "log_sigmoid"):
            logit = probability.arguments[0]
            return any(
                one.operation == "negative" and one.arguments[0] is other
                for one, other in ((argument, logit), (logit, argument))
            )
        return False
    is_pair = (value.operation, logarithm.operation) in (("sigmoid", "log_sigmoid"), ("softmax", "log_softmax"))
    return is_pair and value.arguments[0] is argument


def entropy(x: Interval) -> Interval:
    """Where x*log(x) lies, for x from 0 on."""
    high = x.high * math.log(x.high) if 1 < x.high < math.inf else x.high
    return interval(-1 / math.e, high if x.high > 1 else 0.0)


def times_logarithm(factor: Node, logarithm: Node, known: Known) -> Interval | None:
    """Where x*log(x) lies, and x*log(x/m), which is m times the same of x/m; None for another product."""
    if not known[factor].at_least_0:
        return None
    if is_logarithm_of(logarithm, factor):
        return entropy(known[factor])
    (value,) = logarithm.arguments
    if logarithm.operation != "log" or value.operation != "divide" or value.arguments[0] is not factor:
        return None
    measure = known[value.arguments[1]]
    return of.multiply(measure, entropy(known[value])) if measure.at_least_0 else None


_MOST = 12
_POWERS = (2.0, 3.0, 4.0)


class Factors(NamedTuple):
    """The numbers of a product, multiplied, and its other factors, each as often as it occurs."""

    coefficient: float
    others: list[Node]


class Average(NamedTuple):
    """coefficient * sum(weights*values, over)/sum(weights, over), with weights that are at least 0."""

    coefficient: float
    values: list[Node]
    weights: list[Node]
    over: frozenset[str]


def factors(node: Node) -> Factors:
    """A product taken apart, with a mask as a factor; what has too many factors is left in parts."""
    coefficient, others, waiting = 1.0, list[Node](), [node]
    while waiting and len(others) <= _MOST:
        current = waiting.pop()
        match current.operation:
            case "constant":
                coefficient *= current.value
            case "negative":
                coefficient = -coefficient
                waiting += current.arguments
            case "multiply" | "keep":
                waiting += current.arguments
            case "cast" | "cast_like":
                waiting.append(current.arguments[0])
            case "power" if is_whole_power(current):
                waiting += int(current.arguments[1].value) * [current.arguments[0]]
            case _:
                others.append(current)
    return Factors(coefficient, [*others, *waiting])


def is_whole_power(node: Node) -> bool:
    """Whether a node is the square, or another small power, of its first argument."""
    return node.operation == "power" and node.arguments[1].is_constant and node.arguments[1].value in _POWERS


def average(node: Node, known: Known) -> Average | None:
    """A quotient as a weighted mean, None if it is none."""
    above, below = (factors(argument) for argument in node.arguments)
    if len(above.others) != 1 or above.others[0].operation != "sum" or below.coefficient <= 0:
        return None
    added = _added(above.others[0])
    coefficient = above.coefficient * added.coefficient / below.coefficient
    values, weights, counted = list(added.values), list[Node](), frozenset[str]()
    for part in below.others:
        if part.operation == "size":
            counted |= _axes(part)
        elif part.operation != "sum" or not (one := _added(part)).coefficient > 0:
            return None
        else:
            coefficient, counted = coefficient / one.coefficient, counted | one.over
            for weight in one.values:
                is_square = one.values.count(weight) % 2 == 0
                if weight not in values or not (is_square or known[weight].at_least_0):
                    return None
                values.remove(weight)
                weights.append(weight)
    return Average(coefficient, values, weights, added.over) if counted == added.over and coefficient else None


def _added(node: Node) -> Average:
    """A sum, and the sums that it adds up, as one sum of a product."""
    coefficient, over, others = 1.0, frozenset[str](), [node]
    while len(others) == 1 and others[0].operation == "sum":
        over |= _axes(others[0])
        inner = factors(others[0].arguments[0])
        coefficient, others = coefficient * inner.coefficient, inner.others
    return Average(coefficient, others, [], over)


def _axes(node: Node) -> frozenset[str]:
    (axes,) = node.attributes
    return frozenset(axes) if isinstance(axes, tuple) else frozenset({str(axes)})
