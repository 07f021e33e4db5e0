"""Class indices, looked at in every batch: a label that counts and is no class is never computed with.

One `aminmax` answers for an ordinary batch. Ignored labels and a mask are looked at only where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lossdsl.runtime.readable import can_be_read, must_wait
from lossdsl.runtime.sights import Sight, counted

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
