"""Random batches of every task and rank, the formulas to run on them, and the two things that a training step needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor

import lossdsl

TASKS = ("binary", "multilabel", "multiclass", "regression")
_LABELS = ("binary", "multilabel")
_CLASSES = ("binary", "multilabel", "multiclass")

# Every built-in with the tasks that it serves; test_every_built_in_is_listed keeps the table complete.
BUILT_INS = {
    "bce": _LABELS,
    "ce": ("multiclass",),
    "focal": _CLASSES,
    "dice": _CLASSES,
    "dice_coef": _CLASSES,
    "iou": _CLASSES,
    "iou_coef": _CLASSES,
    "tversky": _CLASSES,
    "focal_tversky": _CLASSES,
    "lovasz": _CLASSES,
    "hinge": _LABELS,
    "l1": ("regression", *_LABELS),
    "mse": ("regression", *_LABELS),
    "smooth_l1": ("regression", *_LABELS),
    "huber": ("regression", *_LABELS),
}

COMPOSITIONS = {
    "0.5*bce + 0.5*(-log(1 - dice))": _LABELS,
    "0.3*ce(label_smoothing=0.1) + 0.7*dice(per=batch)": ("multiclass",),
    "lovasz_extension(abs(y - p), y)": _CLASSES,
    "lovasz_extension(abs(y - p), y, per=batch)": _CLASSES,
    "lovasz(per=batch) + lovasz(classes=all)": ("multiclass",),
    "iou(per=batch)**0.5 + tversky(fn_weight=0.7, per=batch)": _CLASSES,
    "focal_tversky(per=batch, gamma=1.5) - dice_coef(per=batch)": _CLASSES,
    "bce(pos_weight=3) + focal(gamma=0.5, alpha=0.25)": _LABELS,
    "sum(bce(reduction=none)) + 2*bce(reduction=sum)": _LABELS,
    "dice(reduction=sum)/10 + max(dice, 0.9*iou)": _CLASSES,
    "topk(bce(reduction=none), share=0.3)": _LABELS,
    "topk(ce(reduction=none), share=0.5)": ("multiclass",),
    "mean(topk(abs(p - y), share=0.25, over=pixel))": _CLASSES,
    "max(mean(abs(p - y), over=[class, pixel]))": _CLASSES,
    "mean(max(focal(reduction=none), over=pixel))": _CLASSES,
    "mean(min(p, over=[batch, pixel])) + min(p)": _CLASSES,
    "log(1 + sum(p*y)) + sqrt(mean((p - y)**2))": _CLASSES,
    "mean(where(y > 0.5, 1 - p, p**2))": _CLASSES,
    "exp(-dice_coef)*mean(p*(1 - p))": _CLASSES,
    "mean(sqrt(dice(reduction=none)))": _CLASSES,
    "logcosh(mean(p) - mean(y)) + clamp(dice, min=0.1)": _CLASSES,
    "mean(sum(p*y, over=pixel)/(sum(p, over=pixel) + 1))": _CLASSES,
    "mean(mean(mean(abs(p - y), over=pixel), over=class)**2)": _CLASSES,
    "mean(stop_gradient(p)*abs(z))": _CLASSES,
    "mse(p, y) + l1(tanh(z), y)": _CLASSES,
    "log(dice(reduction=sum)) + dice(per=batch, smooth=0)": _CLASSES,
    "mean(y*abs(p - y), count=y) + mean(mean(y*p, over=pixel, count=y))": _CLASSES,
    "mean(softplus(z)) + mean(-log(1 - p))": _CLASSES,
    "mean(log(sum(exp(z), over=class)))": ("multilabel", "multiclass"),
    "l1 + sqrt(mse)": ("regression",),
    "huber(delta=0.5) + smooth_l1(beta=0.1)": ("regression",),
    "mean(abs(pred - target)/(1 + abs(target)))": ("regression",),
    "topk(l1(reduction=none), share=0.4) + max(mse(reduction=none))": ("regression",),
    "mean(logcosh(sum(pred - target, over=pixel)))": ("regression",),
}


# One built-in of each kind; tests/testing has the same laws for all of them, and the compositions are made of the rest.
ALONE = {name: BUILT_INS[name] for name in ("bce", "ce", "dice", "lovasz", "mse")}
PAIRS = [(formula, task) for formula, tasks in (ALONE | COMPOSITIONS).items() for task in tasks]

# These for every task, every composition for one of its tasks.
FEWER = [(formula, task) for formula, tasks in ALONE.items() for task in tasks]
FEWER += [(formula, tasks[index % len(tasks)]) for index, (formula, tasks) in enumerate(COMPOSITIONS.items())]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of `formula` and `task` runs for every pair that fits; one of `formula` and `some_task` for fewer."""
    given = " ".join(str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if {"formula", "task"} <= set(metafunc.fixturenames) and "formula" not in given and "task" not in given:
        metafunc.parametrize(("formula", "task"), PAIRS)
    if {"formula", "some_task"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("formula", "some_task"), FEWER)


@dataclass(frozen=True)
class Batch:
    """What a call takes, and the options that it needs."""

    pred: Tensor
    target: Tensor
    task: str
    input: str = "logits"

    @property
    def spatial(self) -> tuple[int, ...]:
        return tuple(self.pred.shape[2:])

    @property
    def indexed(self) -> bool:
        return self.target.ndim < self.pred.ndim

    @property
    def options(self) -> dict[str, Any]:
        return {"task": self.task, "input": self.input}

    def with_(self, **changes: Any) -> Batch:
        return replace(self, **changes)


MakeBatch: TypeAlias = Callable[..., Batch]


def _make_batch(
    task: str,
    spatial: Sequence[int] = (6,),
    *,
    samples: int = 4,
    classes: int = 3,
    input: str = "logits",
    soft: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Batch:
    shape = (samples, 1 if task == "binary" else classes, *spatial)
    pred = 2 * torch.randn(shape, dtype=dtype)
    if task == "multiclass":
        target = torch.randint(classes, (samples, *spatial))
        if soft:
            target = torch.randn(shape, dtype=dtype).softmax(1)
    elif task == "regression":
        target = torch.randn(shape, dtype=dtype)
    else:
        target = torch.rand(shape, dtype=dtype) if soft else (torch.rand(shape) > 0.5).to(dtype)
    if input == "probs":
        pred = pred.softmax(1) if task == "multiclass" else pred.sigmoid()
    return Batch(pred, target, task, input)


@pytest.fixture
def make_batch() -> MakeBatch:
    """A random batch: make_batch(task, spatial, samples=, classes=, input=, soft=, dtype=)."""
    return _make_batch


@pytest.fixture
def run() -> Callable[..., tuple[Tensor, Tensor]]:
    """Value and gradient of a loss on a batch."""

    def value_and_gradient(loss: torch.nn.Module, batch: Batch, **call: Any) -> tuple[Tensor, Tensor]:
        pred = batch.pred.detach().clone().requires_grad_()
        value = loss(pred, batch.target, **call)
        assert value.shape == ()
        (gradient,) = torch.autograd.grad(value, pred, allow_unused=True, materialize_grads=True)
        return value.detach(), gradient

    return value_and_gradient


@pytest.fixture
def compile_for() -> Callable[..., Any]:
    """The loss of a formula for the task and input of a batch."""
    return lambda formula, batch, **options: lossdsl.compile(formula, **batch.options, **options)


@cache
def _shared(formula: str, task: str, input: str, options: tuple[tuple[str, Any], ...]) -> Any:
    return lossdsl.compile(formula, task=task, input=input, **dict(options))


@pytest.fixture
def shared_for() -> Callable[..., Any]:
    """As compile_for, but the same loss for the same formula and options, which saves most of the time of a test."""
    return lambda formula, batch, **options: _shared(formula, batch.task, batch.input, tuple(options.items()))


@pytest.fixture
def built_ins() -> dict[str, tuple[str, ...]]:
    return BUILT_INS


@pytest.fixture
def mixes_classes() -> Callable[[str], bool]:
    """Whether classes talk to each other, so that leaving out one element of a pixel changes what the others see."""
    return lambda formula: "over=class" in formula or "over=[class" in formula
