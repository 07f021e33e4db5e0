"""The Lovasz losses against the set function of Berman et al. 2018, written with sets and without cumulative sums."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch

Array = Any


def jaccard_of_errors(wrong: set[int], truth: Array) -> float:
    """Equation 6 of the paper: |M| / |{y = c} united with M|, for the set M of mispredicted pixels."""
    united = {int(pixel) for pixel in np.flatnonzero(truth)} | wrong
    return len(wrong) / len(united) if united else 0.0


def extension(errors: Array, truth: Array) -> float:
    """Equations 7 to 9: the errors, downwards, times what each adds to the Jaccard loss."""
    wrong: set[int] = set()
    total, before = 0.0, 0.0
    for pixel in sorted(range(len(errors)), key=lambda index: -errors[index]):
        wrong.add(pixel)
        after = jaccard_of_errors(wrong, truth)
        total += errors[pixel] * (after - before)
        before = after
    return total


def lovasz_hinge(z: Array, y: Array) -> float:
    """Section 3.1: of the hinge losses max(0, 1 - z*sign), for the foreground class."""
    return extension(np.maximum(0, 1 - z * (2 * y - 1)), y)


def lovasz_softmax(p: Array, y: Array, classes: str, weight: Array) -> float:
    """Section 3.2, equation 12, p as (classes, pixels) and y as indices: the mean over classes, or over those in y."""
    chosen = [c for c in range(len(p)) if classes == "all" or (y == c).any()]
    losses = [extension(np.where(y == c, 1 - p[c], p[c]), y == c) for c in chosen]
    return float(np.average(losses, weights=weight[chosen]))


def call_of(rng: random.Random, task: str) -> tuple[torch.Tensor, torch.Tensor]:
    space = tuple(rng.randint(1, 4) for _ in range(rng.randint(0, 3)))
    batch = rng.randint(1, 3)
    if task == "multiclass":
        classes = rng.randint(2, 5)
        z = torch.randn(batch, classes, *space, dtype=torch.float64) * 2
        return z, torch.randint(0, classes, (batch, *space))
    shape = (batch, 1 if task == "binary" else 3, *space)
    return torch.randn(shape, dtype=torch.float64) * 2, (torch.rand(shape) < rng.choice([0, 0.3, 0.7, 1])).double()


def expected_hinge(z: torch.Tensor, y: torch.Tensor, counts: Array, per: str) -> float:
    """`counts` (images, pixels): the pixels that are there. Images without any are left out."""
    scores, truth = (tensor.reshape(*tensor.shape[:2], -1).numpy() for tensor in (z, y))
    if per == "batch":
        return float(np.mean([lovasz_hinge(scores[:, c][counts], truth[:, c][counts]) for c in range(z.shape[1])]))
    rows = [
        lovasz_hinge(scores[b, c][counts[b]], truth[b, c][counts[b]])
        for b, c in itertools.product(range(z.shape[0]), range(z.shape[1]))
        if counts[b].any()
    ]
    return float(np.mean(rows)) if rows else 0.0


def expected_softmax(z: torch.Tensor, y: torch.Tensor, counts: Array, per: str, classes: str, weight: Array) -> float:
    p = z.softmax(1).reshape(*z.shape[:2], -1).numpy()
    truth = y.reshape(y.shape[0], -1).numpy()
    if per == "batch":
        pooled = np.stack([p[:, c][counts] for c in range(p.shape[1])])
        return lovasz_softmax(pooled, truth[counts], classes, weight)
    there = [b for b in range(len(p)) if counts[b].any()]
    return float(np.mean([lovasz_softmax(p[b][:, counts[b]], truth[b][counts[b]], classes, weight) for b in there]))


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_hinge(task: str, per: str, masked: bool, seeded: Any, value: Any) -> None:
    for seed in range(25):
        rng = seeded(f"{task} {seed}")
        z, y = call_of(rng, task)
        pixels = (z.shape[0], *z.shape[2:])
        mask = torch.rand(pixels) < rng.choice([0.4, 0.8]) if masked else torch.ones(pixels, dtype=torch.bool)
        mask.view(-1)[0] = True
        call = {"mask": mask} if masked else {}
        result = value(f"lovasz(per={per})", z, y, task=task, call=call).item()
        wanted = expected_hinge(z, y, mask.reshape(len(mask), -1).numpy(), per)
        assert result == pytest.approx(wanted, rel=1e-9, abs=1e-13), f"seed {seed}"


@pytest.mark.parametrize("weighted", [False, True], ids=["", "class_weight"])
@pytest.mark.parametrize("masked", ["all", "mask", "ignore_index"])
@pytest.mark.parametrize("classes", ["present", "all"])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_softmax(per: str, classes: str, masked: str, weighted: bool, seeded: Any, value: Any) -> None:
    for seed in range(15):
        rng = seeded(seed)
        z, y = call_of(rng, "multiclass")
        weight = np.array([rng.choice([0.5, 1.0, 3.0]) for _ in range(z.shape[1])]) if weighted else np.ones(z.shape[1])
        mask = torch.ones_like(y, dtype=torch.bool) if masked == "all" else torch.rand(y.shape) < 0.6
        mask.view(-1)[0] = True
        wanted = expected_softmax(z, y, mask.reshape(len(mask), -1).numpy(), per, classes, weight)
        options: dict[str, Any] = {"class_weight": tuple(weight)} if weighted else {}
        if masked == "ignore_index":
            options, y = options | {"ignore_index": 255}, torch.where(mask, y, 255)
        call = {"mask": mask} if masked == "mask" else {}
        for given, pred in (("logits", z), ("probs", z.softmax(1))):
            text = f"lovasz(per={per}, classes={classes})"
            result = value(text, pred, y, task="multiclass", input=given, call=call, **options).item()
            assert result == pytest.approx(wanted, rel=1e-9, abs=1e-13), f"seed {seed}"


def test_by_hand(value: Any) -> None:
    """Three pixels, the first one an object, with the errors 0.6, 0.5 and 0.1.

    Sorted: 0.6 adds the object to the wrong ones, J = 1/1; 0.5 makes J = 2/2, 0.1 J = 3/3. So the loss is 0.6.
    With errors 0.2, 0.5, 0.1: J = 1/2, then 2/2, then 3/3, so 0.5/2 + 0.2/2 = 0.35.
    """
    y = torch.tensor([[0, 1, 1]])
    for object_error, expected in ((0.6, 0.6), (0.2, 0.35)):
        p = torch.tensor([[1 - object_error, 0.5, 0.1]], dtype=torch.float64)
        both = torch.stack([p, 1 - p], 1)
        only_first = "sum(w*lovasz_extension(abs(y - p), y, reduction=none))"
        weight = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        result = value(only_first, both, y, task="multiclass", input="probs", call={"w": weight})
        assert result.item() == pytest.approx(expected, rel=1e-12)


def test_of_hard_predictions_is_jaccard(value: Any) -> None:
    """On the corners of the cube the extension is the set function: 1 - IoU."""
    torch.manual_seed(0)
    for _ in range(20):
        p, y = (torch.rand(2, 1, 12, dtype=torch.float64) < 0.5).double(), (torch.rand(2, 1, 12) < 0.5).double()
        result = value("mean(lovasz_extension(abs(y - p), y, reduction=none))", p, y, task="binary", input="probs")
        expected = value("iou(smooth=0)", p, y, task="binary", input="probs")
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_masking_is_removal(task: str, per: str, value: Any) -> None:
    """Value and gradient as if the pixels were not there; what they hold, even a NaN, does not matter."""
    for seed in range(10):
        torch.manual_seed(seed)
        z = torch.randn(2, 1 if task == "binary" else 3, 9, dtype=torch.float64)
        y = torch.randint(0, 3, (2, 9)) if task == "multiclass" else (torch.rand(z.shape) < 0.4).double()
        kept = torch.randperm(9)[:5].sort().values
        mask = torch.zeros(9, dtype=torch.bool).index_fill(0, kept, True)
        spoiled = z.masked_fill(~mask, float("nan")).requires_grad_()
        small = z[..., kept].clone().requires_grad_()
        text = f"lovasz(per={per})"
        one = value(text, spoiled, y, task=task, call={"mask": mask})
        other = value(text, small, y[..., kept], task=task)
        assert one.item() == pytest.approx(other.item(), rel=1e-12)
        gradients = torch.autograd.grad(one, spoiled)[0], torch.autograd.grad(other, small)[0]
        torch.testing.assert_close(gradients[0][..., kept], gradients[1])
        assert (gradients[0][..., ~mask] == 0).all()


def test_many_pixels_in_single_precision(value_and_gradient: Any) -> None:
    """A weight is about one in a million; as a difference of two Jaccard losses it would be lost in float32."""
    torch.manual_seed(0)
    z, y = torch.randn(1, 1, 1024, 512), (torch.rand(1, 1, 1024, 512) < 0.3).float()
    single = value_and_gradient("lovasz", z, y, task="binary")
    double = value_and_gradient("lovasz", z.double(), y.double(), task="binary")
    torch.testing.assert_close(single[0].double(), double[0], rtol=1e-5, atol=0)
    error = (single[1].double() - double[1]).norm() / double[1].norm()
    assert error < 1e-5
