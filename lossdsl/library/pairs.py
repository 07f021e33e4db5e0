"""Losses of two embeddings of the same samples, in which each sample is compared with all others of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lossdsl.filters import without_autocast
from lossdsl.library.arguments import embeddings
from lossdsl.registry.kernels import loss

if TYPE_CHECKING:
    from torch import Tensor


@loss(range="[0, inf)", keeps=("batch",))
def nt_xent(
    pred: Tensor,
    target: Tensor,
    *,
    temperature: Annotated[float, "(0, inf)"] = 0.5,
    mask: Tensor | None = None,
) -> Tensor:
    """Normalised temperature-scaled cross-entropy: -log of the softmax of cosine/temperature at a sample's other view.

    The softmax is over all views of the batch but the own; a sample has the mean over its two views.
    Source: Chen, Kornblith, Norouzi, Hinton 2020 (SimCLR), arXiv 2002.05709
    Note: pred and target are embeddings (N, D) of two views of the same samples
    Note: a batch of one has nothing to tell apart: loss 0; a sample that is masked out is in no pair
    Note: an embedding of zeros has the cosine 0 with all others
    Shape: (N, 4)
    Except: best, worse -- equal views of one sample may still be near to other samples
    """
    import torch
    from torch.nn import functional

    views = torch.cat([_directions(embeddings("nt_xent", x)) for x in (pred, target)])
    samples = len(pred)
    with without_autocast(views):
        closeness = views @ views.T / temperature
    left_out = torch.eye(2 * samples, dtype=torch.bool, device=views.device)
    if mask is not None:
        left_out = left_out | ~mask.flatten(1).any(dim=1).repeat(2)
    closeness = closeness.masked_fill(left_out, torch.finfo(views.dtype).min)
    other = torch.arange(2 * samples, device=views.device).roll(samples)
    each = functional.cross_entropy(closeness, other, reduction="none").view(2, samples).mean(dim=0)
    if mask is not None:
        each = torch.where(mask.flatten(1).any(dim=1), each, 0.0)
    return each.view(-1, 1, 1)


@loss(range="[0, inf)")
def barlow_twins(
    pred: Tensor,
    target: Tensor,
    *,
    redundancy: Annotated[float, "[0, inf)"] = 5e-3,
    mask: Tensor | None = None,
) -> Tensor:
    """Barlow Twins: sum_i (1 - c_ii)**2 + redundancy * sum_(i != j) c_ij**2, c the correlations of the features.

    Source: Zbontar, Jing, Misra, LeCun, Deny 2021, arXiv 2103.03230
    Note: pred and target are embeddings (N, D) of two views of the same samples; correlations are over the samples
    Note: a feature that is the same for all samples correlates with nothing, so a batch of one has the loss D
    Shape: (N, 4)
    Except: best, worse -- equal views may have features that correlate with each other
    """
    import torch

    counts = None if mask is None else mask.flatten(1).any(dim=1, keepdim=True)
    first, second = (_standardised(embeddings("barlow_twins", x), counts) for x in (pred, target))
    with without_autocast(first):
        correlation = first.T @ second
    same = torch.eye(len(correlation), dtype=torch.bool, device=correlation.device)
    return torch.where(same, (1 - correlation) ** 2, redundancy * correlation**2).sum()


def _directions(vectors: Tensor) -> Tensor:
    """Vectors of length 1; zeros stay zeros, with a finite slope."""
    import torch

    largest = vectors.detach().abs().amax(dim=-1, keepdim=True)
    scaled = vectors / torch.where(largest > 0, largest, 1.0)
    squared = scaled.square().sum(dim=-1, keepdim=True)
    return scaled / torch.where(largest > 0, squared, 1.0).sqrt()


def _standardised(features: Tensor, counts: Tensor | None) -> Tensor:
    """Each feature without its mean over the samples that count, and of length 1 over them."""
    import torch

    if counts is None:
        return _directions((features - features.mean(dim=0)).T).T
    number = counts.sum().clamp_min(1)
    mean = torch.where(counts, features, 0.0).sum(dim=0) / number
    return _directions(torch.where(counts, features - mean, 0.0).T).T
