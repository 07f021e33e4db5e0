"""Losses of images against the formulas of their papers in NumPy, and against MONAI and kornia."""

from __future__ import annotations

import itertools
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossdsl

Array = np.ndarray
COMPARED = ("ssim", "ms_ssim", "total_variation", "context_attention")
CONFIGURATIONS = 200
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"


@pytest.fixture(scope="module")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("monai.losses", reason="MONAI is not installed")
        return pytest.importorskip("monai", reason="MONAI is not installed")


def written(name: str, parameters: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={number}' for key, number in parameters.items())})"


def agrees(text: str, pred: Tensor, target: Tensor, expected: float, value: Any, task: str = "regression") -> None:
    """In double and in single precision, both from the same numbers."""
    for dtype, close in ((torch.float64, (1e-7, 1e-12)), (torch.float32, (1e-5, 2e-5))):
        result = value(text, pred.to(dtype), target.to(dtype), task=task).item()
        assert result == pytest.approx(expected, rel=close[0], abs=close[1]), f"{text} {tuple(pred.shape)} {dtype}"


def similar_images(rng: random.Random, space: tuple[int, ...], data_range: float) -> tuple[Tensor, Tensor]:
    torch.manual_seed(rng.randrange(2**32))
    shape = (rng.randint(1, 3), rng.randint(1, 3), *space)
    first, other = torch.rand(shape), torch.rand(shape)
    near = rng.choice([0.0, 0.3, 1.0, 1.6])
    second = first if rng.random() < 0.05 else (1 - near) * first + near * other
    return (first * data_range).double(), (second * data_range).double()


def gaussian(size: int, sigma: float, axes: int) -> Array:
    """Wang et al. 2004, section III-B: circular-symmetric, of unit sum."""
    squared = sum(axis**2 for axis in np.meshgrid(*[np.arange(size) - size // 2] * axes, indexing="ij"))
    weights = np.exp(-squared / (2 * sigma**2))
    return weights / weights.sum()


def parts(x: Array, y: Array, size: int, sigma: float, c1: float, c2: float) -> tuple[Array, Array]:
    """Equations 6, and 9 with 10 for C3 = C2/2, of two images, in each window that lies inside; sums as 14 to 16."""
    axes = tuple(range(-x.ndim, 0))
    w = gaussian(size, sigma, x.ndim)
    a, b = (np.lib.stride_tricks.sliding_window_view(image, (size,) * x.ndim) for image in (x, y))
    mean_a, mean_b = ((w * windows).sum(axes, keepdims=True) for windows in (a, b))
    var_a, var_b = (w * (a - mean_a) ** 2).sum(axes), (w * (b - mean_b) ** 2).sum(axes)
    covariance = (w * (a - mean_a) * (b - mean_b)).sum(axes)
    mean_a, mean_b = mean_a.reshape(var_a.shape), mean_b.reshape(var_a.shape)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (var_a + var_b + c2)


def channels(pred: Tensor, target: Tensor) -> list[tuple[Array, Array]]:
    return [(x.numpy(), y.numpy()) for x, y in zip(pred.flatten(0, 1), target.flatten(0, 1), strict=True)]


def ssim(pred: Tensor, target: Tensor, data_range=1.0, size=11, sigma=1.5, k1=0.01, k2=0.03) -> float:
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    maps = [np.prod(parts(x, y, size, sigma, c1, c2), axis=0) for x, y in channels(pred, target)]
    return 1 - float(np.mean(maps))


def halved(x: Array) -> Array:
    """Low-pass filter and downsampling by 2: the mean of each whole block."""
    whole = x[tuple(slice(0, length - length % 2) for length in x.shape)]
    blocks = whole.reshape([n for length in whole.shape for n in (length // 2, 2)])
    return blocks.mean(tuple(range(1, 2 * x.ndim, 2)))


WANG = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ms_ssim(pred: Tensor, target: Tensor, data_range=1.0, size=11, sigma=1.5, k1=0.01, k2=0.03, weights=WANG) -> float:
    """Wang, Simoncelli, Bovik 2003, equation 7 with the weights of section 4."""
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    scores = []
    for x, y in channels(pred, target):
        score = 1.0
        for scale, weight in enumerate(weights):
            x, y = (halved(x), halved(y)) if scale else (x, y)
            luminance, structure = parts(x, y, size, sigma, c1, c2)
            mean = (luminance * structure if scale == len(weights) - 1 else structure).mean()
            score *= max(mean, 0.0) ** weight
        scores.append(score)
    return 1 - float(np.mean(scores))


def a_choice(rng: random.Random) -> dict[str, float]:
    choices = {"data_range": [1, 2, 255], "sigma": [0.5, 1.5, 4], "k1": [0.01, 0.1], "k2": [0.03, 0.2]}
    return {key: rng.choice(options) for key, options in choices.items() if rng.random() < 0.6}


def test_ssim(value: Any) -> None:
    for seed in range(CONFIGURATIONS):
        rng = random.Random(seed)
        parameters = a_choice(rng) | {"size": rng.choice([1, 3, 5])}
        space = tuple(rng.randint(5, 8) for _ in range(rng.randint(1, 3 if parameters["size"] < 5 else 2)))
        pair = similar_images(rng, space, parameters.get("data_range", 1))
        agrees(written("ssim", parameters), *pair, ssim(*pair, **parameters), value)


def test_ms_ssim(value: Any) -> None:
    for seed in range(CONFIGURATIONS):
        rng = random.Random(seed)
        parameters: dict[str, Any] = a_choice(rng) | {"size": rng.choice([1, 3, 5])}
        parameters |= rng.choice([{}, {"weights": [0.3, 0.7]}, {"weights": [0.2, 0, 1]}, {"weights": [1]}])
        least = parameters["size"] * 2 ** (len(parameters.get("weights", WANG)) - 1)
        space = tuple(rng.randint(least, least + 4) for _ in range(1 + (least < 8) + (least < 4)))
        pair = similar_images(rng, space, parameters.get("data_range", 1))
        agrees(written("ms_ssim", parameters), *pair, ms_ssim(*pair, **parameters), value)


def test_defaults_are_those_of_the_papers(value: Any) -> None:
    rng = random.Random(0)
    pair = similar_images(rng, (24, 25), 1)
    agrees("ssim", *pair, ssim(*pair), value)
    pair = tuple(x[:1, :1] for x in similar_images(rng, (176, 177), 1))
    agrees("ms_ssim", *pair, ms_ssim(*pair), value)


def test_ssim_of_monai(monai: Any, value_and_gradient: Any) -> None:
    """MONAI computes in single precision."""
    for seed, axes in itertools.product(range(10), (2, 3)):
        rng = random.Random(seed)
        x, y = (t.float() for t in similar_images(rng, (12, 13, 12)[:axes], 1))
        leaf = x.clone().requires_grad_()
        expected = monai.losses.SSIMLoss(axes, win_size=7, kernel_sigma=1.1, k1=0.05, k2=0.1)(leaf, y)
        (slope,) = torch.autograd.grad(expected, leaf)
        ours = value_and_gradient("ssim(size=7, sigma=1.1, k1=0.05, k2=0.1)", x, y, task="regression")
        torch.testing.assert_close(ours, (expected.detach(), slope), rtol=1e-4, atol=2e-6)


def test_ms_ssim_of_monai(monai: Any, value: Any) -> None:
    """MONAI pools the channels before the product of the scales, so it is compared for one."""
    metric = monai.metrics.MultiScaleSSIMMetric(2, kernel_size=3, kernel_sigma=1.0)
    for seed in range(5):
        x, y = (t[:, :1].float() for t in similar_images(random.Random(seed), (50, 48), 1))
        expected = 1 - metric(x, y).mean().item()
        assert value("ms_ssim(size=3, sigma=1)", x, y, task="regression").item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("text", ["ssim(size=5, sigma=1)", "ms_ssim(size=3)", "total_variation",
                                  "context_attention(size=5)", "cldice"])  # fmt: skip
def test_masked_borders_are_cut_off(text: str, value_and_gradient: Any) -> None:
    """A mask of the last rows and columns: as if the image ended there."""
    big, small = ((52, 50), (49, 48)) if "ms_ssim" in text else ((12, 11), (8, 9))
    task = "binary" if text.startswith(("context", "cldice")) else "regression"
    x, y = torch.rand(2, 1, *big, dtype=torch.float64), torch.rand(2, 1, *big, dtype=torch.float64)
    y = (0.8 * x + 0.2 * y).round() if task == "binary" else 0.8 * x + 0.2 * y
    mask = torch.zeros(big)
    mask[: small[0], : small[1]] = 1
    cut = (..., slice(small[0]), slice(small[1]))
    result, gradient = value_and_gradient(text, x, y, task=task, call={"mask": mask})
    expected, slope = value_and_gradient(text, x[cut], y[cut], task=task)
    torch.testing.assert_close((result, gradient[cut]), (expected, slope), rtol=1e-9, atol=1e-13)


def test_ssim_counts_windows_without_masked_pixels(value: Any) -> None:
    for seed in range(20):
        x, y = (t[:1, :1] for t in similar_images(random.Random(seed), (7, 8), 1))
        mask = np.random.default_rng(seed).random((7, 8)) < 0.9
        whole = np.lib.stride_tricks.sliding_window_view(mask, (3, 3)).all((-1, -2))
        luminance, structure = parts(x[0, 0].numpy(), y[0, 0].numpy(), 3, 1.5, 1e-4, 9e-4)
        expected = 1 - (luminance * structure)[whole].mean()
        result = value("ssim(size=3)", x, y, task="regression", call={"mask": torch.from_numpy(mask)})
        assert result.item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("text", "space", "told"), [
    ("ssim", (10, 30), r"a window of 11 pixels does not fit into images of \(10, 30\)"),
    ("ms_ssim", (170, 200), r"needs images of 176 pixels along each axis for its last scale, not \(170, 200\)"),
    ("mean(local_min(2, size=5, outside=0)*pred)", (4,), r"a window of 5 pixels does not fit"),
])  # fmt: skip
def test_small_images_are_refused(text: str, space: tuple[int, ...], told: str) -> None:
    x = torch.rand(1, 1, *space)
    with pytest.raises(lossdsl.LossError, match=told) as caught:
        lossdsl.compile(text, task="regression")(x, x)
    assert caught.value.diagnostics[0].code == "LD502"


@pytest.mark.parametrize(("text", "code", "told"), [
    ("ssim(size=4)", "LD204", "odd number of pixels"),
    ("ssim(size=1003)", "LD204", "1001"),
    ("context_attention(size=100001)", "LD204", "1001"),
    ("mean(local_mean(pred, size=100001))", "LD204", "at most 1,001"),
    ("mean(local_max(pred, size=1e30))", "LD204", "at most 1,001"),
    ("ms_ssim(size=epoch)", "LD204", "whole number that is the same in every call"),
    ("ms_ssim(size=2.5)", "LD204", "whole number"),
])  # fmt: skip
def test_sizes_are_fixed_whole_numbers(text: str, code: str, told: str) -> None:
    x = torch.rand(1, 1, 200)
    with pytest.raises(lossdsl.LossError, match=told) as caught:
        lossdsl.compile(text, task="regression")(x, x, **({"epoch": 3} if "epoch" in text else {}))
    assert caught.value.diagnostics[0].code == code


def test_ssim_of_a_segmentation(value: Any) -> None:
    """BASNet's term: probabilities against labels."""
    z, y = torch.randn(2, 1, 9, 9, dtype=torch.float64), (torch.rand(2, 1, 9, 9) < 0.5).double()
    for text in ("ssim(p, y, size=5)", "ms_ssim(p, y, size=1)"):
        big = (z, y) if text.startswith("ssim") else tuple(t.repeat(1, 1, 3, 3) for t in (z, y))
        formula = ssim if text.startswith("ssim") else ms_ssim
        expected = formula(big[0].sigmoid(), big[1], size=5 if text.startswith("ssim") else 1)
        assert value(text, *big, task="binary").item() == pytest.approx(expected, rel=1e-7)


def test_total_variation(value: Any) -> None:
    """Rudin et al. 1992 with |u_x| + |u_y| for the length of the gradient, by differences of pixels."""
    for seed in range(CONFIGURATIONS):
        rng = random.Random(seed)
        x, y = similar_images(rng, tuple(rng.randint(1, 6) for _ in range(rng.randint(0, 3))), rng.choice([1, 9]))
        mask = torch.rand(x.shape[0], *x.shape[2:]) < rng.choice([0.5, 0.9, 2.0])
        mask.view(-1)[0] = True
        kept = np.where(mask.unsqueeze(1).numpy(), x.numpy(), np.nan)
        sums = [np.nansum([np.nansum(np.abs(np.diff(image, axis=axis))) for axis in range(image.ndim)])
                for image in kept.reshape(-1, *x.shape[2:])]  # fmt: skip
        there = mask.reshape(len(mask), -1).any(1).repeat_interleave(x.shape[1]).numpy()
        expected = float(np.mean(np.array(sums)[there]))
        for dtype, rtol in ((torch.float64, 1e-7), (torch.float32, 1e-5)):
            result = value("total_variation", x.to(dtype), y.to(dtype), task="regression", call={"mask": mask})
            assert result.item() == pytest.approx(expected, rel=rtol), f"{tuple(x.shape)} {dtype} seed {seed}"


def test_total_variation_of_kornia(value_and_gradient: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kornia = pytest.importorskip("kornia.losses", reason="kornia is not installed")
    for seed in range(20):
        x, y = similar_images(random.Random(seed), (5, 6), 1)
        leaf = x.clone().requires_grad_()
        expected = kornia.total_variation(leaf).mean()
        (slope,) = torch.autograd.grad(expected, leaf)
        ours = value_and_gradient("total_variation", x, y)
        torch.testing.assert_close(ours, (expected.detach(), slope), rtol=1e-9, atol=1e-12)


def f3net(z: Tensor, y: Tensor, strength: float, size: int, smooth: float) -> Tensor:
    """Wei et al. 2020, equations 5 to 9, with the average pooling of the authors' code."""
    alpha = (functional.avg_pool2d(y, size, stride=1, padding=size // 2) - y).abs()
    weight = 1 + strength * alpha
    entropy = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    wbce = (weight * entropy).sum((2, 3)) / weight.sum((2, 3))
    p = z.sigmoid()
    inter, both = ((weight * t).sum((2, 3)) for t in (p * y, p + y))
    return (wbce + 1 - (inter + smooth) / (both - inter + smooth)).mean()


def test_context_attention(value_and_gradient: Any) -> None:
    for seed in range(CONFIGURATIONS):
        rng = random.Random(seed)
        torch.manual_seed(seed)
        task, size = rng.choice(["binary", "multilabel"]), rng.choice([1, 3, 31])
        strength, smooth = rng.choice([0, 1, 5]), rng.choice([1, 0.1])
        shape = (rng.randint(1, 3), 1 if task == "binary" else 2, rng.randint(1, 9), rng.randint(1, 9))
        z, y = torch.randn(shape, dtype=torch.float64) * 3, (torch.rand(shape) < rng.choice([0, 0.3, 1])).double()
        text = f"context_attention(strength={strength}, size={size}, smooth={smooth})"
        for dtype, (rtol, atol) in {torch.float64: (1e-7, 1e-12), torch.float32: (1e-5, 1e-6)}.items():
            leaf = z.to(dtype).requires_grad_()
            expected = f3net(leaf, y.to(dtype), strength, size, smooth)
            (slope,) = torch.autograd.grad(expected, leaf)
            ours = value_and_gradient(text, z.to(dtype), y.to(dtype), task=task)
            torch.testing.assert_close(
                ours, (expected.detach(), slope), rtol=rtol, atol=atol, msg=lambda m, t=text, s=shape: f"{t} {s}: {m}"
            )


def test_context_attention_is_the_recipe(value: Any) -> None:
    z, y = torch.randn(2, 1, 40, 36, dtype=torch.float64), (torch.rand(2, 1, 40, 36) < 0.2).double()
    recipe = lossdsl.load(RECIPES / "13_structure_loss.yaml")
    torch.testing.assert_close(value("context_attention", z, y, task="binary"), recipe(z, y), rtol=1e-12, atol=0)


def test_mix_of_structure_and_absolute_errors() -> None:
    """Zhao et al. 2017, equation 10: the errors weighted by the Gaussian of the coarsest scale."""
    x, y = (t[:1, :1] for t in similar_images(random.Random(1), (176, 180), 1))
    errors = (x - y).abs()[0, 0].numpy()
    offsets = np.arange(-16, 17)
    rows, columns = np.arange(176), np.arange(180)
    sides = [np.exp(-((a[:, None] - a) ** 2) / 128) * (abs(a[:, None] - a) <= offsets.max()) for a in (rows, columns)]
    sides = [side / side.sum(1, keepdims=True) for side in sides]
    expected = 0.84 * ms_ssim(x, y) + 0.16 * (sides[0] @ errors @ sides[1].T).mean()
    result = lossdsl.load(RECIPES / "30_ms_ssim_l1.yaml")(x, y)
    assert result.item() == pytest.approx(expected, rel=1e-7)
