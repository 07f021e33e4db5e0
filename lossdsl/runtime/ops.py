"""Operations that torch does not have in the form needed: exact inside their domain, finite at its edge.

`border(dtype)` is where the edge begins: 1e-19 in float32, 1.5e-154 in float64. At and below it the slope is that of
the border, so that a gradient points the right way and stays finite.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional


def border(dtype: torch.dtype, rounded: bool = False) -> float:
    """Where the edge of a domain begins. rounded: of a number that is known to a rounding error of 1 only."""
    return torch.finfo(dtype).eps if rounded else math.sqrt(torch.finfo(dtype).tiny)


_LEAST_LOG = {dtype: math.log(torch.finfo(dtype).tiny) for dtype in (torch.float32, torch.float64)}


def least_log(dtype: torch.dtype) -> float:
    """The logarithm of the smallest normal number, which stands for that of 0."""
    return _LEAST_LOG[dtype]


def finite(x: Tensor) -> Tensor:
    """x; for an infinite logit, or the logarithm of a probability of 0, the logarithm that stands for that of 0."""
    least = least_log(x.dtype)
    if torch.compiler.is_compiling():  # which has no vector form of what is one pass otherwise
        return torch.where(x == math.inf, -least, torch.where(x == -math.inf, least, x))
    return torch.nan_to_num(x, nan=math.nan, posinf=-least, neginf=least)


class _ToSingle(torch.autograd.Function):
    """Half precision to single. A slope that does not fit into half precision is its largest number, not infinite."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.float()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004 - torch passes it
        ctx.dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return saturated(grad, ctx.dtype)


def log(x: Tensor) -> Tensor:
    """log(x); at x <= 0 the logarithm of the smallest normal number."""
    value, edge = x.clamp_min(torch.finfo(x.dtype).tiny).log(), border(x.dtype)
    if not _differentiated():
        return value
    inside = x > edge
    return torch.where(inside, x.masked_fill(~inside, 1.0).log(), _line(x, inside, value, 1 / edge))


def log1p(x: Tensor) -> Tensor:
    """log(1 + x), exact for small x; at x <= -1 the logarithm of the smallest normal number."""
    value, edge = x.clamp_min(-1).log1p().clamp_min(least_log(x.dtype)), border(x.dtype)
    if not _differentiated():
        return value
    inside = 1 + x > edge
    return torch.where(inside, x.masked_fill(~inside, 0.0).log1p(), _line(x, inside, value, 1 / edge))


def sqrt(x: Tensor, rounded: bool = False) -> Tensor:
    """sqrt(x); 0 for x <= 0. rounded: x is known to a rounding error only, so its slope grows no further than there."""
    value, edge = x.clamp_min(0).sqrt(), border(x.dtype, rounded)
    if not _differentiated():
        return value
    inside = x > edge
    return torch.where(inside, x.masked_fill(~inside, 1.0).sqrt(), _line(x, inside, value, 0.5 * edge**-0.5))


def _differentiated() -> bool:
    """Whether torch may take a derivative of what is computed here; the stages of a program have their own."""
    return torch.is_grad_enabled() or forward_ad._current_level >= 0


def _line(x: Tensor, inside: Tensor, value: Tensor, slope: float | Tensor) -> Tensor:
    """A value as it is, with a slope in x of its own where x is not inside.

    Of plain operations, so every transform of torch knows it: vmap, jvp, and what is made of them.
    """
    slope = slope if isinstance(slope, Tensor) else x.new_full((), slope)  # a number makes tangents double precision
    outside = x.masked_fill(inside, 0.0).clamp_min(torch.finfo(x.dtype).min)  # infinity - infinity is not a number
    return value.detach() + slope * (outside - outside.detach())


def _root(x: Tensor, exponent: Tensor, rounded: bool) -> Tensor:
    """x**exponent for an exponent from 0, with a finite slope at 0; x < 0 counts as 0."""
    value, edge = x.clamp_min(0) ** exponent, border(x.dtype, rounded)
    if not _differentiated():
        return value
    inside = x > edge
    value = value.masked_fill(inside, 0.0).detach()  # an infinite one times 0 is not a number
    of_exponent = value * math.log(edge) * (exponent - exponent.detach())
    outside = _line(x, inside, value, exponent * edge ** (exponent - 1)) + of_exponent
    return torch.where(inside, x.masked_fill(~inside, 1.0) ** exponent, outside)


def power(x: Tensor | float, exponent: Tensor | float, rounded: bool = False) -> Tensor:
    """x**exponent; a negative exponent divides. x < 0 counts as 0 unless the exponent is a whole constant.

    rounded: as for `sqrt`.
    """
    if isinstance(exponent, Tensor):
        base = x if isinstance(x, Tensor) else torch.full((), x, dtype=exponent.dtype, device=exponent.device)
        magnitude = _root(base, torch.where(exponent < 0, -exponent, exponent), rounded)
        return torch.where(exponent < 0, divide(1.0, magnitude), magnitude)
    assert isinstance(x, Tensor)
    if exponent < 0:
        return divide(1.0, power(x.clamp_min(border(x.dtype)) if exponent > -1 else x, -exponent))
    if float(exponent).is_integer():
        return torch.pow(x, exponent)
    if exponent > 1:
        return torch.pow(x.clamp_min(0), exponent)
    return _root(x, torch.full((), exponent, dtype=x.dtype, device=x.device), rounded)


def divide(numerator: Tensor | float, denominator: Tensor | float) -> Tensor:
    """numerator / denominator; a denominator within the border of 0 counts as the border, with its own sign.

    So 0/0 is 0. Its gradient is 0 too: an empty prediction of an empty target must not have the slope 1/border.
    """
    if not isinstance(denominator, Tensor):
        assert isinstance(numerator, Tensor)
        if denominator:
            return numerator / denominator
        denominator = torch.zeros((), dtype=numerator.dtype, device=numerator.device)
    if isinstance(numerator, Tensor):
        numerator = torch.where(undefined(numerator, denominator), 0.0, numerator)
    return numerator / safe_denominator(denominator)


def safe_denominator(x: Tensor) -> Tensor:
    """x, at least the border away from 0."""
    edge = border(x.dtype)
    return torch.where(x < 0, x.clamp_max(-edge), x.clamp_min(edge))


def undefined(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Where a quotient is 0/0."""
    edge = border(denominator.dtype)
    return (denominator.abs() < edge) & (numerator.abs() < edge)


def quotient(numerator: Tensor | float, denominator: Tensor | float) -> Tensor | float:
    """As divide, also of two numbers such as 1/classes."""
    if isinstance(numerator, Tensor) or isinstance(denominator, Tensor):
        return divide(numerator, denominator)
    return numerator / denominator


def minimum(left: Tensor | float, right: Tensor | float) -> Tensor:
    """The smaller of two values, at least one of which is a tensor."""
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return torch.minimum(left, right)
    tensor, bound = (left, right) if isinstance(left, Tensor) else (right, left)
    assert isinstance(tensor, Tensor)
    return tensor.clamp(max=bound)


def maximum(left: Tensor | float, right: Tensor | float) -> Tensor:
    """The larger of two values, at least one of which is a tensor."""
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return torch.maximum(left, right)
    tensor, bound = (left, right) if isinstance(left, Tensor) else (right, left)
    assert isinstance(tensor, Tensor)
    return tensor.clamp(min=bound)


def log_cosh(x: Tensor) -> Tensor:
    """log(cosh(x)): log1p(2 * sinh(x/2)**2) near 0, where the next form cancels; else |x| + softplus(-2|x|) - log 2."""
    small = x.abs() < 1
    near = torch.log1p(2 * torch.sinh(torch.where(small, x, 0.0) / 2) ** 2)
    magnitude = x.abs()
    return torch.where(small, near, magnitude + functional.softplus(-2 * magnitude) - math.log(2))


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact for large x too (torch's own is linear above its threshold of 20)."""
    return functional.softplus(x, threshold=50)


def softplus_into(x: Tensor, *, out: Tensor) -> Tensor:
    """log(1 + exp(x)); beyond 50 it is x to the last digit of float64."""
    result: Tensor = torch.ops.aten.softplus.out(x, 1, 50, out=out)
    return result


def relu_into(x: Tensor, *, out: Tensor) -> Tensor:
    return torch.clamp_min(x, 0, out=out)


def log_one_minus_softmax(z: Tensor) -> Tensor:
    """log(1 - softmax(z)) over the class axis, exact where one probability is nearly 1.

    Where a probability is at most 1/2 log1p is exact; for a larger one, the probabilities of all others are added up
    instead.
    """
    log_p = functional.log_softmax(z, dim=1)
    largest = torch.zeros_like(z, dtype=torch.bool).scatter(1, z.argmax(dim=1, keepdim=True), value=True)
    of_largest = finite(log_p.masked_fill(largest, -math.inf).logsumexp(dim=1, keepdim=True))
    above = log_p > -math.log(2)
    return torch.where(above, of_largest, torch.log1p(-log_p.masked_fill(above, -1.0).exp()))


_HALF = (torch.float16, torch.bfloat16)


def cast(x: Tensor) -> Tensor:
    """float16 and bfloat16 are computed in float32."""
    if x.dtype not in _HALF:
        return x
    if forward_ad._current_level >= 0:
        return x.float()  # forward mode needs no slope of its own, and dynamo reads no function that has one
    result: Tensor = _ToSingle.apply(x)  # type: ignore[no-untyped-call]
    return result


def cast_like(x: Tensor | float, prediction: Tensor) -> Tensor:
    """x in the dtype in which the prediction is computed, a number as a 0-d tensor."""
    dtype = torch.float32 if prediction.dtype in _HALF else prediction.dtype
    if isinstance(x, Tensor):
        return (cast(x) if x.dtype in _HALF else x).to(dtype)
    return prediction.new_full((), x, dtype=dtype)


def saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in a smaller dtype; what is too large for it becomes its largest number."""
    largest = torch.finfo(dtype).max
    return x.clamp(-largest, largest).to(dtype)


def constant(number: float, prediction: Tensor) -> Tensor:
    """A number as a loss: 0-d, with a gradient of 0."""
    nothing = torch.zeros((), dtype=torch.bool, device=prediction.device)
    return keep(cast(prediction), nothing).sum() + number


def one_hot(index: Tensor, prediction: Tensor) -> Tensor:
    """Comparison of class indices (N, 1, P) with the class numbers: (N, C, P)."""
    return cast_like(at_class(index, prediction), prediction)


def at_class(index: Tensor, prediction: Tensor) -> Tensor:
    """Whether a class is that of the element: (N, C, P)."""
    return index == torch.arange(prediction.shape[1], device=index.device).view(1, -1, 1)


def classes(prediction: Tensor) -> Tensor:
    """The number of classes as a 0-d tensor: every function takes it."""
    return cast(prediction).new_full((), prediction.shape[1])


def ones(prediction: Tensor) -> Tensor:
    """1 for each element of the prediction."""
    return torch.ones_like(cast(prediction))


def foreground(prediction: Tensor) -> Tensor:
    """0 for the first class, 1 for all others: (1, C, 1)."""
    classes = torch.arange(prediction.shape[1], device=prediction.device).view(1, -1, 1)
    return cast_like(classes > 0, prediction)


def class_is_one_of(prediction: Tensor, *classes: int) -> Tensor:
    """Which classes count: (1, C, 1)."""
    numbers = torch.arange(prediction.shape[1], device=prediction.device)
    chosen = torch.zeros_like(numbers, dtype=torch.bool)
    for number in classes:
        chosen = chosen | (numbers == number)
    return chosen.view(1, -1, 1)


def per_class(prediction: Tensor, *numbers: float | Tensor) -> Tensor:
    """One number for each class: (1, C, 1), in the precision that the loss is computed in."""
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    parts = [torch.as_tensor(number, dtype=dtype, device=prediction.device) for number in numbers]
    return torch.stack(parts).view(1, -1, 1)


def differs(labels: Tensor, ignored: int) -> Tensor:
    """labels != ignored, where torch would wrap a number that the dtype of the labels cannot hold."""
    if not labels.dtype.is_floating_point and labels.dtype != torch.bool:
        held = torch.iinfo(labels.dtype)
        if not held.min <= ignored <= held.max:
            return torch.ones_like(labels, dtype=torch.bool)
    return labels != ignored


def keep(x: Tensor, valid: Tensor) -> Tensor:
    """x where an element counts, 0 elsewhere, also if x is not a number there; the gradient elsewhere is 0."""
    return torch.where(valid, x, torch.zeros((), dtype=x.dtype, device=x.device))


def pick(x: Tensor, index: Tensor) -> Tensor:
    """x at the class of each element: (N, C, P) or (1, C, 1) and indices (N, 1, P) to (N, 1, P)."""
    return x.expand(index.shape[0], -1, index.shape[2]).gather(1, index)


def any_of(*valid: Tensor) -> Tensor:
    """Whether anything counts anywhere: 0-d."""
    return torch.stack([mask.any() for mask in valid]).any() if len(valid) > 1 else valid[0].any()


def any_along(valid: Tensor, dims: tuple[int, ...]) -> Tensor:
    return torch.any(valid, dim=dims, keepdim=True)


def extreme(kind: str, x: Tensor, valid: Tensor | None, dims: tuple[int, ...], scalar: bool) -> Tensor:
    """Largest or smallest element that counts along `dims`; 0 where none does."""
    if any(x.shape[dim] == 0 for dim in dims):
        empty = x.sum(dim=dims, keepdim=True)
        return empty.reshape(()) if scalar else empty
    function = torch.amax if kind == "max" else torch.amin
    if valid is not None:
        x = torch.where(valid, x, -math.inf if kind == "max" else math.inf)
    result = function(x, dim=dims, keepdim=True)
    if valid is not None:
        result = keep(result, any_along(valid, dims))
    return result.reshape(()) if scalar else result


def topk_mean(
    x: Tensor, valid: Tensor | None, dims: tuple[int, ...], share: tuple[int, int], rounding: str, scalar: bool
) -> Tensor:
    """Mean over the largest share * n of the n elements that count along `dims`; 0 where none does.

    share: numerator and denominator, because 0.6 * 25 is more than 15 in floating point. rounding: "up" or "down" to a
    whole number of elements, at least 1.
    """
    kept = [dim for dim in range(3) if dim not in dims]
    shape = [x.shape[dim] if dim in kept else 1 for dim in range(3)]
    rows = _rows(x, kept, dims)
    counts = torch.ones_like(rows, dtype=torch.bool) if valid is None else _rows(valid.expand_as(x), kept, dims)
    ordered, order = torch.where(counts, rows, -math.inf).sort(dim=-1, descending=True)
    numerator, denominator = share
    sign = -1 if rounding == "up" else 1
    wanted = (sign * (sign * numerator * counts.sum(-1, keepdim=True) // denominator)).clamp_min(1)
    chosen = (torch.arange(rows.shape[-1], device=x.device) < wanted) & counts.gather(-1, order)
    result = keep(ordered, chosen).sum(-1) / chosen.sum(-1).clamp_min(1)
    return result.reshape(()) if scalar else result.reshape(shape)


def _rows(x: Tensor, kept: list[int], dims: tuple[int, ...]) -> Tensor:
    """The elements to be ordered in the last axis, one row for each combination of the others."""
    moved = x.permute(*kept, *dims)
    return moved.flatten(len(kept))
