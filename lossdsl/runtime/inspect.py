"""A look at the values of a batch: what no shape or dtype can tell."""

from __future__ import annotations

import torch
from torch import Tensor

from lossdsl.graph.context import Context
from lossdsl.graph.spaces import of_pair, of_scale
from lossdsl.runtime import ops
from lossdsl.runtime.layout import Call, fault


def check_values(call: Call, ignore_index: int | None, mask: Tensor | None) -> None:
    """Raise InputError when a mask, labels or probabilities are out of range, where elements count."""
    if mask is not None and mask.dtype != torch.bool and not ((mask == 0) | (mask == 1)).all():
        hint = "a weight for each pixel is a tensor by name, as in mean(w*bce(reduction=none))"
        raise fault("LD506", "`mask` has values other than 0 and 1", hint)
    context = Context(*call.key)
    for scale in range(max(context.scales, 1)):
        index = f"[{scale}]" if context.scales else ""
        _check_pair(context, call, of_scale(scale), ignore_index, (f"pred{index}", f"target{index}"))
    for prediction, target, fields in context.heads:
        _check_pair(Context(*fields), call, of_pair(prediction, target), ignore_index, (prediction, target))


def _check_pair(context: Context, call: Call, suffix: str, ignore_index: int | None, names: tuple[str, str]) -> None:
    """Look at the labels and probabilities of one prediction with its target."""
    pred, target = call.tensors[f"pred{suffix}"], call.tensors[f"target{suffix}"]
    if context.task == "regression" or pred.numel() == 0:
        return
    counts = torch.ones_like(target, dtype=torch.bool)
    if f"mask{suffix}" in call.tensors:
        counts = counts & call.tensors[f"mask{suffix}"].expand_as(target)
    if context.ignoring and ignore_index is not None:
        counts = counts & ops.differs(target, ignore_index)
    low, high = _range(target, counts)
    classes = pred.shape[1]
    if context.indexed and not (low >= 0 and high < classes):
        wrong = int(high if high >= classes else low)
        hint = f"labels are 0 to {classes - 1}; a label for pixels that do not count is given as ignore_index={wrong}"
        raise fault("LD506", f"`{names[1]}` has the class index {wrong}, `{names[0]}` has {classes} classes", hint)
    if not context.indexed and not (low >= 0 and high <= 1):
        hint = "labels are 0 and 1, or between; a label for elements that do not count is given as ignore_index"
        raise fault("LD506", f"`{names[1]}` has values from {low:g} to {high:g}", hint)
    if context.input == "probs":
        low, high = _range(pred, counts.expand_as(pred))
        if not (low >= 0 and high <= 1):
            message = f'`{names[0]}` has values from {low:g} to {high:g}, with input="probs"'
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
