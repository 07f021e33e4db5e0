"""Windows of images (N, C, *spatial) of one to three axes, for kernels and for the window functions of formulas.

torch is imported when a function is called, so that a kernel can be declared without it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pool(kind: str, image: Tensor) -> Callable[..., Tensor]:
    """torch's `avg_pool` or `max_pool` for the axes that the image has."""
    from torch.nn import functional

    pooled: Callable[..., Tensor] = getattr(functional, f"{kind}{image.ndim - 2}d")
    return pooled


def gaussian_mean(image: Tensor, size: int, sigma: float) -> Tensor:
    """The mean of each window that lies inside, weighted by a Gaussian around its centre."""
    import torch
    from torch.nn import functional

    offsets = torch.arange(size, dtype=torch.float64, device=image.device) - (size - 1) / 2
    weights = torch.softmax(-0.5 * (offsets / sigma) ** 2, 0).to(image.dtype)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[image.ndim - 3]
    result = image.flatten(0, 1).unsqueeze(1)
    with without_autocast(image):
        for axis in range(2, image.ndim):
            result = convolve(result, weights.view([size if axis == other else 1 for other in range(image.ndim)]))
    return result.reshape(*image.shape[:2], *result.shape[2:])


def without_autocast(values: Tensor) -> AbstractContextManager[None]:
    """Where products stay in the precision of the values. A device without values, such as meta, has no autocast."""
    import torch

    device = values.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
