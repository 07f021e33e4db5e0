"""Sums, products and quotients of exponentials in single precision, where exp(z) itself is infinite or 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossdsl

# The formula for maps of logits (N, C, P), and the same in torch.
MEMBERS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean(logsumexp(z, over=class))": lambda z: z.logsumexp(1).mean(),
    "mean(log(sum(exp(z), over=class)))": lambda z: z.logsumexp(1).mean(),
    "mean(log(sum(exp(z), over=batch)))": lambda z: z.logsumexp(0).mean(),
    "mean(log(sum(exp(z), over=pixel)))": lambda z: z.logsumexp(2).mean(),
    "mean(log(sum(exp(z), per=batch)))": lambda z: z.logsumexp((0, 2)).mean(),
    "log(sum(exp(z)))": lambda z: z.logsumexp((0, 1, 2)),
    "mean(log(mean(exp(z), over=pixel)))": lambda z: (z.logsumexp(2) - math.log(z.shape[2])).mean(),
    "mean(0.5*log(sum(exp(2*z), over=class)))": lambda z: 0.5 * (2 * z).logsumexp(1).mean(),
    "mean(log(3*sum(exp(z - 1), over=class)/7))": lambda z: ((z - 1).logsumexp(1) + math.log(3 / 7)).mean(),
    "mean(log(sum(2*exp(z), over=class)))": lambda z: (z.logsumexp(1) + math.log(2)).mean(),
    "log(sum(exp(z)*(2 + tanh(mean(z)))))": lambda z: z.logsumexp((0, 1, 2)) + torch.log(2 + z.mean().tanh()),
    "log(mean((1 + abs(mean(z)))*exp(z)))": lambda z: (
        z.logsumexp((0, 1, 2)) + torch.log((1 + z.mean().abs()) / z.numel())
    ),
    "mean(log(sum((2 + tanh(mean(z, over=pixel)))*exp(z), over=pixel)))": lambda z: (
        z.logsumexp(2) + torch.log(2 + z.mean(2).tanh())
    ).mean(),
    "mean(log(1 + exp(z)))": lambda z: torch.logaddexp(z, 0 * z).mean(),
    "mean(log(exp(-z) + 1))": lambda z: torch.logaddexp(-z, 0 * z).mean(),
    "mean(log(2 + 3*exp(z)))": lambda z: torch.logaddexp(z + math.log(3), 0 * z + math.log(2)).mean(),
    "mean(log(exp(z) + exp(-z)))": lambda z: torch.logaddexp(z, -z).mean(),
    "mean(log(1 + exp(z) + exp(2*z)))": lambda z: torch.stack([0 * z, z, 2 * z]).logsumexp(0).mean(),
    "mean(log(1e-8 + sum(exp(z), over=class)))": lambda z: torch.logaddexp(
        z.logsumexp(1), torch.full((), math.log(1e-8), dtype=z.dtype)
    ).mean(),
    "mean(log(sum(exp(z), over=class)**2))": lambda z: 2 * z.logsumexp(1).mean(),
    "mean(log(sqrt(sum(exp(z), over=class))))": lambda z: 0.5 * z.logsumexp(1).mean(),
    "mean(log(exp(z)/sum(exp(z), over=class)))": lambda z: z.log_softmax(1).mean(),
    "mean(log(exp(z)/sum(exp(z), over=batch)))": lambda z: z.log_softmax(0).mean(),
    "mean(log(sum(exp(z), over=class)/sum(exp(-z), over=class)))": lambda z: (
        z.logsumexp(1) - (-z).logsumexp(1)
    ).mean(),
    "mean(z*exp(z)/sum(exp(z), over=class))": lambda z: (z * z.softmax(1)).mean(),
    "mean(z*exp(z)/sum(exp(z), over=pixel))": lambda z: (z * z.softmax(2)).mean(),
    "mean(z*softmax(z, over=pixel))": lambda z: (z * z.softmax(2)).mean(),
    "mean(z*softmax(z, over=class))": lambda z: (z * z.softmax(1)).mean(),
    "mean(z*softmax(z, over=[batch, pixel]))": lambda z: (z * (z - z.logsumexp((0, 2), keepdim=True)).exp()).mean(),
    "mean(1/(1 + exp(-z)))": lambda z: z.sigmoid().mean(),
    "mean(exp(z)/(1 + exp(z)))": lambda z: z.sigmoid().mean(),
    "mean((exp(z) - exp(-z))/(exp(z) + exp(-z)))": lambda z: z.tanh().mean(),
    "mean(-log(1/(1 + exp(-z))))": lambda z: torch.logaddexp(-z, 0 * z).mean(),
}
LEVELS = (0.0, 3.0, 100.0, -100.0, -200.0, 1000.0)


@pytest.mark.parametrize("text", MEMBERS)
def test_equals_torch_in_double_precision(text: str, value_and_gradient: Any) -> None:
    for level in LEVELS:
        z = level + torch.randn(3, 4, 5)
        exact = z.double().requires_grad_()
        wanted = MEMBERS[text](exact)
        (slope,) = torch.autograd.grad(wanted, exact)
        value, gradient = value_and_gradient(text, z, torch.zeros(3, 5, dtype=torch.long), task="multiclass")
        assert value.item() == pytest.approx(wanted.item(), rel=1e-5, abs=1e-6), level
        # A share of logits at 1000 is known to 1000 rounding errors of 1, as the logits themselves are.
        assert (gradient - slope).abs().max() <= 3e-7 * max(1, abs(level)), level


@pytest.mark.parametrize("text", MEMBERS)
def test_double_precision_is_exact(text: str, value_and_gradient: Any) -> None:
    z = 4 * torch.randn(3, 4, 5, dtype=torch.float64)
    exact = z.clone().requires_grad_()
    wanted = MEMBERS[text](exact)
    (slope,) = torch.autograd.grad(wanted, exact)
    value, gradient = value_and_gradient(text, z, torch.zeros(3, 5, dtype=torch.long), task="multiclass")
    assert value.item() == pytest.approx(wanted.item(), rel=1e-12, abs=1e-13)
    assert (gradient - slope).abs().max() <= 1e-13


@pytest.mark.parametrize(
    "text",
    ["mean(logsumexp(z, per=image))", "mean(log(sum(exp(z), per=image)))", "mean(log(5*sum(exp(z)/5, over=pixel)))"],
)
@pytest.mark.parametrize("level", LEVELS)
def test_what_does_not_count_is_no_exponent(text: str, level: float, value_and_gradient: Any) -> None:
    """Where nothing counts the logits are 0 inside: beside logits of -200 that would be the largest exponent."""
    z = level + torch.randn(3, 4, 5)
    mask = torch.tensor([[1, 1, 0, 1, 1], [0, 1, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)
    exact = z.double().requires_grad_()
    wanted = exact.masked_fill(~mask.unsqueeze(1), -math.inf).logsumexp(2).mean()
    (slope,) = torch.autograd.grad(wanted, exact)
    labels = torch.zeros(3, 5, dtype=torch.long)
    value, gradient = value_and_gradient(text, z, labels, task="multiclass", call={"mask": mask})
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5, abs=1e-6)
    assert (gradient - slope).abs().max() <= 3e-7 * max(1, abs(level))


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("log(mean(exp(z)))", lambda z, w: 0.0),
        ("log(mean(3*exp(z)))", lambda z, w: math.log(3)),
        ("log(mean(exp(z)*p))", lambda z, w: z.log_softmax(1)),
        ("log(mean(w*exp(z)))", lambda z, w: w.log()),
        ("log(mean(exp(z)/w))", lambda z, w: -w.log()),
        ("log(mean(exp(z)*exp(-2*w)))", lambda z, w: -2 * w),
    ],
)
@pytest.mark.parametrize("level", LEVELS)
def test_a_mean_of_what_counts(
    text: str, factor: Any, weighted: bool, ignored: bool, level: float, value_and_gradient: Any
) -> None:
    """A mask and class weights are factors beside the exponential, on either side of it."""
    z, w = level + torch.randn(3, 4, 5), 0.5 + torch.rand(3, 4, 5)
    counts = torch.tensor([[1, 1, 0, 1, 1], [0, 1, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=torch.bool).unsqueeze(1)
    labels = torch.where(counts[:, 0], 1, 255) if ignored else torch.ones(3, 5, dtype=torch.long)
    weights = torch.tensor([1.0, 2.0, 0.5, 4.0], dtype=torch.float64) if weighted else torch.ones(4).double()
    share = weights.view(1, 4, 1) * counts
    exact = z.double().requires_grad_()
    wanted = (exact + factor(exact, w.double()) + share.log()).logsumexp((0, 1, 2)) - share.sum().log()
    (slope,) = torch.autograd.grad(wanted, exact)
    options = {"task": "multiclass"} | ({"class_weight": tuple(weights.tolist())} if weighted else {})
    options |= {"ignore_index": 255} if ignored else {}
    call = ({"w": w} if "w" in text else {}) | ({} if ignored else {"mask": counts[:, 0]})
    value, gradient = value_and_gradient(text, z, labels, call=call, **options)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5, abs=1e-6)
    assert (gradient - slope).abs().max() <= 3e-7 * max(1, abs(level))


def test_softmax_of_what_counts() -> None:
    z, mask = torch.randn(2, 3, 4, dtype=torch.float64), torch.tensor([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=torch.bool)
    loss = lossdsl.compile("sum(z*softmax(z, over=pixel))", task="multiclass")
    shares = z.masked_fill(~mask.unsqueeze(1), -math.inf).softmax(2)
    assert torch.allclose(loss(z, torch.zeros(2, 4, dtype=torch.long), mask=mask), (z * shares).sum())


@pytest.mark.parametrize("level", LEVELS)
def test_a_weight_of_0_takes_no_part(level: float, value_and_gradient: Any) -> None:
    """As in a contrastive loss, whose sum leaves out each sample's similarity to itself, the largest of all."""
    text = "mean(log(sum(w*exp(z), over=class)))"
    z = level + torch.randn(3, 4, 5)
    w = torch.ones(3, 4, 5)
    w[:, 0], w[:, 1] = 0, 2.5
    z[:, 0] = level + 300
    exact = z.double().requires_grad_()
    wanted = (exact + w.log()).logsumexp(1).mean()
    (slope,) = torch.autograd.grad(wanted, exact)
    labels = torch.zeros(3, 5, dtype=torch.long)
    value, gradient = value_and_gradient(text, z, labels, task="multiclass", call={"w": w})
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5, abs=1e-6)
    assert (gradient - slope).abs().max() <= 3e-7 * max(1, abs(level))


def test_rows_and_columns_at_a_scale_of_100(value_and_gradient: Any) -> None:
    """The two cross-entropies of image and text pairs: rows over the classes, columns over the batch."""
    text = """
    s = 100*z
    rows = logsumexp(s, over=class) - sum(y*s, over=class)
    columns = log(sum(exp(s), over=batch)) - sum(y*s, over=batch)
    0.5*mean(rows) + 0.5*mean(columns)
    """
    similarity = functional.normalize(torch.randn(6, 6), dim=1)
    labels = torch.arange(6)
    exact = similarity.double().requires_grad_()
    rows, columns = (functional.cross_entropy(100 * s, labels) for s in (exact, exact.T))
    wanted = 0.5 * rows + 0.5 * columns
    (slope,) = torch.autograd.grad(wanted, exact)
    value, gradient = value_and_gradient(text, similarity, labels, task="multiclass")
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert (gradient - slope).abs().max() <= 1e-4 * slope.abs().max()


@pytest.mark.parametrize("text", list(MEMBERS)[:12])
def test_a_gradient_of_the_gradient(text: str) -> None:
    z = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    loss = lossdsl.compile(text, task="multiclass")
    labels = torch.zeros(2, 2, dtype=torch.long)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, labels), (z,))


def test_pieces() -> None:
    """Of many elements the sums are made piece by piece."""
    z = (100 + torch.randn(2, 3, 400, 401)).requires_grad_()
    labels = torch.zeros(2, 400, 401, dtype=torch.long)
    for text, over in (("mean(logsumexp(z, over=class))", (1,)), ("mean(logsumexp(z, per=image))", (2, 3))):
        value = lossdsl.compile(text, task="multiclass")(z, labels)
        (gradient,) = torch.autograd.grad(value, z)
        exact = z.detach().double().requires_grad_()
        wanted = exact.logsumexp(over).mean()
        (slope,) = torch.autograd.grad(wanted, exact)
        assert value.item() == pytest.approx(wanted.item(), rel=1e-6)
        assert (gradient - slope).norm() <= 3e-5 * slope.norm()
