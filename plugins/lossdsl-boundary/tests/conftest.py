"""What the tests share: a seed, one torch thread per worker, distances by brute force, and images to try."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def torch_seed() -> None:
    import torch

    torch.manual_seed(0)


def all_pairs(inside: np.ndarray, spacing: Sequence[float] = (), counts: np.ndarray | None = None) -> np.ndarray:
    """The distance of each pixel to the nearest one on the other side, by looking at all pairs of pixels."""
    there = np.ones(inside.shape, bool) if counts is None else counts.astype(bool)
    places = np.argwhere(np.ones(inside.shape, bool)) * np.array(spacing or [1.0] * inside.ndim)
    side, valid = inside.astype(bool).ravel(), there.ravel()
    apart = np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))
    apart[~(valid[:, None] & valid[None] & (side[:, None] != side[None]))] = np.inf
    nearest = apart.min(-1)
    return np.where(np.isinf(nearest), 0.0, nearest).reshape(inside.shape)


@pytest.fixture(scope="session")
def maps() -> Callable[..., np.ndarray]:
    """`all_pairs` of every image and class of (N, C, *spatial) above 0.5, as NumPy."""

    def of(images: Any, spacing: Sequence[float] = (), counts: Any = None) -> np.ndarray:
        array = np.asarray(images) > 0.5
        valid = np.ones(array.shape, bool) if counts is None else np.broadcast_to(np.asarray(counts), array.shape)
        flat = zip(array.reshape(-1, *array.shape[2:]), valid.reshape(-1, *array.shape[2:]), strict=True)
        return np.stack([all_pairs(image, spacing, there) for image, there in flat]).reshape(array.shape)

    return of


@pytest.fixture(scope="session")
def call() -> Callable[..., tuple[Any, Any, np.ndarray, np.ndarray]]:
    """A random call of a task: prediction, target, and both as NumPy probabilities and labels (N, C, *spatial)."""
    import torch

    def make(task: str, size: tuple[int, ...] = (5, 6), batch: int = 2, seed: int = 0, dtype: Any = None) -> Any:
        random = torch.Generator().manual_seed(seed)
        classes = 1 if task == "binary" else 3
        z = 2 * torch.randn(batch, classes, *size, dtype=dtype or torch.float64, generator=random)
        if task != "multiclass":
            target = (torch.rand(z.shape, generator=random) < 0.4).to(z.dtype)
            return z, target, z.sigmoid().numpy(), target.numpy()
        target = torch.randint(0, classes, (batch, *size), generator=random)
        labels = torch.nn.functional.one_hot(target, classes).movedim(-1, 1).to(z.dtype)
        return z, target, z.softmax(1).numpy(), labels.numpy()

    return make
