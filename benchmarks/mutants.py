"""How many small mistakes in the code some test finds: `make mutants`, of one part `make mutants ARGS=proving`.

mutmut writes mutants, copies of a function with one thing changed, and runs the tests that reach it. All of them would
take days; this takes a number of each file at random, the same in every run, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mutmut.stats import status_by_exit_code

PARTS = {
    "graph": "lossdsl/graph",
    "operations": "lossdsl/operations",
    "proving": "lossdsl/proving",
    "ops": "lossdsl/runtime/ops.py",
}
FOUND = ("killed", "timeout", "segfault")  # by a test that fails, or never ends
STATS = Path("mutants/mutmut-stats.json")
NOT_RUN = 255  # mutmut calls it a timeout, but pytest did not even begin
# mutmut writes its mutants in the course of a run, so the first run is one of a few.
FIRST = "lossdsl.graph.frames.x_too_large*"


def run(names: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "mutmut", "run", *names], check=True)


def with_all_tests() -> None:
    """Let every test look for the mutants of functions that run at import alone, such as those that make a rule.

    mutmut counts them for the test that came first, though the others run what they made.
    """
    stats = json.loads(STATS.read_text(encoding="utf-8"))
    every = list(stats["duration_by_test"])
    for function, tests in stats["tests_by_mangled_function_name"].items():
        if tests == every[:1]:
            stats["tests_by_mangled_function_name"][function] = every
    STATS.write_text(json.dumps(stats), encoding="utf-8")


def results(part: str) -> dict[str, dict[str, str]]:
    """The state of each mutant of a part, by file."""
    path = Path("mutants") / PARTS[part]
    metas = sorted(path.glob("*.py.meta")) if path.is_dir() else [Path(f"{path}.meta")]
    read = {meta.stem: json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"] for meta in metas}
    if any(code == NOT_RUN for codes in read.values() for code in codes.values()):
        raise SystemExit(
            "pytest does not start for a mutant: try the tests of mutmut's folder by hand, then make clean"
        )
    return {
        file: {name: status_by_exit_code[code] for name, code in sorted(codes.items())} for file, codes in read.items()
    }


def sampled(part: str, each: int) -> dict[str, list[str]]:
    """As many mutants of each file, of a small file all."""
    return {
        file: random.Random(0).sample(list(states), min(each, len(states)))
        for file, states in results(part).items()
        if states
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them by default")
    parser.add_argument("--each", type=int, default=25, help="how many mutants of each file")
    arguments = parser.parse_args()
    run([FIRST])
    with_all_tests()
    samples = {part: sampled(part, arguments.each) for part in arguments.parts or PARTS}
    run([name for sample in samples.values() for names in sample.values() for name in names])
    for part, sample in samples.items():
        found = results(part)
        table = {file: [found[file][name] for name in names] for file, names in sample.items()}
        for file, states in table.items():
            print(f"{file:24}{sum(state in FOUND for state in states):5} of {len(states)}")
        states = [state for row in table.values() for state in row]
        share = sum(state in FOUND for state in states) / len(states)
        print(f"{part}: {share:.1%} of {len(states)} found")
        for file, names in sample.items():
            print(*(f"    {name}: {found[file][name]}" for name in names if found[file][name] not in FOUND), sep="\n")


if __name__ == "__main__":
    main()
