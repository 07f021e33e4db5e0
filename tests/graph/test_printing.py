"""Nodes as the text of explanations."""

from __future__ import annotations

import pytest

from lossdsl.graph.nodes import Graph, Node
from lossdsl.graph.printing import node_text, shown_input

GRAPH = Graph({})
X, Y = (GRAPH.make("input", attributes=(name,)) for name in ("pred", "tensor:w@1"))
CHAIN = GRAPH.make("exp", GRAPH.make("log", GRAPH.make("abs", GRAPH.make("sqrt", X))))

TEXTS = [
    (GRAPH.constant(0.5), "0.5"),
    (GRAPH.constant(-2.0), "-2"),
    (X, "pred"),
    (Y, "w@1"),
    *((GRAPH.make(how, X), "pred") for how in ("cast", "index")),
    *((GRAPH.make(how, X, Y), "pred") for how in ("cast_like", "keep")),
    (GRAPH.make("negative", X), "-pred"),
    (GRAPH.make("one_hot", X, Y), "y"),
    (GRAPH.make("classes", X), "classes"),
    (GRAPH.make("pick", X, Y), "pred[target]"),
    (GRAPH.make("add", X, Y), "(pred + w@1)"),
    (GRAPH.make("subtract", X, Y), "(pred - w@1)"),
    (GRAPH.make("multiply", X, Y), "(pred*w@1)"),
    (GRAPH.make("divide", X, Y), "(pred/w@1)"),
    (GRAPH.make("power", X, GRAPH.constant(2.0)), "(pred**2)"),
    (GRAPH.make("softmax", X), "softmax(pred)"),
    (GRAPH.make("maximum", X, Y), "maximum(pred, w@1)"),
    (GRAPH.make("where", X, Y, GRAPH.constant(0.0)), "where(pred, w@1, 0)"),
]


@pytest.mark.parametrize(("node", "text"), TEXTS, ids=[f"{node.operation} {text}" for node, text in TEXTS])
def test_text(node: Node, text: str) -> None:
    assert node_text(node).replace("(pred*w@1)", "(pred*w@1)") == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("depth", "text"),
    [
        (0, "..."),
        (1, "exp(...)"),
        (2, "exp(log(...))"),
        (4, "exp(log(abs(sqrt(pred))))"),
        (6, "exp(log(abs(sqrt(pred))))"),
    ],
)
def test_deeper_parts_are_left_out(depth: int, text: str) -> None:
    assert node_text(CHAIN, depth) == text


def test_six_operations_are_shown() -> None:
    node = X
    for _ in range(8):
        node = GRAPH.make("exp", node)
    assert node_text(node) == "exp(exp(exp(exp(exp(exp(...))))))"
    assert node_text(X, 0) == "pred"


INPUTS = {
    "pred": "pred", "pred@1": "pred@1", "tensor:w": "w", "tensor:w@2": "w@2", "scalar:epoch": "epoch", "mask": "mask",
    "pred@aux/seg": "aux", "target@aux/seg": "seg", "mask@aux/seg": "mask", "layout@aux/seg": "layout",
    "tensor:v@aux/seg": "v",
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_names_of_inputs(name: str) -> None:
    assert shown_input(name) == INPUTS[name]
