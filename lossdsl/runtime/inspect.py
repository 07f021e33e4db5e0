"""A look at the values of a batch: what no shape or dtype can tell."""

from __future__ import annotations

import torch
from torch import Tensor

from lossdsl.graph.context import Context
from lossdsl.runtime import ops
from lossdsl.runtime.layout import Call, fault


def check_values(call: Call, ignore_index: int | None, pred: Tensor, mask: Tensor | None) -> None:
    """Raise InputError when a mask, labels or probabilities are out of range, where elements count."""
    if mask is not None and mask.dtype != torch.bool and not ((mask == 0) | (mask == 1)).all():
        hint = "a weight for each pixel is a tensor by name, as in mean(w*bce(reduction=none))"
        raise fault("LD506", "`mask` has values other than 0 and 1", hint)
    context, tensors = Context(*call.key), call.tensors
    if context.task == "regression" or pred.numel() == 0:
        return
    target = tensors["target"]
    counts = torch.ones_like(target, dtype=torch.bool)
    if "mask" in tensors:
        counts = counts & tensors["mask"].expand_as(target)
    if ignore_index is not None:
        counts = counts & ops.differs(target, ignore_index)
    low, high = _range(target, counts)
    classes = tensors["pred"].shape[1]
    if context.indexed and not (low >= 0 and high < classes):
        wrong = int(high if high >= classes else low)
        hint = f"labels are 0 to {classes - 1}; a label for pixels that do not count is given as ignore_index={wrong}"
        raise fault("LD506", f"`target` has the class index {wrong}, `pred` has {classes} classes", hint)
    if not context.indexed and not (low >= 0 and high <= 1):
        hint = "labels are 0 and 1, or between; a label for elements that do not count is given as ignore_index"
        raise fault("LD506", f"`target` has values from {low:g} to {high:g}", hint)
    if context.input == "probs":
        low, high = _range(tensors["pred"], counts.expand_as(tensors["pred"]))
        if not (low >= 0 and high <= 1):
            message = f'`pred` has values from {low:g} to {high:g}, with input="probs"'
            raise fault("LD506", message, 'probabilities are in [0, 1]; for raw scores use input="logits"')


def _range(values: Tensor, counts: Tensor) -> tuple[float, float]:
    """Smallest and largest value that counts; (0, 0) when none does."""
    chosen = values.detach()[counts]
    if chosen.numel() == 0:
        return 0.0, 0.0
    if chosen.dtype == torch.bool:
        return 0.0, 1.0
    low, high = chosen.aminmax()
    return float(low), float(high)
