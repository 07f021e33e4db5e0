"""torch.compile reads a loss whole and compiles it once: whatever the task, the mask, the epoch and the batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn
from torch._dynamo.utils import counters
from torch.testing import assert_close

import lossdsl
from lossdsl.runtime import loss as runtime_loss
from lossdsl.runtime.compiled import compiled

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
# Warnings that dynamo itself causes; it hides the second from users, but not from a filter that makes errors of them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    """Every loss is the same class to dynamo, which gives up after a number of kinds of one."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def fused(module: Any) -> Any:
    return torch.compile(module, fullgraph=True, backend="aot_eager")


def compiled_graphs() -> int:
    return counters["stats"]["unique_graphs"]


@pytest.mark.sampled(4)
def test_every_formula(formula: str, some_task: str, make_batch: Any, run: Any, compile_for: Any) -> None:
    """A loss that was never called before. Value and gradient are those of another one that is not compiled."""
    batch = make_batch(some_task, (3, 4))
    got = run(fused(compile_for(formula, batch)), batch)
    wanted = run(compile_for(formula, batch), batch)
    assert compiled_graphs() == 1
    assert_close(got[0], wanted[0], **CLOSE)
    assert_close(got[1], wanted[1], **CLOSE)


# task, formula, options of compile, what a call takes beside the batch
KINDS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("binary", "0.5*bce + 0.5*(-log(1 - dice))", {}, {"mask": torch.rand(4, 3, 4) > 0.4}),
    ("binary", "lovasz + topk(bce(reduction=none), share=0.3)", {}, {"mask": torch.rand(4, 3, 4) > 0.4}),
    ("binary", "mean(max(z, over=pixel)) + min(p)", {}, {"mask": torch.rand(3, 4).round()}),
    ("binary", "bce + dice", {"ignore_index": 255}, {}),
    ("binary", "bce + iou(per=batch)", {"input": "probs"}, {"mask": torch.zeros(4, 3, 4)}),
    ("multilabel", "bce + focal", {"class_weight": [1, 2, 3]}, {"mask": torch.rand(4, 3, 3, 4) > 0.4}),
    ("multilabel", "dice(per=batch) + bce(pos_weight=2)", {"class_weight": [1, 0, 3], "ignore_index": 255}, {}),
    ("multiclass", "ce(label_smoothing=0.1) + dice", {"class_weight": [1, 2, 3], "ignore_index": 255}, {}),
    ("multiclass", "ce + focal_tversky + lovasz", {"ignore_index": 255}, {"mask": torch.rand(4, 3, 4) > 0.4}),
    ("multiclass", "focal + ce", {"input": "probs"}, {}),
    ("regression", "huber + l1", {"class_weight": [1, 2, 3]}, {"mask": torch.rand(4, 3, 4) > 0.4}),
    ("regression", "sqrt(mse) + l1", {"ignore_index": 255}, {}),
    ("binary", "min(1, epoch/10)*dice + 2**(-step/100)*bce", {}, {"epoch": torch.tensor(3), "step": torch.tensor(9.0)}),
    ("binary", "mean(p**(1 + epoch/10)) + epoch*bce", {}, {"epoch": 3}),
    ("multiclass", "where(epoch < 2, ce, dice)", {}, {"epoch": 3.5}),
    ("binary", "s = learn(0.5)\nexp(-s)*bce + s", {}, {}),
    (
        "multiclass",
        "s = learn(0.5)\nt = learn(1)\nexp(-s)*ce + s + exp(-t)*dice + t",
        {},
        {"mask": torch.rand(3, 4) > 0.4},
    ),
    ("binary", "mean(w*bce(reduction=none)) + dice", {}, {"w": torch.rand(4, 3, 4)}),
    ("multilabel", "mean(v*w*abs(p - y))", {}, {"w": torch.rand(4), "v": torch.rand(4, 3)}),
    (
        "multiclass",
        "ce + 0.4*ce(aux) + 0.1*mse(p, teacher)",
        {},
        {"aux": torch.rand(4, 3, 3, 4), "teacher": torch.rand(4, 3, 3, 4)},
    ),
    ("binary", "0*bce", {}, {}),
    (
        "binary",
        "m = mean(z)\nw = epoch/5\nlogcosh(m)*w + clamp(dice, max=0.5) + softplus(m)",
        {},
        {"epoch": 2},
    ),
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("task", "formula", "options", "call"), KINDS, ids=[f"{k[0]}-{k[1]}" for k in KINDS])
def test_every_kind_of_call(
    task: str, formula: str, options: dict[str, Any], call: dict[str, Any], make_batch: Any
) -> None:
    batch = make_batch(task, (3, 4), input=options.get("input", "logits"))
    target = batch.target.clone()
    if "ignore_index" in options:
        target[1, ..., 1] = options["ignore_index"]
    results = []
    for wrap in (fused, lambda module: module):
        loss = lossdsl.compile(formula, task=task, **options)
        step = wrap(loss)
        for _ in range(2):
            pred = batch.pred.clone().requires_grad_()
            value = step(pred, target, **call)
            gradients = torch.autograd.grad(value, [pred, *loss.parameters()], allow_unused=True)
            results.append((value, *gradients))
    assert compiled_graphs() == 1
    for got, wanted in zip(results[:2], results[2:], strict=True):
        for one, other in zip(got, wanted, strict=True):
            assert_close(one, other, **CLOSE)


def test_a_loss_that_was_called_before(make_batch: Any, run: Any, compile_for: Any) -> None:
    batch = make_batch("multiclass", (3, 4))
    loss = compile_for("ce + dice", batch)
    wanted = run(loss, batch)
    got = run(fused(loss), batch)
    assert_close(got[0], wanted[0], **CLOSE)
    assert_close(got[1], wanted[1], **CLOSE)


def test_a_model_and_its_loss_together(make_batch: Any) -> None:
    """One training step as one graph, weights of the model and of the loss trained."""
    batch = make_batch("binary", (6, 6), dtype=torch.float32)
    results = []
    for wrap in (fused, lambda step: step):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
        loss = lossdsl.compile("s = learn(0)\nexp(-s)*bce + s + min(1, epoch/10)*dice")

        def training_step(x: Any, y: Any, epoch: Any, model: Any = model, loss: Any = loss) -> Any:
            return loss(model(x), y, epoch=epoch)

        step = wrap(training_step)
        optimizer = torch.optim.SGD([*model.parameters(), *loss.parameters()], lr=0.1)
        for epoch in range(4):
            optimizer.zero_grad()
            value = step(batch.pred, batch.target, torch.tensor(float(epoch)))
            value.backward()
            optimizer.step()
            results.append(value.detach())
    assert compiled_graphs() == 1
    assert_close(torch.stack(results[:4]), torch.stack(results[4:]), rtol=1e-5, atol=1e-6)


def test_a_tensor_epoch_never_compiles_again(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    loss = compile_for("min(1, epoch/10)*bce + step*dice", batch)
    step = fused(loss)
    step(batch.pred, batch.target, epoch=torch.tensor(0.0), step=torch.tensor(0))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for number in range(12):
            call = {"epoch": torch.tensor(float(number)), "step": torch.tensor(number)}
            got = step(batch.pred, batch.target, **call)
            assert_close(got, loss(batch.pred, batch.target, **call), **CLOSE)


@pytest.mark.parametrize("numbers", [range(12), [n / 4 for n in range(12)]], ids=["int", "float"])
def test_a_python_epoch_compiles_twice(numbers: Any, make_batch: Any, compile_for: Any) -> None:
    """Once for the first number and once for all others; the value follows it each time."""
    batch = make_batch("binary", (3, 4))
    loss = compile_for("min(1, epoch/10)*bce + dice", batch)
    step = fused(loss)
    for number in numbers:
        got = step(batch.pred, batch.target, epoch=number)
        assert_close(got, loss(batch.pred, batch.target, epoch=number), **CLOSE)
    assert compiled_graphs() == 2


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("formula", "task"),
    [
        ("bce + log(1 - dice)", "binary"),
        ("ce + dice(per=batch)", "multiclass"),
        ("topk(abs(p - y), share=0.3)", "multilabel"),
    ],
)
def test_other_batch_sizes_compile_once_more(
    formula: str, task: str, make_batch: Any, run: Any, compile_for: Any
) -> None:
    batch = make_batch(task, (3, 4))
    loss = compile_for(formula, batch)
    step = fused(loss)
    for samples in (4, 6, 3, 8, 4):
        batch = make_batch(task, (3, 4), samples=samples)
        call = {"mask": torch.rand(samples, 3, 4) > 0.3}
        got, wanted = run(step, batch, **call), run(loss, batch, **call)
        assert_close(got[0], wanted[0], **CLOSE)
        assert_close(got[1], wanted[1], **CLOSE)
    assert compiled_graphs() == 2


def test_plans_alone(make_batch: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What backend="inductor" compiles: the plan alone, on views of the inputs; here without inductor."""
    formula = "min(1, epoch/10)*ce + dice + lovasz"
    fast, plain = (lossdsl.compile(formula, task="multiclass", ignore_index=255) for _ in range(2))
    for samples, spatial in ((4, (3, 4)), (5, (6, 7)), (3, (5, 5))):
        for epoch in (1, 2.5):
            batch = make_batch("multiclass", spatial, samples=samples)
            batch.target.flatten(1)[:, 0] = 255
            wanted = run(plain, batch, epoch=epoch)
            with monkeypatch.context() as patch:
                patch.setattr(runtime_loss, "compiled", lambda plan, _: compiled(plan, "aot_eager"))
                got = run(fast, batch, epoch=epoch)
            assert_close(got[0], wanted[0], **CLOSE)
            assert_close(got[1], wanted[1], **CLOSE)
    assert compiled_graphs() == 2


def test_eager_calls_in_between_compile_nothing(make_batch: Any, compile_for: Any) -> None:
    """Validation calls the same loss uncompiled, with masks and breakdowns."""
    batch = make_batch("binary", (3, 4))
    loss = compile_for("bce + dice", batch)
    step = fused(loss)
    wanted = step(batch.pred, batch.target)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for call in ({}, {"mask": torch.ones(3, 4)}):
            loss(batch.pred, batch.target, **call)
            loss.breakdown(batch.pred, batch.target, **call)
            loss.eval()
            assert torch.equal(step(batch.pred, batch.target), wanted)
            loss.train()


def test_learned_scalars_are_read_anew(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    loss = compile_for("s = learn(0)\nexp(-s)*bce + s", batch)
    step = fused(loss)
    step(batch.pred, batch.target)
    for start in (1.0, -2.0):
        with torch.no_grad():
            loss.learned["s"].fill_(start)
        assert_close(step(batch.pred, batch.target), loss(batch.pred, batch.target), **CLOSE)
    assert compiled_graphs() == 1


def test_a_compiled_breakdown(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("multiclass", (3, 4))
    loss = compile_for("0.5*ce + dice", batch)
    got = fused(loss.breakdown)(batch.pred, batch.target)
    wanted = loss.breakdown(batch.pred, batch.target)
    assert_close(got.total, wanted.total, **CLOSE)
    assert list(got.terms) == list(wanted.terms)
    for name, term in wanted.terms.items():
        assert_close(got.terms[name].contribution, term.contribution, **CLOSE)


def test_autocast_inside(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4), dtype=torch.float32)
    layer, loss = nn.Conv2d(1, 1, 1), compile_for("bce + dice", batch)

    @fused
    def step(x: Any, y: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss(layer(x), y)

    value = step(batch.pred, batch.target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = loss(layer(batch.pred), batch.target)
    assert value.dtype == torch.float32
    assert_close(value, wanted, rtol=1e-5, atol=1e-6)
