"""What a call may be given: memory layouts, dtypes, autocast, numbers of the run; and that it is left as it was."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import lossdsl

CLOSE = {"rtol": 1e-9, "atol": 1e-12}


@pytest.mark.sampled(3)
def test_inputs_are_left_alone(formula: str, task: str, make_batch: Any, compile_for: Any) -> None:
    """Nothing is written to, no state of torch is changed, and the same call twice gives the same bits."""
    for kind in ("logits", "probs") if task != "regression" else ("logits",):
        batch = make_batch(task, (3, 4), input=kind)
        loss = compile_for(formula, batch, ignore_index=255)
        mask = torch.rand(4, 3, 4) > 0.3
        inputs = [batch.pred.requires_grad_(), batch.target, mask]
        kept = [tensor.detach().clone() for tensor in inputs]
        results = []
        for _ in range(2):
            state = (torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled())
            value = loss(batch.pred, batch.target, mask=mask)
            results.append((value, *torch.autograd.grad(value, batch.pred)))
            assert torch.equal(torch.get_rng_state(), state[0])
            assert (torch.get_default_dtype(), torch.is_grad_enabled()) == state[1:]
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])
        for tensor, before in zip(inputs, kept, strict=True):
            assert tensor._version == 0
            assert torch.equal(tensor, before)


def strided(x: Tensor) -> Tensor:
    """The same values, every second element of a larger tensor."""
    wide = x.new_zeros(*x.shape, 2)
    wide[..., 0] = x
    return wide[..., 0]


def transposed(x: Tensor) -> Tensor:
    return x.transpose(0, -1).contiguous().transpose(0, -1)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


@pytest.mark.sampled(4)
@pytest.mark.parametrize("layout", [strided, transposed, channels_last])
def test_memory_layouts(layout: Any, formula: str, task: str, make_batch: Any, run: Any, compile_for: Any) -> None:
    batch = make_batch(task, (3, 4))
    loss = compile_for(formula, batch)
    value, gradient = run(loss, batch)
    pred = layout(batch.pred).detach().requires_grad_()
    got = loss(pred, layout(batch.target))
    assert_close(got, value, **CLOSE)
    assert_close(torch.autograd.grad(got, pred)[0], gradient, **CLOSE)


def test_expanded_inputs(make_batch: Any, compile_for: Any) -> None:
    """The gradient of an expanded tensor is gathered in the tensor that it came from."""
    for task, formula in {"binary": "bce + dice", "multiclass": "ce + lovasz", "regression": "mse"}.items():
        batch = make_batch(task, (3, 4), samples=1)
        loss = compile_for(formula, batch)
        results = []
        for copy in (lambda x: x.expand(5, *x.shape[1:]), lambda x: x.repeat(5, *[1] * (x.ndim - 1))):
            pred = batch.pred.clone().requires_grad_()
            value = loss(copy(pred), copy(batch.target))
            results.append((value, *torch.autograd.grad(value, pred)))
        for one, other in zip(*results, strict=True):
            assert_close(one, other, **CLOSE)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(
    dtype: torch.dtype, formula: str, task: str, make_batch: Any, run: Any, compile_for: Any
) -> None:
    """Rounding the inputs is all that half precision costs; the gradient comes back in its dtype."""
    for kind in ("logits", "probs") if task != "regression" else ("logits",):
        batch = make_batch(task, (3, 4), input=kind, dtype=torch.float32)
        half = batch.with_(pred=batch.pred.to(dtype))
        loss = compile_for(formula, batch)
        value, gradient = run(loss, half)
        wanted, slope = run(loss, half.with_(pred=half.pred.float()))
        assert value.dtype == torch.float32
        assert torch.equal(value, wanted)
        assert gradient.dtype == dtype
        assert_close(gradient.float(), slope, rtol=1e-2, atol=1e-4)


@pytest.mark.sampled(3)
def test_float64_stays_float64(formula: str, task: str, make_batch: Any, run: Any, compile_for: Any) -> None:
    """Also with labels and masks of another dtype, and float32 differs from it by rounding only."""
    batch = make_batch(task, (3, 4))
    loss = compile_for(formula, batch)
    value, gradient = run(loss, batch, mask=torch.ones(4, 3, 4))
    assert value.dtype == gradient.dtype == torch.float64
    single = make_batch(task, (3, 4)).with_(pred=batch.pred.float(), target=batch.target)
    got = run(loss, single)
    assert got[0].dtype == torch.float32
    assert_close(got[0].double(), value, rtol=2e-5, atol=1e-5)
    if batch.target.is_floating_point():
        mixed = run(loss, batch.with_(target=batch.target.float()))
        assert mixed[0].dtype == torch.float64


def test_autocast(formula: str, task: str, make_batch: Any, run: Any, compile_for: Any) -> None:
    """Under CPU autocast: float32 inputs give the same bits, what a layer made in bfloat16 is computed in float32."""
    batch = make_batch(task, (3, 4), dtype=torch.float32)
    loss = compile_for(formula, batch)
    layer = torch.nn.Conv2d(batch.pred.shape[1], batch.pred.shape[1], 1)
    wanted = run(loss, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = run(loss, batch)
        made = layer(batch.pred)
        value = loss(made, batch.target)
    assert torch.equal(got[0], wanted[0])
    assert torch.equal(got[1], wanted[1])
    assert made.dtype == torch.bfloat16
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(made.float(), batch.target))
    value.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()


def test_large_sums_of_half_precision() -> None:
    """512 x 512 ones and 48 x 48 x 48 ones: their sum is no float16."""
    for shape in ((1, 1, 512, 512), (1, 1, 48, 48, 48)):
        pred = torch.full(shape, 10.0, dtype=torch.float16, requires_grad=True)
        value = lossdsl.compile("bce + dice + iou(per=batch)")(pred, torch.ones(shape))
        value.backward()
        assert value.isfinite()
        assert pred.grad is not None
        assert pred.grad.isfinite().all()


@pytest.mark.parametrize(
    "number",
    [
        3,
        3.0,
        torch.tensor(3),
        torch.tensor(3.0),
        torch.tensor(3.0, dtype=torch.float64),
        torch.tensor(3, dtype=torch.int32),
        Fraction(3),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["epoch", "step"])
def test_numbers_of_the_run(name: str, number: Any, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    loss = compile_for(f"{name}/10*bce", batch)
    wanted = 0.3 * compile_for("bce", batch)(batch.pred, batch.target)
    got = loss(batch.pred, batch.target, **{name: number})
    assert got.shape == ()
    assert_close(got, wanted, **CLOSE)


@pytest.mark.parametrize(
    "number",
    ["3", None, [3], torch.zeros(2), torch.zeros(1, 1), True, torch.tensor(True), 3j, torch.tensor(3j)],
    ids=repr,
)
def test_what_is_no_number_of_the_run(number: Any, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    with pytest.raises(lossdsl.InputError, match="epoch"):
        compile_for("epoch/10*bce", batch)(batch.pred, batch.target, epoch=number)


def test_a_number_that_no_formula_needs(make_batch: Any, compile_for: Any) -> None:
    """A training loop passes epoch and step to every loss."""
    batch = make_batch("binary", (3, 4))
    loss = compile_for("bce", batch)
    assert torch.equal(loss(batch.pred, batch.target, epoch=3, step=100), loss(batch.pred, batch.target))


@pytest.mark.parametrize(
    ("formula", "call", "message"),
    [
        ("min(1, epoch/10)*bce", {}, r"the formula uses `epoch`[\s\S]*epoch=\.\.\."),
        ("step*bce + dice", {"epoch": 1}, r"the formula uses `step`[\s\S]*step=\.\.\."),
        ("mean(w*p)", {}, r"needs the tensor `w`[\s\S]*w=\.\.\."),
        ("mean(w*p) + mean(v*p)", {"w": torch.zeros(4)}, r"needs the tensor `v`"),
        ("bce", {"w": torch.zeros(4)}, r"does not use the tensor `w`[\s\S]*none"),
        ("mean(w*p)", {"w": torch.zeros(4), "weight": torch.zeros(4)}, r"does not use the tensor `weight`[\s\S]*: w"),
    ],
)
def test_names_of_a_call(formula: str, call: dict[str, Any], message: str, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    with pytest.raises(lossdsl.InputError, match=message):
        compile_for(formula, batch)(batch.pred, batch.target, **call)


def test_targets_and_weights_are_differentiable(make_batch: Any, compile_for: Any) -> None:
    """A teacher or a learned weight map is trained through the loss."""
    batch = make_batch("binary", (3, 4), soft=True)
    target, weight = batch.target.requires_grad_(), torch.rand(4, 3, 4, dtype=torch.float64, requires_grad=True)
    value = compile_for("dice + mean(w*bce(reduction=none))", batch)(batch.pred, target, w=weight)
    for gradient in torch.autograd.grad(value, [target, weight]):
        assert gradient.abs().sum() > 0
    alone = compile_for("dice + bce", batch)(batch.pred, target)
    assert torch.autograd.gradcheck(lambda y: compile_for("dice + bce", batch)(batch.pred, y), [target])
    assert alone.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode: Any, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("multiclass", (3, 4))
    loss = compile_for("ce + log(dice) + lovasz + iou**0.5", batch)
    wanted = loss(batch.pred, batch.target)
    with mode():
        got = loss(batch.pred, batch.target)
    assert not got.requires_grad
    assert torch.equal(got, wanted)
