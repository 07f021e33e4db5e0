"""How large a value may become: the bound of each operation for inputs of a usual size."""

from __future__ import annotations

import math

import pytest

from lossdsl.graph.nodes import AXES, Graph, Node
from lossdsl.proving.interval import ALL, Interval, interval
from lossdsl.proving.overflow import ELEMENTS, LOGITS, magnitudes

GRAPH = Graph({})
X = GRAPH.make("input", attributes=("pred",), axes=AXES)
Y = GRAPH.make("input", attributes=("tensor:w",), axes=AXES)
EPOCH = GRAPH.make("input", attributes=("scalar:epoch",), axes=())
STEP = GRAPH.make("input", attributes=("scalar:step",), axes=())
LEARNED = GRAPH.make("input", attributes=("learned:s",), axes=())


def number(value: float) -> Node:
    return GRAPH.constant(value)


def make(operation: str, *arguments: Node, attributes: tuple[object, ...] = ()) -> Node:
    axes = frozenset().union(*(argument.axes for argument in arguments))
    return GRAPH.make(operation, *arguments, attributes=attributes, axes=axes)  # type: ignore[arg-type]


BOUNDS: list[tuple[Node, float]] = [
    (X, LOGITS),
    (EPOCH, 1e4),
    (STEP, 1e7),
    (LEARNED, 20.0),
    (number(-3.0), 3.0),
    (make("add", X, Y), 2 * LOGITS),
    (make("subtract", X, STEP), LOGITS + 1e7),
    (make("multiply", X, STEP), 1e11),
    (make("multiply", X, number(0.0)), 0.0),
    (make("negative", X), LOGITS),
    (make("divide", X, number(4.0)), LOGITS / 4),
    (make("divide", X, number(-0.5)), 2 * LOGITS),
    (make("divide", X, Y), LOGITS * 1e19),
    (make("power", X, number(2.0)), LOGITS**2),
    (make("exp", LEARNED), math.exp(20)),
    (make("exp", X), math.inf),
    (make("cosh", LEARNED), math.exp(20)),
    (make("log", X), 104.0),
    (make("log", make("exp", X)), 104.0),
    (make("sqrt", X), 100.0),
    (make("sum", X, attributes=(("pixel",),)), LOGITS * ELEMENTS),
    (make("mean", X, attributes=(("pixel",),)), LOGITS),
    (make("size", X, attributes=("pixel",)), ELEMENTS),
    (make("log_softmax", X), 2 * LOGITS + 104.0),
    (make("softplus", X), 2 * LOGITS + 104.0),
    (make("logsumexp", X, attributes=(("class",),)), LOGITS + math.log(ELEMENTS)),
    (make("where", STEP, X, number(2.0)), LOGITS),
    (make("maximum", X, STEP), 1e7),
]


@pytest.mark.parametrize(("node", "bound"), BOUNDS, ids=[str(index) for index in range(len(BOUNDS))])
def test_bound(node: Node, bound: float) -> None:
    known: dict[Node, Interval] = dict.fromkeys([node, *_below(node)], ALL) | {
        one: interval(one.value, one.value) for one in [node, *_below(node)] if one.is_constant
    }
    assert magnitudes([node], known)[node] == pytest.approx(bound, rel=1e-12)


def test_an_interval_is_a_bound_too() -> None:
    assert magnitudes([X], {X: interval(-2, 1)})[X] == 2


def test_losses_by_name_stay_small() -> None:
    node = make("exp", X)
    known = dict.fromkeys([node, X], ALL)
    assert magnitudes([node], known, {node})[node] == 1e25


def _below(node: Node) -> list[Node]:
    return [one for argument in node.arguments for one in (argument, *_below(argument))]
