"""What an operation is of constants: a number, the one that the mathematics gives to all digits."""

from __future__ import annotations

from typing import Any

import pytest
from mpmath import mp

from lossdsl.graph.nodes import Graph
from lossdsl.graph.rewrites import COMPUTED, RULES

NUMBERS = (-3.0, -1.0, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 7.0)

ONE: dict[str, Any] = {
    "negative": lambda x: -x,
    "exp": mp.exp,
    "log": mp.log,
    "log1p": lambda x: mp.log(1 + x),
    "sqrt": mp.sqrt,
    "abs": abs,
    "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log(1 + mp.exp(x)),
    "cosh": mp.cosh,
    "logcosh": lambda x: mp.log(mp.cosh(x)),
    "relu": lambda x: max(x, mp.mpf(0)),
    "stop_gradient": lambda x: x,
}
TWO: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "minimum": min,
    "maximum": max,
}
COMPARED: dict[str, Any] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def _is_one(operation: str, numbers: tuple[float, ...], exact: Any) -> bool:
    """Whether an operation of numbers is the exact number; where there is none, it is left to torch."""
    for rules in (RULES, COMPUTED):
        graph = Graph(rules)
        found = graph.make(operation, *(graph.constant(number) for number in numbers))
        if exact is None:
            return not found.is_constant
        if not found.is_constant or found.value != pytest.approx(float(exact), rel=1e-15, abs=1e-16):
            return False
    return True


def _exact(function: Any, *numbers: float) -> Any:
    with mp.workdps(40):
        try:
            result = function(*(mp.mpf(number) for number in numbers))
        except (ZeroDivisionError, ValueError):
            return None
        return result if mp.im(result) == 0 and mp.isfinite(result) else None


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("operation", ONE)
def test_of_one(operation: str, number: float) -> None:
    assert _is_one(operation, (number,), _exact(ONE[operation], number))


@pytest.mark.parametrize("left", NUMBERS)
@pytest.mark.parametrize("operation", TWO)
def test_of_two(operation: str, left: float) -> None:
    for right in NUMBERS:
        exact = _exact(TWO[operation], left, right)
        if operation == "power" and left == right == 0:
            exact = 1
        assert _is_one(operation, (left, right), exact), right


@pytest.mark.parametrize("comparison", COMPARED)
def test_compared(comparison: str) -> None:
    graph = Graph(RULES)
    for left in NUMBERS:
        for right in NUMBERS:
            found = graph.make(
                "compare", graph.constant(left), graph.constant(right), attributes=(comparison,), axes=()
            )
            assert found.is_constant
            assert found.value == COMPARED[comparison](left, right)


def test_chosen() -> None:
    graph = Graph(RULES)
    one, two = graph.constant(1.0), graph.constant(2.0)
    assert graph.make("where", graph.constant(1.0), one, two) is one
    assert graph.make("where", graph.constant(0.0), one, two) is two


def test_every_operation_of_numbers_is_here() -> None:
    """An operation whose first rule has no name, for it is arithmetic."""
    folding = {operation for operation, rules in RULES.items() if rules[0][0] == ""}
    assert folding - {"sum", "keep", "compare", "where"} == ONE.keys() | TWO.keys()
