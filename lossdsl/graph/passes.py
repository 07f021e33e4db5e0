"""The passes that a loss goes through before it is cut into stages: each makes a graph from a graph."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, TypeAlias

from lossdsl.graph.fused import for_a_compiler
from lossdsl.graph.gradient import dependent, expanded, gradients
from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.rewrites import COMPUTED
from lossdsl.graph.selection import cheapest_operations, cheapest_operations_together, fewest_operations


@dataclass(frozen=True, slots=True)
class Joint:
    """A loss with its gradient, in one graph.

    outputs: in the order of the originals. wanted: the names of the inputs that need a gradient. positive: nodes of the
    loss as it was built that are well above 0. differentiable: whether each output depends on what is wanted.
    gradients: by the names of inputs, made from the outputs' own derivatives, the inputs `seed:0`, `seed:1`, ...
    graph: where the nodes are made, so that a part that the value and the gradient share is one node.
    """

    outputs: tuple[Node, ...]
    wanted: tuple[str, ...]
    positive: Container[Node] = ()
    differentiable: tuple[bool, ...] = ()
    gradients: Mapping[str, Node] = field(default_factory=dict)
    graph: Graph = field(default_factory=partial(Graph, COMPUTED))

    @property
    def roots(self) -> tuple[Node, ...]:
        return (*self.outputs, *self.gradients.values())


class Pass(NamedTuple):
    """A named step from a graph to a graph."""

    name: str
    run: Callable[[Joint], Joint]


Form: TypeAlias = Callable[[Graph, Sequence[Node]], list[Node]]


def passed(passes: Iterable[Pass], loss: Joint) -> Joint:
    """The loss after these passes.

    Raises Unsupported where an operation between the inputs and the outputs has no derivative rule.
    """
    for one in passes:
        loss = one.run(loss)
        checked(loss.roots)
    return loss


def checked(roots: Sequence[Node]) -> None:
    """Called with what a graph computes after each pass. It does nothing: a test puts a verifier of graphs here."""


def _expand(loss: Joint) -> Joint:
    """In operations that have simple derivatives; from here on `positive` is part of the graph."""
    graph = Graph(COMPUTED)
    return replace(loss, graph=graph, outputs=tuple(expanded(graph, loss.outputs, loss.positive)), positive=())


def _differentiate(loss: Joint) -> Joint:
    depends = dependent(in_order(loss.outputs), loss.wanted)
    return replace(
        loss,
        differentiable=tuple(output in depends for output in loss.outputs),
        gradients=gradients(loss.graph, loss.outputs, loss.wanted),
    )


def _choose(form: Form, loss: Joint) -> Joint:
    graph, count = Graph(COMPUTED), len(loss.outputs)
    chosen = form(graph, loss.roots)
    return replace(
        loss,
        graph=graph,
        outputs=tuple(chosen[:count]),
        gradients=dict(zip(loss.gradients, chosen[count:], strict=True)),
    )


EXPAND = Pass("expand", _expand)
DIFFERENTIATE = Pass("differentiate", _differentiate)
FEWEST_OPERATIONS = Pass("choose the fewest operations", partial(_choose, fewest_operations))
CHEAPEST_OPERATIONS = Pass("choose the cheapest operations", partial(_choose, cheapest_operations))
CHEAPEST_TOGETHER = Pass(
    "choose the cheapest operations of value and gradient together", partial(_choose, cheapest_operations_together)
)
FEWEST_LOOPS = Pass("choose the fewest loops", partial(_choose, for_a_compiler))
