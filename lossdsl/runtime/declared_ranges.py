"""Values of tensors by name against the ranges that are declared for them, in every batch: the checks rely on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossdsl.runtime import ops
from lossdsl.runtime.accepted_tensors import can_be_read, must_wait
from lossdsl.runtime.layout import fault
from lossdsl.syntax.tree import Range


class Declared(NamedTuple):
    """A tensor and its range, with the text of what is said of it: torch.compile makes no text of a range."""

    name: str
    interval: Range
    said: str


def declared(ranges: Iterable[tuple[str, Range]]) -> tuple[Declared, ...]:
    return tuple(Declared(name, interval, f"outside {interval}") for name, interval in ranges)


def all_within(ranges: Sequence[Declared], tensors: Mapping[str, Any]) -> bool:
    """Whether all values of all tensors as they are passed lie in their ranges, as far as that can be read at once."""
    for name, interval, _ in ranges:
        tensor = tensors.get(name)
        if not isinstance(tensor, Tensor) or not tensor.numel() or not can_be_read(tensor):
            continue
        if must_wait(tensor) or not _lies_within(tensor, interval):
            return False
    return True


def check_ranges(
    ranges: Sequence[Declared], tensors: Mapping[str, Any], laid_out: Mapping[str, Tensor], ignore_index: int | None
) -> None:
    """Raise InputError for a value outside of its range, where elements count; NaN is outside of every one.

    A device that would have to be waited for, and a compiled graph, check it by themselves and stop there.
    tensors: as they are passed. laid_out: those of the call, with its mask and target.
    """
    for name, interval, said in ranges:
        tensor = tensors.get(name)
        if not isinstance(tensor, Tensor) or tensor.numel() == 0:
            continue  # what it is instead is told elsewhere
        compiling = torch.compiler.is_compiling()
        if not compiling and (not can_be_read(tensor) or (not must_wait(tensor) and _lies_within(tensor, interval))):
            continue
        values = _counted(laid_out.get(f"tensor:{name}", tensor), laid_out, ignore_index, _inside(interval))
        fine = _lies_within(values, interval)
        if compiling or must_wait(tensor):
            torch._assert_async(fine, f"LD506: `{name}` has values {said}")
        elif not fine:
            low, high = (float(end) for end in values.aminmax())
            message = f"`{name}` has values from {low:.8g} to {high:.8g}, {said}"
            raise fault("LD506", message, "the range is declared under `tensors:`")


def _lies_within(tensor: Tensor, interval: Range) -> Any:
    values = tensor.detach()
    low, high = (values.to(torch.uint8) if values.dtype == torch.bool else values).aminmax()
    above = low > interval.low if interval.low_open else low >= interval.low
    below = high < interval.high if interval.high_open else high <= interval.high
    return above & below


def _counted(tensor: Tensor, laid_out: Mapping[str, Tensor], ignore_index: int | None, inside: float) -> Tensor:
    """The values, with one inside of the range where the mask or an ignored label says that they do not count."""
    values, counts = tensor.detach(), laid_out.get("mask")
    target = laid_out.get("target")
    if ignore_index is not None and target is not None:
        kept = ops.differs(target, ignore_index)
        counts = kept if counts is None else counts & kept
    if counts is None or values.ndim != counts.ndim:
        return values
    values, counts = torch.broadcast_tensors(values, counts)  # type: ignore[no-untyped-call]
    return torch.where(counts, values, inside)


def _inside(interval: Range) -> float:
    """A number of a range."""
    low, high = interval.low, interval.high
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    return low + 1 if math.isfinite(low) else high - 1 if math.isfinite(high) else 0.0
