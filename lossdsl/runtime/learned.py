"""The learned numbers of a formula as torch parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossdsl.errors import Diagnostic, FormulaError


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
