"""Which values are equal up to a constant factor, and what the factor is."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.proving.relations import same_up_to_a_factor

# two texts, and how often the first goes into the second; None where neither is a multiple of the other
PAIRS: list[tuple[str, str, float | None]] = [
    ("mean(p*y)", "2*mean(p*y)", 2),
    ("mean(p*y)", "mean(p*y)*3", 3),
    ("mean(p*y)", "-mean(p*y)", -1),
    ("mean(-p)", "mean(p)", -1),
    ("mean(p)/4", "mean(p)", 4),
    ("sum(p)/2", "-3*sum(p)", -6),
    ("mean(2*(p*y))", "mean(p*y)", 0.5),
    ("mean(p/4)", "mean(p)", 4),
    ("sum(-2*p)/3", "sum(p)*5", -7.5),
    ("dice", "0.5*dice", 0.5),
    ("sum(p)/sum(y)", "2*sum(p)/(4*sum(y))", 0.5),
    ("sum(3*p)/sum(y)", "sum(p)/sum(6*y)", 1 / 18),
    ("sum(p*y)/(sum(p) + sum(y))", "2*sum(y*p)/(sum(y) + sum(p))", 2),
    ("(sum(p) + sum(y))/(sum(y) + 1)", "(-4*sum(p) - 4*sum(y))/(2*sum(y) + 2)", -2),
    ("mean(sum(p, over=pixel)/sum(y, over=pixel))", "3*mean(sum(p, over=pixel)/sum(y, over=pixel))", 3),
    ("mean(p)", "mean(y)", None),
    ("mean(p)", "sum(p)", None),
    ("mean(p)", "mean(p**2)", None),
    ("mean(mean(p, over=pixel))", "mean(max(p, over=pixel))", None),
    ("sum(p)/sum(y)", "sum(y)/sum(p)", None),
    ("1/mean(1 + p)", "1/mean(1 + y)", None),
    ("mean(sum(p, over=pixel)/sum(y, over=pixel))", "sum(sum(p, over=pixel)/sum(y, over=pixel))", None),
    ("(sum(p) + sum(y))/(sum(y) + 1)", "(sum(p) + 2*sum(y))/(sum(y) + 1)", None),
]


@pytest.mark.parametrize(("one", "other", "times"), PAIRS)
def test_factor(one: str, other: str, times: float | None, proved: Any) -> None:
    proof = proved(f"max({one}, {other})", task="binary")
    total = proof.built.total
    assert total.operation == "maximum"
    (key, factor), (second, of_second) = (same_up_to_a_factor(proof.forms, part) for part in total.arguments)
    assert (key == second) == (times is not None)
    if times is not None:
        assert of_second / factor == pytest.approx(times)
