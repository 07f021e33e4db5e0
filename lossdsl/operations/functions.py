"""The functions of one number that take any number: one row for each."""

from __future__ import annotations

import math

from lossdsl.operations.row import Clipped, Even, Function, Rising, away_from_0, between


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf


def _cosh(x: float) -> float:
    return math.cosh(x) if abs(x) < 709 else math.inf


def _sigmoid(x: float) -> float:
    """Far below 0 it is 0, as in the precision of a loss."""
    return 1 / (1 + _exp(-x)) if x > 0 else 1 - 1 / (1 + _exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(_exp(-abs(x)))


def _logcosh(x: float) -> float:
    return abs(x) + math.log1p(_exp(-2 * abs(x))) - math.log(2)


def _raised(size: float) -> float:
    return math.exp(size) if size < 700 else math.inf


# About the size of the logarithm of the smallest number above 0 of float32: no logarithm of a number there is larger.
LARGEST_LOG = 104.0

FUNCTIONS: dict[str, Function] = {
    "exp": Function(
        value=math.exp,
        course=Rising(_exp),
        derivative=lambda _x, f: f,
        slopes=lambda _x, f: f,
        growth=lambda size, greatest: _raised(min(size, greatest)),
        passes_rounding=False,
        exact=False,
        torch="torch:exp",
        into="torch:exp",
        latex=r"\exp",
    ),
    "abs": Function(
        value=abs,
        course=Even(abs),
        derivative=lambda x, _f: x.apply("sign"),
        slopes=away_from_0(1.0),
        growth=lambda size, _greatest: size,
        passes_rounding=True,
        exact=True,
        torch="torch:abs",
        into="torch:abs",
        latex=r"\left|{}\right|",
    ),
    "tanh": Function(
        value=math.tanh,
        course=Rising(math.tanh),
        derivative=lambda _x, f: 1.0 - f * f,
        slopes=between(0.0, 1.0),
        growth=lambda _size, _greatest: 1.0,
        passes_rounding=True,
        exact=False,
        torch="torch:tanh",
        into="torch:tanh",
        latex=r"\tanh",
    ),
    "sigmoid": Function(
        value=lambda x: 1 / (1 + math.exp(-x)),
        course=Rising(_sigmoid),
        derivative=lambda _x, f: f * (1.0 - f),
        slopes=between(0.0, 1.0),
        growth=lambda _size, _greatest: 1.0,
        passes_rounding=False,
        exact=False,
        torch="torch:sigmoid",
        into="torch:sigmoid",
        latex=r"\sigma",
    ),
    "softplus": Function(
        value=_softplus,
        course=Rising(_softplus),
        derivative=lambda x, _f: x.apply("sigmoid"),
        slopes=between(0.0, 1.0),
        growth=lambda size, _greatest: 2 * size + LARGEST_LOG,
        passes_rounding=False,
        exact=False,
        torch="lossdsl.runtime.ops:softplus",
        into="lossdsl.runtime.ops:softplus_into",
        latex=r"\mathrm{softplus}",
    ),
    "cosh": Function(
        value=math.cosh,
        course=Even(_cosh),
        derivative=lambda x, _f: x.apply("sinh"),
        slopes=away_from_0(math.inf),
        growth=lambda size, _greatest: _raised(size),
        passes_rounding=False,
        exact=False,
        torch="torch:cosh",
        into=None,
        latex=r"\cosh",
    ),
    "logcosh": Function(
        value=_logcosh,
        course=Even(lambda x: max(0.0, _logcosh(x))),
        derivative=lambda x, _f: x.apply("tanh"),
        slopes=away_from_0(1.0),
        growth=lambda size, _greatest: size,
        passes_rounding=True,
        exact=False,
        torch="lossdsl.runtime.ops:log_cosh",
        into=None,
        latex=r"\mathrm{logcosh}",
    ),
    "relu": Function(
        value=lambda x: max(x, 0.0),
        course=Clipped(),
        derivative=lambda x, _f: x.above(0.0),
        slopes=between(0.0, 1.0),
        growth=lambda size, _greatest: size,
        passes_rounding=True,
        exact=True,
        torch="torch:relu",
        into="lossdsl.runtime.ops:relu_into",
        latex=r"\mathrm{relu}",
    ),
    "log_sigmoid": Function(
        value=lambda x: -_softplus(-x),
        course=Rising(lambda x: -_softplus(-x)),
        derivative=lambda x, _f: (-x).apply("sigmoid"),
        slopes=between(0.0, 1.0),
        growth=lambda size, _greatest: 2 * size + LARGEST_LOG,
        passes_rounding=False,
        exact=False,
        torch="torch.nn.functional:logsigmoid",
        into=None,
        latex=None,
    ),
}
