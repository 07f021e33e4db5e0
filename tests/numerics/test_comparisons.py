"""Numbers that are equal in the text compare equal, in whichever form each of them is computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossdsl

# A formula whose value is the share of pixels whose label is the most probable class, or that of the others.
ACCURACY = (
    "mean(where(sum(y*p, over=class) >= max(p, over=class), 1, 0))",
    "mean(where(sum(y*p, over=class) == max(p, over=class), 1, 0))",
    "mean(where(max(p, over=class) <= sum(p*y, over=class), 1, 0))",
    "mean(where(log(sum(y*p, over=class)) >= log(max(p, over=class)), 1, 0))",
    "mean(where(sum(y*log(p), over=class) >= max(log(p), over=class), 1, 0))",
    "mean(where(sum(y*(1 - p), over=class) <= min(1 - p, over=class), 1, 0))",
    "mean(where(log(1 - sum(y*p, over=class)) <= min(log(1 - p), over=class), 1, 0))",
    "mean(where(sum(y*z, over=class) >= max(z, over=class), 1, 0))",
    "mean(where(sum(y*exp(z), over=class) >= max(exp(z), over=class), 1, 0))",
    "mean(where(sum(y*tanh(0.1*z), over=class) >= max(tanh(0.1*z), over=class), 1, 0))",
    "mean(where(sum(y*p**0.7, over=class) >= max(p**0.7, over=class), 1, 0))",
    "mean(where(sum(y*sigmoid(z), over=class) >= max(sigmoid(z), over=class), 1, 0))",
    "mean(max(where(p >= max(p, over=class), y, 0), over=class))",
    "t = sum(y*p, over=class)\n1 - mean(where(max(where(p > t, 1, 0), over=class) > 0, 1, 0))",
)
SHAPES = ((2, 3, 7), (1, 2, 1), (3, 5, 9, 11), (2, 3, 300, 301))


def _batch(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    logits = 3 * torch.randn(shape, dtype=dtype)
    return logits, torch.randint(0, shape[1], (shape[0], *shape[2:]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("text", ACCURACY)
def test_the_picked_class_is_found(text: str, dtype: torch.dtype) -> None:
    loss = lossdsl.compile(text, task="multiclass")
    for shape in SHAPES:
        logits, labels = _batch(shape, dtype)
        at_label = logits.gather(1, labels.unsqueeze(1))
        accuracy = (at_label >= logits.amax(1, keepdim=True)).double().mean()
        value = loss(logits, labels)
        # In half precision two logits can be equal, so that more than one class is the most probable.
        assert value.item() == pytest.approx(accuracy.item(), abs=1e-6), shape


def test_compiled() -> None:
    logits, labels = _batch((4, 5, 37, 41), torch.float32)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    for text in ACCURACY[:2]:
        loss = lossdsl.compile(text, task="multiclass", backend="inductor")
        assert loss(logits, labels).item() == pytest.approx(accuracy, abs=1e-6)


DUAL_FOCAL = """
pt = sum(y*p, over=class)
mean(-(1 - pt + max(where(p < pt, p, 0), over=class))**5*log(pt))
"""


def _dual_focal(logits: Tensor, labels: Tensor) -> Tensor:
    """Tao et al. 2023, arXiv 2305.13665, written with a mask instead of a comparison."""
    log_p = functional.log_softmax(logits, 1)
    index = labels.unsqueeze(1)
    pt = log_p.gather(1, index).exp()
    below = torch.where(log_p < log_p.gather(1, index), log_p.exp(), 0.0)
    below = below.scatter(1, index, 0.0)
    return (-((1 - pt + below.amax(1, keepdim=True)) ** 5) * log_p.gather(1, index)).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_dual_focal(dtype: torch.dtype, value_and_gradient: Any) -> None:
    for shape in SHAPES:
        logits, labels = _batch(shape, dtype)
        value, gradient = value_and_gradient(DUAL_FOCAL, logits, labels, task="multiclass")
        exact = logits.double().requires_grad_()
        wanted = _dual_focal(exact, labels)
        (slope,) = torch.autograd.grad(wanted, exact)
        tolerance = 1e-12 if dtype == torch.float64 else 2e-6
        assert value.item() == pytest.approx(wanted.item(), rel=tolerance), shape
        assert (gradient.double() - slope).norm() <= tolerance * slope.norm(), shape


def test_binary_at_the_threshold() -> None:
    """A probability compared with a function of itself."""
    logits = torch.randn(3, 1, 17)
    target = (torch.rand(3, 1, 17) < 0.5).float()
    for text in ("mean(where(p == sigmoid(z), 1, 0))", "mean(where(log(p) == log(sigmoid(z)), 1, 0))"):
        assert lossdsl.compile(text, task="binary")(logits, target).item() == 1
