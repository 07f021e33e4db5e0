"""What cannot be a formula: exact distances, and a mean over a cross.

torch and scipy are imported when one runs; that scipy is there is looked at before, so that `check` can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Annotated

from lossdsl import loss
from lossdsl.errors import Diagnostic, InputError

if TYPE_CHECKING:
    from torch import Tensor

Sizes = Annotated[Sequence[float], "(0, inf)"]


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # how a module is hidden by an import hook, or in sys.modules
        return False


if not _there("scipy"):
    raise ImportError("lossdsl-boundary needs scipy for exact distances: pip install scipy")


@loss(range="[0, inf)", keeps=("batch", "class", "pixel"))
def distance_map(
    map: Tensor,
    *,
    spacing: Sizes = (1.0,),
    mask: Tensor | None = None,
    spatial: tuple[int, ...] = (),
) -> Tensor:
    """Exact Euclidean distance of each pixel to the nearest one on the other side of map = 0.5, per image and class.

    At least the size of a pixel on both sides; where(y > 0.5, -d, d) makes it signed. Without a gradient.
    Source: Felzenszwalb and Huttenlocher 2012; scipy.ndimage.distance_transform_edt
    Note: 0 everywhere where the map has one side only: no boundary, no distance
    Note: spacing is the size of a pixel along each axis of the image; one number holds for all of them
    Note: pixels that are masked out have the distance 0 and are nobody's nearest
    Better: neither
    Example: distance_map(p)
    Except: gradient -- distances are constants
    Except: mask_anywhere -- distances are those in the whole image
    """
    from lossdsl_boundary.operator import distances

    images = _images("distance_map", map, spatial)
    counts = None if mask is None else mask.reshape(images.shape)
    result: Tensor = distances(images.detach(), counts, _for_each_axis(spacing, images.ndim - 2))
    return result.reshape(map.shape)


@loss(range="(-inf, inf)", keeps=("batch", "class", "pixel"))
def cross_mean(map: Tensor, *, mask: Tensor | None = None, spatial: tuple[int, ...] = ()) -> Tensor:
    """Mean over each pixel and its direct neighbours along the axes of the image: 5 in 2-D, 7 in 3-D.

    Source: the kernel of the erosions in Karimi and Salcudean 2019, arXiv 1904.10030
    Note: what lies outside of the image or is masked out counts as 0
    Better: neither
    Example: cross_mean(p)
    Except: mask_anywhere -- it looks at the neighbours
    """
    import torch
    from torch.nn import functional

    images = _images("cross_mean", map if mask is None else torch.where(mask, map, 0.0), spatial)
    total = images
    for axis, size in enumerate(images.shape[2:], start=2):
        sides = [0, 0] * (images.ndim - 1 - axis) + [1, 1]
        padded = functional.pad(images, sides)
        total = total + padded.narrow(axis, 0, size) + padded.narrow(axis, 2, size)
    return (total / (2 * images.ndim - 3)).reshape(map.shape)


def _images(name: str, map: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """(N, C, pixels) with the axes of the image apart; a call without any has one pixel."""
    sizes = tuple(spatial) or (1,)
    if map.shape[2] != prod(sizes):
        raise InputError([Diagnostic("LD502", f"`{name}` needs a value with one number for each pixel")])
    return map.reshape(*map.shape[:2], *sizes)


def _for_each_axis(spacing: Sequence[float], axes: int) -> list[float]:
    """One size for each axis of the image."""
    if len(spacing) not in (1, axes):
        message = f"`spacing` has {len(spacing)} sizes; the images have {axes} ax{'i' if axes == 1 else 'e'}s"
        raise InputError([Diagnostic("LD502", message)])
    return [float(size) for size in spacing] * (axes if len(spacing) == 1 else 1)
