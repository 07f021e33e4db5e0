"""A look at the values of a batch: what no shape or dtype can tell.

Class indices are looked at in every batch (see `labels`). A look at anything else costs more, so it is used up, but
only by a batch that has shown something, which is

- for labels between 0 and 1 and for soft targets: a value above 0 that counts;
- for probabilities: a value between 0 and 1, without the two, that counts;
- for a mask that is not bool: both a 0 and a 1.

Each kind of call has looks of its own: another task, head, output or dtype, with a mask or without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from lossdsl.runtime.labels import are_classes
from lossdsl.runtime.layout import Call, fault
from lossdsl.runtime.readable import can_be_read, must_wait
from lossdsl.runtime.sights import Sight, counted
from lossdsl.tasks import task_record

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
