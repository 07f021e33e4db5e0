"""The losses that are compared: plain torch, MONAI, segmentation_models.pytorch, and ours."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossdsl

FOUR = "bce + dice + focal + tversky"
TEN = f"{FOUR} + iou + hinge + focal_tversky + log_cosh_dice + bce(pos_weight=2) + dice(per=batch)"
Loss = Callable[[Tensor], Tensor]


def ours(text: str, target: Tensor, backend: Any = "eager", task: Any = None) -> Loss:
    loss = lossdsl.compile(text, backend=backend, task=task)
    return lambda pred: loss(pred, target)


def monai_four(target: Tensor) -> Loss:
    losses = _monai()
    parts = [losses.DiceLoss(sigmoid=True), losses.FocalLoss(), losses.TverskyLoss(sigmoid=True)]

    def total(pred: Tensor) -> Tensor:
        value = functional.binary_cross_entropy_with_logits(pred, target)
        for part in parts:
            value = value + part(pred, target)
        return value

    return total


def monai_dice_ce(target: Tensor) -> Loss:
    loss = _monai().DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
    column = target.unsqueeze(1)
    return lambda pred: loss(pred, column)


def smp_four(target: Tensor) -> Loss:
    losses = _smp()
    parts = [
        losses.SoftBCEWithLogitsLoss(), losses.DiceLoss("binary"), losses.FocalLoss("binary"),
        losses.TverskyLoss("binary"),
    ]  # fmt: skip
    return lambda pred: sum((part(pred, target) for part in parts), torch.zeros(()))


def smp_dice_ce(target: Tensor) -> Loss:
    dice = _smp().DiceLoss("multiclass")
    return lambda pred: functional.cross_entropy(pred, target) + dice(pred, target)


def by_hand(target: Tensor) -> Loss:
    """0.5*bce + 0.5*dice as one writes it in torch."""

    def total(pred: Tensor) -> Tensor:
        p = pred.sigmoid()
        overlap = (p * target).sum((2, 3))
        dice = 1 - (2 * overlap + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)
        return 0.5 * functional.binary_cross_entropy_with_logits(pred, target) + 0.5 * dice.mean()

    return total


def _monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("monai.losses")


@cache
def _smp() -> Any:
    """The package's losses alone: the package itself imports torchvision and timm."""
    name = "segmentation_models_pytorch"
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    if name not in sys.modules:
        stub = types.ModuleType(name)
        stub.__path__ = [str(Path(found.origin).parent)]
        sys.modules[name] = stub
    return importlib.import_module(f"{name}.losses")
