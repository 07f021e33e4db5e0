"""How often a loss goes over memory: wide values read or written, counted from the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.differentiated import differentiated
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.products import Unsupported, is_wide
from lossdsl.graph.stable import stable
from lossdsl.graph.stages import frontier, stages

_FREE = frozenset({"input", "cast", "cast_like"})


@dataclass(frozen=True, slots=True)
class Cost:
    """Passes over memory, each a read or a write of one value for every pixel.

    apart: forward, each term by itself, operation by operation. shared: with the parts that terms have in common
    computed once. forward, backward: in stages, None for a loss that is not run in stages.
    """

    apart: int
    shared: int
    forward: int | None
    backward: int | None


def cost(loss: BuiltLoss) -> Cost:
    apart = sum(_operations([term.value]) for term in loss.terms)
    return Cost(apart, _operations([loss.total]), *_in_stages(stable([loss.total])[loss.total]))


def _operations(outputs: Sequence[Node]) -> int:
    """Every operation reads its wide arguments and writes its wide result."""
    nodes = [node for node in in_order(outputs) if node.operation not in _FREE]
    return sum(is_wide(node) + sum(is_wide(argument) for argument in node.arguments) for node in nodes)


def _in_stages(total: Node) -> tuple[int | None, int | None]:
    try:
        both = differentiated([total], ["pred"])
    except Unsupported:
        return None, None
    kept = frontier(list(both.gradients.values()), [node for node in in_order(both.outputs) if not is_wide(node)])
    return _sweeps([*both.outputs, *kept], ()), _sweeps(list(both.gradients.values()), kept)


def _sweeps(outputs: Sequence[Node], known: Sequence[Node]) -> int | None:
    """A sweep reads each wide input and writes each wide output once; what is between stays in the cache."""
    found = stages(outputs, known)
    if found is None:
        return None
    parts = [stage.sweep for stage in found]
    return sum(is_wide(node) for part in parts for node in (*part.inputs, *part.outputs))
