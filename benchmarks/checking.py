"""How long checking takes: one process, a thousand formulas in one process, and against the length of a formula.

    python benchmarks/checking.py

CPU time, the smallest of several runs. The last table also has the slope of its logarithms: 1 is linear.
"""

from __future__ import annotations

import math
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import lossdsl

LOSSES = ("bce", "dice", "focal", "tversky", "iou", "-log(1 - dice)", "-log(1 - iou(per=batch))", "f_beta", "mcc")
LENGTHS = (10, 20, 40, 80, 160)


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """CPU seconds of the fastest of some runs."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def of_process(arguments: list[str]) -> float:
    """CPU seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "lossdsl.cli", *arguments], check=False, stdout=subprocess.DEVNULL)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def thousand() -> list[str]:
    """Formulas of one to four terms, none twice."""
    rng = random.Random(0)
    return [
        " + ".join(f"{rng.randint(1, 999)}*{rng.choice(LOSSES)}" for _ in range(rng.randint(1, 4))) for _ in range(1000)
    ]


def check_all(formulas: list[str]) -> None:
    for formula in formulas:
        lossdsl.check(formula, task="binary")


def long_formula(terms: int) -> str:
    return " + ".join(f"{n + 1}*mean((p - 0.{n + 1})**2*log(1 + y*{n + 1}))" for n in range(terms)) + " - log(1 - dice)"


def slope(xs: list[float], ys: list[float]) -> float:
    """Of the straight line through the logarithms, by least squares."""
    x, y = [math.log(value) for value in xs], [math.log(value) for value in ys]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return rise / sum((a - mean_x) ** 2 for a in x)


def main() -> None:
    process = min(of_process(["check", "-e", "0.5*bce + 0.5*(-log(1 - dice))"]) for _ in range(7))
    print(f"one process: {process:.3f} s")
    print(f"1,000 formulas in one process: {seconds(lambda: check_all(thousand()), runs=3):.2f} s")
    taken = [seconds(lambda terms=terms: lossdsl.check(long_formula(terms), task="binary")) for terms in LENGTHS]
    lengths = [len(long_formula(terms)) for terms in LENGTHS]
    for length, one in zip(lengths, taken, strict=True):
        print(f"{length:6} characters: {one * 1e3:7.1f} ms")
    print(f"slope: {slope([float(length) for length in lengths], taken):.2f}")


if __name__ == "__main__":
    main()
