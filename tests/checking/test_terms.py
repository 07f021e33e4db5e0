"""How a formula falls into terms: the names that are logged, and the weights, as text."""

from __future__ import annotations

import pytest

from lossdsl.checking.resolve import terms_of
from lossdsl.config import read_formula, read_mapping

# formula: (name, weight) of each term
TERMS: dict[str, list[tuple[str, str]]] = {
    "bce": [("bce", "1")],
    "+bce": [("bce", "1")],
    "-bce": [("bce", "-1")],
    "--bce": [("bce", "1")],
    "-(-bce)": [("bce", "1")],
    "2*bce": [("bce", "2")],
    "bce*2": [("bce", "2")],
    "(0.5*bce)": [("bce", "0.5")],
    "-(0.5*bce)": [("bce", "-0.5")],
    "bce/2": [("bce", "1/2")],
    "bce/2/3": [("bce", "1/2/3")],
    "2/bce": [("1/bce", "2")],
    "bce/dice": [("bce/dice", "1")],
    "2*bce/(3*dice)": [("bce/(3*dice)", "2")],
    "0.5*bce*0.5": [("bce", "0.5*0.5")],
    "2*(0.5*bce)": [("0.5*bce", "2")],
    "2**-3*bce": [("bce", "2**-3")],
    "1e-3*bce": [("bce", "0.001")],
    "-1*-1*bce": [("bce", "-1*(-1)")],
    "bce**2": [("bce**2", "1")],
    "-bce**2": [("bce**2", "-1")],
    "bce*dice*iou": [("bce*dice*iou", "1")],
    # brackets keep together what stands in them
    "-(bce + dice)": [("bce + dice", "-1")],
    "0.5*(bce + dice)": [("bce + dice", "0.5")],
    "bce - (dice - iou)": [("bce", "1"), ("dice - iou", "-1")],
    "bce + (dice + iou)": [("bce", "1"), ("dice + iou", "1")],
    "0.5*(-log(dice))": [("-log(dice)", "0.5")],
    "-0.5*log(dice)": [("log(dice)", "-0.5")],
    "-log(1 - dice)": [("log(1 - dice)", "-1")],
    # the same name is one term
    "0.5*bce + 0.5*bce": [("bce", "0.5 + 0.5")],
    "bce - bce": [("bce", "1 + (-1)")],
    "bce + dice + 2*bce - epoch*bce": [("bce", "1 + 2 + (-epoch)"), ("dice", "1")],
    "dice + dice(smooth=1)": [("dice", "1"), ("dice(smooth=1)", "1")],
    "dice(smooth = 1.0)+dice(smooth=1)": [("dice(smooth=1)", "1 + 1")],
    # schedules and learned scalars are weights
    "min(1, epoch/10)*dice": [("dice", "min(1, epoch/10)")],
    "where(epoch < 5, 0, 1)*bce": [("bce", "where(epoch < 5, 0, 1)")],
    "clamp(epoch/10, max=1)*bce": [("bce", "clamp(epoch/10, max=1)")],
    "stop_gradient(step)*bce": [("bce", "stop_gradient(step)")],
    "bce/(epoch + 1)": [("bce", "1/(epoch + 1)")],
    "(1 - epoch/10)*bce + epoch/10*dice": [("bce", "1 - epoch/10"), ("dice", "epoch/10")],
    "s = learn(0)\nexp(-s)*bce + s": [("bce", "exp(-s)"), ("s", "1")],
    "s = learn(0)\n0.5*s + bce": [("0.5*s", "1"), ("bce", "1")],
    # definitions: a scalar is a weight, what depends on data is not; the order of definitions does not matter
    "w = epoch/10\nw*bce": [("bce", "w")],
    "a = s\ns = learn(1)\na*bce": [("bce", "a")],
    "a = epoch\nb = a*a\nc = b*bce\nb*c": [("c", "b")],
    "k = mean(y)\nk*bce": [("k*bce", "1")],
    "d = 2*dice\nd": [("d", "1")],
    "d = dice\nd + 2*d": [("d", "1 + 2")],
    # no data at all
    "2": [("2", "1")],
    "1 - dice": [("1", "1"), ("dice", "-1")],
    "-2 + bce": [("2", "-1"), ("bce", "1")],
    "epoch": [("epoch", "1")],
    # written as it reads
    "mean( w*bce( reduction = none ) )": [("mean(w*bce(reduction=none))", "1")],
    "max(epoch, 2)*max(bce,dice)": [("max(bce, dice)", "max(epoch, 2)")],
    "lossdsl.dice": [("lossdsl.dice", "1")],
}


@pytest.mark.parametrize("formula", TERMS)
def test_terms(formula: str) -> None:
    reading = read_formula(formula)
    assert reading.spec is not None
    assert [(term.name, str(term.weight.expression)) for term in terms_of(reading.spec)] == TERMS[formula]


@pytest.mark.parametrize("formula", TERMS)
def test_a_term_behind_changes_no_name(formula: str) -> None:
    """Nor one in front; only a term of the same name joins."""
    definitions, _, total = formula.rpartition("\n")
    for written in (f"{total} + 3*huber", f"3*huber + {total}", f"huber*3 - -({total})"):
        reading = read_formula(f"{definitions}\n{written}")
        assert reading.spec is not None
        names = {term.name: str(term.weight.expression) for term in terms_of(reading.spec)}
        assert names.pop("huber") == "3"
        if "- -" not in written:
            assert list(names.items()) == TERMS[formula]


def test_terms_of_a_mapping_are_those_that_are_listed() -> None:
    reading = read_mapping({"terms": {"a": "2*bce", "b": {"expr": "dice + iou", "weight": "epoch/10"}}, "total": "a*b"})
    assert reading.spec is not None
    assert [
        (term.name, str(term.value.expression), str(term.weight.expression)) for term in terms_of(reading.spec)
    ] == [
        ("a", "2*bce", "1"),
        ("b", "dice + iou", "epoch/10"),
    ]
