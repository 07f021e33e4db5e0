"""Every name of every dialect: gradients against finite differences, and finite numbers where calls are extreme."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl
from lossdsl.cli.show import know
from lossdsl.registry.discover import default_registry
from lossdsl.registry.model import Loss

DIALECTS = ("monai", "smp", "kornia", "nnunet", "toolbelt", "keras")
ACTIVATION = {"binary": "sigmoid", "multilabel": "sigmoid", "multiclass": "softmax"}


@cache
def losses() -> dict[str, tuple[Loss, tuple[str, ...]]]:
    """Each full name with its definition and its tasks."""
    registry = default_registry()
    names = {f"{c.namespace}.{c.name}": c for c in registry.all() if c.namespace in DIALECTS}
    known = {name: know(name, candidate, registry) for name, candidate in names.items()}
    return {name: (found.loss, found.tasks) for name, found in known.items() if found.loss}


def arguments(name: str, task: str) -> dict[str, str]:
    """What must be given, and an activation where the loss can have one."""
    written = {}
    for parameter in losses()[name][0].parameters:
        if parameter.decides_task:
            written[parameter.name] = task
        elif parameter.default is None:
            written[parameter.name] = "0.3"
        elif parameter.name == ACTIVATION[task]:
            written[parameter.name] = "true"
    return written


def text(name: str, task: str) -> str:
    return f"{name}({', '.join(f'{word}={value}' for word, value in arguments(name, task).items())})"


def inputs(name: str, task: str) -> tuple[str, ...]:
    """What the model may return for that call."""
    loss = losses()[name][0]
    values = {p.name: str(p.default) for p in loss.parameters} | arguments(name, task)
    taken = next((taken for taken in loss.documentation.taken if taken.holds(task, values)), None)
    return (taken.kind,) if taken else ("logits", "probs")


def predicted(z: Tensor, given: str, task: str) -> Tensor:
    """What a model with these logits returns."""
    return z if given == "logits" else z.softmax(1) if task == "multiclass" else z.sigmoid()


def cases() -> list[Any]:
    return [pytest.param(name, task, id=f"{name}-{task}") for name, (_, tasks) in losses().items() for task in tasks]


def targets(task: str, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Empty, full, one pixel."""
    classes = shape[1]
    if task == "multiclass":
        one = torch.zeros(shape[0], *shape[2:], dtype=torch.long)
        one.view(-1)[0] = classes - 1
        return {"empty": torch.zeros_like(one), "full": torch.full_like(one, classes - 1), "one": one}
    one = torch.zeros(shape)
    one.view(-1)[0] = 1
    return {"empty": torch.zeros(shape), "full": torch.ones(shape), "one": one}


def test_there_are_all() -> None:
    assert len(losses()) > 45
    assert {name.partition(".")[0] for name in losses()} == set(DIALECTS)
    assert all(loss.documentation.summary and loss.documentation.source for loss, _ in losses().values())


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "task"), cases())
def test_gradient(name: str, task: str) -> None:
    z = torch.randn(2, 1 if task == "binary" else 2, 4, dtype=torch.float64)
    target = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 1]])
    target = target if task == "multiclass" else target[:, None].expand_as(z).to(z.dtype)
    for given in inputs(name, task):
        loss = lossdsl.compile(text(name, task), task=task, input=given)
        taken = predicted(z, given, task).clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, target), (taken,)), given


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "task"), cases())
def test_extremes(name: str, task: str) -> None:
    loss = {given: lossdsl.compile(text(name, task), task=task, input=given) for given in inputs(name, task)}
    values = {"logits": (0.0, 20.0, 1e4), "probs": (0.0, 1e-7, 1 - 1e-7, 1.0)}
    for shape in ((1, 1 if task == "binary" else 3, 2, 3), (2, 1 if task == "binary" else 2, 1)):
        for truth, target in targets(task, shape).items():
            for given in loss:
                for size in values[given]:
                    pred = torch.full(shape, size)
                    if given == "logits":
                        pred = pred * torch.randn(shape).sign()
                    pred = pred.requires_grad_()
                    value = loss[given](pred, target)
                    (gradient,) = torch.autograd.grad(value, pred)
                    place = f"{truth} target, {given} {size}, {shape}"
                    assert torch.isfinite(value), place
                    assert torch.isfinite(gradient).all(), place


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "task"), cases())
def test_masked_pixels_are_not_there(name: str, task: str) -> None:
    classes = 1 if task == "binary" else 2
    z = torch.randn(2, classes, 3, 6, dtype=torch.float64)
    labels = torch.randint(0, 2, (2, 3, 6))
    target = labels if task == "multiclass" else labels[:, None].expand(2, classes, 3, 6).to(z.dtype)
    mask = torch.ones(2, 3, 6)
    mask[..., 4:] = 0
    for given in inputs(name, task):
        pred = predicted(z, given, task)
        whole = pred.clone()
        whole[..., 4:] = float("nan")
        loss = lossdsl.compile(text(name, task), task=task, input=given)
        torch.testing.assert_close(loss(whole, target, mask=mask), loss(pred[..., :4], target[..., :4]))
        assert loss(whole, target, mask=torch.zeros(2, 3, 6)) == 0
