"""The numbers of pytorch-toolbelt, which is not installed: its formulas, written down here in plain torch."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

FLAG = (True, False)
ALL, SIGMOID = ("binary", "multilabel", "multiclass"), ("binary", "multilabel")
REGION = {
    "mode": ("task",), "classes": (None, [0], [1, 0]), "log_loss": FLAG, "from_logits": FLAG,
    "smooth": (0.0, 1.0, 0.2), "eps": (1e-7, 1e-3),
}  # fmt: skip
REDUCTION = {"reduction": ("mean", "sum")}
CHOICES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "DiceLoss": (ALL, REGION),
    "JaccardLoss": (ALL, REGION),
    "BinaryFocalLoss": (
        SIGMOID,
        {
            "alpha": (None, 0.25), "gamma": (2.0, 1.5, 0.0), "normalized": FLAG, "reduced_threshold": (None, 0.5, 0.3),
            "class_weights": (True,), **REDUCTION,
        },
    ),
    "BalancedBCEWithLogitsLoss": (SIGMOID, {"gamma": (1.0, 2.0, 0.5), **REDUCTION}),
    "BinarySoftF1Loss": (("binary",), {"eps": (1e-6, 0.01)}),
    "SoftF1Loss": (("multiclass",), {"eps": (1e-6, 0.01)}),
    "BinaryLovaszLoss": (("binary",), {"per_image": FLAG}),
    "LovaszLoss": (("multiclass",), {"per_image": FLAG}),
    "SoftBCEWithLogitsLoss": (SIGMOID, {"smooth_factor": (None, 0.1), "pos_weight": (None, 2.0), **REDUCTION}),
    "SoftCrossEntropyLoss": (("multiclass",), {"smooth_factor": (0.0, 0.1), **REDUCTION}),
    "QualityFocalLoss": (SIGMOID, {"beta": (2.0, 1.0, 3.5), **REDUCTION}),
}  # fmt: skip


def over_batch(name: str, call: Any, classes: Any, log_loss: bool, from_logits: bool, smooth: float, eps: float) -> Any:
    def value(pred: Tensor, _: Tensor) -> Tensor:
        p = pred if not from_logits else pred.softmax(1) if call.task == "multiclass" else pred.sigmoid()
        axes = (0, *range(2, p.ndim))
        both, size = (p * call.y).sum(axes), (p + call.y).sum(axes)
        top, bottom = (2 * both, size) if name == "DiceLoss" else (both, size - both)
        score = (top + smooth) / (bottom + smooth).clamp(min=eps)
        loss = -score.clamp(min=eps).log() if log_loss else 1 - score
        loss = torch.where(call.y.sum(axes) > 0, loss, 0.0)
        return (loss if classes is None else loss[classes]).mean()

    return value


def reduced(each: Tensor, reduction: str) -> Tensor:
    return each.mean() if reduction == "mean" else each.sum()


def focal(
    z: Tensor, y: Tensor, alpha: Any, gamma: float, normalized: bool, threshold: Any, weights: Any, reduction: str
) -> Tensor:
    p = z.sigmoid()
    right = torch.where(y == 1, p, 1 - p)
    factor = (1 - right) ** gamma
    if threshold is not None:
        factor = torch.where(right < threshold, 1.0, ((1 - right) / (1 - threshold)) ** gamma)
    each = -factor * functional.logsigmoid(torch.where(y == 1, z, -z))
    if alpha is not None:
        each = each * torch.where(y == 1, alpha, 1 - alpha)
    if weights is not None:
        each = each * torch.tensor(weights, dtype=z.dtype).view(-1, *[1] * (z.ndim - 2))
    return reduced(each / factor.sum().clamp(min=1e-6) if normalized else each, reduction)


def balanced(z: Tensor, y: Tensor, gamma: float, reduction: str) -> Tensor:
    positive = ((y == 0).sum().to(z.dtype) / y.numel()) ** gamma
    weight = torch.where(y == 1, positive**gamma, (1 - positive) ** gamma)
    return reduced(-weight * functional.logsigmoid(torch.where(y == 1, z, -z)), reduction)


def soft_f1(p: Tensor, y: Tensor, eps: float) -> Tensor:
    """Of (elements, classes)."""
    p = p.clamp(eps, 1 - eps)
    tp, fp, fn = (p * y).sum(0), (p * (1 - y)).sum(0), ((1 - p) * y).sum(0)
    return (1 - 2 * tp / (2 * tp + fp + fn + eps)).mean()


def extension(errors: Tensor, y: Tensor) -> Tensor:
    """Lovasz extension of the Jaccard loss, from its definition: the loss of the sets of the largest errors."""
    order = errors.argsort(descending=True)
    jaccard = [torch.zeros((), dtype=errors.dtype)]
    for count in range(1, len(order) + 1):
        wrong = torch.zeros_like(y)
        wrong[order[:count]] = 1
        right = (y * (1 - wrong)).sum()
        jaccard.append(1 - right / torch.maximum(y, wrong).sum())
    steps = torch.stack(jaccard).diff()
    return (errors[order] * steps).sum()


def hinge(z: Tensor, y: Tensor, per_image: bool) -> Tensor:
    errors = (1 - (2 * y - 1) * z).clamp(min=0).flatten(1)
    if per_image:
        return torch.stack([extension(e, t) for e, t in zip(errors, y.flatten(1), strict=True)]).mean()
    return extension(errors.flatten(), y.flatten())


def of_probabilities(p: Tensor, y: Tensor, per_image: bool) -> Tensor:
    groups = [(p[i : i + 1], y[i : i + 1]) for i in range(len(p))] if per_image else [(p, y)]
    each = []
    for probability, label in groups:
        pairs = zip(probability.transpose(0, 1).flatten(1), label.transpose(0, 1).flatten(1), strict=True)
        each.append(torch.stack([extension((t - q).abs(), t) for q, t in pairs if t.sum() > 0]).mean())
    return torch.stack(each).mean()


def smoothed(z: Tensor, target: Tensor, smooth_factor: float, reduction: str) -> Tensor:
    return functional.cross_entropy(z, target, label_smoothing=smooth_factor, reduction=reduction)


def bce(z: Tensor, y: Tensor, smooth_factor: Any, pos_weight: Any, reduction: str) -> Tensor:
    t = y if smooth_factor is None else smooth_factor + y * (1 - 2 * smooth_factor)
    weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=z.dtype)
    return functional.binary_cross_entropy_with_logits(z, t, pos_weight=weight, reduction=reduction)


def quality(z: Tensor, y: Tensor, beta: float, reduction: str) -> Tensor:
    each = (y - z.sigmoid()).abs() ** beta * functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    return reduced(each, reduction)


def reference(name: str, call: Any, given: dict[str, Any]) -> Any:
    reduction = given.get("reduction", "mean")
    if "mode" in given:
        smooth, eps = given.get("smooth", 0.0), given.get("eps", 1e-7)
        flags = given.get("log_loss", False), given.get("from_logits", True)
        return over_batch(name, call, given.get("classes"), *flags, smooth, eps)
    image, eps, factor = given.get("per_image", False), given.get("eps", 1e-6), given.get("smooth_factor")
    weights, threshold = given.get("class_weights"), given.get("reduced_threshold")
    modes = given.get("alpha"), given.get("gamma", 2.0), given.get("normalized", False)
    return {
        "BinaryFocalLoss": lambda z, y: focal(z, y, *modes, threshold, weights, reduction),
        "BalancedBCEWithLogitsLoss": lambda z, y: balanced(z, y, given.get("gamma", 1.0), reduction),
        "BinarySoftF1Loss": lambda z, y: soft_f1(z.sigmoid().view(-1, 1), y.view(-1, 1), eps),
        "SoftF1Loss": lambda z, _: soft_f1(
            z.softmax(1).movedim(1, -1).reshape(-1, z.shape[1]), call.y.movedim(1, -1).reshape(-1, z.shape[1]), eps
        ),
        "BinaryLovaszLoss": lambda z, y: hinge(z, y, image),
        "LovaszLoss": lambda p, _: of_probabilities(p, call.y, image),
        "SoftBCEWithLogitsLoss": lambda z, y: bce(z, y, factor, given.get("pos_weight"), reduction),
        "SoftCrossEntropyLoss": lambda z, target: smoothed(z, target, factor or 0.0, reduction),
        "QualityFocalLoss": lambda z, y: quality(z, y, given.get("beta", 2.0), reduction),
    }[name]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", CHOICES)
def test_same_numbers(name: str, compare: Any, text_of: Any, setup_of: Any) -> None:
    tasks, choices = CHOICES[name]

    def setup(call: Any, arguments: dict[str, Any], rng: random.Random) -> Any:
        if "mode" in arguments:
            arguments["mode"] = call.task
        if arguments.pop("class_weights", None) and rng.random() < 0.6:
            arguments["class_weights"] = [rng.choice([0.5, 1.0, 3.0]) for _ in range(call.classes)]
        if call.task == "binary":
            arguments.pop("classes", None)
        return setup_of(
            f"toolbelt.{name}({text_of(arguments)})",
            reference(name, call, arguments),
            call,
            probabilities=name == "LovaszLoss" or not arguments.get("from_logits", True),
        )

    compare(choices, setup, tasks)


def test_balanced_bce_without_positives() -> None:
    import lossdsl

    assert lossdsl.compile("toolbelt.BalancedBCEWithLogitsLoss")(torch.randn(2, 1, 4), torch.zeros(2, 1, 4)) == 0
