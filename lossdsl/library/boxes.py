"""Losses of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossdsl.errors import Diagnostic, InputError
from lossdsl.registry.kernels import loss

if TYPE_CHECKING:
    from torch import Tensor


@loss(range="[0, 2]", keeps=("batch", "pixel"))
def giou(pred: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Generalised IoU of boxes: 1 - I/U + (C - U)/C, with the smallest box C around both.

    Source: Rezatofighi et al. 2019, arXiv 1902.09630
    Note: boxes are (N, 4): left, top, right, bottom; or (N, 6): three least coordinates, then three largest
    Note: a box without an extent, or turned inside out, has the volume 0; two such boxes have the loss 0 if equal
    Note: a mask has one number for each box
    Shape: (N, 4)
    """
    import torch

    axes = pred.shape[1] // 2
    if pred.shape[1] % 2:
        message = f"`giou` takes boxes as (N, 4) or (N, 6), not with {pred.shape[1]} coordinates"
        raise InputError([Diagnostic("LD502", message)])
    low, high, true_low, true_high = (part for box in (pred, target) for part in (box[:, :axes], box[:, axes:]))
    both = _volume(torch.maximum(low, true_low), torch.minimum(high, true_high))
    hull = _volume(torch.minimum(low, true_low), torch.maximum(high, true_high))
    union = _volume(low, high) + _volume(true_low, true_high) - both
    nothing = union <= 0
    differ = (pred != target).any(dim=1, keepdim=True).to(pred.dtype)
    apart = torch.where(nothing, differ, (union - both) / torch.where(nothing, 1.0, union))
    around = (hull - union).clamp_min(0) / torch.where(hull > 0, hull, 1.0)
    result = apart + around
    return result if mask is None else torch.where(mask.all(dim=1, keepdim=True), result, 0.0)


def _volume(low: Tensor, high: Tensor) -> Tensor:
    """Product of the sides, (N, 1, P)."""
    volume: Tensor = (high - low).clamp_min(0).prod(dim=1, keepdim=True)
    return volume
