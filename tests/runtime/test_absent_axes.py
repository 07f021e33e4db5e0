"""A reduction over an axis that `pred` does not have is an error, not a reduction of nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

import lossdsl

# formula, task, shape: what the message says is there, part of the hint
ABSENT: dict[tuple[str, str | None, tuple[int, ...]], tuple[str, str]] = {
    ("mean(mean((pred - target)**2, per=image))", None, (4, 5)): ("with the axes batch and class", "over=class"),
    ("mean(sum(abs(pred - target), over=pixel))", "regression", (4, 5)): (
        "with the axes batch and class",
        "over=class",
    ),
    ("mean(sum(p*y, per=image))", "multilabel", (4, 5)): ("with the axes batch and class", "(N, 1, P)"),
    ("mean(max(p, over=[batch, pixel]))", "multilabel", (4, 5)): ("with the axes batch and class", ""),
    ("mean(topk(p, share=0.5, over=pixel))", "multilabel", (4, 5)): ("with the axes batch and class", ""),
    ("mean(min(p, over=[class, pixel]))", "multilabel", (4, 5)): ("with the axes batch and class", ""),
    ("mean(mean(p, over=pixel, weight=y))", "multilabel", (4, 5)): ("with the axes batch and class", ""),
    ("m = sum(p, per=image)\nmean(m)", "multilabel", (4, 5)): ("with the axes batch and class", ""),
    ("multiscale(mean(sum(p, per=image)))", "multilabel", (4, 5)): ("with the axes batch and class", ""),
    ("for_class(mean(sum(p, per=image)), [1])", "multilabel", (4, 5)): ("with the axes batch and class", ""),
    ("bce + mean(local_mean(y, size=3)*p)", "multilabel", (4, 5)): ("a value without the axis pixel", ""),
    ("mean(p*local_min(1, size=3, outside=0))", "multilabel", (4, 5)): ("a value without the axis pixel", ""),
    ("mean(sum(p, per=image))", "binary", (4, 1)): ("with the axes batch and class", ""),
    ("mean(sum(p, per=image))", "binary", (4,)): ("with the axis batch", "`pred` is (N,)"),
    ("mean(sum(bce(reduction=none), over=class))", None, (4, 5)): (
        "with the axes batch and pixel",
        'task="multilabel"',
    ),
    ("mean(sum(p, over=class))", "binary", (4, 5, 6)): ("with the axes batch and pixel", "(N, *spatial)"),
    ("mean(sum(p, over=class))", "binary", (4,)): ("with the axis batch", "`pred` is (N,)"),
    ("mean(mean(abs(pred - target), over=class))", "regression", (4,)): ("with the axis batch", "`pred` is (N,)"),
}

THERE: dict[tuple[str, str, tuple[int, ...]], Any] = {
    ("mean(mean(abs(pred - target), over=class)**2)", "regression", (4, 5)): lambda p, y: (p - y).abs().mean(1) ** 2,
    ("mean(sum(p, per=batch)**2)", "multilabel", (4, 5)): lambda p, y: p.sum(0) ** 2,
    ("mean(sum(p, over=batch)**2)", "multilabel", (4, 5)): lambda p, y: p.sum(0) ** 2,
    ("mean(sum(p, over=class)**2)", "multilabel", (4, 5)): lambda p, y: p.sum(1) ** 2,
    ("mean(sum(p, over=class)**2)", "binary", (4, 1, 6)): lambda p, y: p**2,
    ("mean(sum(p, per=image)**2)", "binary", (4, 6)): lambda p, y: p.sum(1) ** 2,
    ("mean(sum(p, per=image)**2)", "binary", (4, 3, 2)): lambda p, y: p.sum((1, 2)) ** 2,
    ("sum(sum(p, over=pixel)**2)", "binary", (4, 6)): lambda p, y: 4 * p.sum(1) ** 2,
    ("mean(sum(p, per=batch)**2)", "binary", (4, 6)): lambda p, y: p.sum() ** 2,
    ("sum(dice(per=batch, reduction=none)**2)", "binary", (4,)): lambda p, y: (
        (1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)) ** 2
    ),
    # A loss by name is written for all layouts: each number of (N, C) is an image of one pixel.
    ("dice", "multilabel", (4, 5)): lambda p, y: 1 - (2 * p * y + 1) / (p + y + 1),
    ("dice(per=image)", "multilabel", (4, 5)): lambda p, y: 1 - (2 * p * y + 1) / (p + y + 1),
    ("dice(per=batch)", "multilabel", (4, 5)): lambda p, y: 1 - (2 * (p * y).sum(0) + 1) / (p.sum(0) + y.sum(0) + 1),
    ("iou", "binary", (4,)): lambda p, y: 1 - (p * y + 1) / (p + y - p * y + 1),
}


def call(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(shape, dtype=torch.float64), (torch.rand(shape) < 0.5).double()


@pytest.mark.parametrize(("formula", "task", "shape"), ABSENT, ids=str)
def test_an_axis_that_is_not_there(formula: str, task: str | None, shape: tuple[int, ...]) -> None:
    loss = lossdsl.compile(formula, task=task)
    z, y = call(shape)
    for _ in range(2):
        with pytest.raises(lossdsl.FormulaError) as caught:
            loss([z] if "multiscale" in formula else z, y)
        finding = caught.value.diagnostics[0]
        there, hint = ABSENT[formula, task, shape]
        assert finding.code == "LD302"
        assert there in finding.message
        assert hint in (finding.hint or "")


@pytest.mark.parametrize(("formula", "task", "shape"), THERE, ids=str)
def test_axes_that_are_there(formula: str, task: str, shape: tuple[int, ...]) -> None:
    z, y = call(shape)
    given = z if task == "regression" else z.sigmoid()
    wanted = THERE[formula, task, shape](given, y).mean()
    assert_close(lossdsl.compile(formula, task=task)(z, y), wanted, rtol=1e-9, atol=1e-12)


def test_one_loss_for_both_layouts() -> None:
    """What the tensors of one call lack is no matter for another; the same under torch.compile."""
    loss = lossdsl.compile("mean(sum(p, per=image))", task="multilabel")
    z, y = call((4, 5, 3))
    wanted = z.sigmoid().sum(2).mean()
    for _ in range(2):
        assert_close(loss(z, y), wanted, rtol=1e-9, atol=1e-12)
        with pytest.raises(lossdsl.FormulaError):
            loss(z[..., 0], y[..., 0])
    assert_close(torch.compile(loss, fullgraph=True, backend="eager")(z, y), wanted, rtol=1e-9, atol=1e-12)


def test_nothing_is_known_before_the_first_call() -> None:
    assert lossdsl.check("mean(sum(p*y, per=image))", task="multilabel").ok
