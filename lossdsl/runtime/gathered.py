"""Tensors that are spread over a device mesh (DTensor), gathered: their loss is that of the whole tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lossdsl.runtime.kinds import check_together


def is_spread(value: Any) -> bool:
    """Whether a value is a DTensor. Asked by its method: torch.distributed may not be part of a build of torch."""
    return isinstance(value, Tensor) and hasattr(value, "full_tensor")


def gathered(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call with whole tensors in the place of those that are spread. The gradient is spread again.

    Raises InputError when only some are spread: how the others are to be cut is not known.
    """
    if not any(is_spread(value) for argument in given.values() for value in _values(argument)):
        return dict(given)
    check_together({name: value for name, argument in given.items() for value in _values(argument)})
    return {name: _whole(argument) for name, argument in given.items()}


def _values(argument: Any) -> Sequence[Any]:
    return argument if isinstance(argument, (list, tuple)) else [argument]


def _whole(argument: Any) -> Any:
    if isinstance(argument, (list, tuple)):
        return [_whole(value) for value in argument]
    return argument.full_tensor() if is_spread(argument) else argument
