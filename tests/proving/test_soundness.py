"""What is proved holds: every node of random formulas lies in its interval on adversarial inputs, and a formula that is
called clean gives a finite loss with a finite gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from torch import Tensor

import lossdsl
from lossdsl.proving.analysis import Proof

LOGITS = torch.tensor([0.0, 1e-8, 0.7, -2.0, 17.0, -17.0, 40.0, -40.0, 100.0, -100.0, 1e4, -1e4], dtype=torch.float64)
TASKS = pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])


@st.composite
def calls(draw: st.DrawFn, task: str) -> dict[str, Tensor]:
    """Saturated and ordinary logits, soft, empty and full targets, one to some pixels, early and late epochs."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    classes = 1 if task == "binary" else 3
    shape = (draw(st.integers(1, 2)), classes, draw(st.sampled_from([1, 3, 8])))
    special = LOGITS[torch.randint(len(LOGITS), shape, generator=generator)]
    often = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    pred = torch.where(often, special, torch.randn(shape, generator=generator, dtype=torch.float64))
    if task == "multiclass":
        most = draw(st.sampled_from([1, classes]))
        target = torch.randint(0, most, (shape[0], shape[2]), generator=generator)
    else:
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
        target = draw(st.sampled_from([drawn, drawn.round(), torch.zeros_like(drawn), torch.ones_like(drawn)]))
    epoch = torch.tensor(draw(st.sampled_from([0.0, 1.0, 7.0, 1000.0])), dtype=torch.float64)
    learned = torch.tensor(draw(st.sampled_from([0.0, -2.0, 3.0])), dtype=torch.float64)
    return {"pred": pred, "target": target, "epoch": epoch, "s": learned}


def outside(proof: Proof, values: dict[Any, Any]) -> list[str]:
    """The nodes with a value that their interval does not hold, but for rounding and overflow."""
    found = []
    for node, value in values.items():
        number = torch.as_tensor(value, dtype=torch.float64)
        if not number.isfinite().all() or not number.numel():
            continue
        sizes = [torch.as_tensor(values.get(a, 0), dtype=torch.float64) for a in node.arguments]
        scale = max([1.0, *(float(size.abs().max()) for size in sizes if size.numel() and size.isfinite().all())])
        known, slack = proof.intervals[node], 1e-9 * scale
        if number.min() < known.low - slack or number.max() > known.high + slack:
            found.append(f"{node.operation} in {known}: {number.min():g} to {number.max():g}")
    return found


@TASKS
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(data=st.data())
def test_values_are_in_their_intervals(
    task: str, data: st.DataObject, formulas: Any, proved: Callable[..., Proof], node_values: Callable[..., Any]
) -> None:
    text = data.draw(formulas(task))
    report = lossdsl.check(text, task=task)
    if any(found.code < "LD7" for found in report.diagnostics):
        return
    note(text)
    proof = proved(text, task=task)
    call = data.draw(calls(task))
    values = node_values(proof, **call)
    assert not outside(proof, values), text
    if any(found.code < "LD71" for found in report.diagnostics):
        return
    for dtype in (torch.float64, torch.float32):
        loss = lossdsl.compile(text, task=task)
        with torch.no_grad():
            for parameter in loss.parameters():
                parameter.copy_(call["s"])
        pred = call["pred"].to(dtype).clone().requires_grad_()
        total = loss(pred, call["target"] if task == "multiclass" else call["target"].to(dtype), epoch=call["epoch"])
        assert total.isfinite(), f"{text} is {total}"
        total.backward()
        assert pred.grad is None or pred.grad.isfinite().all(), f"{text}: {pred.grad}"
