"""A list of outputs, as deep supervision returns it: what belongs to the first is resized to each of the others.

Resizing picks pixels: output pixel i of n takes pixel floor((i + 1/2) * m / n) of m along each axis, which is
`nearest-exact` of torch.nn.functional.interpolate, here for every dtype, class indices included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lossdsl.checking.resolved import MultiScale
from lossdsl.errors import InputError
from lossdsl.graph.context import Context
from lossdsl.graph.spaces import of_scale
from lossdsl.runtime.kinds import FLOATS, check_dtype, check_kind
from lossdsl.runtime.layout import Call, check_target, fault, flat, shape

Given: TypeAlias = Tensor | Sequence[Tensor]
Further: TypeAlias = tuple[tuple[Tensor, Tensor | None], ...]

_EXAMPLE = "multiscale(0.5*bce + dice, weights=[1, 0.5, 0.25])"


def outputs(pred: Given, target: Given, scales: Sequence[MultiScale]) -> tuple[Any, Any, Further]:
    """The main prediction and target, and each further output with the target of its own that a list provides.

    What is neither a tensor nor a list is left for `check_tensors`.
    """
    if not scales:
        if isinstance(pred, (list, tuple)) or isinstance(target, (list, tuple)):
            _refuse_lists(pred, target)
        return pred, target, ()
    if not isinstance(pred, (list, tuple)):
        if isinstance(pred, Tensor):
            hint = "pass a list; for validation pass [pred] and a formula without weights"
            raise fault("LD501", "`pred` is one tensor, but the formula has multiscale(...)", hint)
        return pred, target, ()
    if not pred:
        raise fault("LD501", "`pred` is an empty list")
    _check_weights(scales, len(pred))
    if not isinstance(target, (list, tuple)):
        return pred[0], target, tuple((output, None) for output in pred[1:])
    if len(target) != len(pred):
        raise fault("LD502", f"`target` is a list of {len(target)}, `pred` of {len(pred)}")
    return pred[0], target[0], tuple(zip(pred[1:], target[1:], strict=True))


def _refuse_lists(pred: Given, target: Given) -> None:
    for name, value in (("pred", pred), ("target", target)):
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, Tensor) for item in value):
            message = f"`{name}` is a list of {len(value)}, but the formula has no multiscale(...)"
            raise fault("LD501", message, f"write {_EXAMPLE}, or pass the first tensor alone")


def _check_weights(scales: Sequence[MultiScale], count: int) -> None:
    for scale in scales:
        if scale.weights and len(scale.weights) != count:
            message = f"{len(scale.weights)} weight{'s' * (len(scale.weights) != 1)}, `pred` is a list of {count}"
            hint = "one weight for each tensor; for validation pass [pred] and a formula without weights"
            raise InputError([scale.origin.says("LD502", message, hint)])


def with_scales(call: Call, pred: Tensor, target: Tensor, further: Further) -> Call:
    """A call with the tensors of every further output laid out."""
    tensors, context = dict(call.tensors), call.context
    full = tuple(tensors["layout"].shape)
    resized = ["target", *(["mask"] if context.mask else [])]
    resized += [f"tensor:{name}" for name, axes in context.tensors if "pixel" in axes]
    for scale, (output, own) in enumerate(further, start=1):
        names = (f"pred[{scale}]", f"target[{scale}]")
        fixed = 2 if len(full) == pred.ndim else 1
        _check_output(output, pred, names[0], fixed)
        spatial = tuple(output.shape[fixed:])
        suffix, layout = of_scale(scale), (*full[:2], *spatial)
        tensors[f"pred{suffix}"], tensors[f"layout{suffix}"] = flat(output, layout), output.reshape(layout)
        for name in resized:
            tensors[f"{name}{suffix}"] = _resized(call.tensors[name], full[2:], spatial)
        if own is not None:
            _check_own_target(context, own, output, (target, pred), names)
            tensors[f"target{suffix}"] = flat(own, (full[0], 1, *spatial) if context.indexed else layout)
    return Call(context._replace(scales=1 + len(further)), tensors)


def _check_output(output: Tensor, pred: Tensor, name: str, fixed: int) -> None:
    """fixed: how many axes stand before the image axes."""
    check_kind(name, output)
    if output.dtype not in FLOATS:
        raise fault("LD503", f"`{name}` has dtype {output.dtype}; logits and probabilities are float16 to float64")
    if output.device != pred.device:
        raise fault("LD504", f"`pred[0]` is on {pred.device}, `{name}` on {output.device}")
    if output.ndim != pred.ndim or output.shape[:fixed] != pred.shape[:fixed]:
        message = f"`pred[0]` has shape {shape(pred)}, `{name}` {shape(output)}"
        raise fault("LD502", message, "all outputs must have the same number of samples, classes and axes")
    if (output.numel() == 0) != (pred.numel() == 0):
        raise fault("LD502", f"`pred[0]` has shape {shape(pred)}, `{name}` {shape(output)}: one has no pixels")


def _check_own_target(
    context: Context, own: Tensor, output: Tensor, first: tuple[Tensor, Tensor], names: tuple[str, str]
) -> None:
    target, pred = first
    check_kind(names[1], own)
    if own.device != pred.device:
        raise fault("LD504", f"`pred[0]` is on {pred.device}, `{names[1]}` on {own.device}")
    check_dtype(names[1], own)
    if own.ndim != target.ndim:
        raise fault("LD502", f"`target[0]` has shape {shape(target)}, `{names[1]}` {shape(own)}")
    check_target(context.task, output, own, context.indexed, names)


def _resized(tensor: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """(N, C, pixels) of images of one size for images of another; the same tensor where the sizes agree."""
    if tuple(old) == tuple(new):
        return tensor
    image = tensor.reshape(*tensor.shape[:2], *old)
    for axis, (m, n) in enumerate(zip(old, new, strict=True), start=2):
        if m != n:
            picked = (2 * torch.arange(n, device=tensor.device) + 1) * m // (2 * n)
            image = image.index_select(axis, picked)
    return image.flatten(2)
