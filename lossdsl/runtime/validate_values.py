"""Validate the values of a batch: labels that are no class, and targets and probabilities out of range."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from lossdsl.checking.facts import Facts
from lossdsl.checking.heads import Stand
from lossdsl.graph.context import Context
from lossdsl.graph.heads import of_pair, of_scale
from lossdsl.runtime import ops
from lossdsl.runtime.accepted_tensors import can_be_read, must_wait
from lossdsl.runtime.layout import Call, fault
from lossdsl.tasks import task_record


class Sight(NamedTuple):
    """The inputs of a plan that hold the labels and the prediction of one head.

    target, prediction: "" where there is nothing to look at, as in logits, and where another sight has it.
    classes: an input with all classes. ignoring: the target whose ignored labels say what does not count, "" without.
    names: as the caller passed them.
    """

    task: str
    indexed: bool
    target: str
    prediction: str
    classes: str
    ignoring: str
    mask: str
    names: tuple[str, str]


def sights_of(context: Context, facts: Facts, inputs: Container[str]) -> tuple[Sight, ...]:
    """Those of a kind of call, for what a plan reads. A regression has no labels and no probabilities."""
    found = [
        sight._replace(
            target=sight.target if sight.target in inputs else "",
            prediction=sight.prediction if sight.prediction in inputs else "",
        )
        for sight in _all(context, facts)
        if task_record(sight.task).has_labels
    ]
    return tuple(dict.fromkeys(sight for sight in found if sight.target or sight.prediction))


def counted(sight: Sight, tensors: Mapping[str, Tensor], ignore_index: int | None) -> Tensor | None:
    """Which elements count; None when all do."""
    counts = tensors[sight.mask] if sight.mask else None
    if sight.ignoring and ignore_index is not None:
        kept = ops.differs(tensors[sight.ignoring], ignore_index)
        counts = kept if counts is None else counts & kept
    return counts


def _all(context: Context, facts: Facts) -> Iterator[Sight]:
    for scale in range(max(context.scales, 1)):
        index = f"[{scale}]" if context.scales else ""
        yield _of_space(context, of_scale(scale), (f"pred{index}", f"target{index}"))
    for prediction, target, own_context in context.heads:
        yield _of_space(own_context, of_pair(prediction, target), (prediction, target))
    own = {(head.prediction, head.target) for head in context.heads}
    for stand in facts.stands:
        if not stand.raw_only and (stand.prediction, stand.target) not in own:
            yield _beside(stand, context)


def _of_space(context: Context, suffix: str, names: tuple[str, str]) -> Sight:
    """A prediction with its target in their own layout."""
    target, prediction = f"target{suffix}", f"pred{suffix}"
    return Sight(
        task=context.task,
        indexed=context.indexed,
        target=target,
        prediction=prediction if context.input == "probs" else "",
        classes=prediction,
        ignoring=target if context.ignoring else "",
        mask=f"mask{suffix}" if context.mask else "",
        names=names,
    )


def _beside(stand: Stand, context: Context) -> Sight:
    """Tensors by name that are laid out as `pred` is. Beside an expression they count where `target` does."""
    axes = dict(context.tensors)
    target = f"tensor:{stand.target}" if stand.target in axes else ""
    prediction = f"tensor:{stand.prediction}" if stand.prediction in axes else stand.prediction or ""
    own = target and prediction
    return Sight(
        task=context.task,
        indexed=task_record(context.task).indices and "class" not in axes.get(stand.target or "", ()),
        target=target,
        prediction=prediction if context.input == "probs" else "",
        classes="pred",
        ignoring=(target if own else "target") if context.ignoring else "",
        mask="mask" if context.mask else "",
        names=(stand.prediction or "pred", stand.target or "target"),
    )


_FEW = 512  # labels that are read one by one in the time of a few calls of torch


def are_classes(sight: Sight, tensors: Mapping[str, Tensor], ignore_index: int | None) -> bool:
    """Whether every class index that counts is a class.

    A device that would have to be waited for checks it by itself and stops there; the answer is True then, as it is
    where the values cannot be read.
    """
    target = tensors[sight.target]
    if target.numel() == 0 or not can_be_read(target):
        return True
    if must_wait(target):
        stop_at_no_class(sight, tensors, ignore_index)
        return True
    low, high = (int(value.item()) for value in target.aminmax())
    classes = tensors[sight.classes].shape[1]
    if low >= 0 and high < classes:
        return True
    if not sight.mask and not sight.ignoring:
        return False
    if target.numel() <= _FEW and not sight.mask and sight.ignoring == sight.target:
        return all(0 <= label < classes or label == ignore_index for label in {*target.flatten().tolist()})
    if min(low, 0) + 255 >= max(high, 0) and sight.ignoring in ("", sight.target):
        return _bytes_are_classes(sight, tensors, ignore_index, classes, (low, high))
    low, high = (int(value.item()) for value in _counted_labels(sight, tensors, ignore_index).aminmax())
    return low >= 0 and high < classes


def stop_at_no_class(sight: Sight, tensors: Mapping[str, Tensor], ignore_index: int | None) -> None:
    """Have the device check the class indices when it comes to them; torch.compile keeps this in its graph.

    No assertion has a rule for vmap.
    """
    if torch._C._are_functorch_transforms_active():
        return
    target = tensors[sight.target]
    last = tensors[sight.classes].shape[1] - 1
    if not sight.ignoring and not sight.mask:
        low, high = target.aminmax()
    else:
        low, high = _counted_labels(sight, tensors, ignore_index).aminmax()
    message = f"LD506: `{sight.names[1]}` has a class index that is not a class of `{sight.names[0]}`; to ignore pixels"
    torch._assert_async((low.long() >= 0) & (high.long() <= last), f"{message} with this label, set ignore_index")


def _counted_labels(sight: Sight, tensors: Mapping[str, Tensor], ignore_index: int | None) -> Tensor:
    """The labels, with 0 where they do not count."""
    target, counts = tensors[sight.target], counted(sight, tensors, ignore_index)
    return target if counts is None else torch.where(counts, target, 0)


def _bytes_are_classes(
    sight: Sight,
    tensors: Mapping[str, Tensor],
    ignore_index: int | None,
    classes: int,
    ends: tuple[int, int],
) -> bool:
    """The same for labels that fit into a byte modulo 256: a pass over bytes costs an eighth, and needs no choice.

    Different labels are different bytes, and a negative one is above all that are not.
    """
    labels = tensors[sight.target].to(torch.uint8)
    if sight.ignoring and ignore_index is not None and ends[0] <= ignore_index <= ends[1]:
        labels = labels * (labels ^ ignore_index % 256).clamp_(max=1)
    if sight.mask:
        labels = labels * tensors[sight.mask].view(torch.uint8)
    return int(labels.amax().item()) < min(classes, max(ends[1], 0) + 1)


_ROUNDING = 1e-2  # of a distribution that was in half precision once; bfloat16 keeps a sum within 0.004


class Look(NamedTuple):
    """One thing to look at: the target or the prediction of a sight, or the mask of the call."""

    at: str
    sight: Sight | None = None


class Looks:
    """What is still to be looked at in each kind of call of one loss."""

    def __init__(self) -> None:
        self._left: dict[Any, tuple[int, tuple[Look, ...]]] = {}

    def see(self, call: Call, sights: Sequence[Sight], mask: Tensor | None, ignore_index: int | None) -> bool:
        """Look at what has not shown anything yet, and say whether all has.

        On a device that would have to be waited for this reads the first batch, the second, the fourth and so on. In
        between the device itself stops at a value that is wrong.

        Raises InputError when a mask, labels or probabilities are out of range, where elements count.
        """
        names = [name for sight in sights for name in (sight.target, sight.prediction) if name]
        kind = (call.context, None if mask is None else mask.dtype, *[call.tensors[name].dtype for name in names])
        count, left = self._left.get(kind) or (0, _all_looks(sights, mask))
        if left:
            count += 1
            reads = count & (count - 1) == 0
            left = tuple(look for look in left if not _shows(look, call.tensors, mask, ignore_index, reads))
            self._left[kind] = count, left
        return not left


def check_values(call: Call, sights: Sequence[Sight], mask: Tensor | None, ignore_index: int | None) -> None:
    """Look at everything. Raises InputError for the first thing that is wrong."""
    check_labels(call, sights, ignore_index)
    for look in _all_looks(sights, mask):
        _shows(look, call.tensors, mask, ignore_index, reads=True)


def check_labels(call: Call, sights: Sequence[Sight], ignore_index: int | None) -> None:
    """Raise InputError when a class index that counts is no class."""
    for sight in sights:
        if sight.indexed and sight.target and not are_classes(sight, call.tensors, ignore_index):
            low, high = _range(call.tensors[sight.target], counted(sight, call.tensors, ignore_index))
            classes, (prediction, target) = call.tensors[sight.classes].shape[1], sight.names
            wrong = int(high if high >= classes else low)
            hint = f"labels are 0 to {classes - 1}; to ignore pixels with this label, set ignore_index={wrong}"
            message = f"`{target}` has the class index {wrong}, `{prediction}` has {classes} classes"
            raise fault("LD506", message, hint)


def _all_looks(sights: Sequence[Sight], mask: Tensor | None) -> tuple[Look, ...]:
    looks = [] if mask is None or mask.dtype == torch.bool else [Look("mask")]
    for sight in sights:
        looks += [Look("target", sight)] if sight.target and not sight.indexed else []
        looks += [Look("prediction", sight)] if sight.prediction else []
    return tuple(looks)


def _shows(
    look: Look, tensors: Mapping[str, Tensor], mask: Tensor | None, ignore_index: int | None, reads: bool
) -> bool:
    """Whether a look has shown something, all of it right. reads: also where that waits for a device."""
    sight = look.sight
    values = mask if sight is None else tensors[sight.target if look.at == "target" else sight.prediction]
    if values is None or values.numel() == 0 or not can_be_read(values):
        return False
    if values.dtype == torch.bool:
        return True
    values = values.detach()
    counts = None if sight is None else counted(sight, tensors, ignore_index)
    if counts is not None:
        values, counts = torch.broadcast_tensors(values, counts)  # type: ignore[no-untyped-call]
        values = torch.where(counts, values, 0)
    waits = must_wait(values)
    low, high = values.aminmax()
    if sight is None:
        alike = not waits and low == high  # a mask that leaves nothing out shows nothing, and may be any batch's
        fine = (low == 0) | (low == 1) if alike else ((values == 0) | (values == 1)).all()
        shown = (low == 0) & (high == 1)
    else:
        fine = (low >= 0) & (high <= 1)
        shown = high > 0 if look.at == "target" else ((values > 0) & (values < 1)).any()
        if task_record(sight.task).is_exclusive and look.at == "target":
            fine = fine & _sums_to_one(values, counts).all()
    if waits and not reads:
        torch._assert_async(fine, f"LD506: the values of `{_name(look)}` are out of range")
        return False
    if not fine:
        _explain(look, values, counts)
    return bool(shown)


def _name(look: Look) -> str:
    return "mask" if look.sight is None else look.sight.names[look.at == "target"]


def _sums_to_one(values: Tensor, counts: Tensor | None) -> Tensor:
    """Whether the classes of each pixel that counts add up to 1."""
    near = (_sums(values) - 1).abs() <= _ROUNDING
    return near if counts is None else near | ~counts.any(1)


def _sums(values: Tensor) -> Tensor:
    return values.sum(1, dtype=torch.promote_types(values.dtype, torch.float32))


def _explain(look: Look, values: Tensor, counts: Tensor | None) -> NoReturn:
    """Raise the InputError for values that are wrong."""
    name = _name(look)
    if look.sight is None:
        hint = "to weight pixels, pass a tensor by name, as in mean(w*bce(reduction=none))"
        raise fault("LD506", "`mask` has values other than 0 and 1", hint)
    low, high = _range(values, counts)
    if not (low >= 0 and high <= 1):
        if look.at == "target":
            hint = "labels are between 0 and 1; to ignore elements with another label, set ignore_index"
            raise fault("LD506", f"`{name}` has values from {low:g} to {high:g}", hint)
        message = f'`{name}` has values from {low:g} to {high:g}, with input="probs"'
        raise fault("LD506", message, 'probabilities are in [0, 1]; for raw scores use input="logits"')
    low, high = _range(_sums(values), None if counts is None else counts.any(1))
    sums = " to ".join(dict.fromkeys((f"{low:g}", f"{high:g}")))
    message = f"`{name}` sums to {sums} over the classes, not to 1"
    hint = "exclude pixels with mask= or ignore_index"
    raise fault("LD506", message, f'{hint}; for several classes at once use task="multilabel"')


def _range(values: Tensor, counts: Tensor | None) -> tuple[float, float]:
    """Smallest and largest value that counts."""
    values = values.detach()
    if counts is not None:
        values, counts = torch.broadcast_tensors(values, counts)  # type: ignore[no-untyped-call]
        values = values[counts]
    low, high = values.aminmax()
    return float(low), float(high)
