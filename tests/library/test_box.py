"""Generalised IoU against the algorithm of its paper, box by box, and against MONAI."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl

COMPARED = ("giou",)
CONFIGURATIONS = 200


def giou(a: list[float], b: list[float]) -> float:
    """Rezatofighi et al. 2019, algorithm 1, in two or three dimensions; returns the loss."""
    n = len(a) // 2

    def volume(low: list[float], high: list[float]) -> float:
        product = 1.0
        for start, end in zip(low, high, strict=True):
            product *= max(0.0, end - start)
        return product

    both = volume([max(p) for p in zip(a[:n], b[:n], strict=True)], [min(p) for p in zip(a[n:], b[n:], strict=True)])
    hull = volume([min(p) for p in zip(a[:n], b[:n], strict=True)], [max(p) for p in zip(a[n:], b[n:], strict=True)])
    union = volume(a[:n], a[n:]) + volume(b[:n], b[n:]) - both
    return 1 - (both / union - (hull - union) / hull)


def boxes(shape: tuple[int, ...], axes: int, scale: float) -> Tensor:
    """(N, 2*axes, ...) with sides above 0."""
    low = torch.randn(shape[0], axes, *shape[1:])
    return (torch.cat([low, low + torch.rand_like(low) + 0.05], 1) * scale).double()


def test_definition(value: Any) -> None:
    """Also one box for each pixel, as dense heads predict them, some of them masked out."""
    for seed in range(CONFIGURATIONS):
        rng = random.Random(seed)
        torch.manual_seed(seed)
        axes, shape = rng.choice([2, 3]), (rng.randint(1, 4), *rng.choice([(), (3,), (2, 2)]))
        target = boxes(shape, axes, rng.choice([1, 100]))
        pred = target.clone() if rng.random() < 0.1 else boxes(shape, axes, target.abs().max().item())
        mask = torch.rand(shape) < rng.choice([0.6, 2])
        mask.view(-1)[0] = True
        for dtype, (rel, margin) in {torch.float64: (1e-7, 1e-12), torch.float32: (1e-5, 2e-6)}.items():
            a, b = pred.to(dtype), target.to(dtype)
            rows = zip(*(t.double().movedim(1, -1)[mask].tolist() for t in (a, b)), strict=True)
            each = [giou(*pair) for pair in rows]
            result = value("giou", a, b, task="regression", call={"mask": mask}).item()
            told = f"{tuple(pred.shape)} {dtype} seed {seed}"
            assert result == pytest.approx(sum(each) / len(each), rel=rel, abs=margin), told


def test_monai(value_and_gradient: Any) -> None:
    """MONAI computes in single precision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        losses = pytest.importorskip("monai.losses", reason="MONAI is not installed")
    for seed in range(30):
        torch.manual_seed(seed)
        axes = 2 + seed % 2
        pred, target = boxes((5,), axes, 1).float(), boxes((5,), axes, 1).float()
        leaf = pred.clone().requires_grad_()
        expected = losses.BoxGIoULoss()(leaf, target)
        (slope,) = torch.autograd.grad(expected, leaf)
        ours = value_and_gradient("giou", pred, target)
        torch.testing.assert_close(ours, (expected.detach(), slope), rtol=1e-5, atol=1e-6)


UNIT = [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(("pred", "target", "expected"), [
    (UNIT, UNIT, 0.0),
    (UNIT, [1.0, 0.0, 2.0, 1.0], 1.0),
    (UNIT, [0.5, 0.0, 1.5, 1.0], 1 - 1 / 3),
    (UNIT, [9.0, 9.0, 10.0, 10.0], 1.98),
    ([0.5, 0.5, 0.5, 0.5], UNIT, 1.0),
    ([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], 0.0),
    ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], 2.0),
    ([1.0, 0.0, 0.0, 1.0], UNIT, 1.0),
    ([0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 2.0, 0.0], 1.0),
])  # fmt: skip
def test_printed_values(pred: list[float], target: list[float], expected: float, value_and_gradient: Any) -> None:
    """Touching, apart, points, lines, and boxes turned inside out."""
    for dtype in (torch.float32, torch.float64):
        a, b = (torch.tensor([box], dtype=dtype) for box in (pred, target))
        result, gradient = value_and_gradient("giou", a, b)
        assert result.item() == pytest.approx(expected, rel=1e-6)
        assert gradient.isfinite().all()


def test_far_boxes_are_pulled_together(value_and_gradient: Any) -> None:
    pred, target = torch.tensor([[5.0, 0.0, 6.0, 1.0]]), torch.tensor([UNIT])
    _, gradient = value_and_gradient("giou", pred, target)
    assert gradient[0, 0] + gradient[0, 2] > 0


def test_each_box_has_a_value(value: Any) -> None:
    pred, target = boxes((3,), 2, 1), boxes((3,), 2, 1)
    each = [value("giou", pred[[i]], target[[i]]).item() for i in range(3)]
    assert value("giou(reduction=sum)", pred, target).item() == pytest.approx(sum(each))
    assert value("max(giou(reduction=none))", pred, target).item() == pytest.approx(max(each))


def test_odd_numbers_of_coordinates_are_refused() -> None:
    with pytest.raises(lossdsl.LossError, match=r"`giou` takes boxes as \(N, 4\) or \(N, 6\), not with 5") as caught:
        lossdsl.compile("giou", task="regression")(torch.rand(2, 5), torch.rand(2, 5))
    assert caught.value.diagnostics[0].code == "LD502"
