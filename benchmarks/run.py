"""The table of benchmarks/results.md: every row against what it is measured against, in one process."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from contestants import FOUR, TEN, by_hand, monai_dice_ce, monai_four, ours, smp_dice_ce, smp_four
from memory import peak_in_gradients
from timing import Times, interleaved, ratio, training_step
from torch.nn import functional

import lossdsl

RESULTS = Path(__file__).parent / "results.md"
Row = tuple[str, str, str, str]


def binary(rounds: int) -> Iterator[Row]:
    torch.manual_seed(0)
    pred, target = torch.randn(8, 1, 512, 512), (torch.rand(8, 1, 512, 512) < 0.3).float()
    losses = {
        "torch bce": lambda x: functional.binary_cross_entropy_with_logits(x, target),
        "torch mse": lambda x: functional.mse_loss(x, target),
        "bce": ours("bce", target),
        "mse": ours("mse", target, task="regression"),
        "four, inductor": ours(FOUR, target, "inductor"),
        "four, eager": ours(FOUR, target),
        "ten, inductor": ours(TEN, target, "inductor"),
        "MONAI": monai_four(target),
        "smp": smp_four(target),
    }
    steps = {name: training_step(loss, pred) for name, loss in losses.items()}
    times = interleaved(steps, rounds)

    row = partial(_row, times)
    yield row("A", "four, inductor", "torch bce", "<= 1.2")
    yield row("A", "MONAI", "four, inductor", ">= 6")
    yield row("A", "smp", "four, inductor", ">= 6")
    yield row("B", "MONAI", "four, eager", ">= 2")
    yield row("B", "smp", "four, eager", ">= 2")
    yield row("B", "four, eager", "torch bce", "")
    yield row("D", "bce", "torch bce", "<= 1.03")
    yield row("D", "mse", "torch mse", "<= 1.03")
    yield row("G", "ten, inductor", "four, inductor", "<= 1.6")
    for name, wanted in (("four, inductor", "<= 1.25"), ("four, eager", ""), ("torch bce", ""), ("MONAI", "")):
        yield "F", f"peak memory of A, {name}", f"{peak_in_gradients(steps[name]):.2f} gradients", wanted


def classes(rounds: int) -> Iterator[Row]:
    torch.manual_seed(0)
    pred, target = torch.randn(2, 14, 64, 64, 64), torch.randint(0, 14, (2, 64, 64, 64))
    text = "ce + dice(per=batch)"
    losses = {
        "torch ce": lambda x: functional.cross_entropy(x, target),
        "ce": ours("ce", target),
        "ce+dice, inductor": ours(text, target, "inductor"),
        "ce+dice, eager": ours(text, target),
        "MONAI DiceCE": monai_dice_ce(target),
        "smp ce+dice": smp_dice_ce(target),
    }
    steps = {name: training_step(loss, pred) for name, loss in losses.items()}
    times = interleaved(steps, rounds)

    row = partial(_row, times)
    yield row("C", "ce+dice, inductor", "torch ce", "<= 0.9")
    yield row("C", "MONAI DiceCE", "ce+dice, inductor", ">= 3")
    yield row("C", "smp ce+dice", "ce+dice, inductor", ">= 6")
    yield row("C", "ce+dice, eager", "torch ce", "")
    yield row("D", "ce", "torch ce", "<= 1.03")
    for name, wanted in (("ce+dice, inductor", "<= 1.25"), ("ce+dice, eager", ""), ("MONAI DiceCE", "")):
        yield "F", f"peak memory of C, {name}", f"{peak_in_gradients(steps[name]):.2f} gradients", wanted


def _row(times: Mapping[str, Times], case: str, one: str, other: str, wanted: str) -> Row:
    return case, f"{one} / {other}", str(ratio(times[one], times[other])), wanted


def small(rounds: int) -> Iterator[Row]:
    torch.manual_seed(0)
    pred, target = torch.randn(4, 1, 4, 4), (torch.rand(4, 1, 4, 4) < 0.3).float()
    losses = {"ours": ours("0.5*bce + 0.5*dice", target), "by hand": by_hand(target)}
    steps = {name: training_step(loss, pred) for name, loss in losses.items()}
    times = interleaved(steps, max(rounds, 100), repeats=20)
    yield "E", "0.5*bce + 0.5*dice, 64 elements / by hand", str(ratio(times["ours"], times["by hand"])), "<= 1.15"


def compiling(_rounds: int) -> Iterator[Row]:
    lossdsl.compile(TEN)
    for terms in (10, 100, 1000):
        text = " + ".join(f"{i}*({part})" for i in range(1, terms // 10 + 1) for part in TEN.split(" + "))
        least = min(_seconds(text) for _ in range(5))
        yield "H", f"compile() of {terms} terms", f"{1000 * least:.1f} ms", "<= 5 ms" if terms == 10 else "linear"


def _seconds(text: str) -> float:
    start = time.perf_counter()
    lossdsl.compile(text)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [row for part in (small, compiling, binary, classes) for row in part(options.rounds)]
    table = ["| case | what | found | to reach |", "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    where = f"torch {torch.__version__}, {platform.machine()}, {options.threads} threads, {options.rounds} rounds"
    text = "\n".join([
        "# Benchmarks", "",
        "Forward and backward in float32. Every contestant runs once in each round; a ratio is the median over",
        "the rounds with its quartiles, then the ratio of the fastest rounds. Written by `make bench`.", "",
        f"{where}. " + ("GPU: " + torch.cuda.get_device_name() if torch.cuda.is_available() else "No GPU: CPU only."),
        "", *table, "",
    ])  # fmt: skip
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
