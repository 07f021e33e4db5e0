"""When a schedule goes wrong, as far as a few epochs or steps show it."""

from __future__ import annotations

from lossdsl.graph.nodes import Node, in_order
from lossdsl.proving import interval as of
from lossdsl.proving.interval import Interval, Known
from lossdsl.proving.refining import again

_TIMES = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000, 1_000_000)


def first_time_outside(node: Node, allowed: Interval, known: Known) -> str | None:
    """`at epoch 3 it is -1` for a number that depends on the epoch or the step alone and is not in `allowed` then."""
    clocks = [part for part in in_order([node]) if part.operation == "input"]
    if len(clocks) != 1 or not clocks[0].input_name.startswith("scalar:"):
        return None
    for time in _TIMES:
        value = again(node, {clocks[0]: of.point(time)}, known)
        if not of.overlap(value, allowed):
            name = clocks[0].input_name.removeprefix("scalar:")
            return f"at {name} {time} it is {value}"
    return None
