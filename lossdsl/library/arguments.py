"""What several kernels check of their arguments, and the precision that they keep."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import TYPE_CHECKING

from lossdsl.errors import Diagnostic, InputError

if TYPE_CHECKING:
    from torch import Tensor


def images(name: str, values: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """(N, C, pixels) with the axes of the image apart; a call without any has one pixel."""
    sizes = tuple(spatial) or (1,)
    if values.shape[2] != prod(sizes):
        raise InputError([Diagnostic("LD502", f"`{name}` needs a value with one number for each pixel")])
    return values.reshape(*values.shape[:2], *sizes)


def embeddings(name: str, values: Tensor) -> Tensor:
    """(N, D, 1) as (N, D)."""
    if values.shape[2] != 1:
        raise InputError([Diagnostic("LD502", f"`{name}` takes one embedding for each sample: tensors (N, D)")])
    return values.squeeze(2)


def without_autocast(values: Tensor) -> AbstractContextManager[None]:
    """Where products stay in the precision of the values. A device without values, such as meta, has no autocast."""
    import torch

    device = values.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
