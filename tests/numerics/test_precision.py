"""Nearly perfect and nearly wrong predictions: single precision tells what double precision tells, up to what rounding
leaves of a number, and slopes stay useful. Half precision has no infinite slopes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossdsl
from lossdsl.registry.discover import default_registry

MARGINS = (5.0, 10.0, 17.0, 30.0, 50.0, 100.0)
EPS = torch.finfo(torch.float32).eps
_WRITTEN = {"wasserstein_dice": "wasserstein_dice(distances=[[0, 1, 0.5], [1, 0, 0.5], [0.5, 0.5, 0]])"}
# The smallest power that the loss takes of a number which is known to a rounding error.
_POWERS = {
    "exp_log": 0.3, "focal_tversky": 0.75, "unified_focal": 0.5, "ce**0.3": 0.3, "sqrt(dice)": 0.5, "dice**0.3": 0.3,
    "mean(tversky(reduction=none)**0.75)": 0.75, "mean((1 - sum(y*p, over=class))**0.5)": 0.5,
    "sqrt(1 - dice_coef)": 0.5, "mean((-log(p))**0.5*y)": 0.5, "mean(abs(y - p)**0.5)": 0.5,
    "bce**0.5 + dice**0.5": 0.5,
    "s = learn(0.4)\nmean(iou(reduction=none)**s)": 0.4,
}  # fmt: skip
# Losses of a sorted order: two pixels that differ by a rounding error may change places.
_BY_ORDER = ("lovasz", "topk_ce")
FORMULAS = [
    ("-log(1 - dice)", "binary"), ("-log(1 - dice)", "multiclass"), ("-log(dice_coef)", "binary"),
    ("-log(1 - 0.5*iou)", "multilabel"), ("log(1 + bce)", "binary"), ("-log(1 - dice + 0.1*dice**2)", "multiclass"),
    *((text, "multiclass") for text in _POWERS if "(" in text or "*" in text if "bce" not in text),
    ("bce**0.5 + dice**0.5", "binary"), ("mean(abs(y - p)**0.5)", "binary"), ("sqrt(dice)", "multilabel"),
]  # fmt: skip


def _built_in() -> list[tuple[str, str]]:
    """The losses of the library that read labels, with each task that they are for."""
    registry = default_registry()
    found = []
    for candidate in (registry.candidates(name)[0] for name in sorted(registry.names()) if "." not in name):
        loss = registry.load(candidate)
        needed = [parameter for parameter in loss.parameters if parameter.default is None]
        if candidate.own and hasattr(loss, "declaration") and (not needed or loss.name in _WRITTEN):
            tasks = [task for task in loss.tasks if task != "regression" and "regression" not in loss.tasks]
            found += [(_WRITTEN.get(loss.name, loss.name), task) for task in tasks]
    return found


ROWS = _built_in() + FORMULAS
EVERY = pytest.mark.parametrize(("text", "task"), ROWS, ids=["-".join(row) for row in ROWS])


def _batch(task: str, margin: float, right: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits that are right by a margin at every pixel, or wrong by it, but for a little noise."""
    random = torch.Generator().manual_seed(1)
    shape = (2, 1 if task == "binary" else 3, 12, 12)
    noise = 0.1 * torch.rand(shape, generator=random, dtype=torch.float64).to(dtype)
    if task == "multiclass":
        labels = torch.randint(0, 3, (2, 12, 12), generator=random)
        at_label = functional.one_hot(labels, 3).movedim(-1, 1).to(dtype)
        return margin * (at_label if right else at_label.roll(1, 1)) + noise, labels
    target = (torch.rand(shape, generator=random) < 0.4).to(dtype)
    return (margin if right else -margin) * (2 * target - 1) + noise, target


@pytest.mark.sampled(4)
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@EVERY
def test_single_against_double(text: str, task: str, right: bool, value_and_gradient: Any) -> None:
    """A number near 1 is known to a rounding error in single precision, its root to the root of that."""
    known_to = (4 * EPS) ** _POWERS.get(text, 1.0)
    for margin in MARGINS:
        single, double = (
            value_and_gradient(text, *_batch(task, margin, right, dtype), task=task)
            for dtype in (torch.float32, torch.float64)
        )
        (value, gradient), (wanted, slope) = single, double
        assert value.item() == pytest.approx(wanted.item(), rel=1e-5, abs=known_to), margin
        difference = gradient.norm() - slope.norm() if text in _BY_ORDER else (gradient - slope).norm()
        assert difference.abs() <= 2e-3 * slope.norm() + 0.1 * known_to, margin


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@EVERY
def test_slopes_die_out(text: str, task: str, dtype: torch.dtype, value_and_gradient: Any) -> None:
    """The better the prediction, the less there is to change: nowhere on the way does the gradient grow again."""
    gradients = [value_and_gradient(text, *_batch(task, margin, True, dtype), task=task)[1] for margin in MARGINS]
    sizes = [gradient.norm().item() for gradient in gradients]
    assert all(later <= 1.01 * earlier for earlier, later in pairwise(sizes)), sizes


def test_exponential_logarithmic_loss() -> None:
    """Its slope at a margin of 17 against the formula with logarithms that keep all digits, in double precision."""
    logits, labels = _batch("multiclass", 17.0, True, torch.float64)
    leaf = logits.clone().requires_grad_()
    value = lossdsl.compile("exp_log", task="multiclass")(leaf, labels)
    (gradient,) = torch.autograd.grad(value, leaf)

    exact = logits.clone().requires_grad_()
    one_hot = functional.one_hot(labels, 3).movedim(-1, 1).double()
    others = (exact - exact.gather(1, labels.unsqueeze(1))).masked_fill(one_hot > 0, -torch.inf)
    ce = torch.log1p(others.exp().sum(1))
    p = exact.softmax(1)
    wrong = (p * (1 - one_hot)).sum((0, 2, 3)) + ((1 - p) * one_hot).sum((0, 2, 3))
    dice = wrong / (p.sum((0, 2, 3)) + one_hot.sum((0, 2, 3)) + 1)
    pixels = one_hot.sum((0, 2, 3))
    weight = (pixels.sum() / pixels).sqrt()[labels]
    wanted = 0.8 * ((-torch.log1p(-dice)) ** 0.3).mean() + 0.2 * (weight * ce**0.3).mean()
    (slope,) = torch.autograd.grad(wanted, exact)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert (gradient - slope).norm() <= 1e-5 * slope.norm()


def test_a_root_that_is_exact_stays_exact(value_and_gradient: Any) -> None:
    """The root of a mean squared error of numbers as they are given has a slope of its own size, however small."""
    for size in (1e-3, 1e-6, 1e-9):
        pred = torch.full((1, 4), size)
        value, gradient = value_and_gradient("sqrt(mse)", pred, torch.zeros(1, 4), task="regression")
        assert value.item() == pytest.approx(size, rel=1e-5)
        assert gradient.tolist()[0] == pytest.approx([0.25] * 4, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("-log(1 - w)", 1e-9), ("-log(1 - w - w)", 2e-9), ("log(1 + w)", 1e-9), ("log(w + 1)", 1e-9),
     ("-log(1 - 0.5*w)", 5e-10), ("-log(1 + w - 3*w)", 2e-9)],
)  # fmt: skip
def test_the_logarithm_of_a_number_near_1(text: str, wanted: float, value: Any) -> None:
    w = torch.full((1, 1, 2), 1e-9)
    found = value(f"mean({text})", torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), task="binary", call={"w": w})
    assert found.item() == pytest.approx(wanted, rel=1e-6)


HALF = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
PROBABILITIES = (0.0, 1.0, 1.0, 0.0, 2.0**-14, 1 - 2.0**-11)


@pytest.mark.sampled(4)
@HALF
@EVERY
def test_half_precision_at_0_and_1(text: str, task: str, dtype: torch.dtype, value_and_gradient: Any) -> None:
    """A slope that is too large for half precision is its largest number."""
    p = torch.tensor(PROBABILITIES).repeat(2, 1, 6).to(dtype).unflatten(2, (6, 6))
    if task == "multiclass":
        p = torch.cat((p, (1 - p) / 2, (1 - p) / 2), 1)
        target = torch.tensor([0, 0, 1, 2, 0, 1]).repeat(2, 6).unflatten(1, (6, 6))
    else:
        p = p.expand(2, 1 if task == "binary" else 3, 6, 6).contiguous()
        target = torch.tensor([0.0, 1, 0, 1, 1, 0]).repeat(6).view(6, 6).expand_as(p).to(dtype)
    value, gradient = value_and_gradient(text, p, target, task=task, input="probs")
    assert value.isfinite()
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()


@HALF
def test_half_precision_saturates(dtype: torch.dtype, value_and_gradient: Any) -> None:
    p = torch.tensor([[[0.0, 1.0]]], dtype=dtype)
    _, gradient = value_and_gradient(
        "1e20*bce", p, torch.tensor([[[1.0, 0.0]]], dtype=dtype), task="binary", input="probs"
    )
    largest = torch.finfo(dtype).max
    assert gradient.flatten().tolist() == [-largest, largest]


@HALF
def test_half_precision_saturates_in_every_form(dtype: torch.dtype) -> None:
    """In pieces, by torch's own autograd, and of a tensor that is passed by name."""
    pred = torch.zeros(1, 1, 1 << 19, dtype=dtype, requires_grad=True)
    target = torch.ones_like(pred)
    largest = torch.finfo(dtype).max
    for text in ("1e30*sum(-y*log(p))", "1e30*sum(-y*log(p)) + topk(p, share=0.1)"):
        value = lossdsl.compile(text, task="binary", input="probs")(pred, target)
        (gradient,) = torch.autograd.grad(value, pred)
        assert (gradient == -largest).all()
    w = torch.zeros(1, 4, dtype=dtype, requires_grad=True)
    value = lossdsl.compile("1e30*sum(log(w)) + bce", task="binary")(torch.zeros(1, 4), torch.ones(1, 4), w=w)
    (gradient,) = torch.autograd.grad(value, w)
    assert (gradient == largest).all()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own jvp
@HALF
def test_half_precision_forward(dtype: torch.dtype) -> None:
    """Forward mode needs none of this."""
    loss = lossdsl.compile("dice", task="binary")
    pred, target = torch.randn(1, 4, dtype=dtype), torch.ones(1, 4, dtype=dtype)
    _, tangent = torch.func.jvp(lambda x: loss(x, target), (pred,), (torch.ones_like(pred),))
    leaf = pred.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, target), leaf)
    assert tangent.item() == pytest.approx(gradient.float().sum().item(), rel=0.05)


def test_js_near_1(value_and_gradient: Any) -> None:
    """The last probability below 1: the slope is that of double precision."""
    p = torch.tensor([[1 - 2.0**-24, 2.0**-24, 1.0, 0.0]])
    y = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    _, gradient = value_and_gradient("js", p, y, task="binary", input="probs")
    _, slope = value_and_gradient("js", p.double(), y.double(), task="binary", input="probs")
    assert (gradient - slope).abs().max() <= 1e-6
