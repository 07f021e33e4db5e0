"""A loss run in stages with its own gradient gives what its graph gives under torch's autograd, however it is cut."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

import lossdsl
from lossdsl.graph.schedule import TRANSFORMED
from lossdsl.registry.discover import default_registry
from lossdsl.runtime import compiled, sweeps
from lossdsl.runtime import derivative_ops as slopes
from lossdsl.runtime.staged import Staged

EXACT = {torch.float64: {"rtol": 1e-11, "atol": 1e-12}, torch.float32: {"rtol": 1e-5, "atol": 1e-6}}
TASKS = ("binary", "multilabel", "multiclass", "regression")
BUILT_INS = [loss.name for loss in default_registry().built_ins()]
COMPOSITIONS = [
    "0.5*bce + 0.3*dice(per=batch) + focal + tversky",
    "ce(label_smoothing=0.1) + 0.3*dice",
    "mean(relu(z)*w) + mean(max(z, 0.1)*abs(z)) + sqrt(mean(z**2))",
    "s = learn(0.3)\nexp(-s)*dice + s*mean(z*s)",
    "min(1, epoch/10)*bce + dice(smooth=0)",
    "mean(where(y > 0.5, 1 - p, p**2)) + mean(max(y, over=pixel)*mean(p, over=pixel))",
    "bce(pos_weight=[1, 2, 3]) - log(1 - iou)",
    "l1 + huber(delta=0.5) + mean(max(pred, target))",
    "mean((p - mean(p))**2) + mean(p**0.5/(p + y))",
]
# Sides of 5 and 7 pixels: pieces of 6 and 60 elements are uneven, of one image and of several.
PIECES = (6, 60)


@contextmanager
def plain() -> Iterator[None]:
    """Every loss under torch's own autograd."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Staged, "_strategy", lambda *_: TRANSFORMED)
        yield


def a_batch(task: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(7)
    shape = (3, 1 if task == "binary" else 3, 5, 7)
    z = torch.randn(shape, dtype=dtype)
    if task == "multiclass":
        return z, torch.randint(0, 3, (3, 5, 7))
    return z, torch.randn(shape, dtype=dtype) if task == "regression" else (torch.rand(shape) < 0.4).to(dtype)


def options_of(task: str, special: bool) -> dict[str, Any]:
    if not special:
        return {"task": task}
    weights = {"class_weight": [1, 2, 0.5]} if task != "binary" else {}
    return {"task": task, "ignore_index": 2 if task == "multiclass" else 1, **weights}


def a_call(text: str, special: bool) -> dict[str, Any]:
    torch.manual_seed(8)
    call: dict[str, Any] = {"mask": torch.rand(3, 5, 7) < 0.7} if special else {}
    if "*w)" in text:
        call["w"] = torch.rand(3, 5, 7, dtype=torch.float64)
    return call | ({"epoch": 3} if "epoch" in text else {})


def outcome(loss: Any, z: Tensor, target: Tensor, **call: Any) -> list[Tensor]:
    """The total, all terms, and the gradients."""
    pred = z.clone().requires_grad_()
    parts = loss.breakdown(pred, target, **call)
    terms = [term.value.detach() for term in parts.terms.values()]
    return [parts.total.detach(), *terms, *torch.autograd.grad(parts.total, [pred, *loss.parameters()])]


def servable(text: str, **options: Any) -> bool:
    """Whether a formula can be read for a task, and takes images as `a_batch` makes them."""
    listed = "[" in text and options["task"] == "binary"
    if listed or not lossdsl.check(text, **options).ok:
        return False
    try:
        with plain():
            outcome(lossdsl.compile(text, **options), *a_batch(options["task"]), **a_call(text, special=False))
    except lossdsl.InputError:
        return False
    return True


# Kernels, which torch's autograd runs in any case: for boxes, embeddings, larger images, or with a matrix to be given.
NOT_FOR_THESE_IMAGES = {
    *("barlow_twins", "class_distance", "giou", "lovasz_extension", "ms_ssim", "nt_xent", "ssim"),
    *("soft_skeleton", "tempered_sigmoid", "tempered_softmax", "wasserstein_dice"),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("special", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("text", [*BUILT_INS, *COMPOSITIONS])
def test_as_autograd(text: str, special: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, in pieces, and in the form that a compiler gets, here without a compiler; for every task that it has."""
    monkeypatch.setattr(compiled._Compiler, "__call__", lambda _, module: module.forward)
    forms = [("eager", sweeps.PIECE), *(("eager", piece) for piece in PIECES), ("inductor", sweeps.PIECE)]
    tried = [task for task in TASKS if servable(text, **options_of(task, special))]
    for task in tried:
        options, call = options_of(task, special), a_call(text, special)
        z, target = a_batch(task)
        with plain():
            wanted = outcome(lossdsl.compile(text, **options), z, target, **call)
        for backend, piece in forms:
            with monkeypatch.context() as patched:
                patched.setattr(sweeps, "PIECE", piece)
                found = outcome(lossdsl.compile(text, backend=backend, **options), z, target, **call)
            assert_close(found, wanted, **EXACT[torch.float64])
    assert bool(tried) == (text not in NOT_FOR_THESE_IMAGES)


PARTS = ["p", "z", "y", "(1 - p)", "p*y", "(1 - p)*y", "p*(1 - y)", "(p - y)", "log(p)", "log(1 - p)", "0.3"]
NARROW = [
    "logsumexp(z, over=pixel)",
    "log(sum(y*exp(z), over=pixel))",
    "mean(p, over=pixel)",
    "max(p, over=pixel)",
    "sum(p*y, over=pixel)/(1 + sum(y, over=pixel))",
    "mean(y)",
]
WRAPPED = [
    *("exp({})", "log(1 + {}**2)", "sqrt({}**2 + 0.1)", "abs({} - 0.3)", "tanh({})", "{}**2", "relu({} - 0.2)"),
    *("max({}, 0.3)", "min({}, 0.6)", "sigmoid({})", "softplus({})", "clamp({}, min=0.1, max=0.9)"),
    *("log(1 + exp({}))", "exp({0})/(0.5 + exp({0}))", "log(1 - 0.1*{})", "abs({})**0.5"),
    *("{0}*(1 - {0})", "{0}/(1 + {0}**2)", "where(y > 0.5, {0}, 1 - {0})"),
]


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    sums = st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda both: f"({' '.join(both)})")
    return sums | st.tuples(st.sampled_from(WRAPPED), inner).map(lambda both: f"({both[0].format(both[1])})")


ELEMENTS = st.recursive(st.sampled_from([*PARTS, *NARROW]), _wider, max_leaves=6)
TERMS = st.sampled_from(["bce", "dice", "focal(gamma=1)", "tversky", "focal(gamma=3, alpha=0.25)", "poly1", "iou"])
SUMS = st.lists(TERMS | ELEMENTS.map("mean({})".format), min_size=1, max_size=3).map(" + 0.5*".join)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(text=SUMS, special=st.booleans())
def test_formulas_at_random(text: str, special: bool) -> None:
    """Parts that no loss of the library has, in pieces and as a compiler gets them."""
    options = options_of("binary", special)
    z, target = a_batch("binary")
    call = a_call(text, special)
    try:
        with plain():
            wanted = outcome(lossdsl.compile(text, **options), z, target, **call)
    except (lossdsl.LossError, RuntimeError):
        reject()  # nothing to train, or nothing of a pixel in it
    assume(all(tensor.isfinite().all() for tensor in wanted))
    scale = max(1.0, *(tensor.abs().max().item() for tensor in wanted))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compiled._Compiler, "__call__", lambda _, module: module.forward)
        for backend, piece in (("eager", 1 << 18), ("eager", 6), ("inductor", 6)):
            patched.setattr(sweeps, "PIECE", piece)
            found = outcome(lossdsl.compile(text, backend=backend, **options), z, target, **call)
            assert_close(found, wanted, rtol=1e-9, atol=1e-11 * scale)


def test_saturated_logits_as_a_compiler_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In single precision value and slope keep their digits, however small they are."""
    z, target = a_batch("binary", torch.float32)
    z = z.sign() * torch.logspace(-3, 1.9, z.numel()).view_as(z)
    with plain():
        wanted = outcome(lossdsl.compile("bce", task="binary"), z.double(), target.double())
    monkeypatch.setattr(compiled._Compiler, "__call__", lambda _, module: module.forward)
    found = outcome(lossdsl.compile("bce", task="binary", backend="inductor"), z, target)
    for got, true in zip(found, wanted, strict=True):
        assert_close(got.double(), true, rtol=2e-6, atol=1e-40)


def test_logarithm_of_a_share() -> None:
    x = torch.cat([torch.linspace(0, 1, 10_001), torch.logspace(-37, 0, 2000)])
    true = torch.log1p(x.double())
    assert_close(slopes.log1p_of_share(x).double(), true, rtol=3.6e-7, atol=0)
    assert_close(slopes.log1p_of_share(x.double()), true, rtol=1e-15, atol=0)


# What sorts, looks at neighbours, or has no derivative rule; and what is a kernel, which no rule can know.
LEFT_TO_TORCH = {"bi_tempered", "cldice", "context_attention", "lovasz", "topk_ce", "total_variation"}


def test_which_losses_are_run_in_stages() -> None:
    left = set()
    for text in BUILT_INS:
        for task in TASKS:
            if servable(text, task=task):
                loss = lossdsl.compile(text, task=task)
                outcome(loss, *a_batch(task))
                if None in next(iter(loss._runners.values())).programs.values():
                    left.add(text)
    assert left == LEFT_TO_TORCH


TEXT = "0.5*bce + 0.5*dice(per=batch) + focal"


@pytest.fixture(params=PIECES)
def small_pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "PIECE", request.param)


@pytest.mark.usefixtures("small_pieces")
class TestInPieces:
    def test_single_precision(self) -> None:
        z, target = a_batch("binary", torch.float32)
        with plain():
            wanted = outcome(lossdsl.compile(TEXT, task="binary"), z, target)
        assert_close(outcome(lossdsl.compile(TEXT, task="binary"), z, target), wanted, **EXACT[torch.float32])

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_half_precision(self, dtype: torch.dtype) -> None:
        """Computed in single precision, the gradient rounded once."""
        z, target = a_batch("binary", torch.float32)
        z = z.to(dtype)
        loss = lossdsl.compile(TEXT, task="binary")
        total, *_, gradient = outcome(loss, z, target.to(dtype))
        with plain():
            wanted, *_, slope = outcome(lossdsl.compile(TEXT, task="binary"), z.float(), target)
        assert gradient.dtype == dtype
        assert total.dtype == torch.float32
        assert_close(total, wanted, **EXACT[torch.float32])
        assert_close(gradient.float(), slope, rtol=0.01, atol=1e-6)

    def test_second_derivative(self) -> None:
        z, target = a_batch("binary")
        loss = lossdsl.compile(TEXT, task="binary")
        assert gradcheck(lambda tensor: loss(tensor, target), (z.requires_grad_(),), fast_mode=True)
        assert gradgradcheck(lambda tensor: loss(tensor, target), (z,), fast_mode=True)

    @pytest.mark.parametrize("form", ["channels_last", "sliced", "transposed", "expanded"])
    def test_strides(self, form: str) -> None:
        z, target = a_batch("multilabel")
        changed = {
            "channels_last": z.contiguous(memory_format=torch.channels_last),
            "sliced": torch.cat([z, z], 3)[..., : z.shape[3]],
            "transposed": z.transpose(2, 3).contiguous().transpose(2, 3),
            "expanded": z[:1].expand(z.shape),
        }[form]
        wanted = outcome(lossdsl.compile(TEXT, task="multilabel"), changed.contiguous(), target)
        pred = changed.detach().requires_grad_()
        total = lossdsl.compile(TEXT, task="multilabel")(pred, target)
        (gradient,) = torch.autograd.grad(total, pred)
        assert gradient.shape == pred.shape
        assert_close((total.detach(), gradient), (wanted[0], wanted[-1]), **EXACT[torch.float64])

    def test_backward_twice(self) -> None:
        z, target = a_batch("binary")
        pred = z.requires_grad_()
        total = lossdsl.compile(TEXT, task="binary")(pred, target)
        total.backward(retain_graph=True)
        once = pred.grad.clone()
        total.backward()
        assert_close(pred.grad, 2 * once)

    def test_accumulation_over_batches(self) -> None:
        z, target = a_batch("binary")
        loss = lossdsl.compile("bce(reduction=sum)", task="binary")
        pred = z.clone().requires_grad_()
        for image in range(3):
            loss(pred[image : image + 1], target[image : image + 1]).backward()
        (whole,) = torch.autograd.grad(loss(pred, target), pred)
        assert_close(pred.grad, whole)

    def test_without_gradient(self) -> None:
        z, target = a_batch("binary")
        loss = lossdsl.compile(TEXT, task="binary")
        with torch.no_grad():
            value = loss(z.requires_grad_(), target)
        assert not value.requires_grad
        assert_close(value, loss(z, target).detach())

    def test_terms_have_gradients_of_their_own(self) -> None:
        z, target = a_batch("binary")
        pred = z.requires_grad_()
        parts = lossdsl.compile(TEXT, task="binary").breakdown(pred, target)
        for name, term in parts.terms.items():
            (got,) = torch.autograd.grad(term.value, pred, retain_graph=True)
            (wanted,) = torch.autograd.grad(lossdsl.compile(name, task="binary")(pred, target), pred)
            if name != "dice":
                assert_close(got, wanted)

    def test_gradient_of_everything_that_is_passed(self) -> None:
        """Of the target and of tensors by name too, a map as well as a number."""
        torch.manual_seed(1)
        shape = (3, 2, 4, 5)
        pred, target = (torch.rand(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
        w, c = torch.rand(3, 4, 5, dtype=torch.float64), torch.rand((), dtype=torch.float64)
        loss = lossdsl.compile("mean(c*w*mse(reduction=none)) + mean(w)*mean(abs(target))", task="regression")
        inputs = (pred, target, w.requires_grad_(), c.requires_grad_())
        assert gradcheck(lambda x, y, w, c: loss(x, y, w=w, c=c), inputs)


# The gradient of a mean of pixels is computed with it, that of a loss of sums after it; of few elements always with it.
AT_ONCE = {"bce": True, "mean(z*y)": True, "mean(w*z)": True, "3*mean(z) + 0.5*hinge": True, "dice": False}


@pytest.mark.parametrize("piece", [6, 1 << 18], ids=["pieces", "small"])
@pytest.mark.parametrize("text", AT_ONCE)
def test_gradient_with_the_value(text: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaled by what comes from above, and computed again when it was given away; the inputs stay as they are."""
    monkeypatch.setattr(sweeps, "PIECE", piece)
    z, target = a_batch("binary")
    call = {"w": torch.rand(3, 5, 7, dtype=torch.float64)} if "w*" in text else {}
    before = [tensor.clone() for tensor in (z, target, *call.values())]
    with plain():
        (wanted,) = torch.autograd.grad(lossdsl.compile(text, task="binary")(z.requires_grad_(), target, **call), z)
    loss = lossdsl.compile(text, task="binary")
    value = loss(z, target, **call)
    first = torch.autograd.grad(value, z, retain_graph=True)[0]
    kept = first.clone()
    for factor in (1.0, -2.5):
        (again,) = torch.autograd.grad(value, z, torch.tensor(factor, dtype=torch.float64), retain_graph=True)
        assert_close(again, factor * wanted)
    (scaled,) = torch.autograd.grad(0.25 * loss(z, target, **call), z)
    assert_close(first, wanted)
    assert_close(scaled, 0.25 * wanted)
    assert gradgradcheck(lambda pred: loss(pred, target, **call), (z,), fast_mode=True)
    assert torch.equal(first, kept)
    for tensor, was in zip((z, target, *call.values()), before, strict=True):
        assert torch.equal(tensor, was)
    (program,) = (p for p in next(iter(loss._runners.values())).programs.values() if p is not None)
    assert program.schedule.with_value == (AT_ONCE[text] or piece > 6)


@pytest.mark.parametrize("piece", [60, 1 << 18], ids=["pieces", "small"])
@pytest.mark.parametrize("text", ["bce", "dice"])
def test_scaled_gradients_in_half_precision(text: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slope that half precision cannot hold is scaled before it is rounded: what scaling a loss is for."""
    monkeypatch.setattr(sweeps, "PIECE", piece)
    z, target = a_batch("binary", torch.float32)
    z = (z - 9).half().requires_grad_()
    text = f"0.0001*{text}"
    (got,) = torch.autograd.grad(2.0**16 * lossdsl.compile(text, task="binary")(z, target), z)
    with plain():
        exact = z.detach().float().requires_grad_()
        (wanted,) = torch.autograd.grad(2.0**16 * lossdsl.compile(text, task="binary")(exact, target), exact)
    assert (wanted / 2.0**16).half().count_nonzero() < wanted.count_nonzero()
    assert_close(got.float(), wanted, rtol=2e-3, atol=1e-7)


def test_what_is_stored_is_small() -> None:
    """Between forward and backward: the inputs and a few numbers, whatever the terms."""
    pred, target = torch.randn(4, 1, 512, 512, requires_grad=True), torch.rand(4, 1, 512, 512).round()
    stored = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: (stored.append(tensor), tensor)[1], lambda x: x):
        lossdsl.compile("bce + dice + focal + tversky + iou + hinge", task="binary")(pred, target)
    given = {pred.data_ptr(), target.data_ptr()}
    assert sum(tensor.numel() for tensor in stored if tensor.data_ptr() not in given) < 1000


def test_denominators() -> None:
    """One that is proved to be well above 0 needs no care; one that can be 0 gives what it gave."""
    pred = torch.zeros(2, 1, 4)
    for text, known in (("dice", 1), ("bce - log(1 - iou)", 1), ("dice(smooth=0)", 0), ("mean(p/(p - y))", 0)):
        loss = lossdsl.compile(text, task="binary")
        loss(pred, pred)
        assert len(next(iter(loss._plans.values())).positive) == known
    loss = lossdsl.compile("dice(smooth=0)", task="binary")
    for target in (torch.ones(2, 1, 4), torch.zeros(2, 1, 4), torch.tensor([[[1.0] * 4], [[0.0] * 4]])):
        pred = torch.full((2, 1, 4), -1e4, requires_grad=True)
        value = loss(pred, target)
        (gradient,) = torch.autograd.grad(value, pred)
        with plain():
            wanted = lossdsl.compile("dice(smooth=0)", task="binary")(pred, target)
        assert_close(value, wanted)
        assert gradient.isfinite().all()


def test_repeated_calls_look_at_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of the same shapes needs no check of its tensors, no layout, no graph and no text."""
    z, target = a_batch("binary")
    loss = lossdsl.compile(TEXT, task="binary")
    first = loss(z.requires_grad_(), target)
    monkeypatch.setattr(type(loss), "_arranged", None)
    monkeypatch.setattr(type(loss), "_built", None)
    again = loss(z, target)
    assert torch.equal(first, again)
    assert_close(*(torch.autograd.grad(value, z)[0] for value in (first, again)))
    with pytest.raises(TypeError):
        loss(z[:2], target[:2])


def test_a_repeated_call_still_explains_itself() -> None:
    z, target = a_batch("multiclass")
    loss = lossdsl.compile("ce", task="multiclass")
    loss(z, target)
    target[0, 0, 0] = 9
    with pytest.raises(lossdsl.LossError, match="LD506"):
        loss(z, target)


def test_threads() -> None:
    z, target = a_batch("binary")
    loss = lossdsl.compile(TEXT, task="binary")
    wanted, found = outcome(loss, z, target), []
    threads = [threading.Thread(target=lambda: found.append(outcome(loss, z, target))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for result in found:
        assert_close(result, wanted)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))], ids=["copy", "pickle"]
)
def test_copies(again: Any) -> None:
    z, target = a_batch("binary")
    loss = lossdsl.compile(TEXT, task="binary")
    wanted = outcome(loss, z, target)
    assert_close(outcome(again(loss), z, target), wanted)


def test_function_transforms() -> None:
    """torch.func goes through the plain operations."""
    z, target = a_batch("binary")
    loss = lossdsl.compile(TEXT, task="binary")
    wanted = outcome(loss, z, target)[-1]
    assert_close(torch.func.grad(lambda pred: loss(pred, target))(z), wanted)


def test_sums_of_many_pieces_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "PIECE", 64)
    torch.manual_seed(3)
    pred, target = torch.randn(1, 1, 256, 512), torch.rand(1, 1, 256, 512)
    got = lossdsl.compile("mse", task="regression")(pred, target)
    wanted = ((pred.double() - target.double()) ** 2).mean()
    assert got.item() == pytest.approx(wanted.item(), rel=2e-7)


@pytest.mark.parametrize("shape", [(0, 1, 4, 5), (2, 1, 0, 5)], ids=str)
def test_nothing_to_add_up(shape: tuple[int, ...]) -> None:
    pred = torch.zeros(shape, requires_grad=True)
    value = lossdsl.compile(TEXT, task="binary")(pred, torch.zeros(shape))
    assert value.item() == 0
    assert torch.autograd.grad(value, pred)[0].shape == pred.shape
