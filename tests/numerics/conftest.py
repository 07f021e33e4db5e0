"""Shared ways to run a loss. torch is imported inside, so that tests of the language alone start at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import lossdsl


@pytest.fixture(scope="session")
def compiled() -> Callable[..., Any]:
    """`lossdsl.compile`, once for the same text and options."""

    @cache
    def make(text: str, options: tuple[tuple[str, Any], ...]) -> Any:
        return lossdsl.compile(text, **dict(options))

    return lambda text, **options: make(text, tuple(sorted(options.items())))


@pytest.fixture(scope="session")
def seeded() -> Callable[[object], random.Random]:
    """seeded(anything) is a generator of choices, and torch draws anew from there too."""
    import torch

    def start(seed: object) -> random.Random:
        rng = random.Random(str(seed))
        torch.manual_seed(rng.getrandbits(32))
        return rng

    return start


@pytest.fixture(scope="session")
def value(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """value(text, pred, target, task=...) is the loss as a tensor. Keywords of a call are given as call={...}."""

    def run(text: str, pred: Any, target: Any, *, call: dict[str, Any] | None = None, **options: Any) -> Any:
        return compiled(text, **options)(pred, target, **(call or {}))

    return run


@pytest.fixture(scope="session")
def value_and_gradient(value: Callable[..., Any]) -> Callable[..., Any]:
    """As `value`, with the gradient with respect to the prediction."""
    import torch

    def run(text: str, pred: Any, target: Any, **keywords: Any) -> tuple[Any, Any]:
        leaf = pred.detach().clone().requires_grad_()
        result = value(text, leaf, target, **keywords)
        (gradient,) = torch.autograd.grad(result, leaf)
        return result.detach(), gradient

    return run
