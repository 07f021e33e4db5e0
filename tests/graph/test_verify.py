"""Graphs and stages that have no meaning are refused, each for its own reason; those of losses are legal."""

from __future__ import annotations

import importlib.util
from collections.abc import Hashable
from dataclasses import fields
from typing import Any

import pytest

from lossdsl.graph import verify
from lossdsl.graph.nodes import AXES, Node
from lossdsl.graph.signatures import SIGNATURES, Phase, Signature
from lossdsl.graph.stages import Part, Stage
from lossdsl.graph.verify import IllegalGraph, verify_stages

IMAGE = ("batch", "pixel")


def made(operation: str, *arguments: Node, attributes: tuple[Hashable, ...] = (), axes: Any = None) -> Node:
    """A node as it is written here, whatever its operation makes of it."""
    if axes is None:
        axes = frozenset().union(*(argument.axes for argument in arguments))
    return Node(operation, arguments, attributes, frozenset(axes))


X = made("input", attributes=("pred",), axes=AXES)
LABELS = made("input", attributes=("target",), axes=IMAGE)
MASK = made("input", attributes=("mask",), axes=IMAGE)
TWO = made("constant", attributes=(2.0,))
INDEX = made("index", LABELS)
OVER_CLASS = (("class",),)

WRONG: list[tuple[Node, Phase, str]] = [
    (made("prod", X), Phase.WRITTEN, "no operation has this name"),
    (made("exp", X, X), Phase.WRITTEN, "it has 2 arguments, and takes 1 to 1"),
    (made("multiply", X), Phase.WRITTEN, "it has 1 arguments, and takes 2 to 2"),
    (made("reduce_max", X, MASK, MASK, attributes=OVER_CLASS, axes=IMAGE), Phase.WRITTEN, "takes 1 to 2"),
    (made("any_of", axes=()), Phase.WRITTEN, "it has 0 arguments, and takes 1 to any number"),
    (made("exp", X, attributes=(1.0,)), Phase.WRITTEN, "the attributes (1.0,) are not those"),
    (made("constant", attributes=(2,)), Phase.WRITTEN, "the attributes (2,)"),
    (made("sum", X, axes=()), Phase.WRITTEN, "the attributes ()"),
    (made("sum", X, attributes=((),)), Phase.WRITTEN, "the attributes ((),)"),
    (made("sum", X, attributes=("class",), axes=IMAGE), Phase.WRITTEN, "the attributes ('class',)"),
    (made("sum", X, attributes=(("pixel", "class"),), axes=["batch"]), Phase.WRITTEN, "('pixel', 'class')"),
    (made("sum", LABELS, attributes=OVER_CLASS), Phase.WRITTEN, "(('class',),) are not those"),
    (made("sum", X, attributes=(("class",), 1), axes=IMAGE), Phase.WRITTEN, "(('class',), 1)"),
    (made("topk", X, attributes=(("class",), 1, "up"), axes=IMAGE), Phase.WRITTEN, "(('class',), 1, 'up')"),
    (made("softmax", LABELS), Phase.WRITTEN, "the attributes ()"),
    (made("size", LABELS, attributes=("class",), axes=()), Phase.WRITTEN, "the attributes ('class',)"),
    (made("class_is_one_of", X, axes=["class"]), Phase.WRITTEN, "the attributes ()"),
    (made("class_is_one_of", X, attributes=(1.5,), axes=["class"]), Phase.WRITTEN, "the attributes (1.5,)"),
    (made("power", X, TWO, attributes=("round",)), Phase.WRITTEN, "the attributes ('round',)"),
    (made("where", X, X, X), Phase.WRITTEN, "input, holds numbers, and must hold truth values"),
    (made("exp", MASK), Phase.WRITTEN, "input, holds truth values, and must hold numbers"),
    (made("reduce_max", X, X, attributes=OVER_CLASS, axes=IMAGE), Phase.WRITTEN, "must hold truth values"),
    (made("any_of", MASK, X, axes=()), Phase.WRITTEN, "must hold truth values"),
    (made("pick", X, LABELS, axes=IMAGE), Phase.WRITTEN, "must hold class indices"),
    (made("exp", made("keep", INDEX, MASK)), Phase.WRITTEN, "keep, holds class indices, and must hold numbers"),
    (made("exp", X, axes=IMAGE), Phase.WRITTEN, "and its arguments give it ['batch', 'class', 'pixel']"),
    (made("keep", X, MASK, axes=IMAGE), Phase.WRITTEN, "and its arguments give it ['batch', 'class', 'pixel']"),
    (made("sum", X, attributes=OVER_CLASS, axes=AXES), Phase.WRITTEN, "give it ['batch', 'pixel']"),
    (made("pick", X, INDEX, axes=AXES), Phase.WRITTEN, "give it ['batch', 'pixel']"),
    (made("one_hot", INDEX, X, axes=IMAGE), Phase.WRITTEN, "give it ['batch', 'class', 'pixel']"),
    (made("scatter", TWO, INDEX, X, axes=IMAGE), Phase.CHOSEN, "give it ['batch', 'class', 'pixel']"),
    (made("local_mean", LABELS, X, attributes=(3, None, None)), Phase.WRITTEN, "give it ['batch', 'pixel']"),
    (made("per_class", X, TWO, TWO), Phase.WRITTEN, "give it ['class']"),
    (made("finite", X), Phase.WRITTEN, "it does not stand in a graph that is written"),
    (made("logsumexp", X, attributes=OVER_CLASS, axes=IMAGE), Phase.COMPUTED, "a graph that is computed"),
    (made("mean", X, attributes=OVER_CLASS, axes=IMAGE), Phase.EXPANDED, "a graph that is expanded"),
    (made("scatter", TWO, INDEX, X, axes=AXES), Phase.EXPANDED, "a graph that is expanded"),
    (made("placed", TWO, INDEX, X, axes=AXES), Phase.DIFFERENTIATED, "a graph that is differentiated"),
    (made("add", made("exp", X), made("exp", X)), Phase.WRITTEN, "there is a second node of the same arguments"),
]


@pytest.mark.parametrize(("node", "phase", "told"), WRONG, ids=lambda value: getattr(value, "operation", None))
def test_a_node_without_meaning(node: Node, phase: Phase, told: str) -> None:
    with pytest.raises(IllegalGraph) as raised:
        verify.verify([node], phase)
    assert told in str(raised.value)


def test_a_fault_is_told_wherever_it_stands() -> None:
    with pytest.raises(IllegalGraph, match=r"prod\(input\)"):
        verify.verify([TWO, made("exp", made("prod", X))], Phase.WRITTEN)


E = made("exp", X)
ADDED = made("sum", E, attributes=(AXES,), axes=())
DOUBLED = made("multiply", TWO, ADDED)
NOTHING = Part((), ())
SWEEP = Stage(NOTHING, Part((X,), (ADDED,)))
LAST = Stage(Part((ADDED,), (DOUBLED,)), NOTHING)

LEGAL_STAGES: list[tuple[tuple[Stage, ...], tuple[Node, ...], tuple[Node, ...]]] = [
    ((SWEEP, LAST), (), (DOUBLED,)),
    ((LAST,), (ADDED,), (DOUBLED, ADDED)),
    ((Stage(Part((X,), (DOUBLED,)), NOTHING),), (), (DOUBLED, X)),
    ((), (), ()),
]
WRONG_STAGES: list[tuple[tuple[Stage, ...], tuple[Node, ...], str]] = [
    ((LAST, SWEEP), (DOUBLED,), "sum(exp): a part is given it before it is computed"),
    ((SWEEP,), (DOUBLED,), "multiply(constant, sum): no stage computes it"),
    (
        (Stage(NOTHING, Part((X, LABELS), (ADDED,))), LAST),
        (DOUBLED,),
        "input(): a part is given it and does not need it",
    ),
    ((Stage(NOTHING, Part((), (ADDED,))), LAST), (DOUBLED,), "input(): a part reads it and is not given it"),
    ((SWEEP, Stage(Part((X, ADDED), (DOUBLED, E)), NOTHING)), (DOUBLED,), "exp(input): it is wide, and stands outside"),
]


@pytest.mark.parametrize(("stages", "known", "wanted"), LEGAL_STAGES)
def test_legal_stages(stages: tuple[Stage, ...], known: tuple[Node, ...], wanted: tuple[Node, ...]) -> None:
    verify_stages(stages, known, wanted)


@pytest.mark.parametrize(("stages", "wanted", "told"), WRONG_STAGES, ids=[told for _, _, told in WRONG_STAGES])
def test_stages_without_meaning(stages: tuple[Stage, ...], wanted: tuple[Node, ...], told: str) -> None:
    with pytest.raises(IllegalGraph) as raised:
        verify_stages(stages, (), wanted)
    assert told in str(raised.value)


def test_every_test_runs_with_verified_graphs() -> None:
    assert verify.checked is verify.verify
    assert verify.checked_stages is verify_stages


def test_nothing_is_verified_for_users() -> None:
    spec = importlib.util.spec_from_file_location("verify_of_users", verify.__file__)
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    fresh.checked([made("prod", X)], Phase.WRITTEN)
    fresh.checked_stages((SWEEP,), (), (DOUBLED,))
    with pytest.raises(fresh.IllegalGraph):
        fresh.verify([made("prod", X)], Phase.WRITTEN)


@pytest.mark.parametrize("field", [field.name for field in fields(Signature)])
def test_a_signature_with_a_field_left_out_is_refused(field: str) -> None:
    known = {other.name: getattr(SIGNATURES["tanh"], other.name) for other in fields(Signature)}
    assert Signature(**known) == SIGNATURES["tanh"]
    del known[field]
    with pytest.raises(TypeError, match=field):
        Signature(**known)
