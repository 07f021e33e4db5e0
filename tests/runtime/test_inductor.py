"""Loss through inductor: what is computed is that of eager, and a missing C++ compiler is told in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
import torch._dynamo.exc
from torch._dynamo.utils import counters
from torch.testing import assert_close

import lossdsl
import lossdsl.testing

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


@pytest.mark.long
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


# --- a compiler that fails ---


def failing(kind: type[Exception], where: str) -> Any:
    """A backend of torch.compile that fails at once, or when it is asked for the gradient."""
    from lossdsl.runtime.compiled import one_pass

    asked: list[int] = []

    def backend(module: Any, inputs: Any) -> Any:
        asked.append(1)
        if where == "value" or len(asked) > 1:
            raise kind("it cannot be done\nand more lines")
        return one_pass(module, inputs)

    return backend


class CompilerError(Exception):
    pass


@pytest.mark.parametrize(
    ("formula", "where", "kind"),
    [
        ("bce + dice", "value", RuntimeError),
        ("bce + dice", "value", TypeError),
        ("bce + dice", "value", AssertionError),
        ("bce + dice", "value", torch._dynamo.exc.Unsupported),
        ("bce + dice", "gradient", CompilerError),
        ("lovasz", "value", CompilerError),
    ],
)
def test_what_a_compiler_cannot_do_runs_without_it(
    formula: str, where: str, kind: type[Exception], make_batch: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch._dynamo.reset()
    batch = make_batch("binary", (3, 4))
    wanted = run(lossdsl.compile(formula, task="binary"), batch)
    loss = lossdsl.compile(formula, task="binary", backend="inductor")
    backend = failing(kind, where)
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **options: compiler(module, **options | {"backend": backend}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", lossdsl.LossWarning)
        first = run(loss, batch)
        again = run(loss, batch)
    for got in (first, again):
        assert_close(got[0], wanted[0], **CLOSE)
        assert_close(got[1], wanted[1], **CLOSE)
    # What else is caught here comes from dynamo, which warns once in a process: it depends on the tests before.
    (told,) = [str(each.message) for each in caught if issubclass(each.category, lossdsl.LossWarning)]
    assert told.startswith('warning LD507: torch cannot compile the loss, which now runs with backend="eager": ')
    assert told.endswith(": it cannot be done")
    assert "\n" not in told


def test_what_is_wrong_with_a_call_is_told_as_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the compiler, and does not end its use."""
    torch._dynamo.reset()

    def body(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if p.shape[-1] > 6:
            raise lossdsl.InputError([lossdsl.Diagnostic("LD502", "too many pixels")])
        return (p - y).abs().mean()

    with lossdsl.testing.registry():
        lossdsl.loss(name="few")(body)
        loss = lossdsl.compile("few", task="binary", backend="inductor")
        pred, target = torch.randn(2, 1, 8), torch.ones(2, 1, 8)
        for _ in range(2):
            with pytest.raises(lossdsl.InputError, match="too many pixels"):
                loss(pred, target)
        value = loss(pred[..., :5], target[..., :5])
        assert_close(value, (pred[..., :5].sigmoid() - 1).abs().mean())


@pytest.mark.parametrize("cause", [MemoryError("none"), torch.OutOfMemoryError("none")])
def test_a_lack_of_memory_is_no_fault_of_a_compiler(cause: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_nothing(module: Any, **options: Any) -> Any:
        def fused(*inputs: Any) -> Any:
            raise cause

        return fused

    monkeypatch.setattr(torch, "compile", compile_nothing)
    loss = lossdsl.compile("bce", task="binary", backend="inductor")
    with pytest.raises(type(cause)) as caught:
        loss(torch.randn(2, 1, 8), torch.ones(2, 1, 8))
    assert caught.value is cause


def test_a_kernel_that_no_compiler_takes() -> None:
    """A real one: numbers that are read from a tensor decide what is computed."""
    torch._dynamo.reset()

    def body(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if float(y.sum()) > 1:
            return (p - y).abs().mean()
        return (p - y).pow(2).mean()

    with lossdsl.testing.registry():
        lossdsl.loss(name="deciding")(body)
        loss = lossdsl.compile("deciding + bce", task="binary", backend="inductor")
        plain = lossdsl.compile("deciding + bce", task="binary")
        pred, target = torch.randn(2, 1, 8, requires_grad=True), torch.ones(2, 1, 8)
        with pytest.warns(lossdsl.LossWarning, match="LD507: torch cannot compile the loss"):
            value = loss(pred, target)
        assert_close(value, plain(pred, target))
        assert_close(loss(pred, target * 0), plain(pred, target * 0))


def test_windows_compile_once_for_all_batches_and_once_for_each_size_of_images() -> None:
    """Each pixel is read by its neighbours: what they read is stored, or it would be computed anew for each of them."""
    torch._dynamo.reset()
    counters.clear()
    formula = "mean(local_max(abs(p - y), size=3))"
    loss = lossdsl.compile(formula, task="binary", backend="inductor")
    plain = lossdsl.compile(formula, task="binary")
    for shape, graphs in (((4, 1, 8, 8), 1), ((3, 1, 8, 8), 1), ((2, 1, 8, 8), 1), ((3, 1, 6, 10), 2)):
        results = []
        for each in (loss, plain):
            torch.manual_seed(0)
            pred = torch.randn(shape, requires_grad=True)
            value = each(pred, (torch.rand(shape) > 0.5).float())
            results.append((value, *torch.autograd.grad(value, pred)))
        for got, wanted in zip(*results, strict=True):
            assert_close(got, wanted)
        assert counters["stats"]["unique_graphs"] == graphs, shape
