"""Tensors that are spread over a device mesh (DTensor), gathered: their loss is that of the whole tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lossdsl.runtime.layout import fault


def is_spread(value: Any) -> bool:
    """Whether a value is a DTensor. Asked by its method: torch.distributed may not be part of a build of torch."""
    return isinstance(value, Tensor) and hasattr(value, "full_tensor")


def gathered(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call with whole tensors in the place of those that are spread. The gradient is spread again.

    Raises InputError when only some are spread: how the others are to be cut is not known.
    """
    spread = {name: [is_spread(value) for value in _tensors(argument)] for name, argument in given.items()}
    if not any(any(found) for found in spread.values()):
        return dict(given)
    plain = next((name for name, found in spread.items() if not all(found)), None)
    if plain is not None:
        one = next(name for name, found in spread.items() if any(found))
        message = f"`{one}` is a DTensor, `{plain}` is a plain tensor"
        raise fault("LD504", message, f"distribute_tensor({plain}, mesh, placements)")
    return {name: _whole(argument) for name, argument in given.items()}


def _tensors(argument: Any) -> list[Tensor]:
    values = argument if isinstance(argument, (list, tuple)) else [argument]
    return [value for value in values if isinstance(value, Tensor)]


def _whole(argument: Any) -> Any:
    if isinstance(argument, Sequence):
        return type(argument)(_whole(value) for value in argument)  # type: ignore[call-arg]
    return argument.full_tensor() if is_spread(argument) else argument
