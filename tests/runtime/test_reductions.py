"""Reductions written by hand in a formula, against the same written in torch; masked ones against what is left."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import lossdsl
from lossdsl.registry.define import unregistered

CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def largest(x: Tensor, share: float, rounded: Callable[[Fraction], int] = math.ceil) -> Tensor:
    """Mean of the largest share of the last axis, counted without rounding."""
    count = max(1, rounded(Fraction(str(share)) * x.shape[-1]))
    return x.topk(count).values.mean(-1)


def _per_class(e: Tensor) -> Tensor:
    return torch.tensor([1, 2, 0.5], dtype=e.dtype).view(1, 3, 1)


# On e = abs(p - y) and y, of shape (N, C, P).
REDUCED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum(E)": lambda e, y: e.sum(),
    "mean(E)": lambda e, y: e.mean(),
    "max(E)": lambda e, y: e.max(),
    "min(E)": lambda e, y: e.min(),
    "topk(E, share=0.1)": lambda e, y: largest(e.flatten(), 0.1),
    "topk(E, share=0.6)": lambda e, y: largest(e.flatten(), 0.6),
    "topk(E, share=1)": lambda e, y: e.mean(),
    "topk(E, share=1e-9)": lambda e, y: e.max(),
    "topk(E, share=0.1, rounding=down)": lambda e, y: largest(e.flatten(), 0.1, math.floor),
    "topk(E, share=0.6, rounding=down)": lambda e, y: largest(e.flatten(), 0.6, math.floor),
    "topk(E, share=1e-9, rounding=down)": lambda e, y: e.max(),
    "mean(sum(E, over=pixel))": lambda e, y: e.sum(2).mean(),
    "mean(max(E, over=pixel))": lambda e, y: e.amax(2).mean(),
    "mean(min(E, over=class))": lambda e, y: e.amin(1).mean(),
    "max(mean(E, over=[class, pixel]))": lambda e, y: e.mean((1, 2)).max(),
    "max(mean(E, over=[pixel, class]))": lambda e, y: e.mean((1, 2)).max(),
    "min(max(E, over=[batch, pixel]))": lambda e, y: e.amax((0, 2)).min(),
    "mean(sum(E, per=image)**2)": lambda e, y: (e.sum(2) ** 2).mean(),
    "mean(sum(E, per=batch)**2)": lambda e, y: (e.sum((0, 2)) ** 2).mean(),
    "mean(max(E, per=batch))": lambda e, y: e.amax((0, 2)).mean(),
    "sum(mean(E, over=batch))": lambda e, y: e.mean(0).sum(),
    "sum(mean(mean(E, over=pixel), over=batch))": lambda e, y: e.mean((0, 2)).sum(),
    "mean(topk(E, share=0.3, over=pixel))": lambda e, y: largest(e, 0.3).mean(),
    "mean(topk(E, share=0.5, over=[batch, pixel]))": lambda e, y: largest(e.transpose(0, 1).flatten(1), 0.5).mean(),
    "mean(topk(E, share=0.5, over=class))": lambda e, y: largest(e.transpose(1, 2), 0.5).mean(),
    "mean(topk(E, share=0.25, over=batch))": lambda e, y: e.amax(0).mean(),
    "mean(E, weight=y)": lambda e, y: (y * e).sum() / y.sum(),
    "mean(E, weight=2)": lambda e, y: e.mean(),
    "mean(E, weight=E)": lambda e, y: (e * e).sum() / e.sum(),
    "mean(mean(E, over=pixel, weight=1 + y)**2)": lambda e, y: (((1 + y) * e).sum(2) / (1 + y).sum(2)).pow(2).mean(),
    "mean(mean(E, over=class, weight=[1, 2, 0.5]))": lambda e, y: (e * _per_class(e)).sum(1).mean() / 3.5,
    "mean(E, weight=[1, 2, 0.5])": lambda e, y: (e * _per_class(e)).mean((0, 2)).sum() / 3.5,
    "mean(E, weight=mean(y, over=pixel))": lambda e, y: (e.mean(2) * y.mean(2)).sum() / y.mean(2).sum(),
    "mean(E, count=2)": lambda e, y: e.sum() / (2 * e.numel()),
    "mean(y*E, count=y)": lambda e, y: (y * e).sum() / y.sum(),
    "mean(mean(y*E, over=pixel, count=y))": lambda e, y: ((y * e).sum(2) / y.sum(2).clamp_min(1e-99)).mean(),
    "mean(E, count=sum(y, over=pixel))": lambda e, y: e.sum() / (y.sum() * y.shape[2]),
    "log(sum(exp(E)))": lambda e, y: e.logsumexp((0, 1, 2)),
}


@pytest.mark.parametrize("formula", REDUCED)
def test_by_hand(formula: str, make_batch: Any, run: Any, compile_for: Any) -> None:
    of_pixels = "pixel" in formula or "per=image" in formula
    for spatial in ((5,), (3, 4), (5, 5), *([] if of_pixels else [()])):
        batch = make_batch("multilabel", spatial)
        value, gradient = run(compile_for(formula.replace("E", "abs(p - y)"), batch), batch)
        pred, target = batch.pred.clone().requires_grad_(), batch.target.reshape(4, 3, -1)
        wanted = REDUCED[formula]((pred.sigmoid().reshape(4, 3, -1) - target).abs(), target)
        assert_close(value, wanted.detach(), **CLOSE)
        assert_close(gradient, torch.autograd.grad(wanted, pred)[0], **CLOSE)


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize("sign", [1, -1], ids=["positive", "negative"])
def test_extremes_of_what_counts(kind: str, sign: int, make_batch: Any, run: Any, compile_for: Any) -> None:
    """Neither a hidden element nor the 0 that stands in its place can win."""
    batch = make_batch("multilabel", (3, 4))
    batch = batch.with_(pred=sign * (batch.pred.abs() + 1))
    hidden = torch.zeros(4, 3, 4, dtype=torch.bool)
    hidden[:, 1], hidden[2] = True, True
    pred = batch.pred.masked_fill(hidden.unsqueeze(1), 100 * sign if kind == "max" else -100 * sign)
    left = pred[[0, 1, 3]][:, :, [0, 2]].flatten(2)
    wanted = {
        f"{kind}(z)": getattr(left, kind)(),
        f"mean({kind}(z, over=pixel))": getattr(torch, f"a{kind}")(left, 2).mean(),
        f"mean({kind}(z, over=[batch, pixel]))": getattr(torch, f"a{kind}")(left, (0, 2)).mean(),
        f"mean({kind}(z, over=class))": getattr(torch, f"a{kind}")(left, 1).mean(),
    }
    for formula, value in wanted.items():
        got, gradient = run(compile_for(formula, batch), batch.with_(pred=pred), mask=~hidden)
        assert_close(got, value, **CLOSE)
        assert torch.count_nonzero(gradient[hidden.unsqueeze(1).expand_as(gradient)]) == 0


SHARES = (0.01, 0.09, 0.1, 0.15, 0.27, 0.3, 0.33, 0.54, 0.6, 0.66, 0.72, 0.99, 1)


@pytest.mark.parametrize("share", SHARES, ids=str)
def test_a_share_is_counted_exactly(share: float, make_batch: Any, compile_for: Any) -> None:
    """0.6 of 25 elements are 15, though 0.6 * 25 is more than 15 in floating point."""
    batch = make_batch("binary", (1,))
    loss = compile_for(f"topk(z, share={share})", batch)
    for pixels in (1, 2, 3, 10, 25, 50, 75, 100, 150, 300, 3000):
        pred = torch.arange(pixels, dtype=torch.float64).view(1, 1, -1)
        assert_close(loss(pred, torch.zeros_like(pred)), largest(pred.flatten(), share), **CLOSE)


def test_a_share_of_what_counts(make_batch: Any, run: Any, compile_for: Any) -> None:
    """Each row has its own number of elements that count, at least one of them is taken."""
    batch = make_batch("binary", (10,))
    mask = torch.arange(10) < torch.tensor([10, 5, 1, 0]).view(4, 1)
    value, gradient = run(compile_for("mean(topk(abs(z), share=0.3, over=pixel))", batch), batch, mask=mask)
    rows = [batch.pred[0, 0].abs(), batch.pred[1, 0, :5].abs(), batch.pred[2, 0, :1].abs()]
    assert_close(value, torch.stack([largest(row, 0.3) for row in rows]).mean(), **CLOSE)
    assert (gradient != 0).sum(2).flatten().tolist() == [3, 2, 1, 0]


def test_equal_elements_share_no_more_than_their_part(make_batch: Any, run: Any, compile_for: Any) -> None:
    """With ties the gradient still adds up to 1."""
    batch = make_batch("binary", (5,))
    batch = batch.with_(pred=torch.ones_like(batch.pred))
    for formula in ("max(z)", "min(z)", "topk(z, share=0.3)"):
        value, gradient = run(compile_for(formula, batch), batch)
        assert value == 1
        assert_close(gradient.sum(), torch.tensor(1.0, dtype=torch.float64), **CLOSE)


@pytest.mark.parametrize("weights", ["w", "y", "abs(z)", "[1, 2, 0.5]", "v"])
def test_a_weighted_mean_of_what_counts(weights: str, make_batch: Any, run: Any, compile_for: Any) -> None:
    """Masks, ignored labels and class weights act in it as in every mean: sum(c*w*x)/sum(c*w) over what counts."""
    batch = make_batch("multilabel", (6,))
    target = batch.target.clone()
    target[0, 1, 2] = 255
    mask, counts = torch.rand(4, 6) < 0.7, target != 255
    tensors = {"w": torch.rand(4, 6, dtype=torch.float64), "v": torch.rand(4, dtype=torch.float64)}
    call = {name: tensor for name, tensor in tensors.items() if name == weights}
    pred = batch.pred.clone().requires_grad_()
    y = torch.where(counts, target, 0)
    w = {
        "w": tensors["w"][:, None],
        "y": y,
        "abs(z)": pred.abs(),
        "[1, 2, 0.5]": _per_class(y),
        "v": tensors["v"].view(-1, 1, 1),
    }[weights]
    each = (pred.sigmoid() - y).abs()
    w = w * torch.tensor([2, 0, 0.3], dtype=torch.float64).view(1, 3, 1) * (mask[:, None] & counts)
    wanted = (w * each).sum() / w.sum()
    loss = compile_for(f"mean(abs(p - y), weight={weights})", batch, ignore_index=255, class_weight=[2, 0, 0.3])
    value, gradient = run(loss, batch.with_(target=target), mask=mask, **call)
    assert_close(value, wanted.detach(), **CLOSE)
    assert_close(gradient, torch.autograd.grad(wanted, pred)[0], **CLOSE)


def test_a_weighted_mean_without_weight(make_batch: Any, run: Any, compile_for: Any) -> None:
    """Where all weights are 0 it is 0 with zero gradient, as where everything is masked; no large number."""
    batch = make_batch("binary", (6,))
    batch = batch.with_(target=torch.zeros_like(batch.target))
    value, gradient = run(compile_for("mean(bce(reduction=none), weight=y)", batch), batch)
    assert value == 0
    assert torch.count_nonzero(gradient) == 0


def test_a_definition_with_a_weighted_mean(make_batch: Any, compile_for: Any) -> None:
    """Its map holds the weights, as that of every loss does; the sum is that of the map."""
    batch = make_batch("multilabel", (6,))
    p, y = batch.pred.sigmoid(), batch.target
    weighted = (1 + y) * (p - y).abs()
    with unregistered():
        lossdsl.define("loss tilted(w: [0, inf) = 1) -> [0, inf)\n    = mean(abs(p - y), weight=1 + w*y)\n")
        for formula, wanted in {
            "tilted": weighted.sum() / (1 + y).sum(),
            "tilted(w=0)": (p - y).abs().mean(),
            "tilted(reduction=sum)": weighted.sum(),
            "max(tilted(reduction=none))": weighted.max(),
            "for_class(tilted, [1])": weighted[:, 1].sum() / (1 + y[:, 1]).sum(),
        }.items():
            assert_close(compile_for(formula, batch)(batch.pred, batch.target), wanted, **CLOSE)
