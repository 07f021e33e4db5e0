"""Rounds in which every contestant runs once, so that what slows the machine down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Times:
    """Seconds of each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def least(self) -> float:
        return min(self.rounds)


@dataclass(frozen=True)
class Ratio:
    """How many times slower one is than another: the median over the rounds with its quartiles, and of the minima."""

    median: float
    low: float
    high: float
    of_least: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f}), min {self.of_least:.2f}"


def ratio(one: Times, other: Times) -> Ratio:
    each = [a / b for a, b in zip(one.rounds, other.rounds, strict=True)]
    low, _, high = statistics.quantiles(each, n=4)
    return Ratio(statistics.median(each), low, high, one.least / other.least)


def training_step(loss: Callable[[Tensor], Tensor], pred: Tensor) -> Callable[[], Tensor]:
    """Forward and backward from a fresh leaf."""

    def step() -> Tensor:
        leaf = pred.detach().requires_grad_()
        loss(leaf).backward()
        assert leaf.grad is not None
        return leaf.grad

    return step


def interleaved(steps: Mapping[str, Callable[[], object]], rounds: int, repeats: int = 1) -> dict[str, Times]:
    """Seconds of each step in each round, after two rounds that do not count."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            synchronize()
            start = time.perf_counter()
            for _ in range(repeats):
                step()
            synchronize()
            if turn >= 2:
                found[name].append((time.perf_counter() - start) / repeats)
    return {name: Times(tuple(times)) for name, times in found.items()}


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
