"""The operations that torch lacks: value, slope and second derivative by torch's own autograd, against 60 digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mpmath import mp
from torch import Tensor

from lossdsl.runtime import ops

TINY, EDGE = torch.finfo(torch.float64).tiny, ops.border(torch.float64)
POSITIVE = (1e-100, 1e-9, 0.25, 0.999999, 1.0, 3.0, 1e9, 1e100)
ANY = (-1e3, -60.0, -30.0, -2.0, -0.3, -1e-9, 0.0, 1e-9, 0.3, 0.999, 1.001, 2.0, 30.0, 49.0, 51.0, 60.0, 1e3)

# name: the operation, the function, where
INSIDE: dict[str, tuple[Callable[[Tensor], Tensor], Any, tuple[float, ...]]] = {
    "log": (ops.log, mp.log, POSITIVE),
    "log1p": (ops.log1p, lambda x: mp.log(1 + x), (-0.999999, -0.5, -1e-12, 0.0, 1e-12, 0.25, 3.0, 1e100)),
    "sqrt": (ops.sqrt, mp.sqrt, POSITIVE),
    "sqrt of a rounded number": (lambda x: ops.sqrt(x, rounded=True), mp.sqrt, POSITIVE[1:]),
    "**0.3": (lambda x: ops.power(x, 0.3), lambda x: x ** mp.mpf(0.3), POSITIVE),
    "**0.3 of a rounded number": (
        lambda x: ops.power(x, 0.3, rounded=True),
        lambda x: x ** mp.mpf(0.3),
        POSITIVE[1:],
    ),
    "**1.5": (lambda x: ops.power(x, 1.5), lambda x: x ** mp.mpf(1.5), POSITIVE[1:]),
    "**-0.5": (lambda x: ops.power(x, -0.5), lambda x: x ** mp.mpf(-0.5), POSITIVE[1:]),
    "**-1.5": (lambda x: ops.power(x, -1.5), lambda x: x ** mp.mpf(-1.5), POSITIVE[1:-1]),
    "**3": (lambda x: ops.power(x, 3), lambda x: x**3, (-2.0, -0.5, 0.0, 0.5, 2.0)),
    "**-2": (lambda x: ops.power(x, -2), lambda x: x**-2, (-2.0, -0.5, 0.5, 2.0)),
    "**learned": (lambda x: ops.power(x, _number(0.7)), lambda x: x ** mp.mpf(0.7), POSITIVE),
    "**learned of a rounded number": (
        lambda x: ops.power(x, _number(0.7), rounded=True),
        lambda x: x ** mp.mpf(0.7),
        POSITIVE[1:],
    ),
    "**learned below 0": (lambda x: ops.power(x, _number(-0.7)), lambda x: x ** mp.mpf(-0.7), POSITIVE[1:]),
    "number**": (lambda x: ops.power(0.4, x), lambda x: mp.mpf(0.4) ** x, (0.0, 0.25, 1.0, 7.0)),
    "1/": (lambda x: ops.divide(1.0, x), lambda x: 1 / x, (-3.0, -1e-9, 1e-9, 0.25, 3.0)),
    "/number": (lambda x: ops.divide(x, -4.0), lambda x: x / -4, ANY),
    "x/(2 + x)": (lambda x: ops.divide(x, 2 + x), lambda x: x / (2 + x), (-3.0, -1.0, 0.0, 0.25, 3.0)),
    "logcosh": (ops.log_cosh, lambda x: mp.log(mp.cosh(x)), ANY),
    # Second derivatives below 1e-13 are what torch's own backward leaves of them.
    "softplus": (ops.softplus, lambda x: mp.log(1 + mp.exp(x)), (-1e3, -60.0, -2.0, 0.0, 0.3, 2.0, 1e3)),
    "minimum": (lambda x: ops.minimum(x, 0.5), lambda x: min(x, mp.mpf(0.5)), ANY),
    "maximum": (lambda x: ops.maximum(0.5, x), lambda x: max(x, mp.mpf(0.5)), ANY),
    "finite": (ops.finite, lambda x: x, ANY),
}


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _derivatives(function: Callable[[Tensor], Tensor], x: float) -> list[float]:
    """Value, slope and second derivative by the ways that torch has: backward, and forward over backward."""
    leaf = _number(x).requires_grad_()
    value = function(leaf)
    (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
    second = torch.zeros_like(leaf)
    if slope.requires_grad:
        (second,) = torch.autograd.grad(slope, leaf, allow_unused=True, materialize_grads=True)
    forward, curve = torch.func.jvp(torch.func.grad(function), (_number(x),), (_number(1.0),))
    assert forward.item() == pytest.approx(slope.item(), rel=1e-14)
    assert curve.item() == pytest.approx(second.item(), rel=1e-14)
    with torch.no_grad():
        assert function(_number(x)).item() == value.item()
    return [value.item(), slope.item(), second.item()]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("name", INSIDE)
def test_inside(name: str) -> None:
    function, exact, numbers = INSIDE[name]
    with mp.workdps(400):  # a difference of neighbours loses half of the digits
        for number in numbers:
            wanted = [float(exact(mp.mpf(number)))]
            wanted += [float(mp.diff(exact, mp.mpf(number), order, relative=bool(number))) for order in (1, 2)]
            assert _derivatives(function, number) == pytest.approx(wanted, rel=1e-11, abs=1e-300), number


OUTSIDE: list[tuple[str, Callable[[Tensor], Tensor], tuple[float, ...], Any, float]] = [
    ("log", ops.log, (-torch.inf, -1.0, 0.0, 1e-310), lambda x: mp.log(max(x, TINY)), 1 / EDGE),
    ("log", ops.log, (1e-307, 1e-200), mp.log, 1 / EDGE),
    ("log1p", ops.log1p, (-torch.inf, -2.0, -1.0), lambda x: mp.log(TINY), 1 / EDGE),
    ("sqrt", ops.sqrt, (-torch.inf, -1.0, 0.0, 1e-200), lambda x: mp.sqrt(max(x, 0)), 0.5 * EDGE**-0.5),
    ("rounded", lambda x: ops.sqrt(x, rounded=True), (-1.0, 0.0, 1e-20), lambda x: mp.sqrt(max(x, 0)),
     0.5 * torch.finfo(torch.float64).eps ** -0.5),
    ("rounded power", lambda x: ops.power(x, 0.3, rounded=True), (-1.0, 0.0, 1e-20), lambda x: max(x, 0) ** mp.mpf(0.3),
     0.3 * torch.finfo(torch.float64).eps ** -0.7),
    ("rounded learned power", lambda x: ops.power(x, _number(0.3), rounded=True), (-1.0, 0.0, 1e-20),
     lambda x: max(x, 0) ** mp.mpf(0.3), 0.3 * torch.finfo(torch.float64).eps ** -0.7),
    ("**-0.5", lambda x: ops.power(x, -0.5), (-1.0, 0.0, 1e-200), lambda x: mp.mpf(EDGE) ** mp.mpf(-0.5), 0.0),
    ("power", lambda x: ops.power(x, 0.3), (-torch.inf, -1.0, 0.0, 1e-200), lambda x: max(x, 0) ** mp.mpf(0.3),
     0.3 * EDGE**-0.7),
    ("1/", lambda x: ops.divide(1.0, x), (0.0, 1e-200), lambda x: 1 / mp.mpf(EDGE), 0.0),
    ("1/", lambda x: ops.divide(1.0, x), (-1e-200,), lambda x: -1 / mp.mpf(EDGE), 0.0),
    ("0/0", lambda x: ops.divide(x, 2 * x), (0.0, 1e-200, -1e-200), lambda x: 0, 0.0),
    ("finite", ops.finite, (torch.inf,), lambda x: -mp.log(TINY), 0.0),
    ("finite", ops.finite, (-torch.inf,), lambda x: mp.log(TINY), 0.0),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("row", OUTSIDE, ids=[f"{row[0]} {row[2][0]:g}" for row in OUTSIDE])
def test_outside(row: Any) -> None:
    """The value of the edge, and its slope, which is finite and does not bend."""
    _, function, numbers, exact, slope = row
    for number in numbers:
        at_an_end = slope if number > -torch.inf else 0.0
        wanted = [float(exact(mp.mpf(number))), at_an_end, 0.0]
        assert _derivatives(function, number) == pytest.approx(wanted, rel=1e-12, abs=1e-300), number


@pytest.mark.parametrize("x", [0.0, 1e-200, 0.25, 4.0, torch.inf])
def test_slope_of_an_exponent(x: float) -> None:
    exponent = _number(0.7).requires_grad_()
    value = ops.power(_number(x), exponent)
    (slope,) = torch.autograd.grad(value, exponent)
    if x == torch.inf:
        assert slope == torch.inf
    else:
        assert slope.item() == pytest.approx(x**0.7 * float(mp.log(max(x, EDGE))), rel=1e-12, abs=1e-300)


LOGITS = (
    [0.0, 0.0], [1.0, -1.0], [9.0, 0.0, 1.0], [40.0, 0.0, -1.0], [0.0, 1.0, 2.0, 3.0], [300.0, 0.0, 299.0],
    [-800.0, 0.0, 800.0],
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("z", LOGITS, ids=str)
def test_log_one_minus_softmax(z: list[float]) -> None:
    """Value and Jacobian of each class. d/dz_j of log(1 - p_i) is -p_i (i == j - p_j) / (1 - p_i)."""
    x = torch.tensor(z, dtype=torch.float64).view(1, -1, 1)

    def of_classes(given: Tensor) -> Tensor:
        return ops.log_one_minus_softmax(given).flatten()

    backward = torch.func.jacrev(of_classes)(x).view(len(z), len(z))
    forward = torch.func.jacfwd(of_classes)(x).view(len(z), len(z))
    with mp.workdps(1000):
        total = mp.fsum(mp.exp(mp.mpf(number)) for number in z)
        p = [mp.exp(mp.mpf(number)) / total for number in z]
        values = [float(mp.log(mp.fsum(q for k, q in enumerate(p) if k != i))) for i in range(len(z))]
        slopes = [[float(-p[i] * ((i == j) - p[j]) / (1 - p[i])) for j in range(len(z))] for i in range(len(z))]
    assert of_classes(x).tolist() == pytest.approx(values, rel=1e-12)
    for found in (backward, forward):
        assert found.flatten().tolist() == pytest.approx(
            [slope for row in slopes for slope in row], rel=1e-9, abs=1e-300
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_saturated(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    x = torch.tensor([1.5, -2.0, 1e39, -1e39, torch.inf, -torch.inf], dtype=torch.float64)
    assert ops.saturated(x, dtype).tolist() == [1.5, -2.0, largest, -largest, largest, -largest]
    assert ops.saturated(x, dtype).dtype == dtype
