"""Losses that torch has too: the same value and gradient on random configurations, in double and single precision."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

SEEDS = range(60)
PRECISION = {torch.float64: {"rtol": 1e-7, "atol": 1e-13}, torch.float32: {"rtol": 1e-5, "atol": 1e-7}}
DTYPES = pytest.mark.parametrize("dtype", list(PRECISION), ids=str)


def spatial(rng: random.Random) -> tuple[int, ...]:
    """No axis to three axes."""
    return tuple(rng.randint(1, 4) for _ in range(rng.randint(0, 3)))


def logits(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, dtype=dtype) * rng.choice([0.1, 1.0, 5.0, 30.0])


def labels(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros and ones, or probabilities."""
    drawn = torch.rand(shape, dtype=dtype)
    return drawn if rng.random() < 0.3 else (drawn < rng.choice([0.0, 0.2, 0.5, 1.0])).to(dtype)


def same(ours: tuple[Tensor, Tensor], theirs: Tensor, leaf: Tensor) -> None:
    """Equal value and gradient."""
    (gradient,) = torch.autograd.grad(theirs, leaf)
    torch.testing.assert_close(ours[0], theirs.detach(), **PRECISION[leaf.dtype])
    torch.testing.assert_close(ours[1], gradient, **PRECISION[leaf.dtype])


def reduce(each: Tensor, how: str, weight: Tensor) -> Tensor:
    """`none` is shown by weighting each element with a number of its own."""
    return {"mean": each.mean, "sum": each.sum, "none": lambda: (each * weight).sum()}[how]()


def formula(name: str, parameters: dict[str, Any], how: str) -> str:
    written = ", ".join(f"{key}={number}" for key, number in parameters.items())
    if how == "none":
        return f"sum(w*{name}({written}{', ' if written else ''}reduction=none))"
    return f"{name}({written}{', ' if written else ''}reduction={how})"


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_bce(seed: int, dtype: torch.dtype, seeded: Any, value_and_gradient: Any) -> None:
    rng = seeded(seed)
    task = rng.choice(["binary", "multilabel"])
    shape = (rng.randint(1, 3), 1 if task == "binary" else rng.randint(1, 3), *spatial(rng))
    z, y = logits(rng, shape, dtype).requires_grad_(), labels(rng, shape, dtype)
    parameters = rng.choice([{}, {"pos_weight": rng.choice([0, 0.1, 1, 3.5, 100])}])
    how, weight = rng.choice(["mean", "sum", "none"]), torch.rand(shape, dtype=dtype)
    positive = torch.tensor(float(parameters["pos_weight"]), dtype=dtype) if parameters else None
    each = functional.binary_cross_entropy_with_logits(z, y, pos_weight=positive, reduction="none")
    call = {"w": weight} if how == "none" else {}
    ours = value_and_gradient(formula("bce", parameters, how), z, y, task=task, call=call)
    same(ours, reduce(each, how, weight), z)


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_bce_of_probabilities(seed: int, dtype: torch.dtype, seeded: Any, value_and_gradient: Any) -> None:
    rng = seeded(seed)
    shape = (rng.randint(1, 3), *spatial(rng))
    p = torch.rand(shape, dtype=dtype).clamp(1e-6, 1 - 1e-6).requires_grad_()
    y = labels(rng, shape, dtype)
    ours = value_and_gradient("bce", p, y, task="binary", input="probs")
    same(ours, functional.binary_cross_entropy(p, y), p)


@DTYPES
@pytest.mark.parametrize("seed", range(120))
def test_ce_of_indices(seed: int, dtype: torch.dtype, seeded: Any, value_and_gradient: Any) -> None:
    """label_smoothing, class weights, ignore_index and each reduction, alone and together; a third of the cases as
    (N, C), the others with one to three axes."""
    rng = seeded(seed)
    classes = rng.randint(2, 5)
    size = rng.randint(1, 4), *spatial(rng)
    z = logits(rng, (size[0], classes, *size[1:]), dtype).requires_grad_()
    y = torch.randint(0, classes, size)
    options: dict[str, Any] = {}
    if rng.random() < 0.5:
        options["ignore_index"] = rng.choice([-100, -1, 0, 255])
        y = torch.where(torch.rand(size) < 0.4, options["ignore_index"], y)
        y.view(-1)[0] = classes - 1
    if rng.random() < 0.5:
        options["class_weight"] = tuple(rng.choice([0.1, 1.0, 2.5]) for _ in range(classes))
    parameters = {"label_smoothing": rng.choice([0.05, 0.3, 0.9])} if rng.random() < 0.5 else {}
    how, weight = rng.choice(["mean", "sum", "none"]), torch.rand(size, dtype=dtype)
    theirs = functional.cross_entropy(
        z,
        y,
        weight=torch.tensor(options["class_weight"], dtype=dtype) if "class_weight" in options else None,
        ignore_index=options.get("ignore_index", -100),
        label_smoothing=float(parameters.get("label_smoothing", 0)),
        reduction=how,
    )
    call = {"w": weight} if how == "none" else {}
    ours = value_and_gradient(formula("ce", parameters, how), z, y, task="multiclass", call=call, **options)
    same(ours, (theirs * weight).sum() if how == "none" else theirs, z)


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_ce_of_probability_targets(seed: int, dtype: torch.dtype, seeded: Any, value_and_gradient: Any) -> None:
    rng = seeded(seed)
    shape = (rng.randint(1, 3), rng.randint(2, 4), *spatial(rng))
    z, y = logits(rng, shape, dtype).requires_grad_(), logits(rng, shape, dtype).softmax(1)
    parameters = {"label_smoothing": 0.2} if rng.random() < 0.5 else {}
    theirs = functional.cross_entropy(z, y, label_smoothing=float(parameters.get("label_smoothing", 0)))
    same(value_and_gradient(formula("ce", parameters, "mean"), z, y, task="multiclass"), theirs, z)


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_ce_of_probabilities(seed: int, dtype: torch.dtype, seeded: Any, value_and_gradient: Any) -> None:
    rng = seeded(seed)
    size = rng.randint(1, 3), *spatial(rng)
    p = (torch.randn(size[0], 3, *size[1:], dtype=dtype) * 2).softmax(1).requires_grad_()
    y = torch.randint(0, 3, size)
    ours = value_and_gradient("ce", p, y, task="multiclass", input="probs", class_weight=(0.5, 1.0, 2.0))
    weight = torch.tensor([0.5, 1.0, 2.0], dtype=dtype)
    same(ours, functional.nll_loss(p.log(), y, weight=weight), p)


REGRESSION = {
    "l1": (functional.l1_loss, [{}]),
    "mse": (functional.mse_loss, [{}]),
    "smooth_l1": (functional.smooth_l1_loss, [{}, *({"beta": beta} for beta in (0, 1e-3, 1 / 9, 0.5, 2, 50))]),
    "huber": (functional.huber_loss, [{}, *({"delta": delta} for delta in (1e-3, 0.1, 0.5, 2, 50))]),
}


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", list(REGRESSION))
def test_regression(name: str, seed: int, dtype: torch.dtype, seeded: Any, value_and_gradient: Any) -> None:
    """Some elements are exactly right, and some are exactly at the corner between the branches."""
    rng = seeded(seed)
    function, choices = REGRESSION[name]
    parameters = rng.choice(choices)
    shape = (rng.randint(1, 3), rng.randint(1, 3), *spatial(rng))
    target = torch.randn(shape, dtype=dtype)
    offsets = torch.tensor([0.0, *map(float, parameters.values())], dtype=dtype)
    offset = offsets[torch.randint(len(offsets), shape)]
    pred = torch.where(torch.rand(shape) < 0.3, target + offset, logits(rng, shape, dtype)).requires_grad_()
    how, weight = rng.choice(["mean", "sum", "none"]), torch.rand(shape, dtype=dtype)
    keywords = {key: float(number) for key, number in parameters.items()}
    each = function(pred, target, reduction="none", **keywords)
    call = {"w": weight} if how == "none" else {}
    ours = value_and_gradient(formula(name, parameters, how), pred, target, task="regression", call=call)
    same(ours, reduce(each, how, weight), pred)


def focal_binary(z: Tensor, y: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """Lin et al. 2017, equations 3 to 5, for each of the two outcomes: -alpha_t (1 - p_t)**gamma log(p_t)."""
    total = torch.zeros_like(z)
    for share, p_t, logarithm, weight in (
        (y, z.sigmoid(), functional.logsigmoid(z), 1.0 if alpha is None else alpha),
        (1 - y, (-z).sigmoid(), functional.logsigmoid(-z), 1.0 if alpha is None else 1 - alpha),
    ):
        total = total - share * weight * (1 - p_t) ** gamma * logarithm
    return total


GAMMAS = (0, 0.5, 1, 2, 3.5)


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_focal_of_two_outcomes(seed: int, dtype: torch.dtype, seeded: Any, value_and_gradient: Any) -> None:
    rng = seeded(seed)
    task = rng.choice(["binary", "multilabel"])
    shape = (rng.randint(1, 3), 1 if task == "binary" else rng.randint(2, 3), *spatial(rng))
    z, y = torch.randn(shape, dtype=dtype).mul(2).requires_grad_(), labels(rng, shape, dtype)
    gamma, alpha = rng.choice(GAMMAS), rng.choice([None, 0, 0.25, 0.9, 1])
    parameters = {"gamma": gamma} | ({} if alpha is None else {"alpha": alpha})
    how, weight = rng.choice(["mean", "sum", "none"]), torch.rand(shape, dtype=dtype)
    each = focal_binary(z, y, gamma, alpha)
    call = {"w": weight} if how == "none" else {}
    ours = value_and_gradient(formula("focal", parameters, how), z, y, task=task, call=call)
    same(ours, reduce(each, how, weight), z)


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_focal_of_classes(seed: int, dtype: torch.dtype, seeded: Any, value_and_gradient: Any) -> None:
    rng = seeded(seed)
    classes, gamma = rng.randint(2, 4), rng.choice(GAMMAS)
    size = rng.randint(1, 3), *spatial(rng)
    z = torch.randn(size[0], classes, *size[1:], dtype=dtype).mul(2).requires_grad_()
    y = torch.randint(0, classes, size)
    options = {"class_weight": tuple(rng.choice([0.2, 1.0, 3.0]) for _ in range(classes))} if seed % 2 else {}
    weights = torch.tensor(options.get("class_weight", (1.0,) * classes), dtype=dtype)[y]
    logarithm = z.log_softmax(1).gather(1, y.unsqueeze(1)).squeeze(1)
    each = -weights * (1 - logarithm.exp()) ** gamma * logarithm
    soft = seed % 3 == 0
    target = functional.one_hot(y, classes).movedim(-1, 1).to(dtype) if soft else y
    ours = value_and_gradient(f"focal(gamma={gamma})", z, target, task="multiclass", **options)
    same(ours, each.sum() / weights.sum(), z)


@pytest.mark.parametrize("seed", range(20))
def test_focal_without_gamma_is_cross_entropy(seed: int, seeded: Any, value_and_gradient: Any) -> None:
    rng = seeded(seed)
    z = logits(rng, (2, 3, 4), torch.float64).requires_grad_()
    y, outcomes = torch.randint(0, 3, (2, 4)), labels(rng, (2, 3, 4), torch.float64)
    same(value_and_gradient("focal(gamma=0)", z, y, task="multiclass"), functional.cross_entropy(z, y), z)
    expected = functional.binary_cross_entropy_with_logits(z, outcomes)
    same(value_and_gradient("focal(gamma=0)", z, outcomes, task="multilabel"), expected, z)


@pytest.mark.parametrize("margin", [0.5, 1, 2])
def test_hinge(margin: float, value_and_gradient: Any) -> None:
    torch.manual_seed(0)
    z = torch.randn(3, 1, 5, dtype=torch.float64).requires_grad_()
    y = (torch.rand(3, 1, 5) < 0.5).double()
    expected = (margin - (2 * y - 1) * z).relu().mean()
    same(value_and_gradient(f"hinge(margin={margin})", z, y, task="binary"), expected, z)
