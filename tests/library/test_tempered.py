"""The bi-tempered loss against its paper, with the normaliser found by bisection in NumPy."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import lossdsl

Array = np.ndarray
COMPARED = ("bi_tempered", "tempered_softmax", "tempered_sigmoid")
CONFIGURATIONS = 200


def logarithm(x: Array, t: float) -> Array:
    """Amid et al. 2019, equation 2."""
    return np.log(x) if t == 1 else (x ** (1 - t) - 1) / (1 - t)


def exponential(x: Array, t: float) -> Array:
    """Equation 3."""
    return np.exp(x) if t == 1 else np.maximum(0, 1 + (1 - t) * x) ** (1 / (1 - t))


def tempered_softmax(a: Array, t: float) -> Array:
    """Equation 5 for one vector: bisection on the normaliser, which lies between max(a) and where all would be it."""
    low, high = a.max(), a.max() - logarithm(np.array(1 / len(a)), t)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if exponential(a - middle, t).sum() > 1 else (low, middle)
    return exponential(a - high, t)


def bi_tempered(y: Array, p: Array, t1: float) -> float:
    """Equation 9."""
    gained = np.where(y > 0, y * (logarithm(np.where(y > 0, y, 1), t1) - logarithm(p, t1)), 0)
    return float((gained - (y ** (2 - t1) - p ** (2 - t1)) / (2 - t1)).sum())


def expected_of(z: Array, y: Array, exclusive: bool, t1: float, t2: float, smoothing: float, weight: Array) -> float:
    """z and y are (N, C). Smoothing as that of ce and bce."""
    losses, counts = [], []
    for row, truth in zip(z, y, strict=True):
        if exclusive:
            soft = (1 - smoothing) * truth + smoothing / len(truth)
            losses.append((weight * truth).sum() * bi_tempered(soft, tempered_softmax(row, t2), t1))
            counts.append((weight * truth).sum())
            continue
        for c in range(len(row)):
            label = (1 - smoothing) * truth[c] + smoothing * (1 - truth[c])
            pair = tempered_softmax(np.array([row[c], 0.0]), t2)
            losses.append(weight[c] * bi_tempered(np.array([label, 1 - label]), pair, t1))
            counts.append(weight[c])
    return float(np.sum(losses) / np.sum(counts))


def test_definition(value: Any) -> None:
    for seed in range(CONFIGURATIONS):
        rng = random.Random(seed)
        torch.manual_seed(seed)
        task = rng.choice(["binary", "multilabel", "multiclass", "soft"])
        t1, t2, smoothing = rng.choice([0, 0.3, 0.8, 1]), rng.choice([1, 1.2, 2, 4]), rng.choice([0, 0, 0.1])
        shape = (rng.randint(1, 3), 1 if task == "binary" else rng.randint(2, 4))
        z = (torch.randn(shape) * rng.choice([0.3, 1, 5])).double()
        weight = tuple(rng.choice([1.0, 0.5, 3.0]) for _ in range(shape[1]))
        target = y = (torch.rand(shape) < 0.5).double() if rng.random() < 0.7 else torch.rand(shape).double()
        if task == "multiclass":
            target = torch.randint(0, shape[1], shape[:1])
            y = torch.nn.functional.one_hot(target, shape[1]).double()
        elif task == "soft":
            target = y = torch.randn(shape).double().softmax(1)
        exclusive = task in ("multiclass", "soft")
        expected = expected_of(z.numpy(), y.numpy(), exclusive, t1, t2, smoothing, np.array(weight))
        text = f"bi_tempered(t1={t1}, t2={t2}, label_smoothing={smoothing})"
        options = {"task": "multiclass" if exclusive else task, "class_weight": weight}
        for dtype, (rel, margin) in {torch.float64: (1e-7, 1e-11), torch.float32: (1e-5, 2e-6)}.items():
            truth = target.to(dtype) if target.is_floating_point() else target
            result = value(text, z.to(dtype), truth, **options).item()
            assert result == pytest.approx(expected, rel=rel, abs=margin), f"{text} {options} {tuple(shape)} {seed}"


@pytest.mark.parametrize("temperature", [1.0001, 1.2, 2, 4])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_probabilities_sum_to_one(temperature: float, scale: float, value: Any) -> None:
    z = torch.randn(20, 50, dtype=torch.float64) * scale
    index = torch.zeros(20, dtype=torch.long)
    text = f"q = tempered_softmax(z, temperature={temperature}, reduction=none)\nmax(abs(sum(q, over=class) - 1))"
    assert value(text, z, index, task="multiclass").item() < 1e-11
    assert value(text, z.float(), index, task="multiclass").item() < 1e-4
    pair = (f"tempered_sigmoid({sign}z, temperature={temperature}, reduction=none)" for sign in ("", "-"))
    text = f"max(abs({' + '.join(pair)} - 1))"
    assert value(text, z, (z > 0).double(), task="multilabel").item() < 1e-11


def test_limits_are_the_cross_entropies(value_and_gradient: Any) -> None:
    z, index = torch.randn(3, 4, 5, dtype=torch.float64) * 3, torch.randint(0, 4, (3, 5))
    y = (torch.rand(3, 4, 5) < 0.5).double()
    for text, same, target, task in (("t1=1, t2=1", "ce", index, "multiclass"), ("t1=1, t2=1", "bce", y, "multilabel"),
                                     ("t1=0.9999999, t2=1.0000001", "ce", index, "multiclass"),
                                     ("t1=0.9999999, t2=1.0000001", "bce", y, "multilabel")):  # fmt: skip
        tolerance = 1e-12 if "9" not in text else 1e-5
        ours = value_and_gradient(f"bi_tempered({text})", z, target, task=task)
        torch.testing.assert_close(ours, value_and_gradient(same, z, target, task=task), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("t2", [1.2, 2, 4])
def test_derivatives_of_the_normaliser(t2: float) -> None:
    """First and second, through an equation that is solved by steps."""
    z, index = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True), torch.tensor([[0, 1], [2, 1]])
    loss = lossdsl.compile(f"bi_tempered(t1=0.5, t2={t2})", task="multiclass")
    assert gradcheck(lambda x: loss(x, index), (z,))
    assert gradgradcheck(lambda x: loss(x, index), (z,))


def test_a_scheduled_temperature(value_and_gradient: Any) -> None:
    """From a heavy tail to the softmax itself."""
    z, index = torch.randn(2, 3, 2, dtype=torch.float64), torch.tensor([[0, 1], [2, 1]])
    for epoch, t2 in ((0, 2), (5, 1.5), (10, 1)):
        ours = value_and_gradient("bi_tempered(t2=2 - epoch/10)", z, index, task="multiclass", call={"epoch": epoch})
        fixed = value_and_gradient(f"bi_tempered(t2={t2})", z, index, task="multiclass")
        torch.testing.assert_close(ours, fixed, rtol=1e-5, atol=1e-7)


def test_outliers_are_bounded(value: Any) -> None:
    """t1 below 1: at most (1 + 1/(1 - t1)) - ..., whatever the logit; ce grows without end."""
    z, index = torch.tensor([[0.0, 1e4]]), torch.tensor([0])
    assert value("bi_tempered(t1=0.5, t2=1)", z, index, task="multiclass").item() == pytest.approx(2.0, rel=1e-3)
    assert value("bi_tempered(t1=1, t2=1)", z, index, task="multiclass").item() > 1e3


@pytest.mark.parametrize("t1", [0.9, 0.99, 0.999, 0.9999, 0.99999])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_single_precision_keeps_its_digits_near_1(t1: float, task: str) -> None:
    """(a**b - q**b)/b for a small b = 1 - t1 is a difference of two numbers near 1."""
    target = torch.arange(60).reshape(2, 30) % (2 if task == "binary" else 3)
    for level in (0.5, 5.0, 20.0, 100.0, 1e4):
        right = 2.0 * target - 1 if task == "binary" else torch.nn.functional.one_hot(target, 3).permute(0, 2, 1)
        pred, labels = level * right, target.double() if task == "binary" else target
        loss = lossdsl.compile(f"bi_tempered(t1={t1})", task=task)  # type: ignore[arg-type]
        exact = loss(pred.double(), labels).item()
        single = loss(pred.float(), labels.float() if task == "binary" else labels).item()
        assert single >= 0
        assert single == pytest.approx(exact, rel=1e-3, abs=1e-7)
