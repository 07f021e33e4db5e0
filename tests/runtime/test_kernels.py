"""What a kernel does while it is called: what is its own is told with its name, what is torch's passes through."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo.exc
from torch import Tensor
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import lossdsl
import lossdsl.testing

Kernel = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with lossdsl.testing.registry():
        yield


def batch(requires_grad: bool = True) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    pred = torch.randn(2, 1, 6, dtype=torch.float64, requires_grad=requires_grad)
    return pred, (torch.rand(2, 1, 6) > 0.5).double()


def error(p: Tensor, y: Tensor) -> Tensor:
    return (p - y).abs().pow(1.5).mean()


def made(body: Callable[[Tensor, Tensor], Tensor], formula: str = "own") -> Any:
    """A loss whose kernel does what `body` does."""

    @lossdsl.loss(name="own")
    def own(p: Tensor, y: Tensor) -> Tensor:
        return body(p, y)

    return lossdsl.compile(formula, task="binary")


def raising(cause: BaseException) -> Any:
    def body(p: Tensor, y: Tensor) -> Tensor:
        raise cause

    return made(body)


# --- exceptions ---


class Told(Exception):
    pass


class OfAPlugin(torch.OutOfMemoryError):
    """A kind of exception that a plugin defines is its own, whatever it is made from."""


PASSING = {
    "memory": MemoryError("no memory"),
    "device memory": torch.OutOfMemoryError("CUDA out of memory"),
    "checkpoint": torch.utils.checkpoint._StopRecomputationError(),
    "dynamo": torch._dynamo.exc.Unsupported("a graph break"),
    "interrupt": KeyboardInterrupt(),
    "generator": GeneratorExit(),
    "distributed": torch.distributed.DistNetworkError("gone"),
    "fake": torch._subclasses.fake_tensor.DataDependentOutputException(torch.ops.aten.item.default),
}
OWN = {
    "exit": SystemExit(3),
    "value": ValueError("no"),
    "runtime": RuntimeError("size mismatch"),
    "recursion": RecursionError("too deep"),
    "warning": UserWarning("deprecated"),
    "warning of torch": torch.jit.TracerWarning("a constant"),
    "no inverse": torch.linalg.LinAlgError("singular"),
    "own kind": Told("no"),
    "made from torch's": OfAPlugin("no"),
    "disk": OSError("disk"),
    "stop": StopIteration(),
}


@pytest.mark.parametrize("cause", PASSING.values(), ids=PASSING)
def test_what_is_not_the_kernels_own_passes_through(cause: BaseException) -> None:
    loss, (pred, target) = raising(cause), batch()
    for _ in range(2):
        with pytest.raises(type(cause)) as caught:
            loss(pred, target)
        assert caught.value is cause


@pytest.mark.parametrize("cause", OWN.values(), ids=OWN)
def test_what_is_the_kernels_own_is_told_with_its_name(cause: BaseException) -> None:
    loss, (pred, target) = raising(cause), batch()
    for _ in range(2):
        with pytest.raises(lossdsl.PluginError) as caught:
            loss(pred, target)
        assert f"`own` of {__name__}" in str(caught.value)
        assert str(caught.value).endswith(f" raised {cause!r}")
        assert caught.value.__cause__ is cause


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there are no such signals on Windows")
@pytest.mark.parametrize("cause", [SystemExit(0), TimeoutError("the job ends")])
def test_what_a_signal_handler_raises_is_the_programs(cause: BaseException) -> None:
    """A job that is told to end often ends by sys.exit() in a handler, wherever the program is."""

    def handler(*_: object) -> None:
        raise cause

    def body(p: Tensor, y: Tensor) -> Tensor:
        signal.raise_signal(signal.SIGUSR1)
        return error(p, y)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(type(cause)) as caught:
            made(body)(*batch())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught.value is cause


@pytest.mark.parametrize("cold", [True, False], ids=["first call", "later call"])
@pytest.mark.parametrize(
    "formula", ["own", "own + bce", "lovasz*own", "cldice", "mean(soft_skeleton(p, reduction=none))"]
)
def test_a_checkpoint_around_a_kernel(formula: str, cold: bool) -> None:
    loss, (pred, target) = made(error, formula), batch()
    shape = (2, 1, 2, 3)
    if not cold:
        loss(pred.reshape(shape), target.reshape(shape)).backward()
    pred.grad = None
    loss(pred.sin().reshape(shape), target.reshape(shape)).backward()
    again = pred.detach().clone().requires_grad_()
    other = made(error, formula) if cold else loss
    checkpoint(lambda z: other(z.sin().reshape(shape), target.reshape(shape)), again, use_reentrant=False).backward()
    assert pred.grad is not None
    assert pred.grad.any()
    assert_close(again.grad, pred.grad, rtol=0, atol=0)


# --- what is left as it was ---


def _grad_off(p: Tensor, y: Tensor) -> None:
    torch.set_grad_enabled(False)


def _double(p: Tensor, y: Tensor) -> None:
    torch.set_default_dtype(torch.float64)


def _meta(p: Tensor, y: Tensor) -> None:
    torch.set_default_device("meta")


def _autocast(p: Tensor, y: Tensor) -> None:
    torch.set_autocast_enabled("cpu", True)


def _threads(p: Tensor, y: Tensor) -> None:
    torch.set_num_threads(torch.get_num_threads() + 1)


def _matmul(p: Tensor, y: Tensor) -> None:
    torch.set_float32_matmul_precision("medium")


def _deterministic(p: Tensor, y: Tensor) -> None:
    torch.use_deterministic_algorithms(True)


def _seed(p: Tensor, y: Tensor) -> None:
    torch.manual_seed(17)


CHANGES = {
    _grad_off: "changed the grad mode from True to False",
    _double: "changed the default dtype from torch.float32 to torch.float64",
    _meta: "changed the default device from cpu to meta",
    _autocast: "changed autocast from ((False, torch.bfloat16), ",
    _threads: "changed the number of threads from ",
    _matmul: "changed the precision of matrix products from highest to medium",
    _deterministic: "changed whether algorithms are deterministic from False to True",
    _seed: "changed the seed of random numbers from 0 to 17",
}


def state() -> tuple[object, ...]:
    read = (
        torch.is_grad_enabled,
        torch.get_default_dtype,
        torch.get_default_device,
        torch.get_num_threads,
        torch.get_float32_matmul_precision,
        torch.are_deterministic_algorithms_enabled,
    )
    return (*(each() for each in read), torch.is_autocast_enabled("cpu"))


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_settings_of_torch_are_put_back(change: Callable[[Tensor, Tensor], None], fails: bool) -> None:
    def body(p: Tensor, y: Tensor) -> Tensor:
        value = error(p, y)
        change(p, y)
        if fails:
            raise Told
        return value

    pred, target = batch()
    before = state()
    with pytest.raises(lossdsl.PluginError) as caught:
        made(body)(pred, target)
    assert (Told.__name__ if fails else f"`own` of {__name__}") in str(caught.value)
    assert fails or CHANGES[change] in str(caught.value)
    assert state() == before


WRITES = {
    "target": lambda p, y: y.mul_(0.5),
    "prediction": lambda p, y: p.detach().clamp_(0.4, 0.6),
    "an item": lambda p, y: y.__setitem__((0, 0, 0), 1 - y[0, 0, 0]),
    "past torch": lambda p, y: y.data.mul_(0.5),
    "through numpy": lambda p, y: y.numpy().fill(1),
}


@pytest.mark.parametrize("formula", ["own", "bce + own", "own(z, y)", "own(z, w)"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_tensors_that_are_written_to(write: Callable[[Tensor, Tensor], object], formula: str) -> None:
    def body(p: Tensor, y: Tensor) -> Tensor:
        value = error(p, y)
        write(p, y)
        return value

    pred, target = batch()
    tensors = {"w": target.clone()} if formula == "own(z, w)" else {}
    name = "p" if write is WRITES["prediction"] else "y"
    with pytest.raises(lossdsl.PluginError, match=f"wrote to `{name}`, which it was given to read"):
        made(body, formula)(pred, target, **tensors)


def test_a_mask_that_is_written_to() -> None:
    @lossdsl.loss()
    def masked(p: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        mask[0] = False
        return error(p, y)

    pred, target = batch()
    with pytest.raises(lossdsl.PluginError, match="wrote to `mask`"):
        lossdsl.compile("masked", task="binary")(pred, target, mask=torch.ones(2, 6, dtype=torch.bool))


NUMBERS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_are_not_finite(name: str) -> None:
    with pytest.raises(lossdsl.PluginError, match=f"returned {name} for tensors of finite numbers"):
        made(lambda p, y: error(p, y) * NUMBERS[name])(*batch())


def test_numbers_that_may_be_infinite_or_are_given() -> None:
    """Infinity in the declared range, what is masked out, and a prediction that is NaN already are no fault of it."""

    @lossdsl.loss(range="[0, inf]")
    def endless(p: Tensor, y: Tensor) -> Tensor:
        return error(p, y) + float("inf")

    @lossdsl.loss(keeps=("batch", "class", "pixel"))
    def holes(p: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
        return torch.where(y > 0, p, float("nan")) if mask is None else torch.where(mask, p, float("nan"))

    pred, target = batch()
    assert lossdsl.compile("endless", task="binary")(pred, target) == float("inf")
    assert made(error)(pred * float("nan"), target).isnan()
    mask = torch.tensor([[1, 1, 1, 0, 0, 1]] * 2)
    assert lossdsl.compile("holes", task="binary")(pred, target, mask=mask).isfinite()
    with pytest.raises(lossdsl.PluginError, match="returned nan"):
        lossdsl.compile("holes", task="binary")(pred, target)


def test_what_is_left_out_of_a_map_may_be_anything() -> None:
    """A loss of others is not told what counts; what does not is left out of its map afterwards."""

    def root(pred: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        return (1 - target).sqrt() + pred**2

    lossdsl.adapt("others", {"root": root}, keeps=("batch", "class", "pixel"))
    pred, target = batch()
    target[0] = 255
    loss = lossdsl.compile("others.root", task="regression", ignore_index=255)
    assert loss(pred, target).isfinite()
    with pytest.raises(lossdsl.PluginError, match="returned nan"):
        lossdsl.compile("others.root", task="regression")(pred, target + 2)


def test_the_first_batch_that_trains_is_watched_also_after_one_that_does_not() -> None:
    loss = made(lambda p, y: (error(p, y), torch.set_grad_enabled(False))[0])
    pred, target = batch()
    with torch.no_grad():
        loss(pred, target)
    with pytest.raises(lossdsl.PluginError, match="the grad mode"):
        loss(pred, target)
    assert torch.is_grad_enabled()


def test_later_batches_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossdsl.runtime import kernel_guard as conduct

    loss, (pred, target) = made(error), batch()
    loss(pred, target)
    for name in ("settings", "marks", "put_back", "written_to", "not_finite", "is_watched"):
        monkeypatch.setattr(conduct, name, None)
    assert loss(pred, target).isfinite()


def test_the_first_batch_computes_what_every_later_one_does() -> None:
    """Nothing more is saved for the gradient, and what cannot be read is not looked at."""
    loss, (pred, target) = made(error), batch()
    saved: list[list[tuple[int, ...]]] = []
    for _ in range(2):
        saved.append([])
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (saved[-1].append(tuple(x.shape)), x)[1], lambda x: x):
            loss(pred, target)
    assert saved[0] == saved[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fresh = made(error)
        values = torch.vmap(lambda z: fresh(z, target))(torch.stack([pred, -pred]).detach())
    assert_close(values[0], loss(pred, target).detach())


@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_a_mask_beside_values_without_pixels(task: str, per: str) -> None:
    """A largest value counts where one of the pixels does that it is the largest of."""
    z = torch.randn(2, 1 if task == "binary" else 3, 4, 5, dtype=torch.float64)
    y, mask = (torch.rand(z.shape) < 0.4).double(), torch.rand(2, 4, 5) < 0.5
    hidden = z.masked_fill(~mask.unsqueeze(1), -1e9)
    formula = f"tempered_sigmoid(max(z, per={per}))"
    loss = lossdsl.compile(formula, task=task)  # type: ignore[arg-type]
    assert loss(z, y, mask=mask).item() == pytest.approx(loss(hidden, y).item())
