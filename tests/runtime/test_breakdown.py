"""What a breakdown says: the numbers that were written, and parts that add up to the total."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import lossdsl

CLOSE = {"rtol": 1e-12, "atol": 1e-14}

# formula: names and weights of its terms at epoch 5 and with s = 0.5
WEIGHTS: dict[str, dict[str, float]] = {
    "bce": {"bce": 1},
    "-bce": {"bce": -1},
    "0.5*bce - 2*dice": {"bce": 0.5, "dice": -2},
    "0.5*bce + 0.5*(-log(1 - dice))": {"bce": 0.5, "-log(1 - dice)": 0.5},
    "bce/4 + 3*dice/2": {"bce": 0.25, "dice": 1.5},
    "0*bce + dice": {"bce": 0, "dice": 1},
    "0.1*bce + 0.2*bce": {"bce": 0.1 + 0.2},
    "bce + dice - bce": {"bce": 0, "dice": 1},
    "0.5*(bce + dice)": {"bce + dice": 0.5},
    "min(1, epoch/10)*dice + bce": {"dice": 0.5, "bce": 1},
    "bce*epoch/(epoch + 5)": {"bce": 0.5},
    "s = learn(0.5)\nexp(-s)*bce + s": {"bce": 0.6065306597126334, "s": 1},
    "w = 3\nw*bce + dice": {"bce": 3, "dice": 1},
    "d = dice\n2*d + bce": {"d": 2, "bce": 1},
    "bce*dice": {"bce*dice": 1},
    "2*bce*3*dice": {"bce*dice": 6},
    "1e-3*bce": {"bce": 0.001},
    "focal(gamma=2, alpha=0.25) + focal": {"focal(gamma=2, alpha=0.25)": 1, "focal": 1},
    "1 - dice_coef": {"1": 1, "dice_coef": -1},
}


@pytest.mark.parametrize("formula", WEIGHTS)
def test_names_and_weights(formula: str, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    call = {"epoch": 5} if "epoch" in formula else {}
    parts = compile_for(formula, batch).breakdown(batch.pred, batch.target, **call)
    assert list(parts.terms) == list(WEIGHTS[formula])
    for name, weight in WEIGHTS[formula].items():
        term = parts.terms[name]
        assert_close(term.weight.double(), torch.tensor(float(weight), dtype=torch.float64), rtol=1e-7, atol=0)
        assert_close(term.contribution, term.weight * term.value, check_dtype=False, **CLOSE)


@pytest.mark.parametrize("formula", WEIGHTS)
def test_parts_add_up(formula: str, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    call = {"epoch": 5} if "epoch" in formula else {}
    loss = compile_for(formula, batch)
    parts = loss.breakdown(batch.pred, batch.target, **call)
    assert torch.equal(parts.total, loss(batch.pred, batch.target, **call))
    contributions = [term.contribution for term in parts.terms.values()]
    assert_close(torch.stack([c.to(parts.total.dtype) for c in contributions]).sum(), parts.total, **CLOSE)
    tensors = [parts.total, *(t for term in parts.terms.values() for t in (term.value, term.weight, term.contribution))]
    assert all(isinstance(tensor, Tensor) and tensor.shape == () for tensor in tensors)


@pytest.mark.sampled(3)
def test_the_total_is_that_of_every_formula(
    formula: str, task: str, make_batch: Any, run: Any, compile_for: Any
) -> None:
    """Value and gradient of the total are those of a plain call; the parts add up, masked too."""
    batch = make_batch(task, (3, 4))
    loss = compile_for(formula, batch)
    mask = torch.rand(4, 3, 4) > 0.3
    for call in ({}, {"mask": mask}):
        value, gradient = run(loss, batch, **call)
        pred = batch.pred.clone().requires_grad_()
        parts = loss.breakdown(pred, batch.target, **call)
        assert torch.equal(parts.total, value)
        assert_close(torch.autograd.grad(parts.total, pred)[0], gradient, **CLOSE)
        added = torch.stack([term.contribution for term in parts.terms.values()]).sum()
        assert_close(added, value, **CLOSE)


def test_a_new_term_changes_no_other(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    formulas = ["dice", "0.5*bce", "focal(gamma=1)", "-log(1 - dice)", "iou*tversky", "lovasz/3"]
    alone = {}
    for formula in formulas:
        parts = compile_for(formula, batch).breakdown(batch.pred, batch.target)
        ((name, term),) = parts.terms.items()
        alone[name] = term
    for count in range(2, len(formulas) + 1):
        terms = compile_for(" + ".join(formulas[:count]), batch).breakdown(batch.pred, batch.target).terms
        assert list(terms) == list(alone)[:count]
        for name, term in terms.items():
            assert torch.equal(term.value, alone[name].value)
            assert torch.equal(term.weight, alone[name].weight)
            assert torch.equal(term.contribution, alone[name].contribution)


def test_terms_can_be_trained_alone(make_batch: Any, run: Any, compile_for: Any) -> None:
    """Each contribution is differentiable; their gradients add up to that of the total."""
    batch = make_batch("binary", (3, 4))
    loss = compile_for("0.5*bce - 2*dice + focal*iou", batch)
    pred = batch.pred.clone().requires_grad_()
    parts = loss.breakdown(pred, batch.target)
    each = [torch.autograd.grad(t.contribution, pred, retain_graph=True)[0] for t in parts.terms.values()]
    assert_close(torch.stack(each).sum(0), run(loss, batch)[1], rtol=1e-9, atol=1e-12)


def test_terms_of_a_mapping(make_batch: Any) -> None:
    """Their names are the keys; the total may be any expression of their contributions."""
    batch = make_batch("binary", (3, 4))
    source: dict[str, Any] = {
        "task": "binary",
        "define": {"overlap": "dice(per=batch)"},
        "terms": {
            "pixel": {"expr": "bce", "weight": 0.5},
            "region": {"expr": "-log(1 - overlap)", "weight": "epoch/20"},
        },
    }
    plain = lossdsl.compile(source).breakdown(batch.pred, batch.target, epoch=10)
    assert list(plain.terms) == ["pixel", "region"]
    assert [float(term.weight) for term in plain.terms.values()] == [0.5, 0.5]
    pixel, region = (term.contribution for term in plain.terms.values())
    assert_close(plain.total, pixel + region, **CLOSE)
    for total, wanted in {
        "pixel*region": pixel * region,
        "max(pixel, region)": max(pixel, region),
        "region": region,
    }.items():
        parts = lossdsl.compile({**source, "total": total}).breakdown(batch.pred, batch.target, epoch=10)
        assert_close(parts.total, wanted, **CLOSE)
        assert list(parts.terms) == ["pixel", "region"]


def test_a_breakdown_cannot_be_changed(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    parts = compile_for("bce + dice", batch).breakdown(batch.pred, batch.target)
    with pytest.raises(TypeError):
        parts.terms["bce"] = parts.terms["dice"]
    with pytest.raises(AttributeError):
        parts.total = 0
    with pytest.raises(AttributeError):
        parts.terms["bce"].weight = 2


def test_half_precision_parts_are_float32(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4), dtype=torch.float32)
    parts = compile_for("0.5*bce + epoch*dice + 0*iou", batch).breakdown(batch.pred.half(), batch.target, epoch=2)
    for term in parts.terms.values():
        assert {term.value.dtype, term.weight.dtype, term.contribution.dtype} == {torch.float32}


def test_a_breakdown_can_be_stored(make_batch: Any, compile_for: Any) -> None:
    """As numbers: what is read again has no gradient."""
    batch = make_batch("binary")
    parts = compile_for("0.5*bce + dice", batch).breakdown(batch.pred.requires_grad_(), batch.target)
    for read in (pickle.loads(pickle.dumps(parts)), copy.deepcopy(parts)):
        assert list(read.terms) == list(parts.terms)
        assert_close(read.total, parts.total.detach())
        assert not read.total.requires_grad
        for term, wanted in zip(read.terms.values(), parts.terms.values(), strict=True):
            assert_close(vars_of(term), vars_of(wanted))


def vars_of(term: Any) -> tuple[Tensor, ...]:
    return tuple(part.detach() for part in (term.value, term.weight, term.contribution))
