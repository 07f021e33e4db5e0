"""Region losses against NumPy transcriptions of the papers' own forms, and the identities that tie them together."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

Array = Any
RTOL = 1e-9


def to_array(value: torch.Tensor, binary: bool) -> Array:
    """(N, C, pixels) in double precision."""
    array = value.detach().double().numpy()
    return array.reshape(array.shape[0], 1, -1) if binary else array.reshape(*array.shape[:2], -1)


def counts(p: Array, y: Array, per: str) -> tuple[Array, Array, Array]:
    """True positives, false positives and false negatives, as they are defined."""
    axes = (2,) if per == "image" else (0, 2)
    return (p * y).sum(axes), (p * (1 - y)).sum(axes), ((1 - p) * y).sum(axes)


def dice(tp: Array, fp: Array, fn: Array, smooth: float) -> Array:
    """Milletari et al. 2016 without the squares."""
    return 1 - (2 * tp + smooth) / (2 * tp + fp + fn + smooth)


def iou(tp: Array, fp: Array, fn: Array, smooth: float) -> Array:
    """Rahman and Wang 2016."""
    return 1 - (tp + smooth) / (tp + fp + fn + smooth)


def tversky(tp: Array, fp: Array, fn: Array, smooth: float, fp_weight: float = 0.5, fn_weight: float = 0.5) -> Array:
    """Salehi et al. 2017, equation 3; alpha there is fp_weight, beta is fn_weight."""
    return 1 - (tp + smooth) / (tp + fp_weight * fp + fn_weight * fn + smooth)


def focal_tversky(
    tp: Array, fp: Array, fn: Array, smooth: float, gamma: float = 0.75, fp_weight: float = 0.3, fn_weight: float = 0.7
) -> Array:
    """Abraham and Khan 2018, equation 4, with the exponent written out."""
    return tversky(tp, fp, fn, smooth, fp_weight, fn_weight) ** gamma


PAPERS: dict[str, Callable[..., Array]] = {
    "dice": dice,
    "dice_coef": lambda *sums: 1 - dice(*sums),
    "iou": iou,
    "iou_coef": lambda *sums: 1 - iou(*sums),
    "tversky": tversky,
    "focal_tversky": focal_tversky,
}
EXTRA: dict[str, list[dict[str, float]]] = {
    "tversky": [{}, {"fp_weight": 0.3, "fn_weight": 0.7}, {"fp_weight": 1, "fn_weight": 0}, {"fn_weight": 2.5}],
    "focal_tversky": [{}, {"gamma": 2}, {"gamma": 4 / 3, "fp_weight": 0.5, "fn_weight": 0.5}, {"gamma": 0.5}],
}


def weighted_mean(losses: Array, class_weight: tuple[float, ...] | None) -> float:
    """The mean over images of the weighted mean over classes."""
    return float(np.average(losses, axis=-1, weights=class_weight).mean())


def text_of(name: str, parameters: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={number}' for key, number in parameters.items())})"


def a_call(rng: random.Random, task: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, the target as it is passed, and both as formulas see them: probabilities, targets of all classes."""
    space = tuple(rng.randint(1, 5) for _ in range(rng.randint(0, 3)))
    batch, classes = rng.randint(1, 3), rng.randint(2, 4)
    scale = rng.choice([0.3, 1.0, 4.0])
    if task == "binary":
        shape = (batch, 1, *space) if rng.random() < 0.5 else (batch, *space)
        z = torch.randn(shape, dtype=torch.float64) * scale
        y = (torch.rand(shape, dtype=torch.float64) < rng.choice([0.1, 0.5, 0.9])).double()
        y = y if rng.random() < 0.7 else torch.rand(shape, dtype=torch.float64)
        return z, y, z.sigmoid(), y
    z = torch.randn((batch, classes, *space), dtype=torch.float64) * scale
    if task == "multilabel":
        y = (torch.rand(z.shape, dtype=torch.float64) < rng.choice([0.1, 0.5])).double()
        return z, y, z.sigmoid(), y
    if task == "soft":
        y = (torch.randn(z.shape, dtype=torch.float64) * 3).softmax(1)
        return z, y, z.softmax(1), y
    index = torch.randint(0, classes, (batch, *space))
    return z, index, z.softmax(1), torch.nn.functional.one_hot(index, classes).movedim(-1, 1).double()


@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass", "soft"])
@pytest.mark.parametrize("name", list(PAPERS))
@pytest.mark.parametrize("smooth", [0, 1e-5, 1])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_definition(name: str, task: str, smooth: float, per: str, seeded: Any, value: Any) -> None:
    """Six random calls each, from logits and from probabilities."""
    for seed in range(6):
        rng = seeded(f"{seed} {name} {task} {smooth} {per}")
        z, target, p, y = a_call(rng, task)
        parameters = rng.choice(EXTRA.get(name, [{}]))
        classes = 1 if task == "binary" else z.shape[1]
        weight = (1.5, *(rng.choice([0.0, 0.5, 2.0]) for _ in range(classes - 1))) if rng.random() < 0.5 else None
        sums = counts(to_array(p, task == "binary"), to_array(y, task == "binary"), per)
        expected = weighted_mean(PAPERS[name](*sums, smooth, **parameters), weight)
        text = text_of(name, {"smooth": smooth, "per": per} | parameters)
        options = {"task": "multiclass" if task == "soft" else task, "class_weight": weight}
        for given, pred in (("logits", z), ("probs", p)):
            result = value(text, pred, target, input=given, **options).item()
            assert result == pytest.approx(expected, rel=RTOL, abs=1e-14), f"{text} {options} {given}"


@pytest.mark.parametrize("name", list(PAPERS))
def test_each_class_of_each_image(name: str, value: Any) -> None:
    """reduction=none has one number for each image and class, per=batch one for each class."""
    torch.manual_seed(0)
    z, y = torch.randn(3, 4, 5, 2, dtype=torch.float64), (torch.rand(3, 4, 5, 2) < 0.3).double()
    weight = torch.rand(3, 4, dtype=torch.float64)
    images = PAPERS[name](*counts(to_array(z.sigmoid(), False), to_array(y, False), "image"), 1)
    pooled = PAPERS[name](*counts(to_array(z.sigmoid(), False), to_array(y, False), "batch"), 1)
    result = value(f"sum(w*{name}(reduction=none))", z, y, task="multilabel", call={"w": weight})
    assert result.item() == pytest.approx((weight.numpy() * images).sum(), rel=RTOL)
    assert value(f"{name}(reduction=sum)", z, y, task="multilabel").item() == pytest.approx(images.sum(), rel=RTOL)
    result = value(f"sum({name}(per=batch, reduction=none)**2)", z, y, task="multilabel")
    assert result.item() == pytest.approx((pooled**2).sum(), rel=RTOL)


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


@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
@pytest.mark.parametrize(("left", "right"), IDENTITIES, ids=[row[0] + " is " + row[1][:40] for row in IDENTITIES])
def test_identity(left: str, right: str, task: str, seeded: Any, value_and_gradient: Any) -> None:
    for seed, smooth in enumerate((0, 1e-5, 1, 10)):
        z, target, _, _ = a_call(seeded(seed), task)
        one, other = (value_and_gradient(text.format(s=smooth), z, target, task=task) for text in (left, right))
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("name", list(PAPERS))
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
