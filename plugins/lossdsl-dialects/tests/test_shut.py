"""A class that is shut off by a logit of -inf: what a loss is then, for every loss, task and parameter.

Where the target is another class, the value and the gradient are those of a logit that is very negative, and finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import pytest
import torch
from torch import Tensor

import lossdsl
import lossdsl.testing
from lossdsl.cli.show import Known, know
from lossdsl.registry.discover import default_registry
from lossdsl.registry.model import Parameter

SHUT, CLOSE, CLOSER = -math.inf, -1e4, -2e4
ACTIVATION = {"binary": "sigmoid", "multilabel": "sigmoid", "multiclass": "softmax"}
CLASSES = {"binary": 1, "multilabel": 3, "multiclass": 3}


@cache
def known(name: str) -> Known:
    registry = default_registry()
    return know(name, registry.candidates(name)[0], registry)


def given(parameter: Parameter, task: str) -> str | None:
    """What is written for a parameter in every call: what must be given, and that the prediction is logits."""
    if parameter.decides_task:
        return task
    if parameter.name in (ACTIVATION[task], "from_logits"):
        return "true"
    return "0.3" if parameter.default is None else None


def values(parameter: Parameter) -> Iterator[str]:
    """Other values of a parameter: its words, and numbers in its range."""
    yield from parameter.words
    if parameter.interval and not parameter.lists:
        yield from (f"{number:g}" for number in (0.0, 0.3, 1.0, 2.5) if number in parameter.interval)


def calls(name: str, task: str) -> list[str]:
    """The loss with each of its parameters at other values, of logits or, if it takes them as they are, of p."""
    parameters = known(name).loss.parameters  # type: ignore[union-attr]
    base = {p.name: word for p in parameters if (word := given(p, task))}
    written = [base, *(base | {p.name: v} for p in parameters if not p.decides_task for v in values(p))]
    texts = dict.fromkeys(", ".join(f"{word}={value}" for word, value in each.items()) for each in written)
    found = (compilable(name, text, task) for text in texts)
    return [call for call in found if call]


def compilable(name: str, arguments: str, task: str) -> str | None:
    """Not words that exclude each other, that do nothing for this task, or that take logits for probabilities."""
    for call in (f"{name}({arguments})", f"{name}(p, y{', ' * bool(arguments)}{arguments})"):
        said = lossdsl.check(call, task=task).diagnostics
        if not any(one.severity == "error" or one.code == "LD724" for one in said):
            return call
    return None


def a_batch(task: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, a target of every class, and which elements may be shut: those of no target, not all of a pixel."""
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(2, CLASSES[task], 8, generator=generator, dtype=torch.float64).to(dtype)
    if task == "multiclass":
        target = torch.randint(0, 3, (2, 8), generator=generator)
        return z, target, torch.nn.functional.one_hot(target, 3).movedim(-1, 1) == 0
    target = (torch.rand(z.shape, generator=generator) < 0.5).to(dtype)
    open_class = torch.arange(CLASSES[task])[:, None] == (0 if task == "multilabel" else -1)
    return z, target, (target == 0) & ~open_class


def shut_elements(task: str, free: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Which logits are -inf. A class that no target is, single elements, and all that may be."""
    generator = torch.Generator().manual_seed(7)
    yield "some", free & (torch.rand(free.shape, generator=generator) < 0.5)
    yield "all", free
    if task != "binary":
        yield "one class", free & (torch.arange(3) == 2)[None, :, None]


def outcome(loss: lossdsl.Loss, z: Tensor, shut: Tensor, number: float, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = z.masked_fill(shut, number).requires_grad_()
    value = loss(leaf, target)
    slope = torch.autograd.grad(value, leaf)[0] if value.requires_grad else torch.zeros_like(leaf)
    return value.detach(), slope


CASES = [(name, task) for name in lossdsl.testing.names("lossdsl-dialects") for task in known(name).tasks]


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_shut_class(name: str, task: str) -> None:
    """Also where a smoothed target is partly the shut class, and the value is infinite, it is finite here."""
    wrong, exact, texts = [], 0, calls(name, task)
    assert texts
    for text in texts:
        loss = lossdsl.compile(text, task=task)  # type: ignore[arg-type]
        z, target, free = a_batch(task, torch.float64)
        for what, shut in shut_elements(task, free):
            value, slope = outcome(loss, z, shut, SHUT, target)
            close, closer = (outcome(loss, z, shut, number, target) for number in (CLOSE, CLOSER))
            bounded = torch.allclose(close[0], closer[0])
            exact += bounded
            right = bool(value.isfinite()) and bool(slope.isfinite().all())
            if right and bounded:
                right = torch.allclose(value, close[0], rtol=1e-9, atol=1e-12)
                right = right and torch.allclose(slope, close[1], rtol=1e-7, atol=1e-12)
            if not right:
                wrong.append((text, what, value.item(), close[0].item()))
    assert not wrong
    assert exact


@pytest.mark.sampled(8)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("name", "task"), CASES)
def test_in_other_precisions(name: str, task: str, dtype: torch.dtype) -> None:
    loss = lossdsl.compile(calls(name, task)[0], task=task)  # type: ignore[arg-type]
    z, target, free = a_batch(task, dtype)
    for what, shut in shut_elements(task, free):
        value, slope = outcome(loss, z, shut, SHUT, target)
        assert value.isfinite(), what
        assert slope.isfinite().all(), what


# Losses that do not see a class that is shut: the call, and the factor between theirs of three and of two classes.
UNSEEN: list[tuple[str, float]] = [
    ("smp.SoftCrossEntropyLoss(smooth_factor=0)", 1),
    ("toolbelt.SoftCrossEntropyLoss", 1),
    ("nnunet.RobustCrossEntropyLoss", 1),
    ("nnunet.TopKLoss", 1),
    ("nnunet.TopKLoss(k=50)", 1),
    ("monai.FocalLoss(use_softmax=true)", 2 / 3),
    ("monai.FocalLoss(use_softmax=true, gamma=0.5)", 2 / 3),
    ("kornia.focal_loss(alpha=none)", 2 / 3),
    ("kornia.FocalLoss(alpha=0.3, gamma=1)", 2 / 3),
    ("monai.DiceCELoss(softmax=true, lambda_dice=0)", 1),
    ("nnunet.DC_and_CE_loss(weight_dice=0)", 1),
]


@pytest.mark.parametrize(("text", "factor"), UNSEEN)
def test_as_without_the_class(text: str, factor: float) -> None:
    z, target, _ = a_batch("multiclass", torch.float64)
    target = target.clamp(max=1)
    loss = lossdsl.compile(text, task="multiclass")
    shut = torch.zeros_like(z, dtype=torch.bool)
    shut[:, 2] = True
    value, slope = outcome(loss, z, shut, SHUT, target)
    wanted, wanted_slope = outcome(loss, z[:, :2], shut[:, :2], SHUT, target)
    torch.testing.assert_close(value, factor * wanted)
    torch.testing.assert_close(slope[:, :2], factor * wanted_slope)
    assert not slope[:, 2].any()


@pytest.mark.parametrize(
    "text",
    [
        "smp.SoftCrossEntropyLoss(smooth_factor=0.1)",
        "toolbelt.SoftCrossEntropyLoss(smooth_factor=0.1)",
        "nnunet.RobustCrossEntropyLoss(label_smoothing=0.1)",
        "nnunet.DC_and_CE_loss(label_smoothing=0.1)",
        "monai.DiceCELoss(softmax=true, label_smoothing=0.1)",
    ],
)
def test_a_smoothed_target_of_a_shut_class(text: str) -> None:
    """A part of the target is the shut class: infinite in the libraries, large and finite here."""
    z, target, _ = a_batch("multiclass", torch.float64)
    loss = lossdsl.compile(text, task="multiclass")
    shut = torch.zeros_like(z, dtype=torch.bool)
    shut[:, 2] = True
    value, slope = outcome(loss, z, shut, SHUT, target.clamp(max=1))
    assert value.isfinite()
    assert slope.isfinite().all()
    assert value > outcome(loss, z, shut, -10.0, target.clamp(max=1))[0]
