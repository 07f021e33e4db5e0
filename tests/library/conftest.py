"""Shared ways to run a loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl


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
