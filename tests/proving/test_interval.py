"""An operation on intervals holds the results of the operation on their members."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossdsl.graph.nodes import Graph
from lossdsl.proving import interval as of
from lossdsl.proving.interval import Interval, interval
from lossdsl.proving.transfer import transfer

ENDS = st.sampled_from([-math.inf, -7.0, -1.0, -0.5, 0.0, 0.3, 1.0, 2.0, 40.0, math.inf])
INSIDE = st.floats(0, 1)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    low, high = sorted((draw(ENDS), draw(ENDS)))
    if low == high:
        return interval(0.0, 0.0) if math.isinf(low) else interval(low, high)
    return interval(low, high, draw(st.booleans()), draw(st.booleans()))


@st.composite
def members(draw: st.DrawFn, known: Interval) -> float:
    """A number of an interval, often one of its ends."""
    low, high = max(known.low, -1e6), min(known.high, 1e6)
    value = low + draw(INSIDE) * (high - low)
    return value if value in known else low + 0.5 * (high - low)


def close_to(value: float, known: Interval) -> bool:
    slack = 1e-9 * max(1.0, abs(value))
    return known.low - slack <= value <= known.high + slack


def divided(a: float, b: float) -> float:
    """Division as the language continues it."""
    tiny = 1e-19
    if abs(a) < tiny and abs(b) < tiny:
        return 0.0
    return a / (min(b, -tiny) if b < 0 else max(b, tiny))


def raised(a: float, b: float) -> float:
    base = max(a, 0.0)
    power = base ** abs(b) if abs(b) * math.log(max(base, 1)) < 600 else math.inf
    return power if b >= 0 else divided(1.0, power)


BINARY: dict[str, tuple[Callable[..., Interval], Callable[[float, float], float]]] = {
    "add": (of.add, lambda a, b: a + b),
    "subtract": (of.subtract, lambda a, b: a - b),
    "multiply": (of.multiply, lambda a, b: a * b),
    "divide": (of.divide, divided),
    "minimum": (of.minimum, min),
    "maximum": (of.maximum, max),
    "power": (of.power, raised),
    "hull": (of.hull, lambda a, _: a),
}


@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_two(name: str, data: st.DataObject) -> None:
    on_intervals, on_numbers = BINARY[name]
    a, b = data.draw(intervals()), data.draw(intervals())
    x, y = data.draw(members(a)), data.draw(members(b))
    assert close_to(on_numbers(x, y), on_intervals(a, b))


UNARY: dict[str, Callable[[float], float]] = {
    "exp": lambda x: math.exp(min(x, 700)),
    "log": lambda x: math.log(max(x, 1.2e-38)),
    "log1p": lambda x: math.log(max(1 + x, 1.2e-38)),
    "sqrt": lambda x: math.sqrt(max(x, 0)),
    "abs": abs,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(min(-x, 700))),
    "softplus": lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))),
    "log_sigmoid": lambda x: min(x, 0) - math.log1p(math.exp(-abs(x))),
    "relu": lambda x: max(x, 0.0),
    "logcosh": lambda x: abs(x) + math.log1p(math.exp(-2 * abs(x))) - math.log(2),
    "negative": lambda x: -x,
}


@pytest.mark.parametrize("name", UNARY)
@given(data=st.data())
def test_one(name: str, data: st.DataObject) -> None:
    node = Graph({}).make(name, Graph({}).make("input", attributes=("pred",), axes=()))
    a = data.draw(intervals())
    x = data.draw(members(a))
    assert close_to(UNARY[name](x), transfer(node, [a]))


@given(data=st.data())
def test_log_sum_exp(data: st.DataObject) -> None:
    """Of one number or more."""
    graph = Graph({})
    x = graph.make("input", attributes=("pred",), axes=("class",))
    node = graph.make("logsumexp", x, attributes=(("class",),), axes=())
    a = data.draw(intervals())
    numbers = data.draw(st.lists(members(a), min_size=1, max_size=4))
    largest = max(numbers)
    value = largest + math.log(sum(math.exp(number - largest) for number in numbers))
    assert close_to(value, transfer(node, [a]))
    difference = graph.make("subtract", x, node)
    assert all(close_to(number - value, transfer(difference, [a, of.point(value)])) for number in numbers)


@pytest.mark.parametrize("exponent", [2, 3, 4, -1, -2, -3])
@given(data=st.data())
def test_whole_powers(exponent: int, data: st.DataObject) -> None:
    graph = Graph({})
    node = graph.make("power", graph.make("input", attributes=("pred",), axes=()), graph.constant(exponent))
    a = data.draw(intervals())
    x = data.draw(members(a))
    raised = x ** abs(exponent)
    assert close_to(raised if exponent > 0 else divided(1.0, raised), transfer(node, [a, of.point(exponent)]))


@given(a=intervals(), b=intervals(), data=st.data())
def test_meet_and_overlap(a: Interval, b: Interval, data: st.DataObject) -> None:
    x = data.draw(members(a))
    if x in b:
        assert of.overlap(a, b)
        assert x in of.meet(a, b)
    assert of.meet(a, b).within(a)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (interval(0, 1, high_open=True), "[0, 1)"),
        (of.ALL, "(-inf, inf)"),
        (of.point(2), "2"),
        (interval(-1 / 3, 0.1 + 0.2, low_open=True), "(-0.333334, 0.3]"),
        (of.subtract(of.point(1), interval(0, 1, high_open=True)), "(0, 1]"),
        (of.divide(of.UNIT, interval(1, math.inf)), "[0, 1]"),
        (of.divide(of.ONE, of.UNIT), "[1, inf)"),
        (of.divide(of.ONE, of.NON_POSITIVE), "(-inf, inf)"),
        (of.divide(of.ONE, interval(-2, 0, high_open=True)), "(-inf, -0.5]"),
        (of.power(interval(0, 1, low_open=True), of.point(0.5)), "(0, 1]"),
        (of.power(of.UNIT, interval(0, 2)), "[0, 1]"),
        (of.power(of.point(2), of.NON_NEGATIVE), "[1, inf)"),
        (of.power(of.point(0.9), of.NON_NEGATIVE), "(0, 1]"),
        (of.power(interval(2, 3), interval(1, math.inf)), "[2, inf)"),
        (of.power(interval(0.2, 0.5), interval(1, math.inf)), "(0, 0.5]"),
        (of.power(interval(2, 4), interval(-math.inf, -1)), "(0, 0.5]"),
        (of.power(interval(0.2, 0.5), interval(-math.inf, -1)), "[2, inf)"),
        (of.power(of.ZERO, interval(-1, 1)), "[0, inf)"),
        (of.power(interval(-2, -1), of.point(0.5)), "0"),
        (of.multiply(of.POSITIVE, of.POSITIVE), "(0, inf)"),
        (of.multiply(of.ZERO, of.ALL), "0"),
        (of.add(of.point(0.3), of.subtract(of.point(0.7), of.ONE)), "0"),
        (of.added_up(interval(0.5, 2)), "[0.5, inf)"),
        (of.added_up(interval(-1, 2)), "(-inf, inf)"),
    ],
)
def test_ends(found: Any, shown: str) -> None:
    assert str(found) == shown


@pytest.mark.parametrize("low_open", [False, True])
@pytest.mark.parametrize("high_open", [False, True])
def test_members(low_open: bool, high_open: bool) -> None:
    known = interval(-1, 2, low_open, high_open)
    members = {-1.5: False, -1.0: not low_open, 0.0: True, 1.9: True, 2.0: not high_open, 2.5: False}
    assert {value: value in known for value in members} == members
    assert "1" not in known
    assert math.inf not in of.ALL
    assert (math.inf in Interval(0, math.inf), -math.inf in Interval(-math.inf, 0)) == (True, True)


@pytest.mark.parametrize(
    ("known", "signs"),
    [
        (interval(0, 1), (False, False, True, False)),
        (interval(0, 1, low_open=True), (True, False, True, False)),
        (interval(0.5, 1), (True, False, True, False)),
        (interval(-1, 0), (False, False, False, True)),
        (interval(-1, 0, high_open=True), (False, True, False, True)),
        (interval(-1, -0.5), (False, True, False, True)),
        (interval(-1, 1), (False, False, False, False)),
        (of.ZERO, (False, False, True, True)),
    ],
)
def test_signs(known: Interval, signs: tuple[bool, ...]) -> None:
    assert (known.positive, known.negative, known.at_least_0, known.at_most_0) == signs


@pytest.mark.parametrize(
    ("inner", "outer", "lies_in"),
    [
        (interval(0, 1), interval(0, 1), True),
        (interval(0, 1), interval(0, 1, low_open=True), False),
        (interval(0, 1), interval(0, 1, high_open=True), False),
        (interval(0, 1, True, True), interval(0, 1), True),
        (interval(0, 1, True, True), interval(0, 1, True, True), True),
        (interval(0.2, 0.8), interval(0, 1, True, True), True),
        (interval(-0.2, 0.8), interval(0, 1), False),
        (interval(0.2, 1.2), interval(0, 1), False),
    ],
)
def test_within(inner: Interval, outer: Interval, lies_in: bool) -> None:
    assert inner.within(outer) == lies_in
