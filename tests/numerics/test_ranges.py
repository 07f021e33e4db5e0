"""Inequalities between losses, and ranges where sums are rounded in another order. tests/testing tries that every value
lies in the declared range, and that no prediction is better than the target."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

LABELS = ("binary", "multilabel", "multiclass")
SPECIAL = torch.tensor([0.0, 1e-8, 17.0, -17.0, 37.0, -37.0, 100.0, -100.0, 1e4, -1e4])


class Call(NamedTuple):
    logits: Tensor
    labels: Tensor  # laid out as the logits, 0 and 1
    target: Tensor  # as it is passed


@st.composite
def calls(draw: st.DrawFn, task: str) -> Call:
    """Small tensors of adversarial numbers, or larger ones, in both precisions, also not contiguous."""
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    batch, pixels = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 5, 300]))
    classes = 1 if task == "binary" else 3
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    shape = (batch, pixels, classes)
    scale = draw(st.sampled_from([0.1, 1.0, 10.0, 100.0]))
    special = SPECIAL.to(dtype)[torch.randint(len(SPECIAL), shape, generator=generator)]
    often = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    z = torch.where(often, special, torch.randn(shape, generator=generator, dtype=dtype) * scale)
    z = z.transpose(1, 2) if draw(st.booleans()) else z.transpose(1, 2).contiguous()
    if task == "regression":
        target = torch.randn(z.shape, generator=generator, dtype=dtype) * scale
        return Call(z, target, target)
    if task == "multiclass":
        index = torch.randint(0, classes, (batch, pixels), generator=generator)
        index = index if draw(st.booleans()) else torch.zeros_like(index)
        return Call(z, torch.nn.functional.one_hot(index, classes).movedim(-1, 1).to(dtype), index)
    share = draw(st.sampled_from([0.0, 0.01, 0.3, 1.0]))
    y = (torch.rand(z.shape, generator=generator) < share).to(dtype)
    return Call(z, y, y)


def rounding(call: Call) -> float:
    return 8 * torch.finfo(call.logits.dtype).eps


def inputs(call: Call, task: str) -> dict[str, Tensor]:
    if task == "regression":
        return {"logits": call.logits}
    p = call.logits.softmax(1) if task == "multiclass" else call.logits.sigmoid()
    return {"logits": call.logits, "probs": p}


@settings(max_examples=100)
@given(data=st.data(), task=st.sampled_from(["multilabel", "multiclass"]))
def test_cross_entropy_is_least_at_the_target(data: st.DataObject, task: str, value: Any) -> None:
    """For soft targets: Gibbs' inequality, with the entropy of the target as the least value."""
    call = data.draw(calls(task))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    target = torch.rand(call.logits.shape, generator=generator, dtype=call.logits.dtype)
    target = target / target.sum(1, keepdim=True) if task == "multiclass" else target
    text = "ce" if task == "multiclass" else "bce"
    best = value(text, target, target, task=task, input="probs").item()
    entropy = -(target.xlogy(target) + (0 if task == "multiclass" else (1 - target).xlogy(1 - target)))
    expected = (entropy.sum(1) if task == "multiclass" else entropy).mean().item()
    assert best == pytest.approx(expected, rel=1e-5 if target.dtype == torch.float32 else 1e-12)
    for kind, pred in inputs(call, task).items():
        assert best <= value(text, pred, target, task=task, input=kind).item() * (1 + rounding(call)) + rounding(call)


@settings(max_examples=100)
@given(data=st.data(), smooth=st.sampled_from([0, 1e-5, 1]), per=st.sampled_from(["image", "batch"]))
def test_order_of_region_losses(data: st.DataObject, smooth: float, per: str, value: Any) -> None:
    """Dice is never above IoU, both are 1 only when nothing is right, and Lovasz softmax is at most 1."""
    task = data.draw(st.sampled_from(LABELS))
    call = data.draw(calls(task))
    written = f"smooth={smooth}, per={per}"
    dice, iou = (value(f"{name}({written})", call.logits, call.target, task=task).item() for name in ("dice", "iou"))
    assert dice <= iou + rounding(call)
    if task == "multiclass":
        for classes in ("present", "all"):
            lovasz = value(f"lovasz(per={per}, classes={classes})", call.logits, call.target, task=task).item()
            assert -rounding(call) <= lovasz <= 1 + rounding(call)


@pytest.mark.parametrize("name", ["dice", "iou", "tversky", "focal_tversky", "focal_tversky(gamma=1.5)"])
def test_sums_in_another_order(name: str, value: Any) -> None:
    """Memory formats change the order of sums; a difference that then rounds below 0 must not become NaN."""
    torch.manual_seed(0)
    for _ in range(50):
        y = (torch.rand(2, 3, 31, 33) < 0.5).float()
        p = (y * torch.rand_like(y)).to(memory_format=torch.channels_last).requires_grad_()
        text = f"{name[:-1]}, smooth=0)" if name.endswith(")") else f"{name}(smooth=0)"
        for target in (y, p.detach().contiguous().sign()):
            result = value(text, p, target, task="multilabel", input="probs")
            (gradient,) = torch.autograd.grad(result, p)
            assert 0 <= result <= 1
            assert gradient.isfinite().all()
