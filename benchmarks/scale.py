"""How the cost of a training step grows with elements, classes and terms, as a plot: benchmarks/scale.png."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import torch
from contestants import TEN, ours
from timing import interleaved, training_step
from torch.nn import functional

mpl.use("Agg")
from matplotlib import pyplot as plt

PLOT = Path(__file__).parent / "scale.png"
Steps = dict[str, Callable[[], object]]


def elements(largest: int) -> Iterator[tuple[int, Steps]]:
    size = 1000
    while size <= largest:
        pred, target = torch.randn(1, 1, size), torch.rand(1, 1, size).round()
        yield (
            size,
            {
                "torch bce": training_step(_bce(target), pred),
                "bce": training_step(ours("bce", target), pred),
                "bce + dice + focal + tversky": training_step(ours("bce + dice + focal + tversky", target), pred),
            },
        )
        size *= 10


def classes(_largest: int) -> Iterator[tuple[int, Steps]]:
    for count in (2, 5, 10, 20, 50, 100):
        pred, target = torch.randn(1, count, 1_000_000 // count), torch.randint(0, count, (1, 1_000_000 // count))
        yield (
            count,
            {
                "torch ce": training_step(_ce(target), pred),
                "ce": training_step(ours("ce", target), pred),
                "ce + dice(per=batch)": training_step(ours("ce + dice(per=batch)", target), pred),
            },
        )


def terms(_largest: int) -> Iterator[tuple[int, Steps]]:
    pred, target = torch.randn(1, 1, 1_000_000), torch.rand(1, 1, 1_000_000).round()
    parts = TEN.split(" + ")
    for count in (1, 2, 5, 10, 20, 50):
        text = " + ".join(f"{1 + i // 10}*{parts[i % 10]}" for i in range(count))
        losses = {"torch bce": _bce(target), "eager": ours(text, target), "inductor": ours(text, target, "inductor")}
        yield count, {name: training_step(loss, pred) for name, loss in losses.items()}


def _bce(target: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda pred: functional.binary_cross_entropy_with_logits(pred, target)


def _ce(target: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda pred: functional.cross_entropy(pred, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=100_000_000, help="elements of the largest batch")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figure, panels = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for panel, sweep in zip(panels, (elements, classes, terms), strict=True):
        lines: dict[str, list[tuple[int, float]]] = {}
        for value, steps in sweep(options.largest):
            for name, times in interleaved(steps, options.rounds).items():
                lines.setdefault(name, []).append((value, 1000 * times.least))
        for name, points in lines.items():
            panel.loglog(*zip(*points, strict=True), marker="o", label=name)
        panel.set(xlabel=sweep.__name__, ylabel="ms, forward and backward")
        panel.legend()
    figure.savefig(PLOT, dpi=120)


if __name__ == "__main__":
    main()
