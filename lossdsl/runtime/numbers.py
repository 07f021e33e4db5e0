"""Numbers of a call that are no tensors with axes: learned ones, and those of the run such as `epoch`."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lossdsl.graph.printing import shown_input
from lossdsl.runtime.layout import MADE_ANEW, fault, shape
from lossdsl.syntax.limits import MAX_NUMBER


def shown(name: str) -> str:
    """An input of a plan as a message names it."""
    return name.replace(":", " ") if name.startswith("learned:") else shown_input(name)


def learned(name: str, value: Tensor, pred: Tensor) -> Tensor:
    """A learned number in the precision that the loss is computed in."""
    dtype = torch.promote_types(pred.dtype, torch.float32)
    if value.is_meta and not pred.is_meta:
        raise fault("LD504", f"the learned `{name}` is on the meta device, where it has no value", MADE_ANEW)
    return value if value.dtype == dtype else value.to(dtype)


def of_run(name: str, value: float | Tensor | None, pred: Tensor) -> Tensor:
    """A number of the run as a 0-d tensor, in the precision that the loss is computed in.

    Raises InputError for what is no finite number.
    """
    dtype = torch.promote_types(pred.dtype, torch.float32)
    if value is None:
        raise fault("LD505", f"the formula uses `{name}`", f"loss(pred, target, {name}=...)")
    if not torch.compiler.is_compiling() and (isinstance(value, bool) or not isinstance(value, (Tensor, Real))):
        raise fault("LD501", f"`{name}` is {type(value).__name__}, not a number")
    if isinstance(value, Tensor):
        if value.dtype == torch.bool or value.dtype.is_complex:
            raise fault("LD503", f"`{name}` has dtype {value.dtype}; it must be a real number")
        if value.ndim:
            raise fault("LD502", f"`{name}` has shape {shape(value)}; it must be a scalar, a 0-d tensor")
        return value.to(device=pred.device, dtype=dtype)
    # Not torch.full: under torch.compile that would compile again for each new number.
    if torch.compiler.is_compiling():
        number = value if isinstance(value, (int, float)) else float(value)
    else:
        number = _finite(name, value)
    return torch.zeros((), dtype=dtype, device=pred.device) + number


def _finite(name: str, value: Any) -> int | float:
    """A number of the run; an integer stays one, as torch adds it up exactly."""
    try:
        number = value if isinstance(value, (int, float)) else float(value)
        if abs(number) < MAX_NUMBER:
            return number
    except (OverflowError, ValueError):
        pass
    raise fault("LD506", f"`{name}` cannot be represented in float32")
