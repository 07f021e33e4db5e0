"""How long checking takes: one process, a thousand formulas in one, and the growth with the length of a formula.

    python benchmarks/check_speed.py [--rounds 15]

Seconds of processor time: medians of several rounds, for the many formulas the best of three. The processes take turns
with an empty Python process; the ratio to it is the number to compare between machines.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import lossdsl

PIECES = ("bce", "dice(smooth=1)", "(-log(1 - iou))", "focal(gamma=2)", "mean((p - y)**2)", "tversky(fn_weight=0.7)")
WRONG = ("bce", "dice(smooth=1)", "log(1 - iou)", "focal(gamma=2)")
LENGTHS = (1, 4, 16, 64, 256, 1024)
FORMULAS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each process is started")
    rounds = parser.parse_args().rounds
    print("| what | seconds, median | against |\n|---|---|---|")
    processes(rounds)
    many()
    lengths()


def processes(rounds: int) -> None:
    """`lossdsl check FILE` as a whole, beside a Python that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "experiment.yaml"
        config.write_text("loss: 0.5*bce + 0.5*(-log(1 - dice))\n", encoding="utf-8")
        empty = [sys.executable, "-c", "pass"]
        check = [sys.executable, "-m", "lossdsl.cli", "check", str(config)]
        times = [(seconds(run(empty)), seconds(run(check))) for _ in range(rounds)]
    floor, whole = (statistics.median(column) for column in zip(*times, strict=True))
    row("an empty Python process", floor, "")
    row("`lossdsl check FILE`, one process", whole, f"{whole / floor:.1f} empty processes")


def run(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def many() -> None:
    """Different formulas, one after the other."""
    for what, pieces in (("formulas", PIECES), ("formulas with a finding", WRONG)):
        formulas = [formula(4, start, pieces) for start in range(FORMULAS)]
        lossdsl.check(formulas[0])  # reads the grammar and the losses
        whole = min(seconds(lambda texts=formulas: [lossdsl.check(text) for text in texts]) for _ in range(3))
        row(f"{FORMULAS:,} {what}, 4 terms each, one process", whole, f"{1000 * whole / FORMULAS:.2f} ms a formula")


def lengths() -> None:
    """Longer and longer formulas; a slope of 1 in the logarithms is linear growth."""
    taken: dict[int, float] = {}
    for terms in LENGTHS:
        text = formula(terms)
        taken[terms] = statistics.median(seconds(partial(lossdsl.check, text)) for _ in range(5))
        row(f"one formula of {terms:,} terms", taken[terms], f"{1000 * taken[terms] / terms:.2f} ms a term")
    logarithms = [(math.log(terms), math.log(value)) for terms, value in taken.items() if terms >= 16]
    slope = statistics.linear_regression(*zip(*logarithms, strict=True)).slope
    print(f"\nslope of the logarithms from 16 terms on: {slope:.2f}")


def formula(terms: int, start: int = 0, pieces: Sequence[str] = PIECES) -> str:
    """A sum of terms with a weight of its own for each."""
    return " + ".join(f"{(start + n) % 97 + 1}e-2*{pieces[(start + n) % len(pieces)]}" for n in range(terms))


def seconds(work: Callable[[], object]) -> float:
    """Processor time, that of child processes included."""
    before = processor_time()
    work()
    return processor_time() - before


def processor_time() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def row(what: str, taken: float, against: str) -> None:
    print(f"| {what} | {taken:.4f} | {against} |", flush=True)


if __name__ == "__main__":
    main()
