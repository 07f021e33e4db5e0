"""A logit of -inf shuts a class off: its probability is 0, and 0*log(0) is 0. Values and gradients are those of a logit
that is merely very low."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl
from lossdsl.registry.discover import default_registry

# Losses of the raw difference: it is infinite where a logit is.
_OF_THE_DIFFERENCE = frozenset({
    "cauchy", "charbonnier", "geman_mcclure", "huber", "l1", "log_cosh", "mse", "smooth_l1", "ssim", "welsch", "wing",
})  # fmt: skip
_WRITTEN = {"wasserstein_dice": "wasserstein_dice(distances=[[0, 1, 0.5], [1, 0, 0.5], [0.5, 0.5, 0]])"}
FORMULAS = {
    "mean(-log(p)*y)": ("binary", "multilabel", "multiclass"),
    "mean(-y*log(p) - (1 - y)*log(1 - p))": ("binary", "multilabel", "multiclass"),
    "mean(-sum(y*log(p), over=class))": ("multiclass",),
    "mean(-(1 - p)**2*y*log(p))": ("binary", "multilabel", "multiclass"),
    "mean(p*log(p))": ("binary", "multilabel", "multiclass"),
    "mean(y*log(y/p))": ("binary", "multilabel", "multiclass"),
    "mean(logsumexp(z, over=class) - sum(y*z, over=class))": ("multiclass",),
    "mean(log(sum(exp(z), over=class)))": ("multiclass",),
    "mean(softplus(z) - y*max(z, -50))": ("binary", "multilabel"),
    "mean(log(1 + exp(z)) - y*max(z, -50))": ("binary", "multilabel"),
    "-log(1 - dice) + bce": ("binary", "multilabel"),
    "focal + dice(per=batch)": ("binary", "multilabel", "multiclass"),
}


def _built_in() -> list[tuple[str, str]]:
    """The losses of the library that take logits, with each task that they are for."""
    registry = default_registry()
    found = []
    for candidate in (registry.candidates(name)[0] for name in sorted(registry.names()) if "." not in name):
        loss = registry.load(candidate)
        tasks = [task for task in loss.tasks if task != "regression"]
        own = candidate.own and loss.name not in _OF_THE_DIFFERENCE
        needed = [parameter for parameter in loss.parameters if parameter.default is None]
        if own and hasattr(loss, "declaration") and (not needed or loss.name in _WRITTEN):
            found += [(_WRITTEN.get(loss.name, loss.name), task) for task in tasks]
    return found


ROWS = _built_in() + [(text, task) for text, tasks in FORMULAS.items() for task in tasks]


def _batch(task: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, a target, and where a logit is shut off: never at what the target has."""
    logits = torch.randn(2, 1 if task == "binary" else 3, 12, 12, dtype=dtype)
    if task == "multiclass":
        shut = torch.zeros_like(logits, dtype=torch.bool)
        shut[:, 2] = True
        return logits, torch.randint(0, 2, (2, 12, 12)), shut
    target = (torch.rand_like(logits) < 0.4).to(dtype)
    return logits, target, (torch.rand_like(logits) < 0.3) & (target == 0)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("text", "task"), ROWS, ids=["-".join(row) for row in ROWS])
def test_as_a_very_low_logit(text: str, task: str, dtype: torch.dtype, value_and_gradient: Any) -> None:
    logits, target, shut = _batch(task, dtype)
    value, gradient = value_and_gradient(text, logits.masked_fill(shut, -math.inf), target, task=task)
    wanted, slope = value_and_gradient(text, logits.masked_fill(shut, -1e4), target, task=task)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert value.item() == pytest.approx(wanted.item(), rel=tolerance, abs=tolerance)
    assert (gradient - slope).abs().max() <= tolerance


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo itself causes it
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_both_ends(backend: Any) -> None:
    """Certain outcomes of both kinds, each as the target has it: nothing is wrong, whatever the form that is run."""
    logits = torch.tensor([[[math.inf, -math.inf, 0.0, math.inf]]])
    target = torch.tensor([[[1.0, 0.0, 1.0, 1.0]]])
    loss = lossdsl.compile("bce + focal + mean(-y*log(p)) + kl + js", task="binary", backend=backend)
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target)
    (gradient,) = torch.autograd.grad(value, leaf)
    only = lossdsl.compile("bce + focal + mean(-y*log(p)) + kl + js", task="binary")(
        logits[:, :, 2:3], target[:, :, 2:3]
    )
    assert value.item() == pytest.approx(only.item() / 4, rel=1e-5)
    assert gradient.isfinite().all()


def test_the_target_is_shut_off(value_and_gradient: Any) -> None:
    """What cannot be is a large loss, and finite: the logarithm of the smallest normal number stands for that of 0."""
    logits = torch.tensor([[[0.0], [-math.inf], [1.0]]])
    value, gradient = value_and_gradient("ce", logits, torch.tensor([[1]]), task="multiclass")
    assert value.item() == pytest.approx(-math.log(torch.finfo(torch.float32).tiny))
    assert gradient.isfinite().all()
    assert gradient[0, 0] > 0
    assert gradient[0, 1] < 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_large_logits_are_as_they_are(dtype: torch.dtype, value: Any) -> None:
    """Only what is infinite is replaced."""
    logits = torch.tensor([[[1e4], [-1e4], [0.0]]], dtype=dtype)
    assert value("ce", logits, torch.tensor([[1]]), task="multiclass").item() == 2e4
    assert value("bce", logits, torch.tensor([[[0.0], [1.0], [0.0]]], dtype=dtype), task="multilabel").item() > 6.6e3
