"""Operations on classes, masks and axes: values and slopes against numpy, in each dtype, and what holds nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lossdsl.runtime import ops

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
HALF = [torch.float16, torch.bfloat16]
SHAPE = (2, 3, 4)
DIMS = [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)]
AT = {(0,): 0, (1,): 1, (2,): 2, (0, 2): 3, (1, 2): 4, (0, 1, 2): 5}


def values(dtype: torch.dtype = torch.float64) -> Tensor:
    """24 numbers, no two alike, of which about half are negative."""
    return ((torch.arange(24).view(SHAPE) * 7 % 24) / 4 - 3).to(dtype)


def some() -> Tensor:
    """A mask that leaves out all of the first row of the first sample, and others here and there."""
    valid = torch.arange(24).view(SHAPE) % 5 != 3
    valid[0, 0] = False
    return valid


def in_single(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in HALF else dtype


def alike(found: Tensor, wanted: Any, dtype: torch.dtype) -> None:
    """The same numbers in the same shape, on the same device, of the dtype that they should have."""
    wanted = torch.as_tensor(np.asarray(wanted), dtype=dtype)
    assert (found.dtype, found.shape, found.device) == (dtype, wanted.shape, wanted.device)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cast(dtype: torch.dtype) -> None:
    """What is computed in half precision is computed in single, what is larger stays as it is."""
    x = values(dtype)
    alike(ops.cast(x), values(), in_single(dtype))
    assert (ops.cast(x) is x) == (dtype not in HALF)
    for prediction in DTYPES:
        like = ops.cast_like(x, torch.zeros(1, dtype=prediction))
        alike(like, values(), in_single(prediction))
    alike(ops.cast_like(0.3, x), 0.3, in_single(dtype))
    alike(ops.cast_like(torch.tensor([2, 3]), x), [2, 3], in_single(dtype))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("cast", [ops.cast, lambda x: ops.cast_like(x, x)], ids=["cast", "cast_like"])
def test_slope_of_a_cast(cast: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    """A slope that half precision cannot hold becomes its largest number, in every transform; a tangent has no end."""
    x, slope = torch.ones(3, dtype=dtype, requires_grad=True), torch.tensor([0.5, 1e39, -1e39])
    largest = torch.finfo(dtype).max
    (cast(x) * slope).sum().backward()
    assert x.grad is not None
    assert (x.grad.dtype, x.grad.tolist()) == (dtype, [0.5, largest, -largest])
    rows = torch.vmap(torch.func.grad(lambda one, factor: (cast(one) * factor).sum()))(x.detach(), slope)
    assert (rows.dtype, rows.tolist()) == (dtype, [0.5, largest, -largest])
    _, tangent = torch.func.jvp(cast, (x.detach(),), (torch.tensor([1, 2, 3], dtype=dtype),))
    alike(tangent, [1, 2, 3], torch.float32)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numbers_of_the_prediction(dtype: torch.dtype) -> None:
    x = values(dtype)
    single = in_single(dtype)
    alike(ops.classes(x), 3, single)
    alike(ops.ones(x), np.ones(SHAPE), single)
    alike(ops.foreground(x), [[[0], [1], [1]]], single)
    alike(ops.per_class(x, 0.1, torch.tensor(2), torch.tensor(0.3, dtype=torch.float64)), [[[0.1], [2], [0.3]]], single)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("number", [0.0, -2.5, 3.0])
def test_a_number_as_a_loss(number: float, dtype: torch.dtype) -> None:
    """It has a gradient, which is 0, whatever the prediction holds."""
    x = torch.tensor([math.inf, math.nan, 1.0], dtype=dtype, requires_grad=True)
    loss = ops.constant(number, x)
    alike(loss.detach(), number, in_single(dtype))
    loss.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]


CHOSEN: dict[tuple[int, ...], list[bool]] = {
    (): [False, False, False],
    (0,): [True, False, False],
    (2,): [False, False, True],
    (0, 2): [True, False, True],
    (2, 1): [False, True, True],
    (1, 1): [False, True, False],
}


@pytest.mark.parametrize("classes", CHOSEN, ids=str)
def test_class_is_one_of(classes: tuple[int, ...]) -> None:
    alike(ops.class_is_one_of(values(), *classes), np.reshape(CHOSEN[classes], (1, 3, 1)), torch.bool)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_class_indices(dtype: torch.dtype) -> None:
    x, index = values(dtype), torch.tensor([[[0, 1, 2, 1]], [[2, 2, 0, 5]]])
    hot = np.arange(3)[None, :, None] == index.numpy()
    alike(ops.at_class(index, x), hot, torch.bool)
    alike(ops.one_hot(index, x), hot, in_single(dtype))
    alike(ops.pick(x, index.clamp(max=2)), np.take_along_axis(values().numpy(), index.clamp(max=2).numpy(), 1), dtype)
    weights = torch.tensor([[[3.0], [5.0], [7.0]]], dtype=dtype)
    alike(ops.pick(weights, index.clamp(max=2)), np.array([3, 5, 7])[index.clamp(max=2).numpy()], dtype)


@pytest.mark.parametrize(
    ("labels", "ignored", "wanted"),
    [
        (torch.tensor([0, 255, 3], dtype=torch.uint8), 255, [True, False, True]),
        (torch.tensor([0, 255, 3], dtype=torch.uint8), 0, [False, True, True]),
        (torch.tensor([0, 255, 1], dtype=torch.uint8), 256, [True, True, True]),
        (torch.tensor([0, 255, 1], dtype=torch.uint8), -1, [True, True, True]),
        (torch.tensor([-128, 127, 0], dtype=torch.int8), -128, [False, True, True]),
        (torch.tensor([-128, 127, 0], dtype=torch.int8), 127, [True, False, True]),
        (torch.tensor([-128, 127, 0], dtype=torch.int8), 128, [True, True, True]),
        (torch.tensor([-128, 127, 0], dtype=torch.int8), -129, [True, True, True]),
        (torch.tensor([-100, 0, 1]), -100, [False, True, True]),
        (torch.tensor([255.0, 0.0, 0.5]), 255, [False, True, True]),
        (torch.tensor([True, False]), 1, [False, True]),
        (torch.tensor([True, False]), 255, [True, True]),
    ],
)
def test_differs(labels: Tensor, ignored: int, wanted: list[bool]) -> None:
    """A number that the dtype of the labels cannot hold is none of them: torch would wrap 256 to 0."""
    alike(ops.differs(labels, ignored), wanted, torch.bool)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_keep(dtype: torch.dtype) -> None:
    x = torch.tensor([1.5, math.nan, math.inf, -2.0], dtype=dtype, requires_grad=True)
    valid = torch.tensor([True, False, False, True])
    kept = ops.keep(x, valid)
    alike(kept.detach(), [1.5, 0, 0, -2], dtype)
    (kept**2).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3, 0, 0, -4]


@pytest.mark.parametrize("masks", [[[0, 0]], [[0, 1]], [[1, 1]], [[0, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 1]]])
def test_any_of(masks: list[list[int]]) -> None:
    given = [torch.tensor(mask, dtype=torch.bool) for mask in masks]
    alike(ops.any_of(*given), any(map(any, masks)), torch.bool)


@pytest.mark.parametrize("dims", DIMS, ids=str)
def test_any_along(dims: tuple[int, ...]) -> None:
    alike(ops.any_along(some(), dims), some().numpy().any(axis=dims, keepdims=True), torch.bool)


@pytest.mark.parametrize("masked", [False, True], ids=["all", "some"])
@pytest.mark.parametrize("dims", DIMS, ids=str)
@pytest.mark.parametrize("kind", ["max", "min"])
def test_extreme(kind: str, dims: tuple[int, ...], masked: bool) -> None:
    """The largest or smallest that counts, also where it has the other sign than 0; 0 where none counts."""
    for shift in (-10.0, 0.0, 10.0):
        x, end = values() + shift, -math.inf if kind == "max" else math.inf
        counted = np.where(some().numpy(), x.numpy(), end) if masked else x.numpy()
        wanted = getattr(counted, kind)(axis=dims, keepdims=True)
        wanted = np.where(np.isinf(wanted), 0, wanted)
        whole = dims == (0, 1, 2)
        if whole:
            alike(ops.extreme(kind, x, some() if masked else None, dims, True), wanted.reshape(()), torch.float64)
        alike(ops.extreme(kind, x, some() if masked else None, dims, False), wanted, torch.float64)


@pytest.mark.parametrize("kind", ["max", "min"])
def test_extreme_of_nothing(kind: str) -> None:
    """0 where an axis has no elements, with a gradient, and in the shape of the others."""
    for shape, dims, wanted in [
        ((2, 3, 0), (2,), (2, 3, 1)),
        ((0, 3, 4), (0, 2), (1, 3, 1)),
        ((2, 0, 4), (1,), (2, 1, 4)),
    ]:
        x = torch.zeros(shape, requires_grad=True)
        for valid in (None, torch.ones(shape, dtype=torch.bool)):
            found = ops.extreme(kind, x, valid, dims, False)
            alike(found.detach(), np.zeros(wanted), torch.float32)
            assert found.requires_grad
    alike(ops.extreme(kind, torch.zeros(2, 3, 0), None, (0, 1, 2), True), 0, torch.float32)
    alike(ops.extreme(kind, torch.zeros(2, 0, 3), None, (0, 2), False), np.zeros((1, 0, 1)), torch.float32)


SHARES = [
    ((1, 1), "up"),
    ((1, 2), "up"),
    ((1, 2), "down"),
    ((1, 3), "up"),
    ((1, 3), "down"),
    ((6, 10), "down"),
    ((1, 1000), "down"),
]


@pytest.mark.parametrize("masked", [False, True], ids=["all", "some"])
@pytest.mark.parametrize("dims", DIMS, ids=str)
@pytest.mark.parametrize(("share", "rounding"), SHARES, ids=str)
def test_topk_mean(share: tuple[int, int], rounding: str, dims: tuple[int, ...], masked: bool) -> None:
    """The mean of the largest that count, at least one of them, in every row of numpy's sorted numbers."""
    x, valid = values(), some()
    kept = [dim for dim in range(3) if dim not in dims]
    shape = [SHAPE[dim] if dim in kept else 1 for dim in range(3)]
    rows = x.numpy().transpose(*kept, *dims).reshape(math.prod(shape), -1)
    counts = valid.numpy().transpose(*kept, *dims).reshape(rows.shape) if masked else np.ones(rows.shape, dtype=bool)
    wanted = []
    for row, count in zip(rows, counts, strict=True):
        counted = sorted(row[count], reverse=True)
        whole, rest = divmod(share[0] * len(counted), share[1])
        number = max(whole + (rounding == "up" and rest > 0), 1)
        wanted.append(np.mean(counted[:number]) if counted else 0)
    whole = dims == (0, 1, 2)
    if whole:
        alike(ops.topk_mean(x, valid if masked else None, dims, share, rounding, True), wanted[0], torch.float64)
    alike(
        ops.topk_mean(x, valid if masked else None, dims, share, rounding, False),
        np.reshape(wanted, shape),
        torch.float64,
    )


def test_topk_mean_with_a_mask_of_fewer_axes() -> None:
    """A mask of pixels counts for every class."""
    valid = torch.tensor([[[True, False, False, True]], [[False, False, False, False]]])
    found = ops.topk_mean(values(), valid, (1, 2), (1, 3), "up", False)
    counted = sorted(values()[0][:, [0, 3]].flatten().tolist(), reverse=True)[:2]
    alike(found, [[[np.mean(counted)]], [[0]]], torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_finite(dtype: torch.dtype) -> None:
    """An infinite logit is the logarithm of the smallest normal number, both ways; what is no number stays so."""
    least = math.log(torch.finfo(dtype).tiny)
    x = torch.tensor([math.inf, -math.inf, math.nan, 1.0, -2e5], dtype=dtype)
    alike(ops.finite(x), [-least, least, math.nan, 1.0, -2e5], dtype)
    assert ops.least_log(dtype) == least


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_finite_while_it_is_compiled(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    test_finite(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_border(dtype: torch.dtype) -> None:
    assert ops.border(dtype) == ops.border(dtype, rounded=False) == float(np.sqrt(torch.finfo(dtype).tiny))
    assert ops.border(dtype, rounded=True) == torch.finfo(dtype).eps


PAIRS: list[tuple[Any, Any]] = [
    (torch.tensor([1.0, 5.0]), torch.tensor([3.0, 2.0])),
    (torch.tensor([1.0, 5.0]), 3.0),
    (3.0, torch.tensor([1.0, 5.0])),
]


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=["tensors", "right number", "left number"])
def test_of_two(left: Any, right: Any) -> None:
    one, two = (np.asarray(side, dtype=np.float32) for side in (left, right))
    alike(ops.minimum(left, right), np.minimum(one, two), torch.float32)
    alike(ops.maximum(left, right), np.maximum(one, two), torch.float32)
    found = ops.quotient(left, right)
    assert isinstance(found, Tensor)
    alike(found, one / two, torch.float32)


def test_quotient_of_numbers() -> None:
    assert ops.quotient(1, 4) == 0.25
    assert isinstance(ops.quotient(1, 4), float)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_denominator_of_nothing(dtype: torch.dtype) -> None:
    """The denominator is the border, with its own sign; 0/0 is 0, on both sides of the border of each."""
    edge = math.sqrt(torch.finfo(dtype).tiny)
    x = torch.tensor([0.0, edge / 2, -edge / 2, -0.0, edge, -edge, 2 * edge, -2 * edge], dtype=dtype)
    border = [edge, edge, -edge, edge, edge, -edge, 2 * edge, -2 * edge]
    alike(ops.safe_denominator(x), border, dtype)
    alike(ops.divide(1.0, x), [1 / one for one in border], dtype)
    alike(ops.divide(torch.ones_like(x), x), [1 / one for one in border], dtype)
    inside = np.array([True, True, True, True, False, False, False, False])
    alike(ops.undefined(x, torch.zeros_like(x)), inside, torch.bool)
    alike(ops.undefined(torch.zeros_like(x), x), inside, torch.bool)
    alike(ops.divide(x, torch.zeros_like(x)), np.where(inside, 0, x.numpy() / edge), dtype)
    alike(ops.divide(x, 0.0), np.where(inside, 0, x.numpy() / edge), dtype)
    alike(ops.divide(x, 0), np.where(inside, 0, x.numpy() / edge), dtype)
    alike(ops.divide(x, -4), x.numpy() / -4, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_on_a_device_that_is_not_the_first(dtype: torch.dtype) -> None:
    """What is made anew is made where the tensors are; the meta device stands for any other."""
    x, valid = values(dtype).to("meta"), some().to("meta")
    index = torch.zeros(2, 1, 4, dtype=torch.long, device="meta")
    found = [
        ops.cast_like(0.5, x), ops.constant(1.0, x), ops.one_hot(index, x), ops.at_class(index, x), ops.classes(x),
        ops.ones(x), ops.foreground(x), ops.class_is_one_of(x, 1), ops.per_class(x, 1.0, 2.0, 3.0),
        ops.differs(index, 1), ops.differs(index.to(torch.uint8), -1), ops.keep(x, valid), ops.pick(x, index),
        ops.divide(ops.cast(x), 0.0), ops.power(0.5, ops.cast(x)), ops.power(ops.cast(x), 0.5), ops.sqrt(ops.cast(x)),
        ops.log(ops.cast(x)), ops.log1p(ops.cast(x)), ops.log_one_minus_softmax(ops.cast(x)),
        *(ops.topk_mean(x, mask, (1, 2), (1, 2), "up", False) for mask in (None, valid)),
        *(ops.extreme("max", x, mask, (0, 2), False) for mask in (None, valid)),
    ]  # fmt: skip
    assert {one.device.type for one in found} == {"meta"}
