"""Built-in kernels: what needs sorting and so cannot be a formula. torch is imported when one runs, not to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lossdsl.registry.kernels import loss

if TYPE_CHECKING:
    from torch import Tensor


@loss(range="[0, inf)", keeps=("batch", "class"))
def lovasz_extension(
    errors: Tensor, labels: Tensor, *, per: Literal["image", "batch"] = "image", mask: Tensor | None = None
) -> Tensor:
    """Lovasz extension of the Jaccard loss, of the given errors (>= 0), per image and class or per class.

    sum_i e_(i) * (J_i - J_(i-1)), errors sorted downwards, J_i the Jaccard loss of the first i pixels being wrong.
    Source: Berman, Rannen Triki, Blaschko 2018, arXiv 1705.08790, algorithm 1
    Better: neither
    Example: lovasz_extension(abs(y - p), y)
    """
    import torch

    if mask is not None:
        # With error 0 and label 0 a pixel is sorted last: it changes neither the weights of the others nor the sum.
        errors, labels = torch.where(mask, errors, 0.0), torch.where(mask, labels, 0.0)
    if per == "batch":
        errors, labels = (value.transpose(0, 1).flatten(1).unsqueeze(0) for value in (errors, labels))
    ordered, order = torch.sort(errors, dim=-1, descending=True)
    truth = labels.gather(-1, order)
    positives = truth.sum(-1, keepdim=True)
    intersection = positives - truth.cumsum(-1)
    union = positives + (1 - truth).cumsum(-1)
    # J_i - J_(i-1) without a difference: in float32 that of two Jaccard losses is lost among a million pixels.
    score = intersection / union
    before = torch.cat((torch.ones_like(score[..., :1]), score[..., :-1]), dim=-1)
    weights = (truth + (1 - truth) * before) / union
    return (ordered * weights.detach()).sum(-1, keepdim=True)
