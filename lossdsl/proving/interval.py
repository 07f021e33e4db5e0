"""Open and closed intervals of numbers, with the arithmetic of the language.

An operation on intervals holds every result of the operation on members of them. Infinite ends are open. Where the
language continues a function beyond its domain (law 5: 0/0 is 0, log(0) is a finite number), so do the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from lossdsl.graph.nodes import Node
from lossdsl.syntax.printing import number

# A sum of numbers that cancel to less than this share of them is 0: rounding must not prove a sign. Nor is it shown.
_CANCELLED = 1e-12


class Interval(NamedTuple):
    """All numbers from `low` to `high`; an open end is not one of them."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        if self.low == self.high:
            return number(self.low)
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{left}{_short(self.low, -1.0)}, {_short(self.high, 1.0)}{right}"

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, (int, float)):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    @property
    def positive(self) -> bool:
        return self.low > 0 or (self.low == 0 and self.low_open)

    @property
    def negative(self) -> bool:
        return self.high < 0 or (self.high == 0 and self.high_open)

    @property
    def at_least_0(self) -> bool:
        return self.low >= 0

    @property
    def at_most_0(self) -> bool:
        return self.high <= 0

    @property
    def is_number(self) -> bool:
        return self.low == self.high

    @property
    def size(self) -> float:
        """The largest distance from 0."""
        return max(abs(self.low), abs(self.high))

    def within(self, other: Interval) -> bool:
        """Whether every member is one of `other`."""
        low = self.low > other.low or (self.low == other.low and (self.low_open or not other.low_open))
        high = self.high < other.high or (self.high == other.high and (self.high_open or not other.high_open))
        return low and high


def _short(value: float, outward: float) -> str:
    """Six digits, moved so that the interval that is shown holds the one that is meant. outward: -1 or 1."""
    nearest = float(f"{value:.6g}")
    if math.isfinite(value) and (value - nearest) * outward > _CANCELLED * abs(value):
        digit = 10.0 ** (math.floor(math.log10(abs(nearest))) - 5)
        nearest = float(f"{nearest + outward * digit:.6g}")
    return number(nearest)


def interval(low: float, high: float, low_open: bool = False, high_open: bool = False) -> Interval:
    """The interval with these ends, as floats: whole numbers of Python have no largest; infinite ones are open. An end
    that is not a number, as the difference of two that left all numbers, says nothing."""
    low, high = (-math.inf if low != low else low + 0.0), (math.inf if high != high else high + 0.0)
    return Interval(low, high, low_open or low == -math.inf, high_open or high == math.inf)


ALL = interval(-math.inf, math.inf)
NON_NEGATIVE = interval(0, math.inf)
NON_POSITIVE = interval(-math.inf, 0)
POSITIVE = interval(0, math.inf, low_open=True)
UNIT = interval(0, 1)
ONE = interval(1, 1)
ZERO = interval(0, 0)

_End: TypeAlias = tuple[float, bool]
"""A number that may be reached, and whether it is not."""


Known: TypeAlias = Mapping[Node, Interval]
"""The intervals of some nodes."""


def point(value: float) -> Interval:
    return interval(value, value)


def from_ends(ends: Iterable[_End]) -> Interval:
    """The smallest interval around some ends; an end that is reached anywhere is reached."""
    found = list(ends)
    if any(math.isnan(value) for value, _ in found):
        return ALL
    low, high = min(value for value, _ in found), max(value for value, _ in found)
    low_open = all(is_open for value, is_open in found if value == low)
    high_open = all(is_open for value, is_open in found if value == high)
    return interval(low, high, low_open, high_open)


def hull(*parts: Interval) -> Interval:
    return from_ends(end for part in parts for end in ((part.low, part.low_open), (part.high, part.high_open)))


def meet(left: Interval, right: Interval) -> Interval:
    """What both hold; `left` where they hold nothing together."""
    low, low_open = max((left.low, left.low_open), (right.low, right.low_open))
    high, high_closed = min((left.high, not left.high_open), (right.high, not right.high_open))
    return interval(low, high, low_open, not high_closed) if overlap(left, right) else left


def overlap(left: Interval, right: Interval) -> bool:
    """Whether some number is in both."""
    low, low_open = max((left.low, left.low_open), (right.low, right.low_open))
    high, high_closed = min((left.high, not left.high_open), (right.high, not right.high_open))
    return low < high or (low == high and not low_open and high_closed)


def negative(a: Interval) -> Interval:
    return Interval(-a.high, -a.low, a.high_open, a.low_open)


def add(a: Interval, b: Interval) -> Interval:
    return interval(_total(a.low, b.low), _total(a.high, b.high), a.low_open or b.low_open, a.high_open or b.high_open)


def _total(a: float, b: float) -> float:
    result = a + b
    return 0.0 if abs(result) < _CANCELLED * abs(a) else result


def subtract(a: Interval, b: Interval) -> Interval:
    return add(a, negative(b))


def scale(a: Interval, factor: float) -> Interval:
    if factor > 0:
        return interval(a.low * factor, a.high * factor, a.low_open, a.high_open)
    return interval(a.high * factor, a.low * factor, a.high_open, a.low_open) if factor else ZERO


def multiply(a: Interval, b: Interval) -> Interval:
    if a.low >= 0 and b.low >= 0:
        low = _product((a.low, a.low_open), (b.low, b.low_open))
        high = _product((a.high, a.high_open), (b.high, b.high_open))
        return interval(low[0], high[0], low[1], high[1])
    return from_ends(
        _product(left, right)
        for left in ((a.low, a.low_open), (a.high, a.high_open))
        for right in ((b.low, b.low_open), (b.high, b.high_open))
    )


def _product(left: _End, right: _End) -> _End:
    """0 times anything is 0, and reached as soon as the 0 is."""
    (a, a_open), (b, b_open) = left, right
    if a == 0 or b == 0:
        return 0.0, not ((a == 0 and not a_open) or (b == 0 and not b_open))
    return a * b, a_open or b_open


def reciprocal(a: Interval) -> Interval:
    """1/a; a denominator of 0 counts as a tiny positive one. Of one that is always 0 nothing is said."""
    if a == ZERO:
        return ALL
    if a.positive or a.negative:
        ends = ((_inverse(a.low, a.positive), a.low_open), (_inverse(a.high, a.positive), a.high_open))
        return from_ends(ends)
    return interval(1 / a.high if a.high > 0 else 0.0, math.inf, a.high_open) if a.low >= 0 else ALL


def _inverse(value: float, positive: bool) -> float:
    if value == 0:
        return math.inf if positive else -math.inf
    return 1 / value


def divide(a: Interval, b: Interval) -> Interval:
    """a/b, where 0/0 is 0."""
    return multiply(a, reciprocal(b))


def minimum(a: Interval, b: Interval) -> Interval:
    low, low_open = min((a.low, a.low_open), (b.low, b.low_open))
    high, high_closed = min((a.high, not a.high_open), (b.high, not b.high_open))
    return interval(low, high, low_open, not high_closed)


def maximum(a: Interval, b: Interval) -> Interval:
    return negative(minimum(negative(a), negative(b)))


def rising(function: Callable[[float], float], a: Interval) -> Interval:
    """A function that never falls."""
    return interval(function(a.low), function(a.high), a.low_open, a.high_open)


def even(function: Callable[[float], float], a: Interval) -> Interval:
    """A function of the distance from 0 that never falls with it."""
    if a.at_least_0:
        return rising(function, a)
    if a.at_most_0:
        return rising(function, negative(a))
    high, high_closed = max((-a.low, not a.low_open), (a.high, not a.high_open))
    return interval(function(0.0), function(high), high_open=not high_closed)


def clipped(a: Interval) -> Interval:
    """max(a, 0)"""
    return maximum(a, ZERO)


def whole_power(a: Interval, exponent: int) -> Interval:
    """a**exponent for a whole exponent above 0."""

    def raised(value: float) -> float:
        try:
            return float(value**exponent)
        except OverflowError:
            return math.copysign(math.inf, value) if exponent % 2 else math.inf

    return even(raised, a) if exponent % 2 == 0 else rising(raised, a)


def power(base: Interval, exponent: Interval) -> Interval:
    """base**exponent; a base below 0 counts as 0, 0 to a power below 0 as a large number."""
    base = clipped(base)
    if base == ZERO and exponent.low < 0:
        return NON_NEGATIVE
    return from_ends(
        _raised(left, right)
        for left in ((base.low, base.low_open), (base.high, base.high_open))
        for right in ((exponent.low, exponent.low_open), (exponent.high, exponent.high_open))
    )


def _raised(left: _End, right: _End) -> _End:
    (base, base_open), (exponent, exponent_open) = left, right
    if exponent == 0 or base == 1:
        reached = (exponent == 0 and not exponent_open) or (base == 1 and not base_open)
        return 1.0, not reached
    if math.isinf(exponent):
        grows = (base > 1) == (exponent > 0)
        return (math.inf if grows else 0.0), True
    if base == 0:
        return (0.0, base_open) if exponent > 0 else (math.inf, True)
    try:
        return float(base**exponent), base_open or exponent_open
    except OverflowError:
        return math.inf, True


def added_up(a: Interval) -> Interval:
    """The sum of one or more numbers, nobody knows how many."""
    low = a.low if a.low >= 0 else -math.inf
    high = a.high if a.high <= 0 else math.inf
    return interval(low, high, a.low_open, a.high_open)
