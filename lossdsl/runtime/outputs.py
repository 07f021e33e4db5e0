"""Predictions of other layouts than `pred`: heads beside it, and the outputs of deep supervision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lossdsl.checking.heads import Pair
from lossdsl.checking.resolved import MultiScale
from lossdsl.errors import InputError
from lossdsl.graph.context import Context, OwnHead
from lossdsl.graph.heads import of_pair, of_scale
from lossdsl.runtime.accepted_tensors import FLOATS, check_dtype, check_kind
from lossdsl.runtime.layout import Call, check_target, fault, flat, lay_out, shape
from lossdsl.syntax.tree import AXES
from lossdsl.tasks import decide_task, task_record


def own_pairs(task: str, pred: Tensor, tensors: Mapping[str, Tensor], pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs that cannot share the layout of `pred`, or whose losses are not written for the task of the call."""
    if pred.ndim == 0:
        return ()
    return tuple(
        pair
        for pair in pairs
        if not _laid_out_alike(tensors[pair.prediction], pred) or (pair.tasks and task not in pair.tasks)
    )


def laid_out_with_pred(
    tensors: Mapping[str, Tensor], pairs: Sequence[Pair], own: Sequence[Pair], beside: Set[str]
) -> dict[str, Tensor]:
    """The tensors that are laid out as `pred` is: those of the other pairs, and those that stand outside of pairs."""
    alike = {name for pair in pairs if pair not in own for name in pair.names}
    return {name: tensor for name, tensor in tensors.items() if name in alike or name in beside}


def with_heads(call: Call, pairs: Sequence[Pair], given: Mapping[str, Tensor], mask: Tensor | None) -> Call:
    """A call with the tensors of its own heads laid out."""
    tensors, heads = dict(call.tensors), []
    for pair in pairs:
        context, own = _own_head(call, pair, given, mask is not None)
        suffix = of_pair(*pair.names)
        tensors.update({f"{role}{suffix}": tensor for role, tensor in own.items()})
        heads.append(OwnHead(pair.prediction, pair.target, context))
    return Call(call.context._replace(heads=tuple(heads)), tensors)


def _laid_out_alike(tensor: Tensor, pred: Tensor) -> bool:
    """The same shape; an axis of one class may be there or not."""
    return tensor.shape == pred.shape or _without_class(tensor) == _without_class(pred)


def _without_class(tensor: Tensor) -> tuple[int, ...]:
    return (*tensor.shape[:1], *tensor.shape[2:]) if tensor.shape[1:2] == (1,) else tuple(tensor.shape)


def _own_head(call: Call, pair: Pair, given: Mapping[str, Tensor], masked: bool) -> tuple[Context, dict[str, Tensor]]:
    """The context of a pair, and its tensors by their roles."""
    context = call.context
    prediction, target = given[pair.prediction], given[pair.target]
    if prediction.dtype not in FLOATS:
        raise fault("LD503", f"`{pair.prediction}` is used as a prediction but has dtype {prediction.dtype}")
    task = _task(pair, prediction, target)
    indexed, full = lay_out(task, prediction, target, pair.names)
    tensors = {
        "pred": flat(prediction, full),
        "target": flat(target, (full[0], 1, *full[2:]) if indexed else full),
        "layout": prediction.reshape(full),
    }
    axes: tuple[str, ...] | None = None
    if masked:
        tensors["mask"], axes = _mask(call, pair, full, task_record(task).is_exclusive)
    elif prediction.numel() == 0:
        tensors["mask"], axes = torch.ones_like(tensors["pred"][:, :1], dtype=torch.bool), ("batch", "pixel")
    weighted = context.weighted and task == context.task and full[1] == call.tensors["pred"].shape[1]
    ignoring = context.ignoring and task_record(task).has_labels
    return Context(task, context.input, indexed, axes, ignoring, weighted), tensors


def _task(pair: Pair, prediction: Tensor, target: Tensor) -> str:
    """As for a call with these two tensors; a task that the losses of the pair are not written for is left out."""
    decided = decide_task(prediction.shape, target.shape, pair.raw_only)
    return pair.tasks[0] if pair.tasks and decided not in pair.tasks else decided


def _mask(call: Call, pair: Pair, full: tuple[int, ...], by_pixel: bool) -> tuple[Tensor, tuple[str, ...]]:
    """The mask of the call for a head: its pixels where the image axes are those of `pred`, else its images."""
    mask, layout = call.tensors["mask"], call.tensors["layout"]
    if full[0] != layout.shape[0]:
        message = f"`{pair.prediction}` has {full[0]} samples, `pred` {layout.shape[0]}"
        raise fault("LD502", f"{message}: a mask selects images", "call the loss without a mask")
    if mask.shape[1] > 1 and (by_pixel or mask.shape[1] != full[1]):
        mask = mask.any(1, keepdim=True)
    if full[2:] == tuple(layout.shape[2:]):
        return mask, AXES if mask.shape[1] > 1 else ("batch", "pixel")
    return mask.flatten(1).any(1).view(-1, 1, 1), ("batch",)


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
