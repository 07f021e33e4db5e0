"""Losses of two embeddings against their papers in NumPy, and against MONAI."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lossdsl

Array = np.ndarray
COMPARED = ("nt_xent", "barlow_twins")
CONFIGURATIONS = 200


@pytest.fixture(scope="module")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.losses", reason="MONAI is not installed")


def nt_xent(a: Array, b: Array, temperature: float = 0.5) -> float:
    """Chen et al. 2020, equation 1 and algorithm 1, by loops over the 2N views."""
    views = [view for pair in zip(a, b, strict=True) for view in pair]
    similar = [[u @ v / (np.linalg.norm(u) * np.linalg.norm(v)) for v in views] for u in views]
    total = 0.0
    for i in range(len(views)):
        j = i + 1 if i % 2 == 0 else i - 1
        others = [np.exp(similar[i][k] / temperature) for k in range(len(views)) if k != i]
        total += -np.log(np.exp(similar[i][j] / temperature) / np.sum(others))
    return total / len(views)


def barlow_twins(a: Array, b: Array, redundancy: float = 5e-3) -> float:
    """Zbontar et al. 2021, equations 1 and 2, the embeddings centred along the batch."""
    a, b = a - a.mean(0), b - b.mean(0)
    total = 0.0
    for i, j in np.ndindex(a.shape[1], a.shape[1]):
        correlation = (a[:, i] * b[:, j]).sum() / np.sqrt((a[:, i] ** 2).sum() * (b[:, j] ** 2).sum())
        total += (1 - correlation) ** 2 if i == j else redundancy * correlation**2
    return total


def a_pair(rng: random.Random, least: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(rng.randrange(2**32))
    shape = (rng.randint(least, 6), rng.randint(1, 5))
    first = torch.randn(shape) * rng.choice([0.1, 1.0, 20.0])
    return first.double(), (first + torch.randn(shape) * rng.choice([0.1, 1.0])).double()


TEXTS = {
    "nt_xent": (nt_xent, "temperature", [0.5, 0.07, 3], 1),
    "barlow_twins": (barlow_twins, "redundancy", [5e-3, 0, 2], 3),
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_definition(name: str, value: Any) -> None:
    """Samples that are masked out are in no pair."""
    formula, word, choices, least = TEXTS[name]
    for seed in range(CONFIGURATIONS):
        rng = random.Random(f"{name} {seed}")
        a, b = a_pair(rng, least)
        number = rng.choice(choices)
        kept = torch.ones(len(a), dtype=torch.bool)
        if rng.random() < 0.4:
            kept[: max(0, len(a) - max(least, 2))] = False
        expected = formula(a[kept].numpy(), b[kept].numpy(), number)
        for dtype, (rel, margin) in {torch.float64: (1e-7, 1e-11), torch.float32: (1e-5, 1e-5)}.items():
            call = {} if kept.all() else {"mask": kept}
            result = value(f"{name}({word}={number})", a.to(dtype), b.to(dtype), call=call).item()
            assert result == pytest.approx(expected, rel=rel, abs=margin), f"{name} {number} {tuple(a.shape)} {seed}"


def test_monai_contrastive(monai: Any, value_and_gradient: Any) -> None:
    for seed in range(30):
        a, b = a_pair(random.Random(seed), 1)
        temperature = (0.5, 0.1)[seed % 2]
        leaf = a.clone().requires_grad_()
        expected = monai.ContrastiveLoss(temperature)(leaf, b)
        (slope,) = torch.autograd.grad(expected, leaf)
        ours = value_and_gradient(f"nt_xent(temperature={temperature})", a, b)
        torch.testing.assert_close(ours, (expected.detach(), slope), rtol=1e-6, atol=1e-9)


def test_monai_barlow_twins(monai: Any, value_and_gradient: Any) -> None:
    """MONAI divides by N what it standardised with N - 1, so that its correlations are (N - 1)/N of ours, and adds
    1e-6 to each deviation. What is compared is the redundancy alone: the loss with 1 minus the loss with 0."""
    for seed in range(30):
        a, b = a_pair(random.Random(seed), 4)
        a, b = 100 * a, 100 * b
        leaf = a.clone().requires_grad_()
        expected = monai.BarlowTwinsLoss(1.0)(leaf, b) - monai.BarlowTwinsLoss(0.0)(leaf, b)
        (slope,) = torch.autograd.grad(expected, leaf)
        share = ((len(a) - 1) / len(a)) ** 2
        text = f"{share}*barlow_twins(redundancy=1) - {share}*barlow_twins(redundancy=0)"
        ours = value_and_gradient(text, a, b)
        torch.testing.assert_close(ours, (expected.detach(), slope), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(TEXTS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_edges(name: str, dtype: torch.dtype, value_and_gradient: Any) -> None:
    """Zeros, equal and opposite embeddings, one sample, and numbers as large and small as they come."""
    base = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [2.0, 2.0]], dtype=dtype)
    for a, b in ((0 * base, base), (base, 0 * base), (0 * base, 0 * base), (base, base), (base, -base),
                 (1e15 * base, base), (1e-15 * base, 1e-15 * base), (base[:1], base[1:2]),
                 (base[:1].expand(3, 2), base)):  # fmt: skip
        result, gradient = value_and_gradient(f"{name}", a, b)
        assert result.isfinite(), (a, b)
        assert gradient.isfinite().all(), (a, b)
    assert value_and_gradient("nt_xent", base[:1], base[1:2])[0] == 0
    assert value_and_gradient("barlow_twins", base[:1], base[1:2])[0] == 2


@pytest.mark.parametrize("name", list(TEXTS))
def test_images_are_refused(name: str) -> None:
    with pytest.raises(lossdsl.LossError, match=f"`{name}` takes one embedding for each sample") as caught:
        lossdsl.compile(name, task="regression")(torch.rand(2, 3, 4), torch.rand(2, 3, 4))
    assert caught.value.diagnostics[0].code == "LD502"
