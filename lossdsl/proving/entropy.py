"""Products of a number with its own logarithm, which stay near 0 where the number does, and never fall far."""

from __future__ import annotations

import math

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
