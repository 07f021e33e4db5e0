"""Losses that torch has, or that are one call of torch's away: on the elements that count, or by torch's options."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from configurations import Case, Each
from torch import Tensor
from torch.nn import functional

OUTCOMES = ("binary", "multilabel")
CLASSES = ("multiclass", "soft")
REGRESSION = ("regression",)
SCALES = (0.1, 1.0, 5.0, 30.0)


def outcomes(case: Case, y: Tensor, pos_weight: float | None = None, positive: float = 1.0, rest: float = 1.0) -> Each:
    """BCEWithLogitsLoss, or BCELoss. weight= of torch is a factor of both outcomes."""
    factor = case.y * positive + (1 - case.y) * rest
    if case.given == "logits":
        weight = None if pos_weight is None else torch.tensor(float(pos_weight), dtype=torch.float64)
        call = functional.binary_cross_entropy_with_logits
        return case.each(call(case.z, y, weight=factor, pos_weight=weight, reduction="none"))
    each = functional.binary_cross_entropy(case.z, y, weight=factor, reduction="none")
    # BCELoss has no pos_weight: what it adds is pos_weight - 1 times the part of the positives
    more = 0.0 if pos_weight is None else (1 - pos_weight) * y * case.z.log().clamp_min(-100)
    return case.each(each + more)


def bce(case: Case, pos_weight: float | None = None, label_smoothing: float = 0.0) -> Each:
    return outcomes(case, (1 - label_smoothing) * case.y + label_smoothing * (1 - case.y), pos_weight)


def balanced_bce(case: Case, beta: Any = "auto") -> Each | None:
    """beta=auto is the share of negatives. As weight= of torch goes by the label, only for labels of 0 and 1."""
    if not ((case.y == 0) | (case.y == 1)).all():
        return None
    share = case.each(1 - case.y).mean() if beta == "auto" else beta
    return outcomes(case, case.y, positive=share, rest=1 - share)


def hinge(case: Case, margin: float = 1.0) -> Each:
    """HingeEmbeddingLoss of the label -1 is max(0, margin - x)."""
    score = (2 * case.y - 1) * case.z
    return case.each(functional.hinge_embedding_loss(score, -torch.ones_like(score), float(margin), reduction="none"))


def cross_entropy(case: Case, weight: Tensor, label_smoothing: float = 0.0) -> Each:
    """CrossEntropyLoss with the weights, the ignored labels and the smoothing of torch.

    NLLLoss for probabilities, which has neither smoothing nor labels between 0 and 1: once for each class.
    """
    kept, label = case.kept[:, 0], case.y.argmax(1)
    count = (weight[:, None] * case.y).sum(1)
    if case.given == "logits":
        target = case.y if case.task == "soft" else torch.where(kept, label, -100)
        each = functional.cross_entropy(
            case.z, target, weight=weight, label_smoothing=float(label_smoothing), reduction="none"
        )
        return Each(each, torch.ones_like(each), count, kept)
    smoothed = (1 - label_smoothing) * case.y + label_smoothing / len(weight)
    classes = [functional.nll_loss(case.z.log(), torch.full_like(label, c), weight, reduction="none")
               for c in range(len(weight))]  # fmt: skip
    each = (smoothed * torch.stack(classes, 1)).sum(1)
    return Each(each, torch.ones_like(each), count, kept)


def ce(case: Case, label_smoothing: float = 0.0) -> Each:
    return cross_entropy(case, case.w, label_smoothing)


def ce_mean(case: Case, label_smoothing: float = 0.0) -> Tensor | None:
    """The mean by torch itself: for class indices it divides by the weights of those that count."""
    if not case.kept.any():
        return None
    index = torch.where(case.kept[:, 0], case.y.argmax(1), -7)
    mean = functional.cross_entropy(
        case.z, index, weight=case.w, ignore_index=-7, label_smoothing=float(label_smoothing)
    )
    return None if mean.isnan() else mean  # only classes of weight 0 are left


def frequency_ce(case: Case, power: float = 1.0) -> Tensor:
    """CrossEntropyLoss with weight = 1/frequency**power, times the class weights."""
    pixels = case.total(case.y, "batch")[0]
    frequency = pixels / pixels.sum().clamp_min(1e-300)
    weight = torch.where(frequency > 0, frequency, math.inf) ** -float(power) if power else (frequency > 0).double()
    return cross_entropy(case, case.w * weight).mean()


def topk_ce(case: Case, share: float = 0.1) -> Tensor:
    """torch.topk of the weighted values of torch; of n the next whole number above share*n."""
    each = cross_entropy(case, case.w) if case.exclusive else outcomes(case, case.y)
    weight = case.w.view(1, -1, 1) if case.task == "multilabel" else 1.0
    values = (weight * each.values)[each.there]
    if not len(values):
        return 0 * each.values.sum()
    return values.topk(math.ceil(round(share * len(values), 9))).values.mean()


def divergence(case: Case, y: Tensor, p: Tensor) -> Each:
    """KLDivLoss(reduction="none"), added up over the classes, or over the two outcomes."""
    if case.exclusive:
        return case.each(functional.kl_div(p.log(), y, reduction="none").sum(1, keepdim=True))
    pair = ((p, y), (1 - p, 1 - y))
    return case.each(sum(functional.kl_div(q.log(), label, reduction="none") for q, label in pair))


def kl(case: Case) -> Each:
    return divergence(case, case.y, case.p)


def js(case: Case) -> Each:
    """Lin 1991: the mean of the divergences of both from their middle."""
    middle = (case.p + case.y) / 2
    parts = divergence(case, case.y, middle), divergence(case, case.p, middle)
    return replace(parts[0], values=(parts[0].values + parts[1].values) / 2)


def elementwise(loss: Callable[..., Tensor]) -> Callable[..., Each]:
    def reference(case: Case, **parameters: float) -> Each:
        keywords = {name: float(number) for name, number in parameters.items()}
        return case.each(loss(case.z, case.y, reduction="none", **keywords))

    return reference


def corners(*offsets: float) -> Any:
    """Targets of which some are met exactly, and some are missed by exactly the distance where the branches meet."""

    def draw(z: Tensor, y: Tensor) -> Tensor:
        chosen = torch.tensor([0.0, *offsets], dtype=torch.float64)[torch.randint(len(offsets) + 1, z.shape)]
        return torch.where(torch.rand(z.shape) < 0.3, z + chosen, y)

    return draw


SMOOTHING = [None, None, 0.05, 0.3]
COMPARED: dict[str, dict[str, Any]] = {
    "bce": {
        "reference": bce,
        "tasks": OUTCOMES,
        "parameters": {"pos_weight": [None, 0, 0.1, 3.5, 100], "label_smoothing": SMOOTHING},
        "scales": SCALES,
        "given": ("logits",),
    },
    "bce: of probabilities": {
        "reference": bce,
        "tasks": OUTCOMES,
        "parameters": {"pos_weight": [None, 0, 3.5], "label_smoothing": SMOOTHING},
        "given": ("probs",),
    },
    "balanced_bce": {
        "reference": balanced_bce,
        "tasks": OUTCOMES,
        "parameters": {"beta": [None, "auto", 0, 0.3, 1]},
        "soft": False,
    },
    "hinge": {
        "reference": hinge,
        "tasks": OUTCOMES,
        "parameters": {"margin": [None, 0.5, 2]},
        "given": ("logits",),
        "soft": False,
    },
    "ce": {
        "reference": ce,
        "tasks": CLASSES,
        "parameters": {"label_smoothing": [*SMOOTHING, 0.9]},
        "given": ("logits",),
        "scales": SCALES,
    },
    "ce: of probabilities": {
        "reference": ce,
        "tasks": CLASSES,
        "parameters": {"label_smoothing": [*SMOOTHING, 0.9]},
        "given": ("probs",),
    },
    "ce: mean by torch": {
        "reference": ce_mean,
        "tasks": ("multiclass",),
        "parameters": {"label_smoothing": [*SMOOTHING, 0.9]},
        "given": ("logits",),
    },
    "frequency_ce": {"reference": frequency_ce, "tasks": ("multiclass",), "parameters": {"power": [None, 0, 0.5, 1]}},
    "topk_ce": {
        "reference": topk_ce,
        "tasks": (*OUTCOMES, *CLASSES),
        "parameters": {"share": [None, 0.1, 0.5, 1]},
    },
    "kl": {"reference": kl, "tasks": (*OUTCOMES, *CLASSES)},
    "js": {"reference": js, "tasks": (*OUTCOMES, *CLASSES)},
    "l1": {"reference": elementwise(functional.l1_loss), "tasks": REGRESSION, "targets": corners()},
    "mse": {"reference": elementwise(functional.mse_loss), "tasks": REGRESSION, "targets": corners()},
    "smooth_l1": {
        "reference": elementwise(functional.smooth_l1_loss),
        "tasks": REGRESSION,
        "parameters": {"beta": [None, 0, 1e-3, 1 / 8, 0.5, 2, 50]},
        "targets": corners(0.5, -0.125, 2),
    },
    "huber": {
        "reference": elementwise(functional.huber_loss),
        "tasks": REGRESSION,
        "parameters": {"delta": [None, 1e-3, 1 / 8, 0.5, 2, 50]},
        "targets": corners(0.5, -0.125, 2),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", list(COMPARED))
def test_torch(name: str, agrees: Any) -> None:
    agrees(name, **COMPARED[name])
