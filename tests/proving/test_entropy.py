"""Where x*log(x) lies: the ends are those of the function on the ends and on its least value at 1/e."""

from __future__ import annotations

import math

import pytest

from lossdsl.proving.averages import entropy
from lossdsl.proving.interval import Interval, interval


@pytest.mark.parametrize(
    ("given", "high"),
    [
        (interval(0, 1), 0.0),
        (interval(0.5, 0.5), 0.0),
        (interval(0, 2), 2 * math.log(2)),
        (interval(1, 10), 10 * math.log(10)),
        (interval(0, math.inf), math.inf),
    ],
)
def test_entropy(given: Interval, high: float) -> None:
    found = entropy(given)
    assert found.low == -1 / math.e
    assert found.high == pytest.approx(high)
