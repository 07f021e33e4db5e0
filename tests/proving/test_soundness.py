"""What is proved holds: every node of random formulas lies in its interval on adversarial inputs, and a formula that is
called clean gives a finite loss with a finite gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from torch import Tensor

import lossdsl
from lossdsl.proving.analysis import Proof
from lossdsl.proving.interval import point

LOGITS = torch.tensor([0.0, 1e-8, 0.7, -2.0, 17.0, -17.0, 40.0, -40.0, 100.0, -100.0, 1e4, -1e4], dtype=torch.float64)
TASKS = pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])


@st.composite
def calls(draw: st.DrawFn, task: str, given: str, ignored: int | None, masked: bool = False) -> dict[str, Tensor]:
    """Saturated and ordinary predictions, soft, empty and full targets, few pixels, early and late epochs."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    classes = 1 if task == "binary" else 3
    shape = (draw(st.integers(1, 2)), classes, draw(st.sampled_from([1, 3, 8])))
    special = LOGITS[torch.randint(len(LOGITS), shape, generator=generator)]
    often = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    pred = torch.where(often, special, torch.randn(shape, generator=generator, dtype=torch.float64))
    if given == "probs":
        pred = pred.softmax(1) if task == "multiclass" else pred.sigmoid()
    if task == "multiclass":
        most = draw(st.sampled_from([1, classes]))
        target = torch.randint(0, most, (shape[0], shape[2]), generator=generator)
    else:
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
        target = draw(st.sampled_from([drawn, drawn.round(), torch.zeros_like(drawn), torch.ones_like(drawn)]))
    if ignored is not None:  # not all: a call in which nothing counts is 0, whatever its parts are
        gone = torch.rand(target.shape, generator=generator) < 0.4
        gone[..., 0] = False
        target = target.masked_fill(gone, ignored)
    call = {"pred": pred, "target": target}
    if masked:
        mask = torch.rand((shape[0], shape[2]), generator=generator) < draw(st.sampled_from([0.2, 0.8]))
        mask[0, 0] = True
        call["mask"] = mask
    epoch = torch.tensor(draw(st.sampled_from([0.0, 1.0, 7.0, 1000.0])), dtype=torch.float64)
    learned = torch.tensor(draw(st.sampled_from([0.0, -2.0, 3.0])), dtype=torch.float64)
    return {**call, "epoch": epoch, "s": learned}


def outside(proof: Proof, values: dict[Any, Any]) -> list[str]:
    """The nodes with a value that their interval does not hold, but for rounding and overflow.

    A target may hold anything where it is ignored; what is read of it there is 0.
    """
    found = []
    for node, value in values.items():
        if proof.context.ignoring and node.operation in ("input", "cast_like"):
            continue
        number = torch.as_tensor(value, dtype=torch.float64)
        if not number.isfinite().all() or not number.numel():
            continue
        sizes = [torch.as_tensor(values.get(a, 0), dtype=torch.float64) for a in node.arguments]
        scale = max([1.0, *(float(size.abs().max()) for size in sizes if size.numel() and size.isfinite().all())])
        known, slack = proof.intervals[node], 1e-9 * scale
        if number.min() < known.low - slack or number.max() > known.high + slack:
            found.append(f"{node.operation} in {known}: {number.min():g} to {number.max():g}")
    return found


@pytest.mark.sampled(3)
@TASKS
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(
    data=st.data(),
    given_as=st.sampled_from(["logits", "probs"]),
    ignored=st.sampled_from([None, 255]),
    masked=st.booleans(),
    weights=st.sampled_from([None, (0.0, 0.5, 3.0), (1.0, 2.0, 1e-3)]),
)
def test_what_is_proved_holds(
    task: str,
    data: st.DataObject,
    given_as: str,
    ignored: int | None,
    masked: bool,
    weights: tuple[float, ...] | None,
    formulas: Any,
    proved: Callable[..., Proof],
    node_values: Callable[..., Any],
) -> None:
    text = data.draw(formulas(task))
    weights = None if task == "binary" else weights
    options: dict[str, Any] = {"task": task, "input": given_as, "ignore_index": ignored, "class_weight": weights}
    report = lossdsl.check(text, **options)
    if any(found.code < "LD7" for found in report.diagnostics):
        return
    note(text)
    call = data.draw(calls(task, given_as, ignored, masked))
    proof = proved(text, masked, **options)
    weighed = {"class_weight": torch.tensor(weights, dtype=torch.float64)} if weights else {}
    assert not outside(proof, node_values(proof, **call, **weighed)), text
    if not any(found.code < "LD71" for found in report.diagnostics):
        loss = lossdsl.compile(text, **options)
        for dtype in (torch.float64, torch.float32):
            assert all_finite(loss, call, dtype), text


def all_finite(loss: Any, call: dict[str, Tensor], dtype: torch.dtype) -> bool:
    """Whether the total and its gradient are finite."""
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.copy_(call["s"])
    pred = call["pred"].to(dtype).clone().requires_grad_()
    target = call["target"].to(dtype) if call["target"].is_floating_point() else call["target"]
    total = loss(pred, target, epoch=call["epoch"], mask=call.get("mask"))
    total.backward()
    return bool(total.isfinite()) and (pred.grad is None or bool(pred.grad.isfinite().all()))


def test_a_wrong_proof_would_be_seen(proved: Callable[..., Proof], node_values: Callable[..., Any]) -> None:
    proof = proved("bce + dice", task="binary")
    values = node_values(proof, pred=torch.randn(2, 1, 5).double(), target=torch.rand(2, 1, 5).double().round())
    assert not outside(proof, values)
    for node in values:
        if node.operation == "mean":
            wrong = replace(proof, intervals=proof.intervals | {node: point(-1.0)})
            assert outside(wrong, values)


# What a formula stands in, and the outputs and tensors that a call has for it.
SHAPES = {
    "scales": "multiscale({}, weights=[1, 0.5])",
    "a head": "{} + 0.3*bce(aux, labels) + 0.1*l1(boxes, true_boxes)",
    "a mapped head": "{} + log(1 + dice(aux, labels))",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(data=st.data(), masked=st.booleans())
def test_the_total_lies_in_its_interval(
    shape: str, data: st.DataObject, masked: bool, formulas: Any, proved: Callable[..., Proof]
) -> None:
    """Of several outputs and of heads: the total alone, which depends on all the rest."""
    text = data.draw(formulas("binary", SHAPES[shape]))
    options: dict[str, Any] = {"task": "binary"}
    report = lossdsl.check(text, **options)
    if any(found.code < "LD7" for found in report.diagnostics):
        return
    note(text)
    call = data.draw(calls("binary", "logits", None, masked))
    heads = {name: call[key] for name, key in (("aux", "pred"), ("labels", "target"))} if "aux" in text else {}
    if "boxes" in text:
        heads |= {"boxes": call["pred"][:, :, 0], "true_boxes": call["target"][:, :, 0]}
    loss = lossdsl.compile(text, **options)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.copy_(call["s"])
    pred = [call["pred"], call["pred"][..., ::2].flip(0)] if shape == "scales" else call["pred"]
    total = loss(pred, call["target"], epoch=call["epoch"], mask=call.get("mask"), **heads).detach()
    proof = proved(text, masked, **options)
    known = proof.intervals[proof.built.total]
    slack = 1e-9 * max(1.0, float(total.abs()))
    assert not total.isfinite() or known.low - slack <= total <= known.high + slack, f"{total} outside of {known}"
    if not any(found.code < "LD71" for found in report.diagnostics):
        assert total.isfinite()
