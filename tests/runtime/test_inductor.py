"""Loss through inductor: what is computed is that of eager, and a missing C++ compiler is told in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch._dynamo.utils import counters
from torch.testing import assert_close

import lossdsl

# Warnings that dynamo itself causes; it hides the second from users, but not from a filter that makes errors of them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def test_backend_inductor(make_batch: Any) -> None:
    """A schedule, also as the bound of a clamp, a learned scalar and a mask."""
    formula = "s = learn(0.5)\nexp(-s)*bce + s + clamp(-log(1 - dice), max=epoch/10)"
    fast, plain = (lossdsl.compile(formula, task="binary", backend=backend) for backend in ("inductor", "eager"))
    for epoch in (1, 2.5, torch.tensor(30.0)):
        batch = make_batch("binary", (3, 4))
        mask = torch.rand(4, 3, 4) > 0.3
        results = []
        for loss in (fast, plain):
            pred = batch.pred.clone().requires_grad_()
            parts = loss.breakdown(pred, batch.target, mask=mask, epoch=epoch)
            gradients = torch.autograd.grad(parts.total, [pred, *loss.parameters()])
            values = [term.contribution for term in parts.terms.values()]
            assert_close(loss(pred, batch.target, mask=mask, epoch=epoch), parts.total, **CLOSE)
            results.append((parts.total, *gradients, *values))
        for got, wanted in zip(*results, strict=True):
            assert_close(got, wanted, **CLOSE)


def test_torch_compile_with_inductor(make_batch: Any, run: Any) -> None:
    batch = make_batch("multiclass", (3, 4))
    options: dict[str, Any] = {"task": "multiclass", "class_weight": [1, 2, 0.5], "ignore_index": 255}
    target = batch.target.clone()
    target[0, 1] = 255
    batch = batch.with_(target=target)
    loss = lossdsl.compile("ce(label_smoothing=0.1) + lovasz + dice(per=batch) + focal_tversky", **options)
    got = run(torch.compile(loss, fullgraph=True), batch)
    wanted = run(loss, batch)
    assert_close(got[0], wanted[0], **CLOSE)
    assert_close(got[1], wanted[1], **CLOSE)


def test_without_a_compiler(tmp_path: Path) -> None:
    code = (
        "import torch, lossdsl\n"
        "loss = lossdsl.compile('hinge', backend='inductor')\n"
        "try:\n"
        "    loss(torch.randn(4, 1, 8), torch.ones(4, 1, 8))\n"
        "except lossdsl.LossError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "CXX": str(tmp_path / "no-compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == (
        'error LD507: backend="inductor" needs a C++ compiler\n    install g++ or clang, or use backend="eager"\n'
    )


def test_weights_schedules_and_batch_sizes_compile_once() -> None:
    """Values and gradient are one graph each, whatever the numbers of the run and however many images there are."""
    torch._dynamo.reset()
    counters.clear()
    loss = lossdsl.compile("s = learn(0.5)\nexp(-s)*bce + min(1, epoch/10)*dice", task="binary", backend="inductor")
    for images, epoch in ((4, 1), (3, 2), (7, 30)):
        pred = torch.randn(images, 1, 8, 8, requires_grad=True)
        loss(pred, torch.ones(images, 1, 8, 8), epoch=epoch).backward()
        with torch.no_grad():
            loss.learned["s"] += 0.1
    assert counters["stats"]["unique_graphs"] == 2


def test_more_losses_than_dynamo_has_patience_for() -> None:
    """Each loss has code of its own, so that the limit of recompilations does not count them together."""
    torch._dynamo.reset()
    pred, target = torch.randn(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    for number in range(1, 11):
        loss = lossdsl.compile(f"{number}*l1", task="regression", backend="inductor")
        assert_close(loss(pred, target), number * (pred - target).abs().mean())
