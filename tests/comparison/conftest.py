"""The comparison of a loss with a reference on random configurations: 10, and 200 in `make test-long`.

A test module keeps its rows in a table COMPARED: the name of a loss, or "name: which part of it", and the keywords of
`agrees`. test_complete.py reads these tables, so a loss is registered by being in one.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from configurations import Case, Each, configure
from torch import Tensor

import lossdsl

# Relative error of a value; of a gradient, relative to its largest element.
PRECISION = {torch.float64: 1e-7, torch.float32: 1e-5}
SMALLEST = {torch.float64: 1e-12, torch.float32: 1e-6}


@lru_cache(maxsize=256)
def compiled(text: str, options: tuple[tuple[str, Any], ...]) -> Any:
    return lossdsl.compile(text, **dict(options))


def written(name: str, positional: str, parameters: Mapping[str, Any], how: str) -> str:
    arguments = [positional] if positional else []
    arguments += [f"{key}={number}" for key, number in parameters.items()]
    if how == "mean":
        return f"{name}({', '.join(arguments)})" if arguments else name
    text = f"{name}({', '.join([*arguments, f'reduction={how}'])})"
    return text if how == "sum" else f"sum({text}**2)"


def ours(text: str, case: Case, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    options = {"task": "multiclass" if case.exclusive else case.task, "input": case.given} | case.options
    leaf = case.pred.detach().to(dtype).requires_grad_()
    target = case.target.to(dtype) if case.target.is_floating_point() else case.target
    if case.task == "regression":
        del options["input"]
    value = compiled(text, tuple(sorted(options.items())))(leaf, target, **case.call)
    (gradient,) = torch.autograd.grad(value, leaf)
    assert value.dtype == gradient.dtype == dtype
    return value.detach().double(), gradient.double()


def difference(text: str, case: Case, dtype: torch.dtype, expected: Tensor, limit: float) -> str | None:
    value, gradient = ours(text, case, dtype)
    (slope,) = torch.autograd.grad(expected, case.pred)
    expected = expected.detach()
    error, slack = (value - expected).abs(), limit * expected.abs() + SMALLEST[dtype]
    gradient_error, gradient_slack = (gradient - slope).abs().max(), limit * slope.abs().max() + SMALLEST[dtype]
    if error <= slack and gradient_error <= gradient_slack:
        return None
    return f"{value.item()!r}, not {expected.item()!r}; gradient {gradient.tolist()}, not {slope.tolist()}"


@pytest.fixture(scope="session", params=[10, pytest.param(200, marks=pytest.mark.long)])
def agrees(request: pytest.FixtureRequest) -> Callable[..., None]:
    """agrees(name, reference=..., tasks=..., ...): value and gradient are those of the reference.

    reference(case, **parameters) -> Each, or a 0-d tensor for a loss without a map, or None for what it cannot express;
    then another configuration is drawn.
    parameters: for each the values to draw from; None leaves it at its default.
    precision: what the reference keeps in double precision, where that is less than 1e-7.
    The other keywords are those of `configure`.
    """

    def check(
        name: str,
        *,
        reference: Callable[..., Each | Tensor | None],
        tasks: Sequence[str],
        parameters: Mapping[str, Sequence[Any]] | None = None,
        given: Sequence[str] = ("logits", "probs"),
        hows: Sequence[str] = ("mean", "mean", "sum", "none"),
        positional: str = "",
        precision: float = 0.0,
        **limits: Any,
    ) -> None:
        compared, loss = 0, name.partition(":")[0]
        for seed in range(20 * request.param):
            rng = random.Random(f"{name} {seed}")
            drawn = {key: rng.choice(values) for key, values in (parameters or {}).items()}
            chosen = {key: number for key, number in drawn.items() if number is not None}
            case = configure(rng, rng.choice(tasks), rng.choice(given), **limits)
            how, dtype = rng.choice(hows), rng.choice([torch.float32, torch.float64])
            expected = reference(case, **chosen)
            if expected is None:
                continue
            if isinstance(expected, Tensor):
                how = "mean"
            else:
                expected = expected.reduced(how)
            text = written(loss, positional, chosen, how)
            found = difference(text, case, dtype, expected, max(PRECISION[dtype], precision))
            assert found is None, f"{name}, seed {seed}: {text} {dtype} {case}: {found}"
            compared += 1
            if compared == request.param:
                return
        raise AssertionError(f"{name}: the reference could express {compared} configurations only")

    return check


@pytest.fixture(scope="session")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.losses", reason="MONAI is not installed")


@pytest.fixture(scope="session")
def smp() -> Any:
    """The package's losses alone: the package itself imports torchvision and timm."""
    name = "segmentation_models_pytorch"
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        pytest.skip("segmentation_models_pytorch is not installed")
    if name not in sys.modules:
        stub = types.ModuleType(name)
        stub.__spec__ = found  # so that it is found again
        stub.__path__ = [str(Path(found.origin).parent)]
        sys.modules[name] = stub
    return importlib.import_module(f"{name}.losses")
