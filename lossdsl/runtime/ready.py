"""What is decided once for all calls with the same shapes, dtypes, devices and names: the plan and the layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lossdsl.runtime.compiled import Runner
from lossdsl.runtime.layout import Call
from lossdsl.runtime.lower import Plan


@dataclass(frozen=True, slots=True)
class Ready:
    """A kind of call that was checked. inputs: for each input of the plan its name and its shape in the layout.

    The shape is None for what is made anew for each call, such as a mask or a number of the run.
    """

    plan: Plan
    runner: Runner
    inputs: tuple[tuple[str, tuple[int, ...] | None], ...]


def signature(pred: Tensor, target: Tensor, mask: Tensor | None, tensors: Mapping[str, Tensor]) -> Any:
    """All that the checks of a call look at, beside values; None for what is not a tensor, which they refuse."""
    named = (pred, target, *tensors.values()) if mask is None else (pred, target, mask, *tensors.values())
    for tensor in named:
        if not isinstance(tensor, Tensor):
            return None
    return (mask is None, *tensors, *[(tensor.shape, tensor.dtype, tensor.device) for tensor in named])


def ready(plan: Plan, runner: Runner, call: Call) -> Ready:
    return Ready(plan, runner, tuple((name, _shape(name, call)) for name in plan.inputs))


def _shape(name: str, call: Call) -> tuple[int, ...] | None:
    if name in ("pred", "target", "layout") or name.startswith("tensor:"):
        return tuple(call.tensors[name].shape)
    return None
