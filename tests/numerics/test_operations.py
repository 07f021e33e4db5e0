"""log, sqrt, power, division and the stable forms: value and slope against 80 digits, and what they are at 0."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
D = Decimal

# formula in x = pred, its value and its slope
OPERATIONS: list[tuple[str, Callable[[D], D], Callable[[D], D]]] = [
    ("log(pred)", lambda x: x.ln(), lambda x: 1 / x),
    ("sqrt(pred)", lambda x: x.sqrt(), lambda x: 1 / (2 * x.sqrt())),
    ("pred**0.3", lambda x: x ** D("0.3"), lambda x: D("0.3") * x ** D("-0.7")),
    ("pred**1.5", lambda x: x ** D("1.5"), lambda x: D("1.5") * x ** D("0.5")),
    ("pred**2", lambda x: x**2, lambda x: 2 * x),
    ("pred**-0.5", lambda x: x ** D("-0.5"), lambda x: D("-0.5") * x ** D("-1.5")),
    ("pred**-1", lambda x: 1 / x, lambda x: -1 / x**2),
    ("1/pred", lambda x: 1 / x, lambda x: -1 / x**2),
    ("3/(2*pred)", lambda x: D("1.5") / x, lambda x: D("-1.5") / x**2),
    ("pred/(1 + pred)", lambda x: x / (1 + x), lambda x: 1 / (1 + x) ** 2),
    ("(pred + 2)/pred", lambda x: (x + 2) / x, lambda x: -2 / x**2),
    ("pred/(0.1*pred)", lambda x: D(10), lambda x: D(0)),
]
# Where x stands twice, automatic differentiation adds two slopes that cancel.
TWO_PATHS = {text for text, _, _ in OPERATIONS if text.count("pred") > 1}
SMOOTH: list[tuple[str, Callable[[D], D], Callable[[D], D]]] = [
    ("logcosh(pred)", lambda x: ((x.exp() + (-x).exp()) / 2).ln(), lambda x: tanh(x)),
    ("softplus(pred)", lambda x: (1 + x.exp()).ln(), lambda x: 1 / (1 + (-x).exp())),
    ("tanh(pred)", lambda x: tanh(x), lambda x: 1 - tanh(x) ** 2),
    ("sigmoid(pred)", lambda x: 1 / (1 + (-x).exp()), lambda x: 1 / (2 + x.exp() + (-x).exp())),
]


def tanh(x: D) -> D:
    return ((2 * x).exp() - 1) / ((2 * x).exp() + 1)


def exactly(function: Callable[[D], D], numbers: Tensor) -> Tensor:
    with localcontext() as context:
        context.prec = 80
        return torch.tensor([float(function(D(number))) for number in numbers.tolist()], dtype=torch.float64)


def mapped(text: str, x: Tensor, value_and_gradient: Any) -> tuple[Tensor, Tensor]:
    """A formula and its slope at each x: each alone in a batch of one."""
    pairs = [value_and_gradient(f"sum({text})", one.reshape(1, 1), one.reshape(1, 1), task="regression") for one in x]
    return torch.stack([pair[0] for pair in pairs]).double(), torch.cat([pair[1].reshape(1) for pair in pairs]).double()


@pytest.mark.parametrize(("text", "function", "slope"), OPERATIONS, ids=[row[0] for row in OPERATIONS])
def test_inside_the_domain(text: str, function: Any, slope: Any, value_and_gradient: Any) -> None:
    """From 1e-30 to 1e30 in double precision, to twelve digits."""
    x = torch.tensor([float(f"{m}e{e}") for e in range(-30, 31, 3) for m in (1, 2.7)], dtype=torch.float64)
    result, gradient = mapped(text, x, value_and_gradient)
    torch.testing.assert_close(result, exactly(function, x), rtol=1e-12, atol=0)
    if text not in TWO_PATHS:
        torch.testing.assert_close(gradient, exactly(slope, x), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("text", "function", "slope"), OPERATIONS, ids=[row[0] for row in OPERATIONS])
def test_inside_the_domain_in_single_precision(text: str, function: Any, slope: Any, value_and_gradient: Any) -> None:
    x = torch.tensor([float(f"{m}e{e}") for e in range(-15, 16, 3) for m in (1, 2.7)], dtype=torch.float32)
    result, gradient = mapped(text, x, value_and_gradient)
    torch.testing.assert_close(result, exactly(function, x), rtol=1e-5, atol=0)
    if text not in TWO_PATHS:
        torch.testing.assert_close(gradient, exactly(slope, x), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("text", "function", "slope"), SMOOTH, ids=[row[0] for row in SMOOTH])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["double", "single"])
def test_no_cancellation(
    text: str, function: Any, slope: Any, dtype: torch.dtype, rtol: float, value_and_gradient: Any
) -> None:
    """Small and large arguments of both signs keep their digits."""
    sizes = (1e-8, 1e-5, 1e-3, 0.1, 0.9, 1.0, 1.1, 3.0, 8.0, 25.0, 80.0)
    x = torch.tensor([sign * size for size in sizes for sign in (1, -1)], dtype=dtype)
    result, gradient = mapped(text, x, value_and_gradient)
    torch.testing.assert_close(result, exactly(function, x), rtol=rtol, atol=1e-38)
    # torch computes these two slopes from the value, s*(1 - s) and 1 - t*t, which is as exact as 1 - value is.
    known = torch.finfo(dtype).eps if text in ("sigmoid(pred)", "tanh(pred)") else 1e-38
    torch.testing.assert_close(gradient, exactly(slope, x), rtol=rtol, atol=known)


@pytest.mark.parametrize("text", ["1/pred", "3/(2*pred)", "pred**-1", "pred**3", "pred**-3"])
def test_negative_numbers(text: str, value_and_gradient: Any) -> None:
    """Odd functions are odd, to the smallest number that counts."""
    x = torch.tensor([1e-30, 1e-4, 1.0, 7.0], dtype=torch.float64)
    plus, minus = mapped(text, x, value_and_gradient), mapped(text, -x, value_and_gradient)
    torch.testing.assert_close(plus, (-minus[0], minus[1]))


@DTYPES
@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("log(pred)", 1), ("sqrt(pred)", 1), ("pred**0.3", 1), ("pred**0.99", 1), ("pred**1.5", 0), ("-log(pred)", -1),
        ("1/pred", 0), ("pred**-0.5", 0), ("pred/pred", 0), ("log(pred/pred)", 0), ("pred*log(pred)", -1),
        ("pred/0", 0),
    ],
)  # fmt: skip
def test_at_zero_and_outside(text: str, way: int, dtype: torch.dtype, value_and_gradient: Any) -> None:
    """At 0, and where rounding has led beyond it, all is finite and the slope has the sign that it has beside 0."""
    for number in (0.0, -0.0, torch.finfo(dtype).tiny, 1e-45, -1e-45, -1e-8, -1.0):
        result, gradient = mapped(text, torch.tensor([number], dtype=dtype), value_and_gradient)
        assert result.isfinite()
        assert gradient.isfinite()
        if way and number == 0:
            assert gradient.sign().item() == way


@DTYPES
def test_bce_of_huge_logits(dtype: torch.dtype, value_and_gradient: Any) -> None:
    """The value of torch; the slope p - y to more digits than torch's, which is 0 in single precision from z=17 on."""
    z = torch.tensor([-1e4, -100, -20, 0, 20, 100, 1e4], dtype=dtype)
    for y in (0.0, 1.0, 0.3):
        target = torch.full_like(z, y)
        result, gradient = value_and_gradient("bce(reduction=sum)", z, target, task="binary")
        torch.testing.assert_close(result, functional.binary_cross_entropy_with_logits(z, target, reduction="sum"))
        exact = exactly(lambda x: (1 - D(y)) / (1 + (-x).exp()) - D(y) / (1 + x.exp()), z.double())  # noqa: B023
        torch.testing.assert_close(gradient.double(), exact, rtol=1e-6, atol=1e-38)


def log_sum_exp(numbers: list[float]) -> D:
    most = max(numbers)
    return D(most) + sum((D(number) - D(most)).exp() for number in numbers).ln()


def log_of_complements(z: list[float]) -> list[float]:
    """log(1 - softmax(z)) of each class, with 200 digits on the way."""
    with localcontext() as context:
        context.prec = 200
        return [float(log_sum_exp(z[:i] + z[i + 1 :]) - log_sum_exp(z)) for i in range(len(z))]


SATURATED = [
    [0.0, 0.0, 0.0], [1.0, -1.0, 0.5], [20.0, 0.0, -1.0], [20.0, 20.0, -20.0], [50.0, 1.0, 0.0], [100.0, 0.0, 0.0],
    [-100.0, 100.0, 0.0], [1e4, 0.0, 1.0], [1e4, -1e4, 0.0], [-1e4, -1e4, 0.0], [1e4, 1e4, -1e4], [0.0, 37.0],
    [1e4, -1e4],
]  # fmt: skip


@DTYPES
@pytest.mark.parametrize("z", SATURATED, ids=str)
def test_log_of_one_minus_a_softmax(z: list[float], dtype: torch.dtype, value_and_gradient: Any) -> None:
    complements = log_of_complements(z)
    pred = torch.tensor([z], dtype=dtype)
    result, gradient = value_and_gradient("mean(-log(1 - p))", pred, torch.tensor([0]), task="multiclass")
    assert result.item() == pytest.approx(-sum(complements) / len(z), rel=1e-12 if dtype == torch.float64 else 1e-5)
    assert gradient.isfinite().all()
    single, _ = value_and_gradient("mean(-sum(y*log(1 - p), over=class))", pred, torch.tensor([0]), task="multiclass")
    assert single.item() == pytest.approx(-complements[0], rel=1e-12 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("gamma", [0, 0.5, 2])
@pytest.mark.parametrize("y", [0, 1])
@pytest.mark.parametrize("z", [-1e4, -100.0, -37.0, -10.0, 0.0, 3.0, 10.0, 18.0, 40.0, 100.0, 1e4])
def test_focal_of_saturated_logits(z: float, y: int, gamma: float, value_and_gradient: Any) -> None:
    """To the last digit of 1 - p: double precision knows it to 1e-16."""
    with localcontext() as context:
        context.prec = 100
        signed = D(z) if y else -D(z)
        of_truth, of_other = 1 / (1 + (-signed).exp()), 1 / (1 + signed.exp())
        expected = -float(of_truth.ln()) * float(of_other) ** gamma
    truth = torch.tensor([float(y)], dtype=torch.float64)
    result, gradient = value_and_gradient(f"focal(gamma={gamma})", torch.tensor([z]).double(), truth, task="binary")
    assert result.item() == pytest.approx(expected, rel=1e-7)
    assert gradient.isfinite()
