"""What is decided once for all calls with the same shapes, dtypes, devices and names: the plan and the layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lossdsl.runtime.layout import Call
from lossdsl.runtime.lower import Plan
from lossdsl.runtime.staged import PLAIN, Staged
from lossdsl.runtime.validate_values import Sight

_KINDS = 64  # images of ever new sizes must not fill the memory


@dataclass(frozen=True, slots=True)
class Ready:
    """A kind of call that was checked.

    sources: for each input of the plan its name, and the argument of the call that it is; None for a number, which is
    looked up. shapes: the layout of each, None where it is taken as it is. labels: the class indices to look at, by the
    arguments of the call.
    """

    plan: Plan
    runner: Staged
    sources: tuple[tuple[str, str | None], ...]
    shapes: tuple[tuple[int, ...] | None, ...]
    labels: tuple[Sight, ...]


def signature(pred: Any, target: Any, mask: Any, tensors: Mapping[str, Any]) -> Any:
    """All that the checks of a call look at beside values; None for a call that is always checked anew.

    So are tensors that torch only imitates: their sizes may be symbols, which no table can hold.
    """
    if mask is not None:
        return None
    key: list[Any] = [*tensors]
    try:
        for tensor in (pred, target, *tensors.values()):
            if type(tensor) not in PLAIN or tensor.layout is not torch.strided:
                return None
            key += (tensor.shape, tensor.dtype, tensor.device)
    except RuntimeError:  # a nested tensor has no shape
        return None
    return tuple(key)


def as_given(plan: Plan, runner: Any, call: Call, sights: Sequence[Sight]) -> Ready | None:
    """How to run a kind of call on the arguments as they are passed; None where they are more than reshaped."""
    context = call.context
    special = context.weighted or context.mask or context.scales or context.heads or plan.outputs[0].is_constant
    if special or not isinstance(runner, Staged):
        return None
    sources = tuple((name, _argument(name)) for name in plan.inputs)
    shapes = tuple(_shape(name, call) for name in plan.inputs)
    labels = tuple(_of_arguments(sight) for sight in sights if sight.indexed and sight.target)
    return Ready(plan, runner, sources, shapes, labels)


def remember(known: dict[Any, Ready], kind: Any, ready: Ready) -> None:
    """Keep how a kind of call is run."""
    if len(known) >= _KINDS:
        known.clear()
    known[kind] = ready


def _of_arguments(sight: Sight) -> Sight:
    """A sight that is read from the arguments of a call."""
    target, classes, ignoring = (_argument(name) or "" for name in (sight.target, sight.classes, sight.ignoring))
    return sight._replace(target=target, classes=classes, ignoring=ignoring)


def _shape(name: str, call: Call) -> tuple[int, ...] | None:
    if name in call.tensors:
        return tuple(call.tensors[name].shape)
    return () if name.startswith("learned:") else None


def _argument(name: str) -> str | None:
    kind, _, short = name.partition(":")
    if kind == "tensor":
        return short
    return {"pred": "pred", "layout": "pred", "target": "target"}.get(kind)
