"""Shared ways to run a loss, and random calls."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import lossdsl


class Call(NamedTuple):
    """What is passed, and the labels laid out as the prediction."""

    pred: Tensor
    target: Tensor
    labels: Tensor


@pytest.fixture(scope="session")
def value() -> Callable[..., Tensor]:
    """value(text, pred, target, task=...) is the loss. Keywords of a call are given as call={...}."""

    @cache
    def compiled(text: str, options: tuple[tuple[str, Any], ...]) -> Any:
        return lossdsl.compile(text, **dict(options))

    def run(text: str, pred: Tensor, target: Tensor, *, call: dict[str, Any] | None = None, **options: Any) -> Tensor:
        return compiled(text, tuple(sorted(options.items())))(pred, target, **(call or {}))

    return run


@pytest.fixture(scope="session")
def value_and_gradient(value: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    """As `value`, with the gradient with respect to the prediction."""

    def run(text: str, pred: Tensor, target: Tensor, **keywords: Any) -> tuple[Tensor, Tensor]:
        leaf = pred.detach().clone().requires_grad_()
        result = value(text, leaf, target, **keywords)
        (gradient,) = torch.autograd.grad(result, leaf)
        return result.detach(), gradient

    return run


@pytest.fixture(scope="session")
def draw() -> Callable[..., Call]:
    """draw(seed, task, given) is a call in double precision, of numbers that single precision has too. The task "soft"
    is multiclass with probabilities as labels."""

    def labels(rng: random.Random, shape: tuple[int, ...]) -> Tensor:
        drawn = torch.rand(shape, dtype=torch.float64)
        return drawn if rng.random() < 0.3 else (drawn < rng.choice([0.0, 0.2, 0.5, 1.0])).double()

    def run(seed: str, task: str, given: str = "logits") -> Call:
        call = exact(seed, task, given)
        return Call(*(x.float().double() if x.is_floating_point() else x for x in call))

    def exact(seed: str, task: str, given: str) -> Call:
        rng = random.Random(seed)
        torch.manual_seed(rng.randrange(2**32))
        space = tuple(rng.randint(1, 4) for _ in range(rng.randint(0, 3)))
        batch, scale = rng.randint(1, 3), rng.choice([0.3, 1.0, 3.0])
        if task == "binary":
            shape = (batch, 1, *space) if rng.random() < 0.5 else (batch, *space)
        else:
            shape = (batch, rng.randint(2, 4), *space)
        z = torch.randn(shape, dtype=torch.float64) * scale
        if task == "regression":
            target = torch.where(torch.rand(shape) < 0.2, z, torch.randn(shape, dtype=torch.float64) * 3)
            return Call(z, target, target)
        if task in ("binary", "multilabel"):
            y = labels(rng, shape)
            return Call(z if given == "logits" else z.sigmoid(), y, y)
        pred = z if given == "logits" else z.softmax(1)
        if task == "soft":
            y = torch.randn(shape, dtype=torch.float64).mul(3).softmax(1)
            return Call(pred, y, y)
        index = torch.randint(0, shape[1], (batch, *space)).clamp_max(rng.choice([shape[1] - 1, 1]))
        return Call(pred, index, torch.nn.functional.one_hot(index, shape[1]).movedim(-1, 1).double())

    return run
