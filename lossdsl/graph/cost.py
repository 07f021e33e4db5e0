"""How often a loss goes over memory: wide values read or written, counted from what is run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.factored_form import is_wide
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.schedule import decided, scheduled
from lossdsl.graph.stable_form import computed
from lossdsl.graph.stages import Part

_FREE = frozenset({"input", "cast", "cast_like"})


@dataclass(frozen=True, slots=True)
class Cost:
    """Passes over memory, each a read or a write of one value for every pixel.

    apart: forward, each term by itself, operation by operation. shared: with the parts that terms have in common
    computed once. forward, backward: in stages, None for a loss that is not run in stages. A gradient that is computed
    with the value is written forward, and backward there is nothing left.
    """

    apart: int
    shared: int
    forward: int | None
    backward: int | None


def cost(
    loss: BuiltLoss,
    positive: frozenset[Node] = frozenset(),
    rounded: frozenset[Node] = frozenset(),
    alike: bool = True,
) -> Cost:
    """Of a large batch on a CPU, where the gradient of the predictions is needed, and that of what is learned.

    positive, rounded: as in `computed`. alike: whether all tensors have the same sizes.
    """
    apart = sum(_operations([term.value]) for term in loss.terms)
    return Cost(apart, _operations([loss.total]), *_in_stages(loss, positive, rounded, alike))


def _operations(outputs: Sequence[Node]) -> int:
    """Every operation reads its wide arguments and writes its wide result."""
    nodes = [node for node in in_order(outputs) if node.operation not in _FREE]
    return sum(is_wide(node) + sum(is_wide(argument) for argument in node.arguments) for node in nodes)


def _in_stages(
    loss: BuiltLoss, positive: frozenset[Node], rounded: frozenset[Node], alike: bool
) -> tuple[int | None, int | None]:
    form, strategy = computed(loss, positive, rounded), decided(alike=lambda: alike)
    wanted = tuple(name for name in form.inputs if name.partition("@")[0] == "pred" or name.startswith("learned:"))
    found = scheduled(form.outputs[:1], wanted, strategy, form.positive) if strategy.cut else None
    if found is None:
        return None, None
    return swept(stage.sweep for stage in found.forward), swept(stage.sweep for stage in found.backward)


def swept(sweeps: Iterable[Part]) -> int:
    """A sweep reads each wide input and writes each wide output once; what is between stays in the cache."""
    return sum(is_wide(node) for sweep in sweeps for node in (*sweep.inputs, *sweep.outputs))
