"""Each row of a function says of it what is true, and everything that is known of a function is in its row."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lossdsl.checking import vocabulary
from lossdsl.graph import gradient as derivatives
from lossdsl.graph import nodes
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.operations.row import Ends, Function
from lossdsl.proving import overflow as magnitude
from lossdsl.proving import rounding, slopes, transfer
from lossdsl.runtime import lower
from lossdsl.runtime.named import named

NEAR = torch.linspace(-6, 6, 49, dtype=torch.float64)
AROUND: Ends = (-6.0, 6.0, False, False)
WITH_FORM = [name for name, row in FUNCTIONS.items() if row.into is not None]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_of_numbers_is_that_of_tensors(name: str) -> None:
    row = FUNCTIONS[name]
    numbers = torch.tensor([row.value(x) for x in NEAR.tolist()], dtype=torch.float64)
    torch.testing.assert_close(named(row.torch)(NEAR), numbers, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", WITH_FORM)
def test_given_memory_gets_the_same_values(name: str) -> None:
    row = FUNCTIONS[name]
    assert row.into is not None
    memory = torch.empty_like(NEAR)
    named(row.into)(NEAR, out=memory)
    torch.testing.assert_close(memory, named(row.torch)(NEAR), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("side", [AROUND, (0.0, 6.0, False, False), (-6.0, 0.0, False, False)])
def test_slopes_hold_the_derivative(name: str, side: Ends) -> None:
    row = FUNCTIONS[name]
    x = NEAR[(side[0] < NEAR) & (side[1] > NEAR)].requires_grad_()
    (slope,) = torch.autograd.grad(named(row.torch)(x).sum(), x)
    values = named(row.torch)(x.detach())
    low, high, _, _ = row.slopes(side, (float(values.min()), float(values.max()), False, False))
    assert low <= slope.min()
    assert slope.max() <= high


def test_slopes_of_an_even_function_have_a_sign_on_each_side() -> None:
    for name in ("abs", "cosh", "logcosh"):
        assert FUNCTIONS[name].slopes((0.0, 5.0, False, False), AROUND)[0] == 0
        assert FUNCTIONS[name].slopes((-5.0, 0.0, False, False), AROUND)[1] == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_growth_bounds_the_values(name: str) -> None:
    row = FUNCTIONS[name]
    assert named(row.torch)(NEAR).abs().max() <= row.growth(6.0, 6.0)


def test_growth_beyond_all_numbers() -> None:
    assert [name for name, row in FUNCTIONS.items() if math.isinf(row.growth(1e4, 1e4))] == ["exp", "cosh"]
    assert FUNCTIONS["exp"].growth(1e4, 2.0) == math.exp(2)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Function)])
def test_a_row_with_a_field_left_out_is_refused(field: str) -> None:
    row = FUNCTIONS["tanh"]
    known = {other.name: getattr(row, other.name) for other in dataclasses.fields(row)}
    assert Function(**known).torch == row.torch
    del known[field]
    with pytest.raises(TypeError, match=field):
        Function(**known)


def test_what_no_formula_can_call_is_no_word_of_the_language() -> None:
    assert set(FUNCTIONS) - set(vocabulary.FUNCTIONS) == {"log_sigmoid"}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["erf", "atan", "cos"])
def test_a_function_is_one_row(name: str) -> None:
    """In a process of its own: the tables are read from the rows when they are imported."""
    script = Path(__file__).with_name("one_row.py")
    done = subprocess.run([sys.executable, script, name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_row_cannot_name_what_is_not_there() -> None:
    with pytest.raises(AttributeError):
        named("torch:no_such_function")
    with pytest.raises(LookupError):
        named("os:system")


@pytest.mark.parametrize("module", [derivatives, lower, magnitude, rounding, slopes, transfer])
def test_an_operation_that_is_left_out_somewhere_is_refused_at_import(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "OPERATIONS", nodes.OPERATIONS | {"prod"})
    spec = importlib.util.spec_from_file_location(f"{module.__name__}_again", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, again.__name__, again)
    with pytest.raises(LookupError, match="prod"):
        spec.loader.exec_module(again)
