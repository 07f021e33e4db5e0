"""What a loss returns is the caller's: changed in place it changes nothing else, and its gradient still flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch.testing import assert_close

import lossdsl
import lossdsl.testing

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated"),
]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
KEPT = torch.tensor(2.0)


@pytest.fixture(scope="module", autouse=True)
def keeper() -> Iterator[None]:
    """A kernel that returns what it keeps for the next call."""
    with lossdsl.testing.registry():

        @lossdsl.loss(range="[0, inf)", name="kept_by_kernel")
        def kept_by_kernel(pred: Tensor, target: Tensor) -> Tensor:
            return KEPT

        yield


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


NUMBERS: dict[str, Callable[[], Tensor]] = {
    "epoch": lambda: torch.tensor(3.0),
    "step": lambda: torch.tensor(7.0),
    "w": lambda: torch.tensor(0.7),
    "v": lambda: torch.tensor(0.5, requires_grad=True),
}

# What is one tensor inside: a term that is the total, a weight that is a parameter or an argument, and so on.
FORMULAS: dict[str, tuple[str, ...]] = {
    "bce": (),
    "0.5*bce": (),
    "bce + dice": (),
    "0*bce": (),
    "0*bce + dice": (),
    "s = learn(0.5)\ns*bce": (),
    "s = learn(0.5)\ns*bce + s": (),
    "s = learn(0.5)\nexp(-s)*bce + s + stop_gradient(s)*dice": (),
    "s = learn(0.5)\nexp(s)*exp(bce)": (),
    "s = learn(0.5)\nmax(s, 0)*bce + s**2 + sqrt(mse(p, y))": (),
    "epoch*bce + step*dice": ("epoch", "step"),
    "epoch*epoch*bce + epoch": ("epoch",),
    "min(1, epoch/10)*bce + max(0, epoch)": ("epoch",),
    "mean(v*p) + mean(w*y)": ("v", "w"),
    "stop_gradient(mean(w*p))*bce + mean(v*p)**2": ("v", "w"),
    "stop_gradient(dice)*bce + dice": (),
    "lovasz": (),
    "0.5*lovasz": (),
    "s = learn(0.5)\ns*lovasz + bce + epoch*dice": ("epoch",),
    "exp(topk(bce(reduction=none), share=0.3))": (),
    "max(p) + min(z)*max(p)": (),
    "kept_by_kernel": (),
    "kept_by_kernel*bce + 2*kept_by_kernel": (),
    "1 - dice_coef": (),
}
# More than one term with the same value, and totals that are one of them.
MAPPINGS: dict[str, dict[str, Any]] = {
    "same twice": {"terms": {"a": "bce", "b": "bce", "c": {"expr": "bce", "weight": 2}}},
    "total is a term": {"terms": {"a": "bce", "b": "dice"}, "total": "b"},
    "total is a weight": {"define": {"k": 2}, "terms": {"a": {"expr": "bce", "weight": "k"}}, "total": "a"},
    "same weights": {"terms": {"a": {"expr": "bce", "weight": "epoch"}, "b": {"expr": "dice", "weight": "epoch"}}},
}
CASES: list[tuple[Any, tuple[str, ...]]] = [
    *FORMULAS.items(),
    *((mapping, ("epoch",) if name == "same weights" else ()) for name, mapping in MAPPINGS.items()),
]
NAMES = [*FORMULAS, *MAPPINGS]


def returned(result: Any) -> dict[str, Tensor]:
    if isinstance(result, Tensor):
        return {"total": result}
    found = {"total": result.total}
    for name, term in result.terms.items():
        found |= {f"{name}.{part}": getattr(term, part) for part in ("value", "weight", "contribution")}
    return found


def memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def check(call: Callable[[], Any], loss: lossdsl.Loss, given: Mapping[str, Tensor]) -> None:
    """Every tensor of a result is changed in place. Nothing else changes, nor what the total says to train."""
    others = {**given, **dict(loss.named_parameters()), "kept": KEPT}
    wanted = {name: value.detach().clone() for name, value in returned(call()).items()}
    leaves = [tensor for tensor in others.values() if tensor.requires_grad]

    def slopes(total: Tensor) -> list[Tensor]:
        if not total.requires_grad:
            return []
        return list(torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True))

    right = slopes(returned(call())["total"])
    before = {name: value.detach().clone() for name, value in others.items()}
    for changed in wanted:
        result = returned(call())
        places = {name: memory(value) for name, value in result.items()}
        assert len({*places.values()}) == len(places), places
        assert not {*places.values()} & {memory(value) for value in others.values()}
        assert all(value.shape == () for value in result.values())
        if changed == "total":
            result["total"] *= 4  # as people write it for gradient accumulation or a scale
        else:
            with torch.no_grad():
                result[changed].fill_(-7)
        for name, value in result.items():
            if name != changed:
                assert torch.equal(value.detach(), wanted[name]), name
        for name, value in others.items():
            assert torch.equal(value.detach(), before[name]), name
        scale = 4 if changed == "total" else 1
        assert_close(slopes(result["total"]), [scale * slope for slope in right], **CLOSE)
    for name, value in returned(call()).items():
        assert torch.equal(value.detach(), wanted[name]), name


def made(source: Any, needs: tuple[str, ...], shape: tuple[int, ...], dtype: torch.dtype, **options: Any) -> Any:
    """A loss, what a call passes by position and by name."""
    loss = lossdsl.compile(source, task="binary", **options)
    pred = torch.randn(shape).to(dtype).requires_grad_()
    target = (torch.rand(shape) > 0.5).to(dtype)
    return loss, {"pred": pred, "target": target, **{name: NUMBERS[name]() for name in needs}}


def mode_of(name: str) -> Any:
    return {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[name]()


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("source", "needs"), CASES, ids=NAMES)
@pytest.mark.parametrize("mode", ["grad", "no_grad", "inference"])
@pytest.mark.parametrize("terms", [False, True], ids=["call", "breakdown"])
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_eager(masked: bool, terms: bool, mode: str, source: Any, needs: tuple[str, ...]) -> None:
    """The first call and those after it; of few elements."""
    if masked and "kept_by_kernel" in str(source):
        source = "2*bce"  # a kernel without a mask is refused
    loss, given = made(source, needs, (2, 1, 4, 4), torch.float32)
    mask = {"mask": torch.rand(2, 4, 4) > 0.3} if masked else {}
    function = loss.breakdown if terms else loss
    with mode_of(mode):
        check(lambda: function(**given, **mask), loss, {**given, **mask})


FEW = [(name, case) for name, case in zip(NAMES, CASES, strict=True) if "\n" in name or "*" in name or name == "bce"]
SHORT = [case for _, case in FEW], [name for name, _ in FEW]


@pytest.mark.parametrize(("source", "needs"), SHORT[0], ids=SHORT[1])
@pytest.mark.parametrize("terms", [False, True], ids=["call", "breakdown"])
def test_many_elements(terms: bool, source: Any, needs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed in pieces."""
    monkeypatch.setattr("lossdsl.runtime.sweeps.PIECE", 16)
    loss, given = made(source, needs, (3, 1, 8, 9), torch.float32)
    function = loss.breakdown if terms else loss
    check(lambda: function(**given), loss, given)


@pytest.mark.parametrize(("source", "needs"), SHORT[0], ids=SHORT[1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_precisions(dtype: torch.dtype, source: Any, needs: tuple[str, ...]) -> None:
    """Numbers in the precision of the prediction, and learned ones in another."""
    if "kept_by_kernel" in str(source):
        source = "lovasz"
    loss, given = made(source, needs, (2, 1, 4, 4), dtype)
    given = {name: value.detach().to(dtype) for name, value in given.items()}
    given["pred"].requires_grad_()
    loss.to(dtype)
    check(lambda: loss.breakdown(**given), loss, given)


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("source", "needs"), SHORT[0][::3], ids=SHORT[1][::3])
@pytest.mark.parametrize("terms", [False, True], ids=["call", "breakdown"])
def test_under_torch_compile(terms: bool, source: Any, needs: tuple[str, ...]) -> None:
    """Equal parts of a compiled graph are computed once, and must be returned twice."""
    if "kept_by_kernel" in str(source):
        source = "2*bce"
    loss, given = made(source, needs, (2, 1, 4, 4), torch.float32)
    function: Any = torch.compile(loss.breakdown if terms else loss, backend="aot_eager", fullgraph=True)
    check(lambda: function(**given), loss, given)


INDUCED = [
    "bce",
    "s = learn(0.5)\nexp(s)*exp(bce)",
    "s = learn(0.5)\nexp(-s)*bce + s + stop_gradient(s)*dice",
    "epoch*epoch*bce + epoch",
    "same twice",
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", INDUCED)
@pytest.mark.parametrize("whole", [False, True], ids=["backend", "torch.compile"])
def test_under_inductor(whole: bool, name: str) -> None:
    source, needs = CASES[NAMES.index(name)]
    loss, given = made(source, needs, (2, 1, 4, 4), torch.float32, backend=None if whole else "inductor")
    for function in (loss, loss.breakdown):
        call: Any = torch.compile(function, fullgraph=True) if whole else function
        check(lambda call=call: call(**given), loss, given)


@pytest.mark.parametrize(
    "formula", ["mean(abs(u + v))", "mean(u*v) + mean(v + 2*u + pred)", "s*mean(u + v + pred) + s + t"]
)
@pytest.mark.parametrize("piece", [1 << 18, 16])
def test_gradients_have_memory_of_their_own(formula: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of inputs with the same gradient too: a clipping norm changes each of them in place, once."""
    monkeypatch.setattr("lossdsl.runtime.sweeps.PIECE", piece)
    shape = (2, 1, 4, 5)
    loss = lossdsl.compile(f"s = learn(1)\nt = learn(2)\n{formula} + 0*t + mse(pred, target)", task="regression")
    pred, u, v = (torch.randn(shape, requires_grad=True) for _ in range(3))
    for _ in range(2):
        leaves = [pred, u, v, *loss.parameters()]
        for leaf in leaves:
            leaf.grad = None
        seed = torch.ones(())
        loss(pred, torch.zeros(shape), u=u, v=v).backward(seed)
        found = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert len({memory(slope) for slope in found} | {memory(seed)}) == len(found) + 1
