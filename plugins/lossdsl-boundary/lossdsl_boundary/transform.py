"""Exact Euclidean distances in one image, with NumPy arrays; also for maps that a dataset computes beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def distance(
    inside: NDArray[Any], spacing: Sequence[float] | None = None, counts: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """The distance of each pixel to the nearest one on the other side, of an object and what is outside of it.

    0 everywhere where one of the two sides has no pixel.

    Args:
        inside: one image of any number of axes, nonzero in the object.
        spacing: the size of a pixel along each axis; 1 by default.
        counts: which pixels there are; others have the distance 0 and are nobody's nearest.
    """
    there = np.ones(np.shape(inside), dtype=bool) if counts is None else np.asarray(counts, dtype=bool)
    sides = [np.asarray(inside, dtype=bool) & there, ~np.asarray(inside, dtype=bool) & there]
    result = np.zeros(there.shape)
    if all(side.any() for side in sides):
        for own, other in (sides, sides[::-1]):
            result[own] = distance_transform_edt(~other, sampling=spacing)[own]
    return result
