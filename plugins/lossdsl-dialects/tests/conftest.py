"""What the tests share: random calls, arguments as text, and the comparison of a dialect with its library."""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl

torch.set_num_threads(1)  # the tensors are small, and the tests run beside each other

ARGUMENTS = 40  # sets of arguments for a name, each with its task and number of classes
CALLS = 5  # of each, with their own images, so 200 configurations
PRECISION = {torch.float64: {"rtol": 1e-7, "atol": 1e-10}, torch.float32: {"rtol": 1e-5, "atol": 1e-6}}
SIZES = [(6,), (4, 5), (2, 3, 3)]


@dataclass(frozen=True)
class Call:
    """A random call of a task: logits, probabilities, the target as lossdsl takes it, and one-hot."""

    task: str
    z: Tensor
    p: Tensor
    target: Tensor
    y: Tensor

    @property
    def classes(self) -> int:
        return self.z.shape[1]


@dataclass(frozen=True)
class Setup:
    """One comparison: the text of ours, the function that is theirs, and what both are called with.

    probabilities: both get the probabilities, ours by input=probs. theirs: of prediction and target, as a number.
    """

    text: str
    theirs: Callable[[Tensor, Tensor], Tensor]
    call: Call
    probabilities: bool = False
    their_target: Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def draw(rng: random.Random, task: str, count: int, sizes: Sequence[tuple[int, ...]]) -> Call:
    """A call of which classes, or the whole target, may be missing."""
    torch.manual_seed(rng.randrange(2**32))
    dtype = rng.choice([torch.float32, torch.float64])
    z = torch.randn(rng.randint(1, 3), count, *rng.choice(sizes), dtype=dtype) * rng.choice([0.5, 1, 3])
    if task == "multiclass":
        target = torch.randint(0, count, (z.shape[0], *z.shape[2:]))
        target = target.clamp_max(rng.choice([0, count - 1, count - 1]))
        y = torch.nn.functional.one_hot(target, count).movedim(-1, 1).to(dtype)
        return Call(task, z, z.softmax(1), target, y)
    y = (torch.rand_like(z) < rng.choice([0.2, 0.5, 0.9])).to(dtype)
    for index in range(y.shape[0]):
        y[index, rng.randrange(count)] *= rng.choice([0, 1, 1])
    return Call(task, z, z.sigmoid(), y, y)


def written(arguments: Mapping[str, Any]) -> str:
    """Arguments of a Python call in the language: True is true, None is none, the rest is the same."""
    return ", ".join(f"{name}={_value(value)}" for name, value in arguments.items())


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@cache
def compiled(text: str, task: str, options: tuple[tuple[str, Any], ...]) -> lossdsl.Loss:
    return lossdsl.compile(text, task=task, **dict(options))


def slope(loss: Callable[[Tensor, Tensor], Tensor], pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = pred.detach().clone().requires_grad_()
    value = loss(leaf, target)
    gradient = torch.autograd.grad(value, leaf)[0] if value.requires_grad else torch.zeros_like(leaf)
    return value.detach().to(pred.dtype).reshape(()), gradient


def same(setup: Setup, seed: str) -> None:
    """Value and gradient agree. Where theirs has no gradient, as that of a power below 1 at 0, ours is finite."""
    call = setup.call
    pred = call.p if setup.probabilities else call.z
    options = {**setup.options, "input": "probs" if setup.probabilities else "logits"}
    ours = slope(compiled(setup.text, call.task, tuple(options.items())), pred, call.target)
    theirs = slope(setup.theirs, pred, call.target if setup.their_target is None else setup.their_target)
    assert torch.isfinite(ours[1]).all()
    theirs = (theirs[0], torch.where(theirs[1].isnan(), ours[1], theirs[1]))
    place = f"seed {seed}: {setup.text} for {call.task}, {tuple(pred.shape)}, {pred.dtype}"
    torch.testing.assert_close(ours, theirs, **PRECISION[pred.dtype], msg=lambda message: f"{place}: {message}")


def _choose(choices: Mapping[str, Sequence[Any]], rng: random.Random) -> dict[str, Any]:
    """Some of the arguments, each with one of its values; always those with one value only."""
    return {name: rng.choice(values) for name, values in choices.items() if len(values) == 1 or rng.random() < 0.5}


@pytest.fixture(scope="session")
def compare() -> Callable[..., None]:
    """compare(choices, setup, tasks): 200 configurations. setup(call, arguments, rng) makes one of a call.

    rng is the same for all calls of a set of arguments, so that only as many formulas are compiled as there are sets.
    """

    def run(
        choices: Mapping[str, Sequence[Any]],
        setup: Callable[[Call, dict[str, Any], random.Random], Setup],
        tasks: Sequence[str],
        sizes: Sequence[tuple[int, ...]] = SIZES,
        classes: Sequence[int] = (2, 3, 4),
    ) -> None:
        for arguments in range(ARGUMENTS):
            for number in range(CALLS):
                rng, images = random.Random(arguments), random.Random(f"{arguments}.{number}")
                chosen, task = _choose(choices, rng), rng.choice(tasks)
                call = draw(images, task, 1 if task == "binary" else rng.choice(classes), sizes)
                same(setup(call, chosen, rng), f"{arguments}.{number}")

    return run


@pytest.fixture(scope="session")
def text_of() -> Callable[[Mapping[str, Any]], str]:
    return written


@pytest.fixture(scope="session")
def setup_of() -> type[Setup]:
    return Setup


@pytest.fixture(scope="session")
def smp_losses() -> Any:
    """The losses of segmentation_models.pytorch alone: the package itself imports torchvision and timm."""
    name = "segmentation_models_pytorch"
    found = importlib.util.find_spec(name) if name not in sys.modules else sys.modules[name].__spec__
    if name not in sys.modules:
        if found is None or found.origin is None:
            pytest.skip("segmentation_models_pytorch is not installed")
        stub = types.ModuleType(name)
        stub.__spec__ = found  # so that it is found again
        stub.__path__ = [str(Path(found.origin).parent)]
        sys.modules[name] = stub
    return importlib.import_module(f"{name}.losses")


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that cast to float32 keep float64, so that both can be compared in double precision."""
    cast = torch.Tensor.float
    monkeypatch.setattr(torch.Tensor, "float", lambda x: x if x.dtype == torch.float64 else cast(x))
