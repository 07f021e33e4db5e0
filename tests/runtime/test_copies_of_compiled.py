"""A loss after `.compile()`, and in a model after it: copies and pickles of it compute with what is their own."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn
from torch.testing import assert_close

import lossdsl

CLOSE = {"rtol": 1e-6, "atol": 1e-7}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Model(nn.Module):
    """What trains with a loss inside."""

    def __init__(self, loss: nn.Module):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)
        self.loss = loss

    def forward(self, x: Tensor, y: Tensor, **call: Any) -> Tensor:
        value: Tensor = self.loss(self.net(x), y, **call)
        return value


# task, formula, options, what a call takes beside the batch
KINDS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("multiclass", "s = learn(0.25)\nexp(-s)*ce + s + dice", {"class_weight": [1, 2, 3]}, {}),
    ("multiclass", "ce + lovasz", {"class_weight": [3, 1, 1], "ignore_index": 255}, {}),
    ("multilabel", "s = learn(1)\nt = learn(-1)\nexp(-s)*bce + s + t**2*focal", {}, {}),
    ("multilabel", "s = learn(0.5)\nmin(1, epoch/10)*dice + s**2", {}, {"epoch": 3}),
    ("regression", "s = learn(0.5)\nexp(s)*mse + l1", {"class_weight": [1, 2, 0]}, {}),
    ("multiclass", "s = learn(0.25)\nexp(-s)*ce + s", {"backend": "eager", "class_weight": {0: 1, 1: 5, 2: 1}}, {}),
]


def stored(module: Any) -> Any:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "copies of copies": lambda module: copy.deepcopy(copy.deepcopy(module)),
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "torch.save": stored,
    "copied twice in one": lambda module: copy.deepcopy([module, module])[1],
    "copied and compiled": lambda module: compiled(copy.deepcopy(module)),
}


def compiled(module: Any) -> Any:
    module.compile(backend="aot_eager")
    return module


def changed(module: nn.Module) -> None:
    """Other numbers in place, as training makes them, and other weights of classes."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1.5
        for loss in module.modules():
            if isinstance(loss, lossdsl.Loss) and loss.class_weight is not None:
                loss.class_weight *= torch.tensor([1, 3, 2])


def alike(module: nn.Module, other: nn.Module, *batch: Tensor, **call: Any) -> None:
    values = []
    for each in (module, other):
        value = each(*batch, **call)
        values.append((value, *torch.autograd.grad(value, list(each.parameters()))))
    for got, wanted in zip(*values, strict=True):
        assert_close(got, wanted, **CLOSE)


COPIES = [(way, *KINDS[0]) for way in WAYS] + [(["deepcopy", "pickle"][i % 2], *kind) for i, kind in enumerate(KINDS)][
    1:
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("way", "task", "formula", "options", "call"), COPIES, ids=[f"{c[0]}-{c[2]}" for c in COPIES])
def test_a_copy_computes_with_its_own(
    way: str, task: str, formula: str, options: dict[str, Any], call: dict[str, Any], make_batch: Any
) -> None:
    batch = make_batch(task, (3, 4), dtype=torch.float32)
    loss = compiled(lossdsl.compile(formula, task=task, **options))
    before = loss(batch.pred, batch.target, **call).detach()
    other = WAYS[way](loss)
    assert_close(other(batch.pred, batch.target, **call), before, **CLOSE)
    changed(other)
    plain = lossdsl.compile(formula, task=task, **options)
    changed(plain)
    pred = batch.pred.requires_grad_()
    for got, wanted in ((other, plain), (loss, lossdsl.compile(formula, task=task, **options))):
        value, right = (each(pred, batch.target, **call) for each in (got, wanted))
        assert_close(value, right, **CLOSE)
        inputs, others = ([pred, *each.parameters()] for each in (got, wanted))
        assert_close(torch.autograd.grad(value, inputs), torch.autograd.grad(right, others), **CLOSE)
    assert not torch.equal(other(pred, batch.target, **call), before)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("way", ["deepcopy", "torch.save", "copied and compiled"])
@pytest.mark.parametrize("inner", [False, True], ids=["model", "model and loss"])
def test_a_copy_of_a_compiled_model(way: str, inner: bool, make_batch: Any) -> None:
    batch = make_batch("multiclass", (3, 4), dtype=torch.float32)

    def made() -> Model:
        torch.manual_seed(3)
        return Model(lossdsl.compile(KINDS[0][1], task="multiclass", class_weight=[1, 2, 3]))

    model = made()
    if inner:
        compiled(model.loss)
    compiled(model)(batch.pred, batch.target)
    other, plain = WAYS[way](model), made()
    changed(other)
    changed(plain)
    alike(other, plain, batch.pred, batch.target)
    alike(model, made(), batch.pred, batch.target)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "move",
    [
        lambda loss: loss.double(),
        lambda loss: loss.half(),
        lambda loss: loss.bfloat16().float(),
        lambda loss: loss.to("cpu", torch.float64),
        lambda loss: loss.to("meta").to_empty(device="cpu"),
        lambda loss: loss.share_memory(),
    ],
    ids=["double", "half", "bfloat16", "to", "to_empty", "share_memory"],
)
def test_what_moves_a_compiled_loss(move: Callable[[Any], Any], make_batch: Any) -> None:
    """Learned numbers change their dtype, weights of classes stay exact, and the value is that of an eager loss."""
    batch = make_batch("multiclass", (3, 4))
    text, options = KINDS[0][1], {"task": "multiclass", "class_weight": [1, 2, 1 / 3]}
    loss, plain = compiled(lossdsl.compile(text, **options)), lossdsl.compile(text, **options)
    loss(batch.pred, batch.target)
    moved, wanted = move(loss), move(plain)
    moved.reset_parameters()
    wanted.reset_parameters()
    assert moved.class_weight.tolist() == [1, 2, 1 / 3]
    alike(moved, wanted, batch.pred, batch.target)
    alike(copy.deepcopy(moved), wanted, batch.pred, batch.target)


def test_a_copy_of_what_torch_compile_made(make_batch: Any) -> None:
    """`torch.compile(loss)` holds the loss inside."""
    batch = make_batch("multiclass", (3, 4), dtype=torch.float32)
    loss = lossdsl.compile(KINDS[0][1], task="multiclass", class_weight=[1, 2, 3])
    step: Any = torch.compile(loss, backend="aot_eager", fullgraph=True)
    before = step(batch.pred, batch.target)
    other = copy.deepcopy(step)
    changed(other)
    assert_close(step(batch.pred, batch.target), before)
    changed(loss)
    alike(other, loss, batch.pred, batch.target)
