"""A pixel that does not count is as if it were not there: the value and gradient of the tensors without it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from lossdsl.registry.discover import default_registry

OUTCOMES = ("binary", "multilabel")
LABELS = (*OUTCOMES, "multiclass", "soft")
TEXTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bce": (("bce", "bce(pos_weight=2)"), OUTCOMES),
    "ce": (("ce", "ce(label_smoothing=0.2)"), ("multiclass", "soft")),
    "focal": (("focal",), LABELS),
    "dice": (("dice", "dice(per=batch)"), LABELS),
    "dice_coef": (("dice_coef(smooth=0)",), LABELS),
    "iou": (("iou", "iou(per=batch)"), LABELS),
    "iou_coef": (("iou_coef",), LABELS),
    "tversky": (("tversky", "tversky(fp_weight=2, per=batch)"), LABELS),
    "focal_tversky": (("focal_tversky",), LABELS),
    "l1": (("l1",), ("regression",)),
    "mse": (("mse",), ("regression",)),
    "smooth_l1": (("smooth_l1",), ("regression",)),
    "huber": (("huber",), ("regression",)),
    "hinge": (("hinge",), OUTCOMES),
    "lovasz": (("lovasz", "lovasz(per=batch)"), (*OUTCOMES, "multiclass")),
    "lovasz_extension": (("lovasz_extension(abs(y - p), y)",), (*OUTCOMES, "multiclass")),
}
COMPOSITIONS = (
    "max(p)", "min(p)", "topk(-log(p), share=0.4)", "mean(max(p, over=pixel) - min(p, over=pixel))", "sum(z**2)",
    "mean(topk(p, over=pixel, share=0.5))",
    "mean(sum(p, over=pixel)/sum(1 - y, over=pixel))", "mean(mean(exp(z), over=class)**2)",
    "sqrt(mean((p - y)**2))", "mean(mean(p, over=pixel)**2)", "mean(log(mean(p, per=batch)))", "mean((1 - p)**0.5/p)",
    "mean(sum(p*log(p), over=class))", "mean(max(z, over=class))", "topk(dice(reduction=none), share=0.5)",
    "mean(sum(p*y, per=batch)/sum(y, per=batch))", "mean(where(y > 0.5, p, 0))",
)  # fmt: skip
ROWS = [(text, task) for texts, tasks in TEXTS.values() for text in texts for task in tasks]
ROWS += list(itertools.product(COMPOSITIONS, ("multilabel", "multiclass")))


def test_names_are_those_of_built_ins() -> None:
    """The others are in tests/library, where a test counts them all."""
    assert set(TEXTS) <= {loss.name for loss in default_registry().built_ins()}


def a_call(task: str, seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    shape = (3, 1 if task == "binary" else 3, 8)
    z = torch.randn(shape, dtype=torch.float64)
    match task:
        case "multiclass":
            return z, torch.randint(0, 3, (3, 8))
        case "soft":
            return z, torch.randn(shape, dtype=torch.float64).softmax(1)
        case "regression":
            return z, torch.randn(shape, dtype=torch.float64)
    return z, (torch.rand(shape) < 0.5).double()


@pytest.mark.parametrize("given", ["logits", "probs"])
@pytest.mark.parametrize(("text", "task"), ROWS, ids=["-".join(row) for row in ROWS])
def test_as_if_removed(text: str, task: str, given: str, value: Any) -> None:
    """Four pixels of each image go, and one image entirely; what they hold is NaN. Once with mask=, once ignored."""
    if task == "regression" and given == "probs":
        given = "logits"
    kind = "multiclass" if task == "soft" else task
    for seed, weighted in itertools.product(range(2), (False, True)):
        z, target = a_call(task, seed)
        pred = z if given == "logits" else (z.softmax(1) if kind == "multiclass" else z.sigmoid())
        options: dict[str, Any] = {"task": kind, "input": given}
        if weighted:
            options["class_weight"] = (0.5, 1.0, 3.0)[: pred.shape[1]]
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
