"""What parts of a formula have in common narrows their intervals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import lossdsl
from lossdsl.proving.analysis import Proof

# formula, task, interval of the total
TOTALS = [
    ("dice", "binary", "[0, 1)"),
    ("dice(smooth=0)", "binary", "[0, 1]"),
    ("dice(squared=true)", "multilabel", "[0, 1)"),
    ("iou", "multiclass", "[0, 1)"),
    ("tversky(fp_weight=0.3, fn_weight=0.7)", "binary", "[0, 1)"),
    ("tversky(smooth=0)", "binary", "[0, 1]"),
    ("focal_tversky", "binary", "[0, 1)"),
    ("f_beta(beta=2)", "binary", "[0, 1)"),
    ("generalized_dice", "multiclass", "[0, 1]"),
    ("generalized_dice(smooth=1)", "multiclass", "[0, 1)"),
    ("dice_coef", "binary", "(0, 1]"),
    ("dice_coef(smooth=0)", "binary", "[0, 1]"),
    ("1 - dice", "binary", "(0, 1]"),
    ("-log(1 - dice)", "binary", "[0, inf)"),
    ("bce - 2*dice", "binary", "(-2, inf)"),
    ("0.5*dice + 0.5*iou", "binary", "[0, 1)"),
    ("sum(p) + sum(y) - 2*sum(p*y)", "binary", "[0, inf)"),
    ("sum(p*y) - sum(p) - sum(y)", "binary", "(-inf, 0]"),
    ("sum(p**2) - 2*sum(p*y) + sum(y**2)", "binary", "[0, inf)"),
    ("sum(p*p) - 2.5*sum(p*y) + sum(y*y)", "binary", "(-inf, inf)"),
    ("mean(p) - mean(p*y)", "binary", "[0, 1]"),
    ("sum(p*y)/(sum(p) + 1)", "binary", "[0, 1)"),
    ("(sum(p) + 1)/(sum(p) + sum(y) + 1)", "binary", "(0, 1]"),
    ("-sum(p*y)/(sum(p) + 1)", "binary", "(-1, 0]"),
    ("mean(w*w*p) - mean(w*w*p*y)", "binary", "[0, inf)"),
    ("mean(p*abs(w), count=abs(w))", "binary", "[0, 1]"),
    ("mean(w*p, count=w)", "binary", "(-inf, inf)"),
    ("(1 - 2*mean(p))**2", "binary", "[0, 1]"),
    ("mean(z*z)", "binary", "[0, inf)"),
    ("mean(y*log(y))", "binary", "[-0.36788, 0]"),
    ("mean(p*log(p))", "binary", "[-0.36788, 0]"),
    ("mean((1 + y)*log(1 + y))", "binary", "[0, 1.3863]"),
    ("mean((y - 1)*log(y - 1))", "binary", "[0, inf)"),
    ("mean(where(p > 0.5, p, 1))", "binary", "(0.5, 1]"),
    ("mean(where(y == 0, y, 1 - y))", "binary", "[0, 1)"),
    ("min(0.5, epoch/20)*dice", "binary", "[0, 0.5)"),
    ("1 - min(1, epoch/10)", "binary", "[0, 1]"),
    ("mean(local_mean(y, size=3) - y)", "binary", "[-1, 1]"),
    ("mean(max(p, over=pixel))", "binary", "[0, 1]"),
    ("lovasz", "binary", "[0, inf)"),
    ("combo", "binary", "[-0.5, inf)"),
]


@pytest.mark.parametrize(("formula", "task", "expected"), TOTALS, ids=[f"{text}-{task}" for text, task, _ in TOTALS])
def test_total(formula: str, task: str, expected: str, proved: Callable[..., Proof]) -> None:
    proof = proved(formula, task=task)
    assert str(proof.intervals[proof.built.total]) == expected


@pytest.mark.parametrize("formula", ["dice", "-log(1 - dice)", "dice(per=batch)", "-log(iou_coef)"])
@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
def test_masks_and_weights_change_no_range(formula: str, task: str, proved: Callable[..., Proof]) -> None:
    """But for the value 0 of a call in which nothing counts."""
    plain = proved(formula, task=task)
    for options in ({"ignore_index": 255}, {"class_weight": (1.0, 2.0)}):
        other = proved(formula, task=task, **options)
        assert str(other.intervals[other.built.total]) == str(plain.intervals[plain.built.total])


def test_a_long_sum_takes_no_recursion() -> None:
    terms = " + ".join(f"{number}*mean((p - {number}/1000)**2)" for number in range(1, 150))
    assert lossdsl.check("bce" + 99 * " + bce").ok  # longer than the name of a file may be
    assert lossdsl.check(f"{terms} - log(1 - dice)", task="binary").ok
