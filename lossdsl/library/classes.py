"""Distances between classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from lossdsl.errors import Diagnostic, InputError
from lossdsl.library.arguments import without_autocast
from lossdsl.registry.kernels import loss

if TYPE_CHECKING:
    from torch import Tensor


@loss(range="[0, 1]", keeps=("batch", "pixel"))
def class_distance(
    p: Tensor,
    y: Tensor,
    *,
    distances: Annotated[Sequence[Sequence[float]], "[0, 1]"],
    mask: Tensor | None = None,  # noqa: ARG001 - pixels do not meet
) -> Tensor:
    """Wasserstein distance of each pixel's probabilities from its label: sum over l, k of y_l * distances[l][k] * p_k.

    Source: Fidon et al. 2017, arXiv 1707.00478, equation 6
    Note: distances has a row and a column for each class, zeros on its diagonal, and the largest of them is 1
    Classes: distances
    Example: class_distance(distances=[[0, 1, 0.5], [1, 0, 0.5], [0.5, 0.5, 0]])
    Otherwise: binary, multilabel, regression -- it compares classes of which each pixel has one
    """
    import torch

    _check(distances, p.shape[1])
    matrix = torch.tensor(distances, dtype=p.dtype, device=p.device)
    with without_autocast(p):
        from_label = matrix.T @ y
    return (from_label * p).sum(dim=1, keepdim=True)


def _check(distances: Sequence[Sequence[float]], classes: int) -> None:
    if len(distances) != classes or any(len(row) != classes for row in distances):
        sizes = f"{len(distances)} rows of {'/'.join(sorted({str(len(row)) for row in distances}))}"
        message = f"`distances` has {sizes} numbers; {classes} classes need {classes} rows of {classes}"
        raise InputError([Diagnostic("LD502", message)])
    if any(row[own] != 0 for own, row in enumerate(distances)):
        raise InputError([Diagnostic("LD204", "`distances` must be 0 between a class and itself")])
