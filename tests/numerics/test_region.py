"""The identities that tie the region losses together, and what they are at nothing and on large images."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

NAMES = ("dice", "dice_coef", "iou", "iou_coef", "tversky", "focal_tversky")


def a_call(rng: random.Random, task: str, fewest: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and the target. fewest: how many image axes there are at least."""
    space = tuple(rng.randint(1, 5) for _ in range(rng.randint(fewest, 3)))
    shape = (rng.randint(1, 3), 1 if task == "binary" else rng.randint(2, 4), *space)
    z = torch.randn(shape, dtype=torch.float64) * rng.choice([0.3, 1.0, 4.0])
    if task == "multiclass":
        return z, torch.randint(0, shape[1], (shape[0], *space))
    return z, (torch.rand(shape) < rng.choice([0.1, 0.5])).double()


# Two formulas that are the same function. d stands for a loss in [0, 1].
IDENTITIES = [
    ("dice(smooth={s})", "tversky(fp_weight=0.5, fn_weight=0.5, smooth={s}/2)"),
    ("iou(smooth={s})", "tversky(fp_weight=1, fn_weight=1, smooth={s})"),
    ("dice(smooth={s})", "1 - dice_coef(smooth={s})"),
    ("iou(smooth={s})", "1 - iou_coef(smooth={s})"),
    ("dice_coef(smooth={s}, per=batch)", "1 - dice(smooth={s}, per=batch)"),
    ("focal_tversky(gamma=1, smooth={s})", "tversky(fp_weight=0.3, fn_weight=0.7, smooth={s})"),
    (
        "focal_tversky(gamma=1.7, smooth={s})",
        "mean(tversky(fp_weight=.3, fn_weight=.7, smooth={s}, reduction=none)**1.7)",
    ),
    ("dice(smooth=0)", "d = iou(smooth=0, reduction=none); mean(d/(2 - d))"),
    ("iou(smooth=0)", "d = dice(smooth=0, reduction=none); mean(2*d/(1 + d))"),
    ("dice_coef(smooth=0)", "j = iou_coef(smooth=0, reduction=none); mean(2*j/(1 + j))"),
    ("iou_coef(smooth=0)", "d = dice_coef(smooth=0, reduction=none); mean(d/(2 - d))"),
    ("iou(smooth={s}/2)", "d = dice(smooth={s}, reduction=none); mean(2*d/(1 + d))"),
    (
        "dice(smooth={s})",
        "tp = sum(p*y, over=pixel); mean(1 - (2*tp + {s})/(sum(p, over=pixel) + sum(y, over=pixel) + {s}))",
    ),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
@pytest.mark.parametrize(("left", "right"), IDENTITIES, ids=[row[0] + " is " + row[1][:40] for row in IDENTITIES])
def test_identity(left: str, right: str, task: str, seeded: Any, value_and_gradient: Any) -> None:
    for seed, smooth in enumerate((0, 1e-5, 1, 10)):
        z, target = a_call(seeded(seed), task, fewest="over=pixel" in right)
        one, other = (value_and_gradient(text.format(s=smooth), z, target, task=task) for text in (left, right))
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_swapping_prediction_and_target(name: str, value: Any) -> None:
    """Dice and IoU do not know which of the two is the prediction; Tversky then swaps its weights."""
    torch.manual_seed(0)
    p, y = torch.rand(2, 3, 8, dtype=torch.float64), torch.rand(2, 3, 8, dtype=torch.float64)
    weights = {"tversky": ("fp_weight=0.2, fn_weight=0.9", "fp_weight=0.9, fn_weight=0.2")}
    one, other = weights.get(name, ("fp_weight=0.3, fn_weight=0.7", "fp_weight=0.7, fn_weight=0.3"))
    texts = (f"{name}({one})", f"{name}({other})") if "tversky" in name else (name, name)
    options = {"task": "multilabel", "input": "probs"}
    assert value(texts[0], p, y, **options).item() == pytest.approx(value(texts[1], y, p, **options).item(), rel=1e-12)


@pytest.mark.parametrize(("name", "smooth", "expected"), [
    ("dice", 0, 0.0), ("dice", 1, 0.0), ("iou", 0, 0.0), ("tversky", 0, 0.0), ("focal_tversky", 0, 0.0),
    ("dice_coef", 0, 1.0), ("iou_coef", 0, 1.0), ("dice_coef", 1, 1.0),
])  # fmt: skip
def test_nothing_predicted_where_nothing_is(name: str, smooth: float, expected: float, value_and_gradient: Any) -> None:
    """0/0 counts as nothing wrong, and does not pull at the prediction."""
    empty = torch.zeros(2, 1, 6, dtype=torch.float64)
    result, gradient = value_and_gradient(f"{name}(smooth={smooth})", empty, empty, task="binary", input="probs")
    assert result.item() == expected
    assert gradient.abs().max() <= 1.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_images_as_large_as_they_come(dtype: torch.dtype, value: Any) -> None:
    """Sums over a million pixels, target all ones (smp#463)."""
    z = torch.full((1, 1, 1024, 1024), 2.0, dtype=dtype)
    p = 1 / (1 + np.exp(-2.0))
    result = value("dice", z, torch.ones_like(z), task="binary").item()
    assert result == pytest.approx(1 - (2 * p * 2**20 + 1) / ((p + 1) * 2**20 + 1), rel=1e-5)
