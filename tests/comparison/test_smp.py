"""Losses that segmentation_models.pytorch has, called with the elements that count. It takes labels of 0 and 1."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import pytest
import torch
from configurations import Case, Each
from torch import Tensor

OUTCOMES = ("binary", "multilabel")
LABELS = (*OUTCOMES, "multiclass")


def class_losses(case: Case, loss: Any, **options: Any) -> Tensor:
    """The region losses, which pool the batch, of one class after the other, of those that count."""

    def rows(pred: Tensor, labels: Tensor) -> Tensor:
        multiclass = case.exclusive
        target = labels.argmax(1) if multiclass else labels
        make = partial(loss, "multiclass" if multiclass else "multilabel", from_logits=case.given == "logits")
        flat = pred.flatten(2), target.flatten(1 if multiclass else 2)
        return torch.stack([make(classes=[c], **options)(*flat) for c in range(pred.shape[1])])

    return case.groups(rows, "batch")


def occurs(case: Case) -> Tensor:
    return (case.total(case.y, "batch") > 0).double()


def dice(smp: Any, case: Case, smooth: float = 1.0, **_: Any) -> Each:
    """smooth counts double. A class without a pixel has loss 0; empty=skip leaves it out of the mean as well."""
    return case.each(class_losses(case, smp.DiceLoss, smooth=smooth / 2) * occurs(case), count=occurs(case))


def tversky(
    smp: Any, case: Case, fp_weight: float = 0.5, fn_weight: float = 0.5, smooth: float = 1.0, **_: Any
) -> Each | None:
    """alpha weighs the false positives. Only where all classes occur: an absent one has loss 0 in smp."""
    if (occurs(case) == 0).any():
        return None
    return case.each(class_losses(case, smp.TverskyLoss, alpha=fp_weight, beta=fn_weight, smooth=smooth))


def iou(smp: Any, case: Case, smooth: float = 1.0, **_: Any) -> Each | None:
    return None if (occurs(case) == 0).any() else case.each(class_losses(case, smp.JaccardLoss, smooth=smooth))


def mcc(smp: Any, case: Case, **_: Any) -> Each:
    """Of the probabilities of one outcome. Its eps is added to each count; here too small to see."""
    loss = smp.MCCLoss(eps=1e-30)
    return case.each(case.groups(lambda p, y: loss(p.reshape(1, 1, 1, -1), y.reshape(1, 1, 1, -1)), "batch"))


def bce(smp: Any, case: Case, pos_weight: float | None = None, label_smoothing: float | None = None) -> Each:
    weight = None if pos_weight is None else torch.tensor(float(pos_weight), dtype=torch.float64)
    loss = smp.SoftBCEWithLogitsLoss(pos_weight=weight, smooth_factor=label_smoothing, reduction="none")
    return case.each(loss(case.z, case.y))


def ce(smp: Any, case: Case, label_smoothing: float = 0.0) -> Tensor | None:
    """Its mean divides by the ignored pixels too, so these are removed."""
    loss = smp.SoftCrossEntropyLoss(smooth_factor=float(label_smoothing))
    return case.each(case.groups(lambda z, y: loss(z.flatten(2), y.argmax(1).flatten(1)), "batch")).mean()


def focal_values(case: Case, loss: Any) -> Each:
    return case.each(loss(case.z.flatten(), case.y.flatten()).reshape(case.z.shape))


def focal(smp: Any, case: Case, gamma: float = 2.0, alpha: float | None = None) -> Each:
    return focal_values(case, smp.FocalLoss("binary", gamma=gamma, alpha=alpha, reduction=None))


def reduced_focal(smp: Any, case: Case, gamma: float = 2.0, **_: Any) -> Each:
    """smp divides by the threshold where ours divides by its complement: the same for 1/2."""
    return focal_values(case, smp.FocalLoss("binary", gamma=gamma, reduced_threshold=0.5, reduction=None))


def normalized_focal(smp: Any, case: Case, gamma: float = 2.0) -> Tensor:
    """Divides by the sum of the factors, if that is no smaller than 1e-6; "mean" would divide by the size once more."""
    loss = smp.FocalLoss("binary", gamma=gamma, normalized=True, reduction="sum")
    return loss(case.z[case.kept], case.y[case.kept])


def lovasz(smp: Any, case: Case, per: str = "image") -> Each | Tensor | None:
    """In float32, as its sums of labels always are; multiclass averages over the classes that are there, unweighted."""
    if case.exclusive and "class_weight" in case.options:
        return None
    hinge, softmax = smp.LovaszLoss("binary"), smp.LovaszLoss("multiclass")

    def row(z: Tensor, y: Tensor) -> Tensor:
        if case.exclusive:
            return softmax(z.flatten(2).unsqueeze(-1), y.argmax(1).flatten(1).unsqueeze(-1)).reshape(1)
        return torch.stack([hinge(z[:, c], y[:, c]) for c in range(z.shape[1])])

    def rows(z: Tensor, y: Tensor) -> Tensor:
        images = [slice(b, b + 1) for b in range(len(z))] if per == "image" else [slice(None)]
        return torch.stack([row(z[some].float(), y[some]) for some in images]).double()

    each = case.each(case.groups(rows, per))
    return each.mean() if case.exclusive else each


def wing(smp: Any, case: Case, width: float = 5.0, curvature: float = 0.5) -> Each:
    function = importlib.import_module(f"{smp.__name__}._functional").wing_loss
    return case.each(function(case.z, case.y, width=width, curvature=curvature, reduction="none"))


GAMMAS = [None, 0, 1, 2, 3.5]
POOLED = {"smooth": [None, 1e-5, 0.1, 1], "per": ["batch"]}
COMPARED: dict[str, dict[str, Any]] = {
    "dice": {"reference": dice, "tasks": LABELS, "parameters": POOLED | {"empty": ["skip"]}, "soft": False},
    "tversky": {
        "reference": tversky,
        "tasks": LABELS,
        "parameters": POOLED | {"fp_weight": [None, 0, 0.3, 1], "fn_weight": [None, 0.7, 2.5]},
        "soft": False,
    },
    "iou": {"reference": iou, "tasks": LABELS, "parameters": POOLED, "soft": False},
    "mcc": {"reference": mcc, "tasks": ("binary",), "given": ("probs",), "weighted": False},
    "bce": {
        "reference": bce,
        "tasks": OUTCOMES,
        "parameters": {"pos_weight": [None, 0, 3.5], "label_smoothing": [None, 0.05, 0.3]},
        "given": ("logits",),
    },
    "ce": {
        "reference": ce,
        "tasks": ("multiclass",),
        "parameters": {"label_smoothing": [None, 0.05, 0.3]},
        "given": ("logits",),
        "weighted": False,
    },
    "focal": {
        "reference": focal,
        "tasks": OUTCOMES,
        "parameters": {"gamma": GAMMAS, "alpha": [None, 0, 0.3, 1]},
        "given": ("logits",),
        "soft": False,
    },
    "reduced_focal": {
        "reference": reduced_focal,
        "tasks": OUTCOMES,
        "parameters": {"gamma": GAMMAS, "threshold": [None, 0.5]},
        "given": ("logits",),
        "soft": False,
    },
    "normalized_focal": {
        "reference": normalized_focal,
        "tasks": OUTCOMES,
        "parameters": {"gamma": GAMMAS},
        "given": ("logits",),
        "soft": False,
        "weighted": False,
        "scales": (0.1, 1.0),
    },
    "lovasz": {
        "reference": lovasz,
        "tasks": LABELS,
        "parameters": {"per": [None, "image", "batch"]},
        "given": ("logits",),
        "soft": False,
        "precision": 1e-5,
    },
    "wing": {
        "reference": wing,
        "tasks": ("regression",),
        "parameters": {"width": [None, 1, 0.3], "curvature": [None, 2, 0.1]},
    },
}


@pytest.mark.parametrize("name", list(COMPARED))
def test_smp(name: str, smp: Any, agrees: Any) -> None:
    row = COMPARED[name]
    agrees(name, **row | {"reference": partial(row["reference"], smp)})
