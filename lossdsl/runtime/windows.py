"""Windows around each pixel: their mean, smallest or largest value, at the borders of images and of masks too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lossdsl.library.filters import gaussian_mean, pool
from lossdsl.runtime.layout import fault
from lossdsl.runtime.ops import cast_like, divide


def neighbourhood(
    kind: str,
    x: Tensor,
    layout: Tensor,
    valid: Tensor | None,
    size: int,
    sigma: float | None,
    outside: float | None,
) -> Tensor:
    """Mean, smallest or largest value in a window around each pixel.

    What lies outside of the image or does not count is left out, or holds the number `outside`. sigma: the weights of
    a mean are Gaussian.
    """
    spatial = layout.shape[2:]
    if not spatial:
        return x
    image, counts = x.reshape(*x.shape[:2], *spatial), None
    if valid is not None:
        counts = valid.expand(-1, valid.shape[1], x.shape[2]).reshape(-1, valid.shape[1], *spatial)
    if kind == "local_mean" and outside is None:
        weights = torch.ones_like(image[:1, :1]) if counts is None else counts.to(image.dtype)
        parts = (_held(image, counts, 0.0, size), _held(weights, None, 0.0, size))
        return divide(*(_mean(part, size, sigma) for part in parts)).flatten(2)
    if outside is None:
        border = torch.finfo(image.dtype)
        outside = border.min if kind == "local_max" else border.max
    held = _held(image, counts, outside, size)
    if kind == "local_mean":
        return _mean(held, size, sigma).flatten(2)
    return (_largest(held, size) if kind == "local_max" else -_largest(-held, size)).flatten(2)


def filled_image(prediction: Tensor, layout: Tensor, number: float, size: int) -> Tensor:
    """The same number at each pixel, (1, 1, P), for windows that shall lie inside of the image; one of them must."""
    spatial = tuple(layout.shape[2:])
    if any(length < size for length in spatial):
        message = f"a window of {size} pixels does not fit into images of {spatial}"
        raise fault("LD502", message, "use a smaller window, size=, or larger images")
    return cast_like(torch.full((1, 1, prediction.shape[2]), number, device=prediction.device), prediction)


def _held(image: Tensor, counts: Tensor | None, outside: float, size: int) -> Tensor:
    """The image with a margin, where what does not count is `outside`."""
    kept = image if counts is None else torch.where(counts, image, outside)
    return functional.pad(kept, [size // 2] * (2 * (image.ndim - 2)), value=outside)


def _largest(image: Tensor, size: int) -> Tensor:
    return pool("max_pool", image)(image, size, stride=1)


def _mean(image: Tensor, size: int, sigma: float | None) -> Tensor:
    """The mean of each window that lies inside."""
    return pool("avg_pool", image)(image, size, stride=1) if sigma is None else gaussian_mean(image, size, sigma)
