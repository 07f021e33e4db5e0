"""A loss with its gradient: one graph of both, in the form in which it is run operation by operation."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from lossdsl.graph.fused import for_a_compiler
from lossdsl.graph.gradient import dependent, expanded, gradients
from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.rewrites import COMPUTED
from lossdsl.graph.selection import selected


@dataclass(frozen=True, slots=True)
class Differentiated:
    """outputs: in the order of the originals. moving: whether each depends on the inputs of the gradient.

    gradients: by the names of inputs, made from the outputs' own derivatives, the inputs `seed:0`, `seed:1`, ...
    """

    outputs: tuple[Node, ...]
    moving: tuple[bool, ...]
    gradients: dict[str, Node]


def differentiated(
    outputs: Sequence[Node],
    names: Sequence[str],
    positive: Container[Node] = (),
    *,
    small: bool = False,
    fused: bool = False,
    together: bool = False,
) -> Differentiated:
    """positive: nodes that are well above 0. small: few elements, so that the number of operations counts, and not what
    each costs. fused: for a compiler. together: the gradients are computed with the outputs.

    Raises Unsupported where an operation between the inputs and the outputs has no derivative rule.
    """
    graph, form = Graph(COMPUTED), Graph(COMPUTED)
    plain = expanded(graph, outputs, positive)
    found = gradients(graph, plain, names)
    wanted = [*plain, *found.values()]
    chosen = iter(for_a_compiler(form, wanted) if fused else selected(form, wanted, large=not small, together=together))
    depends = dependent(in_order(plain), names)
    return Differentiated(
        outputs=tuple([next(chosen) for _ in plain]),
        moving=tuple(output in depends for output in plain),
        gradients={name: next(chosen) for name in found},
    )
