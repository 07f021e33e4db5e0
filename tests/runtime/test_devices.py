"""Default devices and meta: the value does not depend on them, and what comes from the text is never lost."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import lossdsl
from lossdsl.runtime import sweeps

LARGE = (2, 1, 400, 400)  # more elements than a piece has
TEXT = "s = learn(0.25)\nexp(-s)*ce + s + dice"


@contextmanager
def as_default(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


AROUND: dict[str, Callable[[], Any]] = {
    "with torch.device": lambda: torch.device("meta"),
    "torch.set_default_device": lambda: as_default("meta"),
}


def large(task: str) -> tuple[Tensor, Tensor]:
    classes = 1 if task in ("binary", "regression") else 3
    pred = torch.randn(LARGE[0], classes, *LARGE[2:])
    if task == "multiclass":
        return pred, torch.randint(classes, (LARGE[0], *LARGE[2:]))
    return pred, (torch.rand_like(pred) > 0.5).float()


# Each with a sweep, and with forms that make tensors of their own.
FORMULAS = [
    ("bce + dice + focal", "binary"),
    ("mean(1 - 2**(1 - p)) + mean((0.3 - p)**2)", "binary"),
    ("ce + dice(per=batch) + topk(ce(reduction=none), share=0.1)", "multiclass"),
    ("ce(label_smoothing=0.1) + 3*focal", "multiclass"),
    ("bce(pos_weight=[1, 2, 3]) + lovasz", "multilabel"),
    ("ssim + charbonnier + mean(local_mean(pred, size=5))", "regression"),
    ("log_cosh + wing", "regression"),
]


WHEN = [(*FORMULAS[0], around, when) for around in AROUND for when in ("compile", "call")]
WHEN += [(*formula, "torch.set_default_device", "both") for formula in FORMULAS]


@pytest.mark.parametrize(("formula", "task", "around", "when"), WHEN, ids=[f"{w[0]}-{w[2]}-{w[3]}" for w in WHEN])
def test_a_default_device_changes_nothing(
    formula: str, task: str, around: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread that has no memory yet. What such a call leaves behind is used by the call after it."""
    pred, target = large(task)

    def made() -> Any:
        return lossdsl.compile(formula, task=task)

    def run(loss: Any) -> list[Tensor]:
        given = pred.clone().requires_grad_()
        value = loss(given, target)
        parts = loss.breakdown(given, target)
        value.backward()
        assert given.grad is not None
        return [value, given.grad, *(term.weight for term in parts.terms.values())]

    wanted = run(made())
    monkeypatch.setattr(sweeps, "_SCRATCH", sweeps._Scratch())
    if when == "compile":
        with AROUND[around]():
            loss = made()
        results = [run(loss)]
    else:
        loss = made()
        with AROUND[around]():
            results = [run(made() if when == "both" else loss)]
    results.append(run(made()))
    for got in results:
        assert_close(got, wanted)


def test_a_thread_is_as_it_was() -> None:
    """What a call keeps for the next one is on the device of the call."""
    pred, target = large("binary")
    loss, errors = lossdsl.compile("bce + dice", task="binary"), []

    def work() -> None:
        try:
            with torch.device("meta"):
                first = loss(pred, target)
            assert {space.device.type for space in sweeps._SCRATCH.held.values()} == {"cpu"}
            assert torch.equal(loss(pred, target), first)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []


def test_after_inference_mode(make_batch: Any, run: Any) -> None:
    """What is kept from a call without gradients serves those that need them."""
    batch = make_batch("binary", (3, 4), dtype=torch.float32)
    loss = lossdsl.compile("bce + dice", task="binary")
    wanted = run(loss, batch)
    from lossdsl.runtime import program

    program._one.cache_clear()
    with torch.inference_mode():
        pred = batch.pred.clone()
        with torch.enable_grad():
            loss(pred, batch.target)
        program._one(torch.float32, torch.device("cpu"))
    assert not program._one(torch.float32, torch.device("cpu")).is_inference()
    assert_close(run(loss, batch), wanted)


def test_on_meta_and_back(make_batch: Any, run: Any) -> None:
    """Deferred initialisation as it is done for models: built on meta, made empty, reset."""
    batch = make_batch("multiclass", (3, 4))
    options: dict[str, Any] = {"task": "multiclass", "class_weight": {0: 0.1, 1: 2, 2: 3}}
    wanted = run(lossdsl.compile(TEXT, **options), batch)

    def trained() -> Any:
        loss = lossdsl.compile(TEXT, **options)
        with torch.no_grad():
            loss.learned["s"] += 1
        return loss

    def built_there() -> Any:
        with torch.device("meta"):
            return lossdsl.compile(TEXT, **options)

    for loss in (built_there(), trained().to("meta"), copy.deepcopy(trained().to("meta")), trained()):
        empty = loss.to_empty(device="cpu")
        assert empty.class_weight.tolist() == [0.1, 2, 3]
        empty.reset_parameters()
        assert empty.learned["s"].item() == 0.25
        assert empty.learned["s"].requires_grad
        got = run(empty, batch)
        assert torch.equal(got[0], wanted[0])
        assert torch.equal(got[1], wanted[1])


def test_each_module_resets_what_is_its_own() -> None:
    """FSDP makes the modules that own something one by one, the parent first."""
    with torch.device("meta"):
        model = nn.Sequential(lossdsl.compile(TEXT, task="multiclass", class_weight=[1, 2, 3]))
    for module in model.modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if own:
            module.to_empty(device="cpu", recurse=False)
            module.reset_parameters()
    assert model[0].class_weight.tolist() == [1, 2, 3]
    assert model[0].learned["s"].item() == 0.25


@pytest.mark.parametrize(
    "back",
    [lambda loss: loss.to("cpu"), lambda loss: loss.cpu(), lambda loss: loss.float().to("cpu", torch.float16)],
    ids=["to", "cpu", "with a dtype"],
)
def test_weights_of_classes_leave_meta(back: Any, make_batch: Any, run: Any) -> None:
    """They are constants of the text: a loss that learns nothing needs no more than to be moved."""
    batch = make_batch("multiclass", (3, 4))
    options: dict[str, Any] = {"task": "multiclass", "class_weight": [1, 2, 1 / 3]}
    wanted = run(lossdsl.compile("ce + dice", **options), batch)
    with torch.device("meta"):
        loss = lossdsl.compile("ce + dice", **options)
    assert loss.half().class_weight.is_meta
    got = run(back(loss), batch)
    assert torch.equal(got[0], wanted[0])
    assert torch.equal(got[1], wanted[1])


def test_what_was_changed_is_moved(make_batch: Any) -> None:
    """Only what has no values is made anew."""
    loss = lossdsl.compile("ce", task="multiclass", class_weight=[1, 2, 3])
    loss.class_weight.copy_(torch.tensor([3, 2, 1]))
    assert loss.to("cpu").to_empty(device="cpu").class_weight.tolist() == [3, 2, 1]
    loss.reset_parameters()
    assert loss.class_weight.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        (
            TEXT,
            {},
            r"LD504: the learned `s` is on the meta device[\s\S]*to_empty\(device=\.\.\.\) and loss\.reset_parameters\(\)",  # noqa: E501
        ),
        ("ce", {"class_weight": [1, 2, 3]}, r"LD504: `pred` is on cpu, `class_weight` on meta[\s\S]*to_empty"),
    ],
)
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_a_loss_on_meta_has_no_values(
    used: bool, formula: str, options: dict[str, Any], message: str, make_batch: Any
) -> None:
    batch = make_batch("multiclass", (3, 4))
    loss = lossdsl.compile(formula, task="multiclass", **options)
    if used:
        loss(batch.pred, batch.target)
    loss.to("meta")
    for call in (loss, loss.breakdown):
        with pytest.raises(lossdsl.InputError, match=message):
            call(batch.pred, batch.target)
    assert loss(batch.pred.to("meta"), batch.target.to("meta")).is_meta
