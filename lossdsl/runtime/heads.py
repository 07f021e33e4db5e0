"""Heads beside `pred` whose tensors have a layout of their own: each pair is laid out and masked by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import torch
from torch import Tensor

from lossdsl.checking.heads import Pair
from lossdsl.graph.context import Context, OwnHead
from lossdsl.graph.spaces import of_pair
from lossdsl.runtime.kinds import FLOATS
from lossdsl.runtime.layout import Call, fault, flat, lay_out
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
