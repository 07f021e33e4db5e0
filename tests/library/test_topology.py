"""Centreline Dice against a transcription with scipy.ndimage, and against MONAI."""

from __future__ import annotations

import itertools
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lossdsl

Array = np.ndarray
COMPARED = ("cldice", "soft_skeleton")
CONFIGURATIONS = 200


def eroded(image: Array) -> Array:
    """Shit et al. 2021, section 3.3: soft erosion, the minimum of a cross of 3 pixels."""
    from scipy import ndimage

    return ndimage.grey_erosion(image, footprint=ndimage.generate_binary_structure(image.ndim, 1), mode="nearest")


def opened(image: Array) -> Array:
    from scipy import ndimage

    return ndimage.grey_dilation(eroded(image), size=(3,) * image.ndim, mode="nearest")


def soft_skeleton(image: Array, iterations: int) -> Array:
    """Algorithm 1."""
    skeleton = np.maximum(image - opened(image), 0)
    for _ in range(iterations):
        image = eroded(image)
        skeleton = skeleton + (1 - skeleton) * np.maximum(image - opened(image), 0)
    return skeleton


def ratio(top: Array, bottom: Array) -> Array:
    """1 for 0/0: nothing is wrong."""
    return np.where(bottom == 0, 1.0, top / np.where(bottom == 0, 1.0, bottom))


def cldice(p: Array, y: Array, iterations=3, smooth=1.0, per="image", average="macro", include_background="true"):
    """Algorithm 2, the shares smoothed as in the authors' code, for each image and class or for what is pooled."""
    start = 1 if include_background == "false" else 0
    p, y = p[:, start:], y[:, start:]
    of_p, of_y = (np.stack([[soft_skeleton(c, iterations) for c in image] for image in x]) for x in (p, y))
    axes = tuple(range(2, p.ndim)) + ((0,) if per == "batch" else ()) + ((1,) if average == "micro" else ())
    precision = ratio((of_p * y).sum(axes) + smooth, of_p.sum(axes) + smooth)
    recall = ratio((of_y * p).sum(axes) + smooth, of_y.sum(axes) + smooth)
    both = precision + recall
    return float(np.mean(1 - np.where(both == 0, 0.0, 2 * precision * recall / np.where(both == 0, 1.0, both))))


def a_call(rng: random.Random, task: str, space: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, target, and the target laid out as the logits; empty, full and thin masks among them."""
    torch.manual_seed(rng.randrange(2**32))
    shape = (rng.randint(1, 2), 1 if task == "binary" else 3, *space)
    z = (torch.randn(shape) * rng.choice([0.5, 2, 30])).double()
    if task == "multiclass":
        index = torch.randint(0, 3, (shape[0], *space)).clamp_max(rng.choice([0, 1, 2]))
        return z, index, torch.nn.functional.one_hot(index, 3).movedim(-1, 1).double()
    y = (torch.rand(shape) < rng.choice([0, 0.3, 0.8, 1])).double()
    return z, y, y


def test_cldice(value: Any) -> None:
    pytest.importorskip("scipy", reason="scipy is not installed")
    choices = {"iterations": [0, 1, 3, 5], "smooth": [1, 0, 1e-3], "per": ["image", "batch"],
               "average": ["macro", "micro"], "include_background": ["true", "false"]}  # fmt: skip
    for seed in range(CONFIGURATIONS):
        rng = random.Random(seed)
        task = rng.choice(["binary", "multilabel", "multiclass"])
        chosen = {key: rng.choice(options) for key, options in choices.items()}
        if task == "binary":
            del chosen["average"], chosen["include_background"]
        z, target, y = a_call(rng, task, tuple(rng.randint(1, 7) for _ in range(rng.randint(1, 3))))
        text = f"cldice({', '.join(f'{key}={option}' for key, option in chosen.items())})"
        for dtype, (rel, margin) in {torch.float64: (1e-7, 1e-12), torch.float32: (1e-5, 1e-6)}.items():
            pred = z.to(dtype)
            p = pred.double().softmax(1) if task == "multiclass" else pred.double().sigmoid()
            expected = cldice(p.numpy(), y.numpy(), **chosen)
            truth = target if task == "multiclass" else target.to(dtype)
            result = value(text, pred, truth, task=task).item()
            assert result == pytest.approx(expected, rel=rel, abs=margin), f"{text} {task} {tuple(z.shape)} {dtype}"


@pytest.fixture(scope="module")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.losses", reason="MONAI is not installed")


def test_monai(monai: Any, value_and_gradient: Any) -> None:
    """MONAI pools the channels; the third of its smoothings, which ours has not, is made too small to see."""
    for seed, alpha in itertools.product(range(15), (None, 0.0, 0.3, 1.0)):
        rng = random.Random(seed)
        task = rng.choice(["binary", "multilabel", "multiclass"])
        z, target, y = a_call(rng, task, (6, 7, 5)[: rng.choice([2, 3])])
        z = 3 * z / z.abs().max()  # where probabilities are rounded to 1 they tie, and share the slope out differently
        options = {"softmax": task == "multiclass", "sigmoid": task != "multiclass", "smooth": 1e-30, "iter_": seed % 4,
                   "include_background": task == "binary" or seed % 2 == 0}  # fmt: skip
        background = "" if task == "binary" else f", include_background={str(options['include_background']).lower()}"
        micro = "" if task == "binary" else ", average=micro"
        text = f"cldice(iterations={seed % 4}{background}{micro})"
        if alpha is None:
            theirs = monai.SoftclDiceLoss(**options)
        else:
            theirs = monai.SoftDiceclDiceLoss(alpha=alpha, **options)
            text = f"{1 - alpha}*dice(smooth=1{background}) + {alpha}*{text}"
        leaf = z.clone().requires_grad_()
        expected = theirs(leaf, y)
        (slope,) = torch.autograd.grad(expected, leaf)
        ours = value_and_gradient(text, z, target, task=task)
        torch.testing.assert_close(ours, (expected.detach().reshape(()), slope), rtol=1e-7, atol=1e-10)


def test_class_weight(value: Any) -> None:
    """In the mean over classes, and within the sums of what is pooled."""
    z, y, _ = a_call(random.Random(4), "multilabel", (6, 5))
    each = [value("cldice", z[:, [c]], y[:, [c]], task="binary") for c in range(3)]
    options = {"task": "multilabel", "class_weight": (0.5, 1.0, 3.0)}
    torch.testing.assert_close(value("cldice", z, y, **options), (0.5 * each[0] + each[1] + 3 * each[2]) / 4.5)
    alone = {**options, "class_weight": (0.0, 0.0, 1.0)}
    torch.testing.assert_close(value("cldice(average=micro)", z, y, **alone), each[2])


def test_iterations_are_fixed() -> None:
    with pytest.raises(
        lossdsl.LossError, match="`soft_skeleton` must be a whole number that is the same in every call"
    ):
        lossdsl.compile("cldice(iterations=epoch)", task="binary")


def test_a_line_is_its_own_skeleton(value: Any) -> None:
    """A broken line loses more than a line that is too thick."""
    line = torch.zeros(1, 1, 9, 15, dtype=torch.float64)
    line[0, 0, 4] = 1
    broken, thick = line.clone(), line.clone()
    broken[0, 0, 4, 5:10] = 0
    thick[0, 0, 3:6] = 1
    values = [value("cldice", x, line, task="binary", input="probs").item() for x in (line, thick, broken)]
    assert values[0] == 0
    assert values[1] < values[2]
