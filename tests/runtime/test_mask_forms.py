"""Every way to write the same mask, and what masks do to tensors passed by name, to auxiliary heads and to labels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import lossdsl

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
FORMULAS = {"binary": "bce + dice", "multilabel": "bce + dice", "multiclass": "ce + dice", "regression": "l1 + mse"}


@pytest.fixture
def half_mask() -> Tensor:
    """A mask of (4, 3, 4) that keeps something in each image, but not the same."""
    return torch.rand(4, 3, 4).argsort(-1) > torch.tensor([0, 1, 0, 1]).view(4, 1, 1)


@pytest.mark.parametrize("task", FORMULAS)
@pytest.mark.parametrize(
    "dtype",
    [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64],
    ids=str,
)
def test_dtypes(task: str, dtype: torch.dtype, half_mask: Tensor, make_batch: Any, run: Any, compile_for: Any) -> None:
    batch = make_batch(task, (3, 4))
    loss = compile_for(FORMULAS[task], batch)
    value, gradient = run(loss, batch, mask=half_mask)
    got = run(loss, batch, mask=half_mask.to(dtype))
    assert torch.equal(got[0], value)
    assert torch.equal(got[1], gradient)


@pytest.mark.parametrize("task", FORMULAS)
@pytest.mark.parametrize(
    "shape",
    [(4, 3, 4), (4, 1, 3, 4), (1, 3, 4), (3, 4), (3, 1), (4, 1, 1), (4, 3, 1), (1,), (), (4, 1, 1, 1), (1, 1, 3, 4)],
    ids=str,
)
def test_shapes(task: str, shape: tuple[int, ...], make_batch: Any, run: Any, compile_for: Any) -> None:
    """A mask broadcasts against (N, *spatial); an axis of size 1 may stand where pred has its classes."""
    batch = make_batch(task, (3, 4))
    loss = compile_for(FORMULAS[task], batch)
    mask = torch.rand(shape) > 0.3 if shape else torch.tensor(True)
    pixels = mask.squeeze(1) if len(shape) == 4 else mask
    value, gradient = run(loss, batch, mask=pixels.expand(4, 3, 4).contiguous())
    got = run(loss, batch, mask=mask)
    assert torch.equal(got[0], value)
    assert torch.equal(got[1], gradient)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_mask_of_the_shape_of_pred(task: str, half_mask: Tensor, make_batch: Any, run: Any, compile_for: Any) -> None:
    batch = make_batch(task, (3, 4))
    loss = compile_for(FORMULAS[task], batch)
    value, gradient = run(loss, batch, mask=half_mask)
    got = run(loss, batch, mask=half_mask.unsqueeze(1).expand(4, 3, 3, 4))
    assert_close(got[0], value, **CLOSE)
    assert_close(got[1], gradient, **CLOSE)


def test_binary_without_class_axis(half_mask: Tensor, make_batch: Any, run: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    loss = compile_for("bce + dice", batch)
    value, gradient = run(loss, batch, mask=half_mask)
    plain = batch.with_(pred=batch.pred.squeeze(1), target=batch.target.squeeze(1))
    for mask in (half_mask, half_mask.unsqueeze(1)):
        got = run(loss, plain, mask=mask)
        assert torch.equal(got[0], value)
        assert torch.equal(got[1], gradient.squeeze(1))


@pytest.mark.parametrize("weight", [0.5, 2.0, -1.0, math.nan], ids=str)
def test_a_mask_is_not_a_weight(weight: float, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    mask = torch.ones(4, 3, 4)
    mask[0, 0, 0] = weight
    with pytest.raises(lossdsl.InputError, match=r"mask.*other than 0 and 1[\s\S]*mean\(w\*bce"):
        compile_for("bce", batch)(batch.pred, batch.target, mask=mask)


@pytest.mark.parametrize(
    "shape",
    [
        (4, 3, 4),
        (4, 1, 3, 4),
        (4, 3, 3, 4),
        (4,),
        (4, 3),
        (4, 1),
    ],
    ids=str,
)
def test_garbage_in_tensors_by_name(shape: tuple[int, ...], make_batch: Any, compile_for: Any) -> None:
    """Weights of masked elements may be NaN, also weights of whole images; learned scalars train on."""
    batch = make_batch("multilabel", (3, 4))
    loss = compile_for("s = learn(1)\nmean(s*w*bce(reduction=none)) + s*mean(w*p)", batch)
    there = torch.tensor([True, False, True, False])
    mask = there.view(4, 1, 1).expand(4, 3, 4)
    weight = torch.rand(shape, dtype=torch.float64)
    results = []
    for number in (1.0, math.nan, math.inf):
        marked = weight.clone()
        marked[~there] = number
        pred = batch.pred.clone().requires_grad_()
        value = loss(pred, batch.target, mask=mask, w=marked)
        results.append((value, *torch.autograd.grad(value, [pred, *loss.parameters()])))
    for result in results[1:]:
        for got, wanted in zip(result, results[0], strict=True):
            assert torch.equal(got, wanted)


def test_auxiliary_heads_are_masked_too(half_mask: Tensor, make_batch: Any, run: Any, compile_for: Any) -> None:
    """`ce(aux)` under a mask, and with labels of its own under ignore_index, is `ce` of that head alone."""
    main, side = make_batch("multiclass", (3, 4)), make_batch("multiclass", (3, 4))
    alone = compile_for("ce + dice", side)
    both = compile_for("0*ce + ce(aux, seg) + dice(aux, seg)", main)
    assert_close(
        both(main.pred, main.target, mask=half_mask, aux=side.pred, seg=side.target),
        alone(side.pred, side.target, mask=half_mask),
        **CLOSE,
    )
    garbage = side.pred.masked_fill(~half_mask.unsqueeze(1), math.nan)
    assert_close(
        both(main.pred, main.target, mask=half_mask, aux=garbage, seg=side.target.masked_fill(~half_mask, 99)),
        alone(side.pred, side.target, mask=half_mask),
        **CLOSE,
    )
    ignoring = compile_for("0*ce + ce(aux, seg) + dice(aux, seg)", main, ignore_index=255)
    assert_close(
        ignoring(main.pred, main.target, aux=garbage, seg=side.target.masked_fill(~half_mask, 255)),
        alone(side.pred, side.target, mask=half_mask),
        **CLOSE,
    )


def test_an_auxiliary_head_in_which_nothing_counts_is_zero(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    nothing = torch.full_like(batch.target, 255)
    loss = compile_for("bce + (-log(dice_coef(aux, seg)))", batch, ignore_index=255)
    value = loss(batch.pred, batch.target, aux=batch.pred, seg=nothing)
    assert_close(value, compile_for("bce", batch)(batch.pred, batch.target))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("ignored", [255, -100, -1, 100, 2], ids=str)
def test_ignore_index_in_every_label_dtype(dtype: torch.dtype, ignored: int, make_batch: Any, compile_for: Any) -> None:
    """A number that the dtype cannot hold is not wrapped to a label that it can hold (255 is not -1 as int8)."""
    batch = make_batch("multiclass", (3, 4), classes=200)
    target = torch.randint(100, 128, (4, 3, 4))
    target[0, 0] = 156 if dtype == torch.uint8 else 120
    if torch.iinfo(dtype).min <= ignored <= torch.iinfo(dtype).max:
        target[0, 1] = ignored
    wanted = torch.nn.functional.cross_entropy(batch.pred, target, ignore_index=ignored)
    loss = compile_for("ce", batch, ignore_index=ignored)
    assert_close(loss(batch.pred, target.to(dtype)), wanted, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32], ids=str)
def test_ignore_index_in_binary_targets(dtype: torch.dtype, make_batch: Any, run: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    target = batch.target.clone()
    mask = torch.ones(4, 3, 4, dtype=torch.bool)
    if dtype != torch.bool:
        target[1, 0, 1:] = 255
        mask[1, 1:] = False
    value, gradient = run(compile_for("bce + dice", batch), batch, mask=mask)
    got = run(compile_for("bce + dice", batch, ignore_index=255), batch.with_(target=target.to(dtype)))
    assert_close(got[0], value, **CLOSE)
    assert_close(got[1], gradient, **CLOSE)


def test_an_ignored_class_may_be_a_real_one(make_batch: Any, run: Any, compile_for: Any) -> None:
    """ignore_index=0 leaves out the pixels of class 0; its logit still takes part in the softmax of the others."""
    batch = make_batch("multiclass", (3, 4))
    value, gradient = run(compile_for("ce", batch, ignore_index=0), batch)
    pred = batch.pred.clone().requires_grad_()
    wanted = torch.nn.functional.cross_entropy(pred, batch.target, ignore_index=0)
    assert_close(value, wanted.detach(), **CLOSE)
    assert_close(gradient, torch.autograd.grad(wanted, pred)[0], **CLOSE)


@pytest.mark.parametrize("where", ["somewhere", "everywhere"])
def test_a_real_nan_is_not_hidden_by_a_mask(where: str, make_batch: Any, compile_for: Any) -> None:
    """A mask leaves out; it does not clean what counts."""
    batch = make_batch("multilabel", (3, 4))
    pred = batch.pred.clone()
    pred[0, 0, 0, 0] = math.nan
    if where == "everywhere":
        pred.fill_(math.nan)
    mask = torch.ones(4, 3, 4, dtype=torch.bool)
    mask[3] = False
    for formula in (
        "bce",
        "dice",
        "max(z)",
        "mean(max(z, over=pixel))",
        "topk(abs(z), share=0.5)",
        "mean(min(z, over=pixel))",
    ):
        assert compile_for(formula, batch)(pred, batch.target, mask=mask).isnan(), formula


def test_infinity_is_the_largest(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    pred = batch.pred.clone()
    pred[0, 0, 0, 0] = math.inf
    mask = torch.ones(4, 3, 4, dtype=torch.bool)
    mask[3] = False
    loss = compile_for("max(z)", batch)
    assert loss(pred, batch.target) == math.inf
    assert loss(pred, batch.target, mask=mask) == math.inf
