"""Generalised Wasserstein Dice against its paper, pixel by pixel, and against MONAI."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lossdsl

Matrix = list[list[float]]
COMPARED = ("wasserstein_dice", "class_distance")
CONFIGURATIONS = 200


def wasserstein_dice(p: np.ndarray, y: np.ndarray, matrix: Matrix, smooth: float, per: str) -> float:
    """Fidon et al. 2017, equations 6 and 7, of (N, C, pixels), with the weights 0 and 1 of the authors' code."""
    scores = []
    images = [(p, y)] if per == "batch" else [(p[[n]], y[[n]]) for n in range(len(p))]
    for probability, truth in images:
        true_positives = errors = 0.0
        for n, i in np.ndindex(probability.shape[0], probability.shape[2]):
            distance = truth[n, :, i] @ np.array(matrix) @ probability[n, :, i]
            true_positives += truth[n, 1:, i].sum() * (1 - distance)
            errors += distance
        bottom = 2 * true_positives + errors + smooth
        scores.append((2 * true_positives + smooth) / bottom if bottom else 1.0)
    return 1 - float(np.mean(scores))


def a_matrix(rng: random.Random, classes: int) -> Matrix:
    matrix = [[rng.choice([0.2, 0.5, 1]) for _ in range(classes)] for _ in range(classes)]
    matrix[0][-1] = 1
    for own in range(classes):
        matrix[own][own] = 0
    return matrix


def a_call(rng: random.Random) -> tuple[Tensor, Tensor]:
    torch.manual_seed(rng.randrange(2**32))
    classes = rng.randint(2, 4)
    space = tuple(rng.randint(1, 3) for _ in range(rng.randint(0, 3)))
    z = torch.randn(rng.randint(1, 3), classes, *space) * rng.choice([0.5, 3])
    index = torch.randint(0, classes, (len(z), *space)).clamp_max(rng.choice([0, 1, classes]))
    return z.double(), index.clamp_max(classes - 1)


def test_definition(value: Any) -> None:
    for seed in range(CONFIGURATIONS):
        rng = random.Random(seed)
        z, index = a_call(rng)
        matrix, smooth, per = a_matrix(rng, z.shape[1]), rng.choice([0, 1, 1e-5]), rng.choice(["image", "batch"])
        y = torch.nn.functional.one_hot(index, z.shape[1]).movedim(-1, 1).double()
        target = index if rng.random() < 0.7 else (y := torch.randn_like(z).softmax(1))
        text = f"wasserstein_dice(distances={matrix}, smooth={smooth}, per={per})"
        flat = (len(z), z.shape[1], -1)
        expected = wasserstein_dice(z.softmax(1).reshape(flat).numpy(), y.reshape(flat).numpy(), matrix, smooth, per)
        for dtype, (rel, margin) in {torch.float64: (1e-7, 1e-12), torch.float32: (1e-5, 1e-6)}.items():
            truth = target.to(dtype) if target.is_floating_point() else target
            result = value(text, z.to(dtype), truth, task="multiclass").item()
            assert result == pytest.approx(expected, rel=rel, abs=margin), f"{text} {tuple(z.shape)} {dtype}"


def test_monai(value_and_gradient: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        losses = pytest.importorskip("monai.losses", reason="MONAI is not installed")
    for seed in range(30):
        rng = random.Random(seed)
        z, index = a_call(rng)
        matrix = a_matrix(rng, z.shape[1])
        leaf = z.clone().requires_grad_()
        theirs = losses.GeneralizedWassersteinDiceLoss(
            torch.tensor(matrix, dtype=torch.float64), smooth_nr=0.1, smooth_dr=0.1
        )
        expected = theirs(leaf, index)
        (slope,) = torch.autograd.grad(expected, leaf)
        ours = value_and_gradient(f"wasserstein_dice(distances={matrix}, smooth=0.1)", z, index, task="multiclass")
        torch.testing.assert_close(ours, (expected.detach(), slope), rtol=1e-6, atol=1e-9)


def test_a_mistake_between_near_classes_costs_less(value: Any) -> None:
    index = torch.tensor([[0, 1, 2, 1]])
    p = torch.nn.functional.one_hot(index, 3).movedim(-1, 1).double()
    text = "wasserstein_dice(distances=[[0, 1, 1], [1, 0, 0.5], [1, 0.5, 0]])"
    options = {"task": "multiclass", "input": "probs"}
    near, far = p.clone(), p.clone()
    near[0, :, 1] = torch.tensor([0, 0, 1])
    far[0, :, 1] = torch.tensor([1, 0, 0])
    assert value(text, p, index, **options) == 0
    assert 0 < value(text, near, index, **options) < value(text, far, index, **options)


@pytest.mark.parametrize(("matrix", "code", "told"), [
    ("[[0, 1], [1, 0]]", "LD502", "`distances` has 2 rows of 2 numbers; 3 classes need 3 rows of 3"),
    ("[[0, 1, 1], [1, 0], [1, 1, 0]]", "LD208", "`distances` has 3 rows, and 2 numbers in row 2"),
    ("[[0.5, 1, 1], [1, 0, 1], [1, 1, 0]]", "LD204", "must be 0 between a class and itself"),
])  # fmt: skip
def test_the_matrix_is_checked(matrix: str, code: str, told: str) -> None:
    with pytest.raises(lossdsl.LossError, match=told) as caught:
        lossdsl.compile(f"wasserstein_dice(distances={matrix})")(torch.zeros(1, 3, 2), torch.zeros(1, 2).long())
    assert caught.value.diagnostics[0].code == code


def test_the_matrix_is_needed() -> None:
    (found,) = lossdsl.check("wasserstein_dice", task="multiclass").diagnostics
    assert found.code == "LD202"
    assert "needs `distances`" in found.message
    (found,) = lossdsl.check("wasserstein_dice(distances=[[0, 2], [1, 0]])", task="multiclass").diagnostics
    assert found.code == "LD204"
