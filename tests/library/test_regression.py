"""Regression losses at printed points, and the region losses on the example of reference/losses.md section 1.8."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import lossdsl
from lossdsl.api.explain import show_loss
from lossdsl.registry.discover import default_registry


@pytest.mark.parametrize(("text", "points"), [
    ("charbonnier", {0.0: 0.0, 1.0: math.sqrt(2) - 1, -3.0: math.sqrt(10) - 1}),
    ("cauchy", {0.0: 0.0, 2.0: math.log(3), -4.0: math.log(9)}),
    ("geman_mcclure", {0.0: 0.0, 2.0: 1.0, -4.0: 1.6}),
    ("welsch", {0.0: 0.0, 2.0: 1 - math.exp(-2), -1.0: 1 - math.exp(-0.5)}),
    ("wing", {0.0: 0.0, 0.5: 5 * math.log(2), 5.0: 5 * math.log(11), 6.0: 1 + 5 * math.log(11)}),
    ("log_cosh", {0.0: 0.0, 1.0: math.log(math.cosh(1)), -1e4: 1e4 - math.log(2)}),
])  # fmt: skip
def test_printed_values(text: str, points: dict[float, float], value: Any) -> None:
    for difference, expected in points.items():
        pred = torch.full((1, 1), difference, dtype=torch.float64)
        assert value(text, pred, torch.zeros_like(pred)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", ["log_cosh", "charbonnier", "cauchy", "geman_mcclure", "welsch"])
@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-10])
def test_quadratic_near_zero(text: str, size: float, value_and_gradient: Any) -> None:
    """All are d**2/2 there, and their slope is d."""
    pred = torch.full((1, 1), size, dtype=torch.float64)
    result, gradient = value_and_gradient(text, pred, torch.zeros_like(pred))
    assert result.item() == pytest.approx(size**2 / 2, rel=max(1e-7, size**2))
    assert gradient.item() == pytest.approx(size, rel=max(1e-7, size**2))


P = [[0.9, 0.8, 0.2, 0.1], [0.3, 0.2, 0.1, 0.0]]
Y = [[1, 1, 0, 0], [0, 0, 0, 0]]
# formula, digits printed in the table of section 1.8 or derived from its sums: I = 1.7, sum of p 2.6, sum of y 2
TABLE = [
    ("dice(squared=true)", "0.072515"),
    ("dice(squared=true, smooth=1e-5)", "0.514250"),
    ("flipped_iou", "-0.794565"),
    ("1 - precision(smooth=0, per=batch)", "0.653846"),
    ("1 - recall(smooth=0, per=batch)", "0.850000"),
    ("1 - f_beta(smooth=0, per=batch)", "0.739130"),
    ("log_cosh_dice(per=batch)", "0.022786"),
    ("0.5*bce - 0.5*dice_coef", f"{0.5 * 0.16777345 - 0.5 * (1 - 0.2475):.6f}"),
    ("combo(alpha=0.5, beta=0.5)", f"{0.25 * 0.16777345 - 0.5 * (1 - 0.2475):.6f}"),
    ("dice(empty=skip)", f"{1 - (2 * 1.7 + 1) / (2.0 + 2.0 + 1):.6f}"),
    ("dice(empty=skip, per=batch)", "0.214286"),
    ("sensitivity_specificity(per=batch)", f"{0.05 * 0.05 / 2 + 0.95 * (0.05 + 0.14) / 6:.6f}"),
    ("mcc", f"{1 - (1.7 * 5.1 - 0.9 * 0.3) / math.sqrt(2.6 * 2 * 6 * 5.4):.6f}"),
    ("focal(gamma=0)", "0.167773"),
    ("reduced_focal(gamma=0)", "0.167773"),
    ("normalized_focal(gamma=0)", "0.167773"),
    ("quality_focal", "0.007755"),
    ("normalized_focal*mean(y*(1 - p)**2 + (1 - y)*p**2)", "0.007755"),
]


@pytest.mark.parametrize("shape", [(2, 4), (2, 1, 2, 2)], ids=str)
@pytest.mark.parametrize(("text", "printed"), TABLE, ids=[row[0] for row in TABLE])
def test_worked_example(text: str, printed: str, shape: Any, value: Any) -> None:
    p, y = (torch.tensor(rows, dtype=torch.float64).reshape(shape) for rows in (P, Y))
    for given, pred in (("probs", p), ("logits", torch.logit(p).clamp_min(-1000))):
        assert f"{value(text, pred, y, task='binary', input=given).item():.6f}" == printed


@pytest.mark.parametrize("name", ["l1", "mse", "smooth_l1", "huber", "log_cosh", "charbonnier", "cauchy"])
def test_the_page_says_what_is_compared(name: str) -> None:
    shown = show_loss(default_registry().load(default_registry().candidates(name)[0]))
    assert f"{name}(pred - target) uses the target twice; use {name}(p, y) for labels" in shown


@pytest.mark.parametrize("name", ["l1", "mse", "smooth_l1", "huber", "log_cosh", "charbonnier", "cauchy", "wing"])
def test_a_difference_has_the_target_twice(name: str) -> None:
    """What the finding says is so: the value of the difference is not that of the loss."""
    pred, target = torch.randn(2, 5, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    wanted = lossdsl.compile(name)(pred, target)
    torch.testing.assert_close(lossdsl.compile(f"{name}(pred, target)")(pred, target), wanted)
    twice = lossdsl.compile(name)(pred - target, target)
    assert not torch.isclose(twice, wanted, rtol=1e-2)
    with pytest.raises(lossdsl.FormulaError, match="LD725"):
        lossdsl.compile(f"{name}(pred - target)")
