"""Values of tensors by name against the ranges that are declared for them, in every batch: the checks rely on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossdsl.runtime.layout import fault
from lossdsl.runtime.readable import can_be_read, must_wait
from lossdsl.syntax.tree import Interval


class Declared(NamedTuple):
    """A tensor and its range, with the text of what is said of it: torch.compile makes no text of a range."""

    name: str
    interval: Interval
    said: str


def declared(ranges: Iterable[tuple[str, Interval]]) -> tuple[Declared, ...]:
    return tuple(Declared(name, interval, f"outside {interval}") for name, interval in ranges)


def check_ranges(ranges: Sequence[Declared], tensors: Mapping[str, Any]) -> None:
    """Raise InputError for a value outside of its range; NaN is outside of every one.

    A device that would have to be waited for, and a compiled graph, check it by themselves and stop there.
    """
    for name, interval, said in ranges:
        tensor = tensors.get(name)
        if not isinstance(tensor, Tensor) or tensor.numel() == 0:
            continue  # what it is instead is told elsewhere
        compiling = torch.compiler.is_compiling()
        if not compiling and not can_be_read(tensor):
            continue
        values = tensor.detach()
        low, high = (values.to(torch.uint8) if values.dtype == torch.bool else values).aminmax()
        above = low > interval.low if interval.low_open else low >= interval.low
        below = high < interval.high if interval.high_open else high <= interval.high
        if compiling or must_wait(tensor):
            torch._assert_async(above & below, f"LD506: `{name}` has values {said}")
        elif not above & below:
            message = f"`{name}` has values from {float(low):g} to {float(high):g}, {said}"
            raise fault("LD506", message, "the range is declared under `tensors:`")
