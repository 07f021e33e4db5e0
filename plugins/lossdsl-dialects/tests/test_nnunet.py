"""The numbers of nnU-Net v2, which is not installed: its formulas, written down here in plain torch."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

FLAG = (True, False)
DICE = {"batch_dice": FLAG, "do_bg": FLAG, "smooth": (1.0, 1e-5, 0)}
CE = {"weight": (True,), "label_smoothing": (0.1, 0.0)}
PARTS = {"weight_ce": (0.5, 0), "weight_dice": (2.0, 0)}
SOFTMAX, SIGMOID = ("multiclass",), ("binary", "multilabel")
CHOICES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "SoftDiceLoss": (SOFTMAX + SIGMOID, DICE | {"clip_tp": (None, 1.5)}),
    "MemoryEfficientSoftDiceLoss": (SOFTMAX + SIGMOID, DICE),
    "RobustCrossEntropyLoss": (SOFTMAX, CE),
    "TopKLoss": (SOFTMAX, CE | {"k": (10, 7, 50, 100)}),
    "DC_and_CE_loss": (SOFTMAX, DICE | CE | PARTS),
    "DC_and_BCE_loss": (SIGMOID, DICE | PARTS | {"pos_weight": (None, 2.0)}),
    "DC_and_topk_loss": (SOFTMAX, DICE | CE | PARTS | {"k": (10, 33)}),
}


def negative_dice(
    p: Tensor,
    y: Tensor,
    batch_dice: bool = False,
    do_bg: bool = True,
    smooth: float = 1.0,
    clip_tp: float | None = None,
) -> Tensor:
    """minus the mean over images (unless pooled) and classes of (2 tp + s) / (2 tp + fp + fn + s)."""
    axes = tuple(i for i in range(p.ndim) if i > 1 or (i == 0 and batch_dice))
    found, fp, fn = (p * y).sum(axes), (p * (1 - y)).sum(axes), ((1 - p) * y).sum(axes)
    tp = found if clip_tp is None else found.clamp(min=clip_tp)
    score = (2 * tp + smooth) / (2 * tp + fp + fn + smooth).clamp(min=1e-8)
    return -(score if do_bg else score[..., 1:]).mean()


def largest(z: Tensor, index: Tensor, k: float, **options: Any) -> Tensor:
    """Mean of the k percent largest, their number rounded down."""
    each = functional.cross_entropy(z, index, reduction="none", **options).flatten()
    return each.sort(descending=True).values[: int(each.numel() * k / 100)].mean()


def reference(name: str, task: str, arguments: dict[str, Any], dtype: torch.dtype) -> Any:
    given = {k: torch.tensor(v, dtype=dtype) if isinstance(v, list) else v for k, v in arguments.items()}
    dice = {k: given[k] for k in ("batch_dice", "do_bg", "smooth", "clip_tp") if k in given}
    entropy = {k: given[k] for k in ("weight", "label_smoothing") if k in given}
    first, second = given.get("weight_ce", 1), given.get("weight_dice", 1)

    def value(z: Tensor, target: Tensor) -> Tensor:
        if task == "multiclass":
            p, y = z.softmax(1), functional.one_hot(target, z.shape[1]).movedim(-1, 1).to(z.dtype)
        else:
            p, y = z.sigmoid(), target
        region = negative_dice(p, y, **dice)
        if name.endswith("DiceLoss"):
            return region
        if "BCE" in name:
            weight = None if given.get("pos_weight") is None else torch.tensor(given["pos_weight"], dtype=z.dtype)
            pixel = functional.binary_cross_entropy_with_logits(z, y, pos_weight=weight)
        elif "opk" in name.replace("K", "k"):
            pixel = largest(z, target, given.get("k", 10), **entropy)
        else:
            pixel = functional.cross_entropy(z, target, **entropy)
        return first * pixel + second * region if name.startswith("DC") else pixel

    return value


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", CHOICES)
def test_same_numbers(name: str, compare: Any, text_of: Any, setup_of: Any) -> None:
    tasks, choices = CHOICES[name]

    def setup(call: Any, arguments: dict[str, Any], rng: random.Random) -> Any:
        if arguments.pop("weight", None) and rng.random() < 0.5:
            arguments["weight"] = [rng.choice([0.5, 1.0, 3.0]) for _ in range(call.classes)]
        if call.task == "binary":
            arguments.pop("do_bg", None)
        theirs = reference(name, call.task, arguments, call.z.dtype)
        return setup_of(f"nnunet.{name}({text_of(arguments)})", theirs, call)

    compare(choices, setup, tasks, sizes=[(20,), (5, 5), (2, 3, 4)])
