"""Whether two values are equal up to a constant factor, as far as their forms show it."""

from __future__ import annotations

import math
from collections.abc import Hashable

from lossdsl.graph.nodes import Node
from lossdsl.proving.forms import Form, Forms

_REDUCTIONS = frozenset({"mean", "sum"})


def same_up_to_a_factor(forms: Forms, value: Node) -> tuple[Hashable, float]:
    """A key that is equal for equal values, and the factor in front of it."""
    around: list[Hashable] = []
    factor = 1.0
    while True:
        constant, inner = _split(value)
        factor *= constant
        if inner is value:
            break
        if value.operation in _REDUCTIONS:
            around.append((value.operation, value.attributes))
        value = inner
    if value.operation != "divide" or value.arguments[0].is_constant:
        return (*around, value), factor
    (above, times), (below, share) = (_normal(forms.of(argument)) for argument in value.arguments)
    ratio = times / share
    if not math.isfinite(ratio) or not ratio:  # coefficients may be as small and as large as numbers are
        return (*around, value), factor
    return (*around, above, below), factor * ratio


def _split(value: Node) -> tuple[float, Node]:
    """A constant factor and the rest; the value under a sum or mean."""
    match value.operation:
        case "negative":
            return -1.0, value.arguments[0]
        case "sum" | "mean":
            return 1.0, value.arguments[0]
        case "multiply":
            for constant, rest in (value.arguments, value.arguments[::-1]):
                if constant.is_constant:
                    return constant.value, rest
        case "divide" if value.arguments[1].is_constant and value.arguments[1].value:
            return 1 / value.arguments[1].value, value.arguments[0]
    return 1.0, value


def _normal(form: Form) -> tuple[Hashable, float]:
    """A form with the first of its coefficients made 1, and that coefficient."""
    if not form:
        return form_key(form), 1.0
    first = form[min(form)]
    return form_key({monomial: coefficient / first for monomial, coefficient in form.items()}), first


def form_key(form: Form) -> Hashable:
    return frozenset((monomial, float(f"{coefficient:.9g}")) for monomial, coefficient in form.items())
