"""Learned numbers as parameters: what shards, stores, loads and trains them; in a formula they have no axes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import lossdsl

TEXT = "s = learn(0.25)\nt = learn(-1)\nexp(-s)*ce + s + exp(-t)*dice + t"
STARTS = {"learned.s": 0.25, "learned.t": -1.0}


def made(**options: Any) -> lossdsl.Loss:
    return lossdsl.compile(TEXT, task="multiclass", **options)


def bare(number: Tensor) -> Tensor:
    """Without axes, as version 0.1.0 stored learned numbers."""
    return number.reshape(())


@pytest.mark.long
@pytest.mark.parametrize("world", [1, 2])
def test_sharded_by_fsdp(world: int, tmp_path: Path) -> None:
    """Both of torch's kinds, around the model and around the loss, on as many processes."""
    command = [sys.executable, str(Path(__file__).with_name("sharded.py")), str(world), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "5 ways\n", done.stderr


def test_shapes(make_batch: Any) -> None:
    """A parameter has one axis; whatever a loss returns has none, also where it is the number itself."""
    batch = make_batch("multiclass", (3, 4))
    loss = made()
    assert {name: value.tolist() for name, value in loss.named_parameters()} == {n: [s] for n, s in STARTS.items()}
    for mask in (None, torch.ones(3, 4)):
        for _ in range(2):
            parts = loss.breakdown(batch.pred, batch.target, mask=mask)
            values = [parts.total, *(v for t in parts.terms.values() for v in (t.value, t.weight, t.contribution))]
            assert {value.shape for value in values} == {torch.Size([])}
            assert [parts.terms[name].value.item() for name in ("s", "t")] == [0.25, -1]
            gradients = torch.autograd.grad(parts.total, list(loss.parameters()))
            assert {gradient.shape for gradient in gradients} == {torch.Size([1])}


def in_model(loss: nn.Module) -> nn.Module:
    model = nn.Module()
    model.net, model.criterion = nn.Linear(2, 2), loss
    return model


@pytest.mark.parametrize("stored", [bare, torch.clone], ids=["0.1.0", "now"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("how", [{}, {"assign": True}, {"strict": False}], ids=str)
@pytest.mark.parametrize(
    "around",
    [lambda loss: loss, in_model, lambda loss: nn.ModuleList([loss])],
    ids=["alone", "in a model", "in a list"],
)
def test_states_load(
    around: Callable[[Any], nn.Module], how: dict[str, Any], dtype: torch.dtype, stored: Any, make_batch: Any
) -> None:
    """Of both versions, alone and in a model; what is loaded is left as it was."""
    batch = make_batch("multiclass", (3, 4))
    fresh = made()
    module = around(fresh)
    states = {name: value.clone() for name, value in module.state_dict().items()}
    of_loss = [name for name in states if "learned" in name]
    for name in of_loss:
        states[name] = stored(states[name] + 1).to(dtype)
    kept = {name: value.clone() for name, value in states.items()}
    found = module.load_state_dict(states, **how)
    assert not found.missing_keys
    assert not found.unexpected_keys
    assert {name: value.shape for name, value in states.items()} == {n: value.shape for n, value in kept.items()}
    assert [value.tolist() for value in fresh.parameters()] == [[1.25], [0.0]]
    wanted = lossdsl.compile(TEXT.replace("0.25", "1.25").replace("-1)", "0)"), task="multiclass")
    assert_close(fresh(batch.pred, batch.target), wanted(batch.pred, batch.target))


@pytest.mark.parametrize("number", [torch.zeros(2), torch.zeros(1, 1)], ids=["(2,)", "(1, 1)"])
def test_no_other_shape_loads(number: Tensor) -> None:
    with pytest.raises(RuntimeError, match=r"size mismatch for learned\.s"):
        made().load_state_dict({"learned.s": number, "learned.t": torch.zeros(1)})


@pytest.mark.parametrize("missing", STARTS)
def test_no_number_is_left_out(missing: str) -> None:
    states = {name: bare(torch.tensor(start)) for name, start in STARTS.items() if name != missing}
    with pytest.raises(RuntimeError, match=f'Missing key.*"{missing}"'):
        made().load_state_dict(states)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda numbers: torch.optim.SGD(numbers, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda numbers: torch.optim.AdamW(numbers, lr=0.1, weight_decay=0.1),
        lambda numbers: torch.optim.AdamW(numbers, lr=0.1, weight_decay=0.1, foreach=True),
        lambda numbers: torch.optim.RMSprop(numbers, lr=0.1),
        lambda numbers: torch.optim.Adagrad(numbers, lr=0.1, weight_decay=0.1),
        lambda numbers: torch.optim.LBFGS(numbers, lr=0.1),
    ],
    ids=["SGD", "AdamW", "foreach", "RMSprop", "Adagrad", "LBFGS"],
)
def test_optimizers_train_them_as_bare_numbers(optimizer: Callable[[Any], Any], make_batch: Any) -> None:
    """The steps of plain parameters without axes."""
    batch = make_batch("multiclass", (3, 4))
    loss = made().double()
    values = [lossdsl.compile(text, task="multiclass")(batch.pred, batch.target) for text in ("ce", "dice")]
    numbers = [nn.Parameter(torch.tensor(start, dtype=torch.float64)) for start in STARTS.values()]
    steps: list[tuple[Any, Callable[[], Tensor]]] = [
        (optimizer(loss.parameters()), lambda: loss(batch.pred, batch.target)),
        (optimizer(numbers), lambda: sum(((-s).exp() * x + s for s, x in zip(numbers, values, strict=True)))),  # type: ignore[arg-type, return-value]
    ]
    for trained, value in steps:

        def closure(trained: Any = trained, value: Callable[[], Tensor] = value) -> Tensor:
            trained.zero_grad()
            found = value()
            found.backward()
            return found

        for _ in range(5):
            trained.step(closure)
    for got, wanted in zip(loss.parameters(), numbers, strict=True):
        assert_close(bare(got), bare(wanted))


def test_reset(make_batch: Any) -> None:
    """In the dtype and on the device where they are, as the same parameters."""
    loss = made().double()
    numbers = list(loss.parameters())
    with torch.no_grad():
        for number in numbers:
            number += 3
    loss.reset_parameters()
    assert [number.tolist() for number in numbers] == [[0.25], [-1.0]]
    assert all(one is other for one, other in zip(numbers, loss.parameters(), strict=True))
    assert {number.dtype for number in numbers} == {torch.float64}
    assert all(number.is_leaf and number.requires_grad for number in numbers)
    lossdsl.compile("ce", task="multiclass").reset_parameters()
