"""Losses of images that no formula can write: differences of neighbours, and images at several scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from lossdsl.errors import Diagnostic, InputError
from lossdsl.library.arguments import images
from lossdsl.library.filters import gaussian_mean, pool
from lossdsl.registry.kernels import loss

if TYPE_CHECKING:
    from torch import Tensor


@loss(range="[0, inf)", keeps=("batch", "class"))
def total_variation(pred: Tensor, *, mask: Tensor | None = None, spatial: tuple[int, ...] = ()) -> Tensor:
    """Total variation: the sum of |x - its next pixel| along each axis of the image, per image and class.

    Source: Rudin, Osher, Fatemi 1992, Physica D 60; in its anisotropic form
    Note: the target plays no part; total_variation(p) is that of the probabilities
    Note: a sum over pixels, so it grows with the image; a pair counts where both of its pixels do
    Better: neither
    Except: mask_anywhere -- it looks at the neighbours
    """
    import torch

    image = images("total_variation", pred, spatial)
    counts = None if mask is None else images("total_variation", mask, spatial)
    total = torch.zeros_like(image[:, :, :1].flatten(2)[..., :1])
    for axis in range(2, image.ndim):
        steps = image.diff(dim=axis).abs()
        if counts is not None:
            pairs = counts.narrow(axis, 1, steps.shape[axis]) & counts.narrow(axis, 0, steps.shape[axis])
            steps = torch.where(pairs, steps, 0.0)
        total = total + steps.flatten(2).sum(2, keepdim=True)
    return total


@loss(range="[0, 1]", keeps=("batch", "class"))
def ms_ssim(
    pred: Tensor,
    target: Tensor,
    *,
    data_range: Annotated[float, "(0, inf)"] = 1,
    size: Annotated[int, "[1, 1001]"] = 11,
    sigma: Annotated[float, "(0, inf)"] = 1.5,
    k1: Annotated[float, "(0, inf)"] = 0.01,
    k2: Annotated[float, "(0, inf)"] = 0.03,
    weights: Annotated[Sequence[float], "[0, inf)"] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
    mask: Tensor | None = None,
    spatial: tuple[int, ...] = (),
) -> Tensor:
    """Multi-scale structural similarity, 1 - the product of mean(contrast and structure)**weight over the scales.

    Each scale has half the pixels of the one before along each axis; the last one counts luminance too. The exponents
    are `weights`, the finest scale first.
    Source: Wang, Simoncelli, Bovik 2003, Asilomar Conference on Signals, Systems and Computers
    Note: compares raw images; write ms_ssim(p, y) for the probabilities of a segmentation
    Note: a mean below 0 counts as 0, and the loss is then 1 without a slope
    Note: only windows that lie inside of the image and hold no masked pixel count; smaller images are refused
    Example: ms_ssim(size=3, weights=[0.5, 0.5])
    Shape: (N, 3, 16)
    Except: mask_anywhere -- a window holds its neighbours
    """
    import torch

    first, second = (images("ms_ssim", x, spatial) for x in (pred, target))
    counts = torch.ones_like(first, dtype=torch.bool) if mask is None else images("ms_ssim", mask, spatial)
    _refuse_small(spatial, size * 2 ** (len(weights) - 1))
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    score = torch.ones_like(pred[..., :1])
    for scale, weight in enumerate(weights):
        if scale:
            first, second, counts = _halved(first), _halved(second), _halved(counts.to(first.dtype)) == 1
        luminance, structure = _similarity(first, second, c1, c2, size, sigma)
        each = structure * luminance if scale == len(weights) - 1 else structure
        score = score * _power(_mean_inside(each, counts, size), weight)
    return 1 - score


def _refuse_small(spatial: tuple[int, ...], least: int) -> None:
    """Images in which no window fits at the last scale."""
    if any(length < least for length in spatial):
        message = f"`ms_ssim` needs images of {least} pixels along each axis for its last scale, not {tuple(spatial)}"
        hint = "use a smaller window, size=, or fewer scales, weights="
        raise InputError([Diagnostic("LD502", message, hint=hint)])


def _similarity(first: Tensor, second: Tensor, c1: float, c2: float, size: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast with structure, in each window that lies inside."""
    inputs = (first, second, first**2 + second**2, first * second)
    a, b, squares, product = (gaussian_mean(x, size, sigma) for x in inputs)
    luminance = (2 * a * b + c1) / (a**2 + b**2 + c1)
    return luminance, (2 * (product - a * b) + c2) / ((squares - a**2 - b**2).clamp_min(0) + c2)


def _mean_inside(values: Tensor, counts: Tensor, size: int) -> Tensor:
    """Mean over the windows without a masked pixel, (N, C, 1); 1 where there is none."""
    import torch

    absent = (~counts).to(values.dtype)
    there = pool("max_pool", absent)(absent, size, stride=1).flatten(2) == 0
    number = there.sum(2, keepdim=True)
    total = torch.where(there, values.flatten(2), 0.0).sum(2, keepdim=True)
    return torch.where(number > 0, total / number.clamp_min(1), 1.0)


def _power(mean: Tensor, weight: float) -> Tensor:
    """mean**weight; 0**weight without a slope for a mean that is not above 0."""
    import torch

    above = mean > 0
    return torch.where(above, torch.where(above, mean, 1.0) ** weight, 0.0**weight)


def _halved(image: Tensor) -> Tensor:
    """The mean of each block of two pixels along each axis; a last odd pixel goes."""
    return pool("avg_pool", image)(image, 2)
