"""Tensors of a call to the layout (batch, class, pixel): views only, after every shape and dtype is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

import torch
from torch import Tensor

from lossdsl.errors import Diagnostic, InputError
from lossdsl.graph.context import Context, Plain, plain
from lossdsl.graph.printing import shown_input
from lossdsl.runtime.accepted_tensors import FLOATS, INTEGERS, check_dtype, check_kind
from lossdsl.syntax.tree import AXES
from lossdsl.tasks import task_record

MADE_ANEW = "call loss.to_empty(device=...) and loss.reset_parameters() to initialize it"
_OWN_TARGET = "with its own target it may have any shape: bce({name}, {name}_target)"


@dataclass(frozen=True, slots=True)
class Call:
    """A call made ready: what kind of call it is, and its tensors by the names of a plan's inputs."""

    context: Context
    tensors: dict[str, Tensor]

    @property
    def key(self) -> Plain:
        """What plans are looked up by."""
        return plain(self.context)


def fault(code: str, message: str, hint: str | None = None) -> InputError:
    return InputError([Diagnostic(code, message, hint=hint)])


def shape(tensor: Tensor) -> str:
    return f"({', '.join(str(int(size)) for size in tensor.shape)}{',' * (tensor.ndim == 1)})"


def arrange(
    task: str,
    kind: str,
    ignoring: bool,
    class_weight: Tensor | None,
    pred: Tensor,
    target: Tensor,
    mask: Tensor | None,
    extra: Mapping[str, Tensor],
    predictions: Set[str] = frozenset(),
    targets: Set[str] = frozenset(),
) -> Call:
    """Check a call against its task and lay its tensors out. predictions, targets: the tensors that stand as one.

    Raises InputError naming both shapes, dtypes or devices where two things do not fit.
    """
    indexed, full = lay_out(task, pred, target)
    tensors = {"pred": flat(pred, full), "target": flat(target, (full[0], 1, *full[2:]) if indexed else full)}
    tensors["layout"] = pred.reshape(full)
    mask_axes: tuple[str, ...] | None = None
    if mask is not None:
        tensors["mask"], mask_axes = _mask(mask, pred, full, by_class=not task_record(task).is_exclusive)
    elif pred.numel() == 0:
        # An empty batch is a batch in which nothing counts.
        tensors["mask"], mask_axes = torch.ones_like(tensors["pred"][:, :1], dtype=torch.bool), ("batch", "pixel")
    if class_weight is not None:
        tensors["class_weight"] = _class_weight(class_weight, pred, full)
    named = []
    for name in sorted(extra):
        role = {"class"} if name in predictions else {"pixel"} if name in targets else set()
        wanted = role if task_record(task).indices else set()
        tensors[f"tensor:{name}"], axes = _named(name, extra[name], pred, full, wanted, name in predictions)
        named.append((name, axes))
    absent = _absent_axes(task, pred, full)
    weighted = class_weight is not None
    context = Context(task, kind, indexed, mask_axes, ignoring, weighted, tensors=tuple(named), absent=absent)
    return Call(context, tensors)


def _absent_axes(task: str, pred: Tensor, full: tuple[int, ...]) -> tuple[str, ...]:
    """The axes that have size 1 in the layout because the prediction does not have them."""
    classes = ("class",) if _has_no_class_axis(task, pred) else ()
    return classes if len(full) > 2 else (*classes, "pixel")


def lay_out(
    task: str, pred: Tensor, target: Tensor, names: tuple[str, str] = ("pred", "target")
) -> tuple[bool, tuple[int, ...]]:
    """Whether a target holds class indices, and the layout (N, C, *spatial) of its prediction."""
    classless = _has_no_class_axis(task, pred)
    indexed = task_record(task).indices and target.ndim == pred.ndim - 1
    check_target(task, pred, target, indexed, names)
    spatial = tuple(pred.shape[1:] if classless else pred.shape[2:])
    return indexed, (pred.shape[0], 1 if classless else pred.shape[1], *spatial)


def check_tensors(pred: Tensor, target: Tensor, mask: Tensor | None, extra: Mapping[str, Tensor]) -> None:
    """Raise InputError unless everything is a dense tensor on the same device, and pred is floating point."""
    others = {"target": target, **({"mask": mask} if mask is not None else {}), **extra}
    for name, value in {"pred": pred, **others}.items():
        check_kind(name, value)
    if pred.dtype not in FLOATS:
        raise fault("LD503", f"`pred` has dtype {pred.dtype}; logits and probabilities are float16 to float64")
    for name, value in others.items():
        if value.device != pred.device:
            raise fault("LD504", f"`pred` is on {pred.device}, `{name}` on {value.device}")
        check_dtype(name, value)


def check_heads(call: Call, predictions: Set[str], targets: Set[str]) -> None:
    """Raise InputError unless the tensors that stand for `pred` and `target` are such."""
    axes, may_be_indices = dict(call.context.tensors), task_record(call.context.task).indices
    for name in predictions:
        if name not in axes:
            continue  # a head with a layout of its own
        tensor = call.tensors[f"tensor:{name}"]
        if tensor.dtype not in FLOATS:
            raise fault("LD503", f"`{name}` is used as a prediction but has dtype {tensor.dtype}")
        missing = _missing(call, axes[name])
        if missing:
            message = f"`{name}` is used as a prediction but has no {missing[-1]} axis; `pred` has {_sizes(call)}"
            raise fault("LD502", message, _OWN_TARGET.format(name=name))
    for name in targets & axes.keys():
        missing = _missing(call, axes[name])
        if "pixel" in missing or (missing and not may_be_indices):
            message = f"`{name}` is used as a target but has no {missing[-1]} axis; `pred` has {_sizes(call)}"
            raise fault("LD502", message, "a target needs a value for each element of its prediction")
        indices = may_be_indices and "class" not in axes[name]
        if indices and call.tensors[f"tensor:{name}"].dtype not in INTEGERS:
            dtype = call.tensors[f"tensor:{name}"].dtype
            raise fault("LD503", f"`{name}` holds class indices but has dtype {dtype}", f"{name}.long()")


def _missing(call: Call, axes: tuple[str, ...]) -> list[str]:
    """The axes of `pred` over which a tensor would be spread."""
    sizes = zip(("class", "pixel"), call.tensors["pred"].shape[1:], strict=True)
    return [axis for axis, size in sizes if size > 1 and axis not in axes]


def _sizes(call: Call) -> str:
    _, classes, pixels = call.tensors["pred"].shape
    return f"{int(classes)} class{'es' * (classes != 1)} and {int(pixels)} pixel{'s' * (pixels != 1)}"


def check_classes(named: Iterable[tuple[str, int]], call: Call) -> None:
    """Raise InputError when a formula names a class that its prediction does not have."""
    for name, number in named:
        classes = call.tensors[name].shape[1]
        if number >= classes:
            message = f"the formula names the class {number}, but `{shown_input(name)}` has {classes} classes"
            raise fault("LD502", message, "classes are counted from 0")


def check_lists(lists: Iterable[tuple[str, int]], call: Call) -> None:
    """Raise InputError unless each list of a formula has one number for each class of its prediction."""
    for name, length in lists:
        classes = call.tensors[name].shape[1]
        if length != classes:
            message = (
                f"the formula lists {length} numbers, `{shown_input(name)}` has {classes} class{'es' * (classes != 1)}"
            )
            raise fault("LD502", message, "a list used as a value has one number for each class")


def _has_no_class_axis(task: str, pred: Tensor) -> bool:
    """(N,) for every task; for binary also (N, *spatial): one class, so the second axis is pixels like the others."""
    return pred.ndim == 1 or (task_record(task).has_one_class and not (pred.ndim >= 2 and pred.shape[1] == 1))


def check_target(task: str, pred: Tensor, target: Tensor, indexed: bool, names: tuple[str, str]) -> None:
    name, other = names
    if pred.ndim == 0:
        raise fault("LD502", f"`{name}` has no batch axis", f"{name} is (N, C, *spatial), or (N, *spatial) for binary")
    record = task_record(task)
    if record.indices:
        fewest, _ = record.classes
        if pred.ndim < 2 or pred.shape[1] < fewest:
            hint = "a softmax over one class is always 1; for one channel use the task binary"
            raise fault("LD502", f"{task} needs at least {fewest} classes; {_pair(pred, target, names)}", hint)
        if indexed and (target.shape[0] != pred.shape[0] or target.shape[1:] != pred.shape[2:]):
            message = f"{_pair(pred, target, names)}; class indices need {_expected(pred)}"
            raise fault("LD502", message, _stack_hint(pred, target, names))
        if indexed and target.dtype not in INTEGERS:
            message = f"`{other}` holds class indices but has dtype {target.dtype}; {_pair(pred, target, names)}"
            stacked = f"; {_unstacked(name, 1)}" if pred.ndim == 5 else ""
            raise fault("LD503", message, f"{other}.long(){stacked}")
    if not indexed and pred.shape != target.shape:
        indices = (
            f", or {_expected(pred)} for class indices"
            if record.has_one_class and pred.ndim > 1 < pred.shape[1]
            else ""
        )
        message = f"{_pair(pred, target, names)}; the shapes must be equal{indices}"
        raise fault("LD502", message, _shape_hint(task, pred, target, names))


def _pair(pred: Tensor, target: Tensor, names: tuple[str, str]) -> str:
    """Written only where something is wrong: torch.compile makes no text of sizes that change."""
    return f"`{names[0]}` has shape {shape(pred)}, `{names[1]}` {shape(target)}"


def _expected(pred: Tensor) -> str:
    return f"({', '.join(str(size) for size in (pred.shape[0], *pred.shape[2:]))})"


def _shape_hint(task: str, pred: Tensor, target: Tensor, names: tuple[str, str]) -> str | None:
    stacked = _stack_hint(pred, target, names)
    record = task_record(task)
    if stacked and record.has_labels and not record.indices and target.shape == (pred.shape[0], *pred.shape[2:]):
        return f'for class indices use task="multiclass"; {stacked}'
    if stacked:
        return stacked
    if record.indices:
        return f"class indices have shape {_expected(pred)}, probabilities the shape of {names[0]}"
    if target.ndim == pred.ndim - 1 and pred.shape[1:2] == (1,):
        return f"add the class axis: {names[1]}.unsqueeze(1)"
    if pred.ndim == target.ndim - 1 and target.shape[1] == 1:
        return f"add the class axis: {names[0]}.unsqueeze(1)"
    return None


def _stack_hint(pred: Tensor, target: Tensor, names: tuple[str, str]) -> str | None:
    """Where the parts of a prediction along its first or second axis would fit its target."""
    for axis in (1, 0):
        one = (*pred.shape[:axis], *pred.shape[axis + 1 :])
        if pred.ndim > 3 and pred.shape[axis] > 1 and target.shape in (one, one[:1] + one[2:]):
            return _unstacked(names[0], axis)
    return None


def _unstacked(name: str, axis: int) -> str:
    return f"if `{name}` is a stack of outputs, pass {name}.unbind({axis}) to a formula with multiscale(...)"


def flat(tensor: Tensor, full: tuple[int, ...]) -> Tensor:
    """(N, C, *spatial) as (N, C, pixels); a view where the memory allows it."""
    if tensor.shape != full:
        tensor = tensor.reshape(full)
    if tensor.ndim == 3:
        return tensor
    return tensor.unsqueeze(-1) if tensor.ndim == 2 else tensor.flatten(2)


def _mask(mask: Tensor, pred: Tensor, full: tuple[int, ...], by_class: bool) -> tuple[Tensor, tuple[str, ...]]:
    """A mask of (N, *spatial) or what broadcasts to it; of pred's own shape when each class has its own elements."""
    counted = mask if mask.dtype == torch.bool else mask != 0
    pixels = (full[0], *full[2:])
    if mask.shape == pred.shape and len(full) == pred.ndim and full[1] > 1 and by_class:
        return flat(counted, full), AXES
    if mask.ndim == len(full) and mask.shape[1] == 1:
        counted = counted.squeeze(1)
    if mask.ndim == 1 and len(pixels) > 1 and mask.shape[0] == pixels[0] == pixels[-1] > 1:
        message = (
            f"`mask` has shape {shape(mask)}: one value for each image, or for each column of `pred` {shape(pred)}?"
        )
        raise fault(
            "LD502", message, "give it all axes: mask.view(-1, 1, 1) for images, mask.view(1, 1, -1) for columns"
        )
    try:
        counted = counted.expand(pixels)
    except RuntimeError:
        wanted = f"({', '.join(str(int(size)) for size in pixels)})"
        raise fault(
            "LD502", f"`mask` has shape {shape(mask)}; `pred` {shape(pred)} needs one that broadcasts to {wanted}"
        ) from None
    return flat(counted.unsqueeze(1), (full[0], 1, *full[2:])), ("batch", "pixel")


def _class_weight(weight: Tensor, pred: Tensor, full: tuple[int, ...]) -> Tensor:
    classes = full[1]
    if weight.numel() != classes:
        pair = f"`class_weight` has shape {shape(weight)}, `pred` {shape(pred)}"
        raise fault("LD502", f"{pair}: {weight.numel()} weights for {classes} class{'es' * (classes != 1)}")
    if weight.device != pred.device:
        hint = MADE_ANEW if weight.is_meta else "loss.to(pred.device) moves the weights"
        raise fault("LD504", f"`pred` is on {pred.device}, `class_weight` on {weight.device}", hint)
    return weight.view(1, -1, 1)


def _named(
    name: str, tensor: Tensor, pred: Tensor, full: tuple[int, ...], wanted: Set[str], predicts: bool
) -> tuple[Tensor, tuple[str, ...]]:
    """A tensor passed by name: one number, one for each sample, class or pixel, or any of these together.

    wanted: the axes that its role asks for, where its shape can be read in two ways.
    """
    if tensor.ndim == 0:
        return tensor, ()
    found = _readings(tensor, full)
    if len(found) > 1:
        found = {axes: layout for axes, layout in found.items() if wanted and wanted <= {*axes}} or found
    if len(found) > 1:
        message = f"`{name}` has shape {shape(tensor)}: one value for each class, or for each pixel of `pred`"
        hint = f"give it all axes: {name}.unsqueeze(2) for classes, {name}.unsqueeze(1) for pixels"
        raise fault("LD502", f"{message} {shape(pred)}?", hint)
    for axes, layout in found.items():
        return flat(tensor.reshape(layout), layout), axes
    message = f"`{name}` has shape {shape(tensor)}, which does not fit `pred` {shape(pred)}"
    raise fault("LD502", message, _OWN_TARGET.format(name=name) if predicts else None)


def _readings(tensor: Tensor, full: tuple[int, ...]) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Every way to read a shape beside `pred`: the axes that it has, and its layout (N, 1 or C, 1 or *spatial).

    An axis of one class is one where all axes are given.
    """
    batch, classes, *spatial = full
    if tensor.shape[0] != batch:
        return {}
    found: dict[tuple[str, ...], tuple[int, ...]] = {}
    if spatial and list(tensor.shape[1:]) == spatial:
        found["batch", "pixel"] = (batch, 1, *spatial)
    if tensor.ndim in (1, 2, len(full)):
        of_class, *image = [*tensor.shape[1:], *[1] * (len(full) - tensor.ndim)]
        by_class = tensor.ndim > 1 and of_class == classes and (classes > 1 or tensor.ndim == len(full))
        deep = image == spatial
        if (by_class or of_class == 1) and (deep or all(size == 1 for size in image)):
            axes = ("batch", *(("class",) if by_class else ()), *(("pixel",) if deep and spatial else ()))
            found[axes] = (batch, of_class, *image)
    return found
