"""The form in which a graph is computed: finite where a number leaves what floating point can hold, and narrow.

The graph of a formula says what is meant, and the proofs read it so. Here log-sum-exp is taken relative to the largest
exponent, logarithms of probabilities stay finite for logits of -inf, and a value at the target's class is computed
from what is picked, rather than picked from what is computed for all classes.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from lossdsl.graph import verify
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.exponentials import largest_exponent, relative_power
from lossdsl.graph.factored_form import wants_a_tensor
from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.rewrites import COMPUTED, picked
from lossdsl.graph.signatures import Phase


@dataclass(frozen=True, slots=True)
class Computed:
    """A built loss as it is computed.

    outputs: the total, then value, weight and contribution of each term. inputs: the names of what is read, and `pred`
    where a number needs its precision. positive: denominators that are well above 0.
    """

    outputs: tuple[Node, ...]
    inputs: tuple[str, ...]
    positive: frozenset[Node]


def computed(
    loss: BuiltLoss, positive: frozenset[Node] = frozenset(), rounded: frozenset[Node] = frozenset()
) -> Computed:
    """positive: of the loss as it was built. rounded: as in `stable`."""
    made = stable(loss.outputs, rounded)
    found = tuple(made[output] for output in loss.outputs)
    verify.checked(found, Phase.COMPUTED)
    nodes = in_order(found)
    inputs = tuple(str(node.attributes[0]) for node in nodes if node.operation == "input")
    if any(map(wants_a_tensor, nodes)) and not any(node.input_name == "pred" for node in nodes):
        inputs = (*inputs, "pred")
    return Computed(found, inputs, frozenset(made[node] for node in positive))


def stable(outputs: Sequence[Node], rounded: Container[Node] = ()) -> dict[Node, Node]:
    """Each node that the outputs need, with the node that is computed for it.

    rounded: roots and fractional powers of what is known to a rounding error only; see proving/rounding.py.
    """
    graph, nodes = Graph(COMPUTED), in_order(outputs)
    compared, unbounded = _compared(nodes), _unbounded(nodes)
    made: dict[Node, Node] = {}
    for node in nodes:
        arguments = [made[argument] for argument in node.arguments]
        if node.operation == "pick" and node not in compared:
            made[node] = picked(graph, *arguments)
        elif node in rounded:
            made[node] = graph.make(node.operation, *arguments, attributes=("rounded",), axes=node.axes)
        else:
            made[node] = _stable(graph, node, arguments, unbounded)
    return made


def _compared(nodes: Sequence[Node]) -> frozenset[Node]:
    """What comparisons are made of: numbers that are equal must be computed in one way."""
    return frozenset(in_order(part for node in nodes if node.operation == "compare" for part in node.arguments))


def _unbounded(nodes: Sequence[Node]) -> frozenset[Node]:
    """The logits of which the logarithm of a sigmoid is needed."""
    read = (node.arguments[0] for node in nodes if node.operation == "log_sigmoid")
    return frozenset(value.arguments[0] if value.operation == "negative" else value for value in read)


def _stable(graph: Graph, node: Node, arguments: list[Node], unbounded: Container[Node]) -> Node:
    make = graph.make
    match node.operation:
        case "logsumexp":
            return _log_sum_exp(graph, node, *arguments)
        case "log_softmax":
            return make("finite", make("log_softmax", *arguments))
        case "log_sigmoid" | "sigmoid":
            return make(node.operation, _finite(graph, node.arguments[0], arguments[0], unbounded))
        case operation:
            return make(operation, *arguments, attributes=node.attributes, axes=node.axes)


def _finite(graph: Graph, written: Node, value: Node, unbounded: Container[Node]) -> Node:
    """Logits, or the negative of logits, without infinities. A sigmoid of the same logits is computed from the same."""
    if written in unbounded:
        return graph.make("finite", value)
    if written.operation == "negative" and written.arguments[0] in unbounded and value.operation == "negative":
        return graph.make("negative", graph.make("finite", *value.arguments))
    return value


def _log_sum_exp(graph: Graph, node: Node, x: Node, valid: Node | None = None) -> Node:
    make, (over,) = graph.make, node.attributes
    assert isinstance(over, tuple)
    largest = make("finite", largest_exponent(graph, x, valid, over))
    powers = relative_power(graph, x, largest, valid)
    if valid is not None:
        powers = make("keep", powers, valid)
    total = make("sum", powers, attributes=(over,), axes=powers.axes - set(over))
    return make("add", largest, make("log", total))
