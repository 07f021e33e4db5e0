"""What is known of a function of one number: a row that is whole or cannot be made.

A row imports no torch, so that reading and checking a formula need none: it names what torch computes as text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # only types need it
    from lossdsl.operations.expression import Expression

Ends: TypeAlias = tuple[float, float, bool, bool]
"""The ends of an interval, low and high, and whether each is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Rising:
    """A function that rises everywhere, at the ends of an interval too: it gives infinity rather than raise.

    Where it is rounded, it must be so that no value that torch computes is left out.
    """

    at: Callable[[float], float]


@dataclass(frozen=True, slots=True, eq=False)
class Even:
    """A function of the distance from 0 that rises with it, as `Rising` does."""

    at: Callable[[float], float]


@dataclass(frozen=True, slots=True, eq=False)
class Clipped:
    """max(x, 0)."""


@dataclass(frozen=True, slots=True, eq=False)
class Within:
    """A function that rises and falls, of which only the least and the greatest value are known; both are reached."""

    low: float
    high: float


Course: TypeAlias = Rising | Even | Clipped | Within


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Function:
    """All that is known of a function of one number that takes any number.

    value: the function of a number that is written in a formula; what raises or is not finite is not computed.
    course: what the checker needs to find the interval of its values.
    derivative: the derivative at x, where f is the value of the function.
    slopes: an interval that holds the derivative, from those that hold x and f.
    growth: a bound of the distance of f from 0, from that of x and the greatest x.
    passes_rounding: whether f is as rounded as x is near 0; otherwise it is exact there, or not near 0.
    exact: whether the value is the same to the last bit, however many elements are computed at once.
    torch: what computes it, as `module:name`.
    into: the same for what writes into the memory given as `out`; None where torch has no such form.
    latex: the name before its argument, or with `{}` for what stands around it; None where no formula can call it.
    """

    value: Callable[[float], float]
    course: Course
    derivative: Callable[[Expression, Expression], Expression]
    slopes: Callable[[Ends, Ends], Ends]
    growth: Callable[[float, float], float]
    passes_rounding: bool
    exact: bool
    torch: str
    into: str | None
    latex: str | None


def between(low: float, high: float) -> Callable[[Ends, Ends], Ends]:
    """A slope in this interval, whatever the argument."""
    ends = (low, high, low == float("-inf"), high == float("inf"))
    return lambda _x, _f: ends


def away_from_0(steepest: float) -> Callable[[Ends, Ends], Ends]:
    """The slope of an even function: at most this, up on the right of 0 and down on the left."""
    up, down = between(0.0, steepest), between(-steepest, 0.0)
    both = between(-steepest, steepest)

    def slopes(x: Ends, f: Ends) -> Ends:
        if x[0] >= 0:
            return up(x, f)
        return down(x, f) if x[1] <= 0 else both(x, f)

    return slopes
