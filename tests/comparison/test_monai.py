"""Losses that MONAI has. It is called with the elements that count, class by class, so that masks and weights act."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import pytest
import torch
from configurations import Case, Each
from torch import Tensor

LABELS = ("binary", "multilabel", "multiclass", "soft")
MANY = LABELS[1:]


def activation(case: Case) -> dict[str, Any]:
    chosen = "softmax" if case.exclusive else "sigmoid"
    return {chosen: case.given == "logits", "reduction": "none"}


def region(case: Case, loss: Any, per: str, **options: Any) -> Tensor:
    """Losses by image and class, or by class."""
    return case.groups(loss(**activation(case), batch=per == "batch", **options), per)


def dice(monai: Any, case: Case, smooth: float = 1.0, per: str = "image", squared: str = "false") -> Each:
    """smooth_nr = smooth_dr = smooth."""
    options = {"smooth_nr": smooth, "smooth_dr": smooth, "squared_pred": squared == "true"}
    return case.each(region(case, monai.DiceLoss, per, **options))


def dice_of_foreground(monai: Any, case: Case, smooth: float = 1.0, per: str = "image", **_: Any) -> Each | None:
    """MONAI has its background also where it is the only class."""
    classes = case.y.shape[1]
    if classes == 1:
        return None
    rows = region(case, monai.DiceLoss, per, smooth_nr=smooth, smooth_dr=smooth, include_background=False)
    if rows.shape[1] == 1:  # nothing counts, or two classes
        rows = rows.expand(-1, classes - 1)
    return case.each(torch.cat([0 * rows[:, :1], rows], 1), count=torch.tensor([0.0] + [1.0] * (classes - 1)))


def iou(monai: Any, case: Case, smooth: float = 1.0, per: str = "image") -> Each:
    """jaccard=True doubles numerator and denominator."""
    options = {"smooth_nr": 2 * smooth, "smooth_dr": 2 * smooth, "jaccard": True}
    return case.each(region(case, monai.DiceLoss, per, **options))


def score(loss: Any, monai: Any, case: Case, **parameters: Any) -> Each:
    each = loss(monai, case, **parameters)
    return Each(1 - each.values, each.weight, each.count, each.there)


def log_cosh_dice(monai: Any, case: Case, **parameters: Any) -> Tensor:
    return dice(monai, case, **parameters).mean().cosh().log()


def tversky(
    monai: Any, case: Case, fp_weight: float = 0.5, fn_weight: float = 0.5, smooth: float = 1.0, per: str = "image"
) -> Each:
    """MONAI's alpha weighs the false positives."""
    options = {"smooth_nr": smooth, "smooth_dr": smooth, "alpha": float(fp_weight), "beta": float(fn_weight)}
    return case.each(region(case, monai.TverskyLoss, per, **options))


def focal_tversky(monai: Any, case: Case, gamma: float = 0.75, **parameters: Any) -> Each:
    each = tversky(monai, case, **{"fp_weight": 0.3, "fn_weight": 0.7} | parameters)
    return Each(each.values**gamma, each.weight, each.count, each.there)


def precision(monai: Any, case: Case, **parameters: Any) -> Each:
    return tversky(monai, case, 1.0, 0.0, **parameters)


def recall(monai: Any, case: Case, **parameters: Any) -> Each:
    return tversky(monai, case, 0.0, 1.0, **parameters)


def f_beta(monai: Any, case: Case, beta: float = 1.0, smooth: float = 1.0, per: str = "image") -> Each:
    """Numerator and denominator divided by 1 + beta**2."""
    share = 1 + beta**2
    return tversky(monai, case, 1 / share, beta**2 / share, smooth / share, per)


def generalized_dice(
    monai: Any, case: Case, weight: str = "square", smooth: float = 0.0, per: str = "image"
) -> Each | Tensor:
    """smooth_nr = smooth_dr, added after weighting."""
    options = {"smooth_nr": smooth, "smooth_dr": smooth, "w_type": weight}
    each = case.each(region(case, monai.GeneralizedDiceLoss, per, **options))
    return each if per == "image" else each.mean()


def mcc(monai: Any, case: Case, per: str = "batch") -> Each:
    """Its smooth_dr is added to a product of four counts; here too small to see."""
    return case.each(region(case, monai.MCCLoss, per, smooth_dr=1e-30))


def focal(monai: Any, case: Case, gamma: float = 2.0, alpha: float | None = None) -> Each:
    return case.each(monai.FocalLoss(gamma=gamma, alpha=alpha, reduction="none")(case.z, case.y).double())


def focal_of_classes(monai: Any, case: Case, gamma: float = 2.0) -> Each:
    """One-hot labels pick the true class."""
    each = monai.FocalLoss(gamma=gamma, use_softmax=True, reduction="none")(case.z, case.y).double()
    weights = case.w.view(1, -1, 1)
    return case.each((weights * each).sum(1, keepdim=True), (weights * case.y).sum(1, keepdim=True))


def unified_focal(
    monai: Any, case: Case, share: float = 0.5, delta: float = 0.7, gamma: float = 0.5, smooth: float = 1e-7
) -> Tensor:
    """Two classes, epsilon = smooth. MONAI averages the cross-entropy over the two classes, where the paper adds up."""
    parts = importlib.import_module(f"{monai.__name__}.unified_focal_loss")
    each = parts.AsymmetricFocalLoss(delta=delta, gamma=gamma, reduction="none")(case.z, case.y)
    rows = case.groups(parts.AsymmetricFocalTverskyLoss(delta=delta, gamma=gamma, reduction="none"), "image")
    return share * case.each(each.sum(1, keepdim=True)).mean() + (1 - share) * case.each(rows).mean()


SMOOTH = [None, 1e-5, 0.1, 1, 3]
PER = [None, "image", "batch"]
AREA = {"smooth": SMOOTH, "per": PER}
COMPARED: dict[str, dict[str, Any]] = {
    "dice": {"reference": dice, "tasks": LABELS, "parameters": AREA | {"squared": [None, "true", "false"]}},
    "dice: include_background": {
        "reference": dice_of_foreground,
        "tasks": MANY,
        "parameters": AREA | {"include_background": ["false"]},
        "elementwise": False,
    },
    "dice_coef": {"reference": partial(score, dice), "tasks": LABELS, "parameters": AREA},
    "log_cosh_dice": {"reference": log_cosh_dice, "tasks": LABELS, "parameters": AREA},
    "iou": {"reference": iou, "tasks": LABELS, "parameters": AREA},
    "iou_coef": {"reference": partial(score, iou), "tasks": LABELS, "parameters": AREA},
    "tversky": {
        "reference": tversky,
        "tasks": LABELS,
        "parameters": AREA | {"fp_weight": [None, 0, 0.3, 1], "fn_weight": [None, 0.7, 2.5]},
    },
    "focal_tversky": {
        "reference": focal_tversky,
        "tasks": LABELS,
        "parameters": AREA | {"gamma": [None, 0.5, 4 / 3, 2], "fp_weight": [None, 0.5], "fn_weight": [None, 1]},
    },
    "precision": {"reference": precision, "tasks": LABELS, "parameters": AREA},
    "recall": {"reference": recall, "tasks": LABELS, "parameters": AREA},
    "f_beta": {"reference": f_beta, "tasks": LABELS, "parameters": AREA | {"beta": [None, 0.5, 1, 2]}},
    # MONAI has the class sizes in float32
    "generalized_dice": {
        "reference": generalized_dice,
        "tasks": MANY,
        "parameters": {"smooth": [1e-5, 0.5], "per": PER, "weight": [None, "square", "simple", "uniform"]},
        "weighted": False,
        "elementwise": False,
        "precision": 1e-5,
    },
    "mcc": {"reference": mcc, "tasks": LABELS, "parameters": {"per": PER}},
    # MONAI's focal losses are in float32 always; test_papers.py has the double precision
    "focal": {
        "reference": focal,
        "tasks": ("binary", "multilabel"),
        "parameters": {"gamma": [None, 0, 1, 2, 3.5], "alpha": [None, 0, 0.25, 1]},
        "given": ("logits",),
        "soft": False,
        "precision": 1e-5,
    },
    "focal: of classes": {
        "reference": focal_of_classes,
        "tasks": ("multiclass",),
        "parameters": {"gamma": [None, 0, 1, 2, 3.5]},
        "given": ("logits",),
        "precision": 1e-5,
    },
    "unified_focal": {
        "reference": unified_focal,
        "tasks": ("multiclass",),
        "parameters": {"share": [None, 0, 0.2, 1], "delta": [None, 0.6, 0.9], "gamma": [None, 0, 0.3],
                       "smooth": [1e-7]},
        "given": ("probs",),
        "classes": 2,
        "scales": (0.1, 1.0, 2.0),  # within the epsilon to which MONAI clamps
    },
}  # fmt: skip


@pytest.mark.parametrize("name", list(COMPARED))
def test_monai(name: str, monai: Any, agrees: Any) -> None:
    row = COMPARED[name]
    agrees(name, **row | {"reference": partial(row["reference"], monai)})
