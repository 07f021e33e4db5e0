"""A pixel that does not count is as if it were not there: the value and gradient of the tensors without it.

tests/testing does it for every built-in."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

COMPOSITIONS = (
    "max(p)", "min(p)", "topk(-log(p), share=0.4)", "mean(max(p, over=pixel) - min(p, over=pixel))", "sum(z**2)",
    "mean(topk(p, over=pixel, share=0.5))",
    "mean(sum(p, over=pixel)/sum(1 - y, over=pixel))", "mean(mean(exp(z), over=class)**2)",
    "sqrt(mean((p - y)**2))", "mean(mean(p, over=pixel)**2)", "mean(log(mean(p, per=batch)))", "mean((1 - p)**0.5/p)",
    "mean(sum(p*log(p), over=class))", "mean(max(z, over=class))", "topk(dice(reduction=none), share=0.5)",
    "mean(sum(p*y, per=batch)/sum(y, per=batch))", "mean(where(y > 0.5, p, 0))",
)  # fmt: skip
ROWS = list(itertools.product(COMPOSITIONS, ("multilabel", "multiclass")))


def a_call(task: str, seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    z = torch.randn(3, 3, 8, dtype=torch.float64)
    return z, torch.randint(0, 3, (3, 8)) if task == "multiclass" else (torch.rand(z.shape) < 0.5).double()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("given", ["logits", "probs"])
@pytest.mark.parametrize(("text", "task"), ROWS, ids=["-".join(row) for row in ROWS])
def test_as_if_removed(text: str, task: str, given: str, value: Any) -> None:
    """Four pixels of each image go, and one image entirely; what they hold is NaN. Once with mask=, once ignored."""
    for seed, weighted in itertools.product(range(2), (False, True)):
        z, target = a_call(task, seed)
        pred = z if given == "logits" else (z.softmax(1) if task == "multiclass" else z.sigmoid())
        options: dict[str, Any] = {"task": task, "input": given}
        if weighted:
            options["class_weight"] = (0.5, 1.0, 3.0)
        kept = torch.randperm(8)[:4].sort().values
        mask = torch.zeros(3, 8, dtype=torch.bool).index_fill(1, kept, True)
        mask[1] = False
        small = pred[[0, 2]][..., kept].clone().requires_grad_()
        expected = value(text, small, target[[0, 2]][..., kept], **options)
        (slope,) = torch.autograd.grad(expected, small)
        there = mask if task == "multiclass" else mask.unsqueeze(1)
        spoiled = target if task == "multiclass" else target.masked_fill(~there, float("nan"))
        ways = [(spoiled, {"mask": mask}, {}), (target.masked_fill(~there, 255), {}, {"ignore_index": 255})]
        for truth, call, more in ways:
            leaf = pred.masked_fill(~mask.unsqueeze(1), float("nan")).requires_grad_()
            result = value(text, leaf, truth, call=call, **options, **more)
            (gradient,) = torch.autograd.grad(result, leaf)
            torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(gradient[[0, 2]][..., kept], slope, rtol=1e-9, atol=1e-13)
            assert (gradient.masked_select(~mask.unsqueeze(1)) == 0).all()


@pytest.mark.parametrize("text", ["bce", "focal", "dice(per=batch)", "hinge", "lovasz(per=batch)", "mean((p - y)**2)"])
def test_each_class_with_its_own_elements(text: str, value: Any) -> None:
    """A mask of the shape of pred: each class as if its own pixels alone were there."""
    torch.manual_seed(0)
    z, y = torch.randn(1, 2, 6, dtype=torch.float64), (torch.rand(1, 2, 6) < 0.5).double()
    mask = torch.tensor([[[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]]], dtype=torch.bool)
    parts = [value(text, z[:, c, mask[0, c]], y[:, c, mask[0, c]], task="binary") for c in range(2)]
    result = value(text, z, y, task="multilabel", call={"mask": mask})
    torch.testing.assert_close(result, (parts[0] + parts[1]) / 2)


# What each reads beside pred and target; a soft tensor holds probabilities.
OTHERS = {
    "bce(aux, y)": "binary multilabel", "bce(z, soft)": "binary multilabel",
    "dice(aux, y)": "binary multilabel multiclass",
    "focal(aux, y)": "binary multilabel multiclass", "ce(aux, y)": "multiclass", "kl(z, soft)": "multiclass",
    "l1(aux, soft)": "binary multilabel multiclass", "mean((aux - soft)**2)": "binary multilabel",
    "mean(l1(aux, soft, reduction=none)**2)": "binary multilabel multiclass", "max(aux*soft)": "binary multilabel",
    "mean(p, weight=soft) + mean(aux/soft)": "binary multilabel multiclass",
}  # fmt: skip


@pytest.mark.parametrize(("text", "task"), [(text, task) for text in OTHERS for task in OTHERS[text].split()])
def test_what_other_tensors_hold_at_masked_pixels_changes_nothing(text: str, task: str, value: Any) -> None:
    torch.manual_seed(0)
    shape = (2, 1 if task == "binary" else 3, 6)
    z, y = torch.randn(shape, dtype=torch.float64), (torch.rand(shape) < 0.5).double()
    target = torch.randint(0, 3, (2, 6)) if task == "multiclass" else y
    soft = torch.rand(shape, dtype=torch.float64)
    soft = soft / soft.sum(1, keepdim=True) if shape[1] > 1 else soft
    given = {"aux": torch.randn(shape, dtype=torch.float64), "soft": soft}
    given = {name: tensor for name, tensor in given.items() if name in text}
    mask = torch.rand(2, 6) > 0.3
    results = []
    for filled in (0.25, float("nan"), float("inf")):
        leaves = [tensor.masked_fill(~mask.unsqueeze(1), filled).requires_grad_() for tensor in given.values()]
        result = value(text, z, target, task=task, call={"mask": mask, **dict(zip(given, leaves, strict=True))})
        results.append((result, *torch.autograd.grad(result, leaves)))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-12, atol=1e-14)
