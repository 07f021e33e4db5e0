"""Soft skeletons: what remains of a map where erosions thin it out and openings cannot give it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lossdsl.filters import pool
from lossdsl.library.arguments import images
from lossdsl.registry.kernels import loss

if TYPE_CHECKING:
    from torch import Tensor


@loss(range="[0, 1]", keeps=("batch", "class", "pixel"))
def soft_skeleton(
    map: Tensor,
    *,
    iterations: Annotated[int, "[0, 1000]"] = 3,
    mask: Tensor | None = None,
    spatial: tuple[int, ...] = (),
) -> Tensor:
    """Soft skeleton of a map with values in [0, 1], per image and class, along one to three axes.

    s = relu(x - open(x)); then, as often as given: x = erode(x), d = relu(x - open(x)), s = s + d - s*d.
    Source: Shit et al. 2021, arXiv 2003.07311, algorithm 1
    Note: erode takes the least of the three pixels along each axis, dilate the largest of the whole block of them
    Note: what lies outside of the image or is masked out is left out of both
    Better: neither
    Example: soft_skeleton(p)
    Except: mask_anywhere -- it looks at the neighbours
    """
    import torch

    counts = None if mask is None else images("soft_skeleton", mask, spatial)
    thin = images("soft_skeleton", map, spatial)
    skeleton = torch.zeros_like(thin)
    for step in range(iterations + 1):
        if step:
            thin = _eroded(thin, counts)
        lost = (thin - _dilated(_eroded(thin, counts), counts)).relu()
        skeleton = skeleton + lost - skeleton * lost
    if counts is not None:
        skeleton = torch.where(counts, skeleton, 0.0)
    return skeleton.reshape(map.shape)


def _eroded(image: Tensor, counts: Tensor | None) -> Tensor:
    """The least value of a pixel and its neighbours along the axes. 1 stands where there is none."""
    import torch

    axes = image.ndim - 2
    negative = -image if counts is None else torch.where(counts, -image, -1.0)
    least = [_largest(negative, tuple(3 if axis == own else 1 for axis in range(axes))) for own in range(axes)]
    result = least[0]
    for other in least[1:]:
        result = torch.maximum(result, other)
    return -result


def _dilated(image: Tensor, counts: Tensor | None) -> Tensor:
    """The largest value in the block around a pixel. 0 stands where there is none."""
    import torch

    return _largest(image if counts is None else torch.where(counts, image, 0.0), (3,) * (image.ndim - 2))


def _largest(image: Tensor, window: tuple[int, ...]) -> Tensor:
    return pool("max_pool", image)(image, window, stride=1, padding=tuple(size // 2 for size in window))
