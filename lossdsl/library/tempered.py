"""Probabilities whose exponential is tempered: they sum to 1 by an equation that has no closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lossdsl.registry.kernels import loss

if TYPE_CHECKING:
    from torch import Tensor

Temperature = Annotated[float, "(1, 4]"]
_STEPS = 6


@loss(range="[0, 1]", keeps=("batch", "class", "pixel"))
def tempered_softmax(
    logits: Tensor,
    *,
    temperature: Temperature = 1.5,
    mask: Tensor | None = None,  # noqa: ARG001 - pixels do not meet
) -> Tensor:
    """Tempered softmax of logits z: (1 + (t - 1)*(n - z))**(-1/(t - 1)), with the n for which the classes sum to 1.

    Source: Amid, Warmuth, Anil, Koren 2019, arXiv 1906.03361
    Note: with a heavier tail than the softmax, which is the limit for a temperature of 1
    Better: neither
    Example: tempered_softmax(z)
    """
    return _normalised(logits, temperature)


@loss(range="[0, 1]", keeps=("batch", "class", "pixel"))
def tempered_sigmoid(
    logits: Tensor,
    *,
    temperature: Temperature = 1.5,
    mask: Tensor | None = None,  # noqa: ARG001 - elements do not meet
) -> Tensor:
    """Tempered sigmoid: the first of two classes with the logits z and 0 under the tempered softmax.

    Source: Amid, Warmuth, Anil, Koren 2019, arXiv 1906.03361
    Better: neither
    Example: tempered_sigmoid(z)
    """
    import torch

    # The difference to an infinite logit is not a number; beyond this bound the probability is 0 or 1 anyway.
    bound = torch.finfo(logits.dtype).max ** 0.5
    pair = torch.stack((logits.clamp(-bound, bound), torch.zeros_like(logits)), dim=1)
    return _normalised(pair, temperature).select(1, 0)


def _normalised(z: Tensor, temperature: float | Tensor) -> Tensor:
    """Newton's steps on M(n) = 1, M the power mean of 1 + (t - 1)*(n - z): concave and nearly linear, so few will do.

    The last two steps carry the gradient. A step from the root has the right first derivative, two the right second.
    """
    import torch

    excess = (temperature - 1).clamp_min(1e-6) if isinstance(temperature, torch.Tensor) else temperature - 1
    shifted = z - z.detach().amax(dim=1, keepdim=True)
    with torch.no_grad():
        normaliser = torch.zeros_like(shifted[:, :1])
        for _ in range(_STEPS):
            normaliser = _step(normaliser, shifted, excess)
    for _ in range(2):
        normaliser = _step(normaliser, shifted, excess)
    return (-torch.log1p(excess * (normaliser - shifted)) / excess).exp()


def _step(normaliser: Tensor, z: Tensor, excess: float | Tensor) -> Tensor:
    import torch

    logarithm = torch.log1p(excess * (normaliser - z))
    of_mean = -excess * torch.logsumexp(-logarithm / excess, dim=1, keepdim=True)
    slope = excess * ((1 / excess + 1) * (of_mean - logarithm)).exp().sum(dim=1, keepdim=True)
    return normaliser - torch.expm1(of_mean) / slope
