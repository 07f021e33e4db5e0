"""Operations that only derivatives and the forms of graph/forms.py need."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossdsl.runtime.ops import at_class, border, cast, safe_denominator, undefined


def bounded(x: Tensor, rounded: bool = False) -> Tensor:
    """x, at least the border of the domain of log, sqrt and fractional powers."""
    return x.clamp_min(border(x.dtype, rounded))


def within_domain(x: Tensor) -> Tensor:
    return x >= border(x.dtype)


def away_from_zero(x: Tensor) -> Tensor:
    return x.abs() >= border(x.dtype)


def scatter(x: Tensor | float, index: Tensor, like: Tensor) -> Tensor:
    """x at the class of each element, 0 at the others: (N, 1, P) to (N, C, P) for the classes of `like`."""
    zeros = cast(like.new_zeros(())).expand(index.shape[0], like.shape[1], index.shape[2])
    return zeros.scatter(1, index, like_index(x, index, zeros))


def placed(x: Tensor | float, index: Tensor, like: Tensor) -> Tensor:
    """The same as `scatter` in an operation that a compiler puts into a loop with others."""
    value = x if isinstance(x, Tensor) else cast(like).new_full((), x)
    return torch.where(at_class(index, like), value, 0.0)


def add_at_class(base: Tensor, x: Tensor | float, index: Tensor) -> Tensor:
    """base with x added at the class of each element."""
    full = base.expand(index.shape[0], -1, index.shape[2])
    return full.scatter_add(1, index, like_index(x, index, base))


def like_index(x: Tensor | float, index: Tensor, like: Tensor) -> Tensor:
    """x for each element of the index, a number in the precision of `like`."""
    value = x if isinstance(x, Tensor) else like.new_full((), x)
    return value.expand(index.shape)


def scaled_difference(half: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """2*half*(a - b)."""
    return (a - b) * (2 * half)


def squared_difference(a: Tensor, b: Tensor) -> Tensor:
    return (a - b) ** 2


def log1p_of_share(x: Tensor) -> Tensor:
    """log(1 + x) for x in [0, 1]: 2*artanh(x/(2 + x)), in single precision by a polynomial.

    Exact to 3 units in the last place. The compiler's own logarithm, which is for any x, takes four times as long.
    """
    if x.dtype != torch.float32:
        return torch.log1p(x)
    s = x / (x + 2)
    t = s * s
    return 2 * s + s * t * (((0.28157780 * t + 0.27965158) * t + 0.40024597) * t + 0.66666323)


SLOPES: dict[str, Callable[..., Any]] = {
    "quotient": operator.truediv,
    "raw_power": operator.pow,
    "sign": torch.sign,
    "sinh": torch.sinh,
    "raw_log1p": torch.log1p,
    "log1p_of_share": log1p_of_share,
    "scaled_difference": scaled_difference,
    "squared_difference": squared_difference,
    "interpolate": torch.lerp,
    "bounded": bounded,
    "safe_denominator": safe_denominator,
    "undefined": undefined,
    "within_domain": within_domain,
    "away_from_zero": away_from_zero,
    "scatter": scatter,
    "placed": placed,
    "add_at_class": add_at_class,
}
