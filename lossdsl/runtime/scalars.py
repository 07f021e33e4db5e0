"""The numbers of a call: learned ones, as torch parameters, and those of the run such as `epoch`."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.printing import shown_input
from lossdsl.runtime.layout import MADE_ANEW, fault, shape
from lossdsl.syntax.parse import MAX_NUMBER


class LearnedNumbers(nn.ParameterDict):
    """Each learned number by its name, a parameter of shape (1,): FSDP takes none without axes."""

    def __init__(self, starts: Mapping[str, float]):
        super().__init__()
        self._starts = dict(starts)
        for name, start in starts.items():
            if hasattr(self, name):  # torch keeps some names for itself, and which differs between its versions
                hint = "choose another name"
                raise FormulaError([Diagnostic("LD207", f"`{name}` cannot be the name of a learned scalar", hint=hint)])
            self[name] = nn.Parameter(torch.tensor([start]))

    def reset_parameters(self) -> None:
        """Set each number to where the formula lets it start. Where parameters are made on meta, FSDP calls this."""
        with torch.no_grad():
            for name, start in self._starts.items():
                self[name].fill_(start)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Takes numbers without axes too, as they were stored by version 0.1.0."""
        for name in self:
            stored = state_dict.get(prefix + name)
            if isinstance(stored, Tensor) and stored.ndim == 0:
                state_dict[prefix + name] = stored.reshape(1)
        super()._load_from_state_dict(state_dict, prefix, *rest)


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
