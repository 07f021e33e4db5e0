"""A loss among torch's own tools: every built-in in every task that it works for, in its first call and in a later one.

Values and gradients are compared with plain calls, one for each sample or seed; second derivatives with differences of
gradients.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

import lossdsl
from lossdsl.checking.resolve import resolve
from lossdsl.config import Options, read_formula
from lossdsl.graph.graphs import Graphs
from lossdsl.registry.discover import default_registry
from lossdsl.testing.subjects import subject_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


class Pair:
    """A loss with a task, and random batches for it."""

    def __init__(self, text: str, task: str, sizes: tuple[int, ...]):
        self.text, self.task, self.sizes = text, task, sizes

    def __str__(self) -> str:
        return f"{self.text}-{self.task}"

    def loss(self, warm: bool = True) -> Any:
        """A new loss; a warm one has been called, and has taken a step."""
        made = lossdsl.compile(self.text, task=self.task)
        if warm:
            gradient(made, *self.batch(9))
        return made

    def batch(self, seed: int = 0) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(seed)
        pred = torch.randn(self.sizes, generator=random, dtype=torch.float64)
        if self.task == "regression":
            return pred, torch.randn(self.sizes, generator=random, dtype=torch.float64)
        if self.task == "multiclass":
            labels = (self.sizes[0], *self.sizes[2:])
            return pred, torch.randint(0, self.sizes[1], labels, generator=random)
        return pred, (torch.rand(self.sizes, generator=random) < 0.4).double()

    def batches(self) -> tuple[Tensor, Tensor]:
        """Three batches, one above the other."""
        preds, targets = zip(*(self.batch(seed) for seed in range(3)), strict=True)
        return torch.stack(preds), torch.stack(targets)


def gradient(loss: Any, pred: Tensor, target: Tensor) -> Tensor:
    pred = pred.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(pred, target), pred)
    return found


def _pairs() -> Iterator[Pair]:
    registry = default_registry()
    for name in sorted(registry.names()):
        if "." in name or not registry.candidates(name)[0].own:
            continue
        subject = subject_of(name)
        spec = read_formula(subject.call).spec
        assert spec
        objective = resolve(spec, registry).objective
        assert objective
        features, pixels = subject.loss.documentation.shape or (3, 0)
        for task in Graphs(objective, Options()).working():
            if pixels != 1:
                yield Pair(subject.call, task, (2, 1 if task == "binary" else 3, 12, 12))
            elif task != "binary":  # in which one number is all of an embedding
                yield Pair(subject.call, task, (4, features))


PAIRS = list(_pairs())
# Each way to compute something at least once; `make test-long` runs all.
QUICK = {
    "bce-binary", "ce-multiclass", "focal_tversky-multilabel", "ssim-regression",
}  # fmt: skip


def _close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)


def call(pair: Pair, loss: Any) -> None:
    """Against torch's own derivative of the formula, which stages of a program have nothing to do with."""
    pred, target = pair.batch()
    _close(loss(pred, target), pair.loss()(pred, target))
    _close(gradient(loss, pred, target), torch.func.grad(pair.loss())(pred, target))


def breakdown(pair: Pair, loss: Any) -> None:
    pred, target = pair.batch()
    _close(loss.breakdown(pred, target).total, pair.loss()(pred, target))
    _close(gradient(lambda *given: loss.breakdown(*given).total, pred, target), gradient(pair.loss(), pred, target))


def vmap(pair: Pair, loss: Any) -> None:
    found = torch.func.vmap(loss)(*pair.batches())
    _close(found, torch.stack([pair.loss()(*pair.batch(seed)) for seed in range(3)]))


def vmap_of_grad(pair: Pair, loss: Any) -> None:
    found = torch.func.vmap(torch.func.grad(loss))(*pair.batches())
    _close(found, torch.stack([gradient(pair.loss(), *pair.batch(seed)) for seed in range(3)]))


def jvp(pair: Pair, loss: Any) -> None:
    pred, target = pair.batch()
    direction, _ = pair.batch(5)
    value, slope = torch.func.jvp(lambda x: loss(x, target), (pred,), (direction,))
    _close(value, pair.loss()(pred, target))
    _close(slope, (gradient(pair.loss(), pred, target) * direction).sum())


def hvp(pair: Pair, loss: Any) -> None:
    pred, target = pair.batch()
    direction, _ = pair.batch(5)
    _, found = torch.func.jvp(torch.func.grad(lambda x: loss(x, target)), (pred,), (direction,))
    _second_derivative(pair, found, pred, target, direction)


def double_backward(pair: Pair, loss: Any) -> None:
    pred, target = pair.batch()
    direction, _ = pair.batch(5)
    leaf = pred.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf, target), leaf, create_graph=True)
    found = torch.zeros_like(pred)
    if slope.requires_grad:
        (found,) = torch.autograd.grad((slope * direction).sum(), leaf, allow_unused=True, materialize_grads=True)
    _second_derivative(pair, found, pred, target, direction)


def _second_derivative(pair: Pair, found: Tensor, pred: Tensor, target: Tensor, direction: Tensor) -> None:
    step = 1e-6
    ahead, behind = (gradient(pair.loss(), pred + sign * step * direction, target) for sign in (1, -1))
    wanted = (ahead - behind) / (2 * step)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item() + 1e-9)


def batched_gradients(pair: Pair, loss: Any) -> None:
    pred, target = pair.batch()
    leaf, seeds = pred.clone().requires_grad_(), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (found,) = torch.autograd.grad(loss(leaf, target), leaf, seeds, is_grads_batched=True)
    wanted = gradient(pair.loss(), pred, target)
    _close(found, torch.stack([seed * wanted for seed in seeds]))


def checkpointed(pair: Pair, loss: Any) -> None:
    pred, target = pair.batch()
    found = gradient(lambda *given: checkpoint(loss, *given, use_reentrant=False), pred, target)
    _close(found, gradient(pair.loss(), pred, target))


def meta(pair: Pair, loss: Any) -> None:
    pred, target = (tensor.to("meta") for tensor in pair.batch())
    value = loss(pred, target)
    assert (value.device.type, value.shape, value.dtype) == ("meta", (), torch.float64)
    assert gradient(loss, pred, target).shape == pred.shape


def fake(pair: Pair, loss: Any) -> None:
    with FakeTensorMode() as mode:
        pred, target = (mode.from_tensor(tensor) for tensor in pair.batch())
        value = loss(pred, target)
        assert (value.shape, value.dtype) == ((), torch.float64)
        assert gradient(loss, pred, target).shape == pred.shape


def traced(pair: Pair, loss: Any) -> None:
    graph = make_fx(loss)(*pair.batch())
    _close(graph(*pair.batch(1)), pair.loss()(*pair.batch(1)))


def traced_gradient(pair: Pair, loss: Any) -> None:
    graph = make_fx(torch.func.grad(loss))(*pair.batch())
    _close(graph(*pair.batch(1)), gradient(pair.loss(), *pair.batch(1)))


def jit(pair: Pair, loss: Any) -> None:
    graph = torch.jit.trace(lambda *given: loss(*given), pair.batch(), check_trace=False)
    _close(graph(*pair.batch(1)), pair.loss()(*pair.batch(1)))


def deep_copied(pair: Pair, loss: Any) -> None:
    _close(gradient(copy.deepcopy(loss), *pair.batch()), gradient(pair.loss(), *pair.batch()))


def pickled(pair: Pair, loss: Any) -> None:
    _close(gradient(pickle.loads(pickle.dumps(loss)), *pair.batch()), gradient(pair.loss(), *pair.batch()))


def traced_with_symbols(pair: Pair, loss: Any) -> None:
    graph = make_fx(loss, tracing_mode="symbolic")(*pair.batch())
    _close(graph(*pair.batch(1)), pair.loss()(*pair.batch(1)))


def exported(pair: Pair, loss: Any) -> None:
    program = torch.export.export(loss, pair.batch())
    _close(program.module()(*pair.batch(1)), pair.loss()(*pair.batch(1)))


def compiled(pair: Pair, loss: Any) -> None:
    torch._dynamo.reset()
    whole = torch.compile(loss, fullgraph=True, backend="aot_eager")
    _close(gradient(whole, *pair.batch()), gradient(pair.loss(), *pair.batch()))


TOOLS = (
    call, breakdown, vmap, vmap_of_grad, jvp, hvp, double_backward, batched_gradients, checkpointed, meta, fake,
    traced, traced_gradient, jit, deep_copied, pickled,
)  # fmt: skip
SLOW = (traced_with_symbols, exported, compiled)


def _run(tool: Callable[[Pair, Any], None], pair: Pair) -> None:
    tool(pair, pair.loss(warm=False))
    tool(pair, pair.loss(warm=True))


@pytest.mark.parametrize(
    "pair", [pytest.param(pair, marks=[] if str(pair) in QUICK else pytest.mark.long) for pair in PAIRS], ids=str
)
def test_first_and_later_calls(pair: Pair, subtests: pytest.Subtests) -> None:
    for tool in TOOLS:
        with subtests.test(tool=tool.__name__):
            _run(tool, pair)


@pytest.mark.long
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_first_and_later_calls_of_compilers(pair: Pair, subtests: pytest.Subtests) -> None:
    for tool in SLOW:
        with subtests.test(tool=tool.__name__):
            _run(tool, pair)


def test_the_matrix_is_whole() -> None:
    """Each loss of the library, in each task that it works for."""
    own = [
        name for name in default_registry().names() if "." not in name and default_registry().candidates(name)[0].own
    ]
    assert {pair.text.partition("(")[0] for pair in PAIRS} == set(own)
    assert {str(pair) for pair in PAIRS} >= QUICK
    tools = len(TOOLS + SLOW)
    print(f"{len(PAIRS)} losses with a task x {tools} tools, first and later calls: {2 * len(PAIRS) * tools} cells")
    assert (len(PAIRS), tools) == (141, 19)
