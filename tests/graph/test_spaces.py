"""Layouts beside that of pred: what they share, what they do not, and what cannot pass from one to another."""

from __future__ import annotations

from typing import Any

import pytest

import lossdsl
from lossdsl.graph.nodes import in_order
from lossdsl.graph.printing import shown_input

MASKED = {"mask": ("batch", "pixel")}
HEAD = ("aux", "seg", ("binary", "logits", False, None, False, False))


def inputs(loss: Any, nodes_of: Any) -> set[str]:
    return {str(node.attributes[0]) for node in nodes_of(loss) if node.operation == "input"}


@pytest.mark.parametrize("fields", [{}, MASKED], ids=["", "mask"])
def test_the_first_output_is_the_main_one(fields: Any, built: Any, count: Any, nodes_of: Any) -> None:
    """So the formula and its scale 0 are one: two outputs cost two, however often the formula stands there."""
    alone = count(built("ce + dice", "multiclass", **fields))
    both = built("ce + dice + multiscale(ce + dice, weights=[1, 0.5])", "multiclass", scales=2, **fields)
    for operation in ("softmax", "log_softmax", "one_hot", "sum", "mean", "divide"):
        assert count(both)[operation] == 2 * alone[operation]
    read = set(in_order([both.terms[-1].value]))
    assert all(part in read for term in both.terms[:2] for part in term.value.arguments)


def test_inputs_of_each_output(built: Any, nodes_of: Any) -> None:
    tensors = (("v", ("batch",)), ("w", ("batch", "pixel")))
    loss = built("multiscale(mean(v*w*local_mean(p, size=3)))", scales=3, tensors=tensors, **MASKED)
    names = {f"{role}{suffix}" for role in ("pred", "mask", "layout", "tensor:w") for suffix in ("", "@1", "@2")}
    assert inputs(loss, nodes_of) == {*names, "tensor:v"}


def test_an_output_of_weight_zero_is_not_computed(built: Any, nodes_of: Any) -> None:
    loss = built("multiscale(dice, weights=[1, 0, 1])", scales=3)
    assert {name for name in inputs(loss, nodes_of) if name.startswith("pred")} == {"pred", "pred@2"}


def test_one_output_is_the_formula(built: Any) -> None:
    """The very same node."""
    loss = built("bce + dice + multiscale(bce + dice, weights=[1])", scales=1)
    first, second, several = (term.value for term in loss.terms)
    assert several.operation == "add"
    assert several.arguments == (first, second)


def test_inputs_of_a_head(built: Any, nodes_of: Any) -> None:
    loss = built("ce + bce(aux, seg)", "multiclass", heads=(HEAD,), **MASKED)
    assert inputs(loss, nodes_of) == {"pred", "target", "mask", "pred@aux/seg", "target@aux/seg"}


def test_a_head_is_one_for_all_losses_on_it(built: Any, count: Any) -> None:
    counted = count(built("ce + bce(aux, seg) + dice(aux, seg) + bce(aux, seg)", "multiclass", heads=(HEAD,)))
    assert (counted["sigmoid"], counted["softmax"]) == (1, 0)


def test_a_value_is_zero_only_with_all_heads_that_it_reads(built: Any) -> None:
    """Everything in pred is masked: what reads a head in which all counts is left as it is."""
    loss = built("bce + bce(aux, seg) + max(dice, dice(aux, seg))", heads=(HEAD,), **MASKED)
    assert [term.value.operation for term in loss.terms] == ["keep", "mean", "maximum"]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("ce + mean(aux) + bce(aux, seg)", "`aux` has another layout than `pred`"),
        ("ce + bce(aux) + bce(aux, seg)", "`aux` has another layout than `pred`"),
        ("x = w\nce + bce(aux, seg, pos_weight=x)", "`pos_weight` has the axes batch and pixel of `pred`"),
        ("multiscale(ce + dice(aux, seg))", "write it outside of multiscale"),
        ("for_class(dice(aux, seg), [1])", "write it outside of for_class"),
        ("mean(dice(aux, seg, reduction=none))", "the axes batch and class fits no other value"),
        ("multiscale(ce, weights=[1, 2, 3])", "3 weights for 1 output"),
    ],
)
def test_what_cannot_pass(formula: str, message: str, built: Any) -> None:
    with pytest.raises(lossdsl.FormulaError, match=message):
        built(formula, "multiclass", heads=(HEAD,), tensors=(("w", ("batch", "pixel")),))


def test_names_of_inputs_in_explanations() -> None:
    assert shown_input("tensor:w@2") == "w@2"
    assert shown_input("pred@aux/seg") == "aux"
    assert shown_input("target@aux/seg") == "seg"
    text = lossdsl.explain("ce + 0.1*bce(empty, has_mask) + multiscale(ce, weights=[1, 0.5])")
    assert "head: empty with its target has_mask" in text
    assert "pred: a list of 2 outputs, the first is the main one" in text
    assert "log(sigmoid(empty)) -> log_sigmoid(empty)" in text
    assert "log(softmax(pred@1)) -> log_softmax(pred@1)" in text
    assert "a list of any number of outputs" in lossdsl.explain("multiscale(ce)")
