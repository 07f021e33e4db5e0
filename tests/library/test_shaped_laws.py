"""Laws of tests/testing in two and three dimensions, for losses that look at neighbours, boxes or embeddings."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch.autograd import gradcheck

import lossdsl
from lossdsl.registry.discover import default_registry

OUTCOMES = ("binary", "multilabel")
LABELS = (*OUTCOMES, "multiclass", "soft")
RAW = ("regression",)
DISTANCES = [[0, 1, 1], [0.9, 0, 0.5], [1, 0.3, 0]]
IMAGES = ((5, 6), (7,), (3, 4, 3))


class Case(NamedTuple):
    """Formulas of a loss, its tasks, what follows (N, C), and whether values are in [0, 1]."""

    texts: tuple[str, ...]
    tasks: tuple[str, ...]
    spaces: tuple[tuple[int, ...], ...] = IMAGES
    bounded: bool = False


CASES: dict[str, Case] = {
    "ssim": Case(("ssim(size=3)", "ssim(size=3, sigma=0.7, data_range=2, k2=0.1)"), RAW, bounded=True),
    "ms_ssim": Case(("ms_ssim(size=3, weights=[0.4, 0.6])", "ms_ssim(size=1)"), RAW, ((7, 6), (17,)), bounded=True),
    "total_variation": Case(("total_variation", "total_variation(tanh(pred))"), RAW),
    "total_variation ": Case(("total_variation(p)",), LABELS),
    "context_attention": Case(
        ("context_attention(size=3)", "context_attention(strength=1, size=5, smooth=0)"), OUTCOMES
    ),
    "cldice": Case(("cldice", "cldice(iterations=1, smooth=0, per=batch)"), LABELS),
    "cldice ": Case(("cldice(average=micro, smooth=0)", "cldice(include_background=false)"), LABELS[1:]),
    "soft_skeleton": Case(("soft_skeleton(p)", "soft_skeleton(p, iterations=0)"), LABELS),
    "wasserstein_dice": Case(
        (f"wasserstein_dice(distances={DISTANCES})", f"wasserstein_dice(distances={DISTANCES}, smooth=0, per=batch)"),
        LABELS[2:],
    ),
    "class_distance": Case((f"class_distance(distances={DISTANCES})",), LABELS[2:]),
    "giou": Case(("giou",), RAW, ((),)),
    "nt_xent": Case(("nt_xent", "nt_xent(temperature=0.05)"), RAW, ((),)),
    "barlow_twins": Case(("barlow_twins", "barlow_twins(redundancy=0.4)"), RAW, ((),)),
    "tempered_softmax": Case(("tempered_softmax(z)", "tempered_softmax(z, temperature=4)"), LABELS[2:]),
    "tempered_sigmoid": Case(("tempered_sigmoid(z)", "tempered_sigmoid(z, temperature=1.001)"), OUTCOMES),
}
RANGES = {loss.name: loss.range for loss in default_registry().built_ins()}
ROWS = [
    (text, task, case.spaces[(index + place) % len(case.spaces)], case.bounded)
    for case in CASES.values()
    for index, text in enumerate(case.texts)
    for place, task in enumerate(case.tasks)
]
EACH = pytest.mark.parametrize(
    ("text", "task", "space", "bounded"), ROWS, ids=["-".join((row[0], row[1], str(row[2]))) for row in ROWS]
)


def name_of(text: str) -> str:
    return text.partition("(")[0]


def classes_of(text: str, task: str) -> int:
    return 1 if task == "binary" else 4 if name_of(text) == "giou" else 3


def kind(task: str) -> str:
    return "multiclass" if task == "soft" else task


def a_call(text: str, task: str, space: tuple[int, ...], seed: int, bounded: bool) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    z = torch.randn(4, classes_of(text, task), *space, dtype=torch.float64)
    z = z.sigmoid() if bounded else z
    match task:
        case "multiclass":
            return z, torch.randint(0, 3, (4, *space))
        case "soft":
            return z, torch.randn_like(z).softmax(1)
        case "regression":
            other = torch.randn_like(z)
            return z, (0.7 * z + 0.3 * other.sigmoid() if bounded else z + other)
    return z, (torch.rand(z.shape) < 0.5).double()


def inputs(task: str, z: Tensor) -> dict[str, Tensor]:
    if task == "regression":
        return {"logits": z}
    return {"logits": z, "probs": z.softmax(1) if kind(task) == "multiclass" else z.sigmoid()}


@pytest.mark.sampled(3)
@EACH
def test_gradient(text: str, task: str, space: tuple[int, ...], bounded: bool) -> None:
    z, target = a_call(text, task, space, 3, bounded)
    mask = torch.rand(4, *space) < 0.8
    for given, pred in inputs(task, z).items():
        loss = lossdsl.compile(text, task=kind(task), input=given)
        for call in ({}, {"mask": mask}):
            assert gradcheck(
                lambda x, f=loss, c=call: f(x, target, **c), (pred.detach().requires_grad_(),), fast_mode=True
            )


def adversarial(
    text: str, task: str, space: tuple[int, ...], bounded: bool, dtype: torch.dtype
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Constant, saturated, equal and random predictions, for empty, full, one-pixel and random targets."""
    special = torch.tensor([0.0, 1e-8, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4], dtype=dtype)
    for seed in range(10):
        rng = random.Random(seed)
        pred, target = a_call(text, task, space, seed, bounded)
        pred, target = pred.to(dtype), target if task == "multiclass" else target.to(dtype)
        if not bounded:
            spiked = special[torch.randint(len(special), pred.shape)]
            pred = torch.where(torch.rand(pred.shape) < rng.choice([0.0, 0.5, 1.0]), spiked, pred)
        if seed % 3 == 0:
            pred = torch.full_like(pred, rng.choice(special.tolist()) if not bounded else seed / 9)
        if task in OUTCOMES and seed % 2:
            target = torch.full_like(target, seed % 4 // 2)
            target[0].view(-1)[0] = 1
        if task == "regression" and seed % 4 == 0:
            target = pred.clone()
        size = 1 if seed == 9 else 4
        for given, values in inputs(task, pred).items():
            yield given, values[:size].clone(), target[:size].clone()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@EACH
def test_range_and_finite(
    text: str, task: str, space: tuple[int, ...], bounded: bool, dtype: torch.dtype, value_and_gradient: Any
) -> None:
    low, high = RANGES[name_of(text)].low, RANGES[name_of(text)].high
    # SSIM subtracts squares of means from means of squares, and divides by constants of 1e-4
    eps = torch.finfo(dtype).eps * (1e4 if bounded else 16)
    for given, pred, target in adversarial(text, task, space, bounded, dtype):
        result, gradient = value_and_gradient(text, pred, target, task=kind(task), input=given)
        told = f"{text} {given} {pred.tolist()} {target.tolist()}: {result}"
        assert low - eps * max(1, abs(result)) <= result <= high + eps * max(1, abs(result)), told
        assert gradient.isfinite().all(), told


@EACH
def test_masked_images_are_removed(
    text: str, task: str, space: tuple[int, ...], bounded: bool, value_and_gradient: Any
) -> None:
    """Two of four images go, and what they hold is not a number."""
    z, target = a_call(text, task, space, 5, bounded)
    there = torch.tensor([True, False, True, False])
    mask = there.view(-1, *[1] * len(space)).expand(4, *space)
    for given, pred in inputs(task, z).items():
        options = {"task": kind(task), "input": given}
        expected = value_and_gradient(text, pred[there], target[there], **options)
        hidden = pred.clone()
        hidden[~there] = math.nan
        result, gradient = value_and_gradient(text, hidden, target, call={"mask": mask}, **options)
        torch.testing.assert_close((result, gradient[there]), expected, rtol=1e-9, atol=1e-12)
        assert (gradient[~there] == 0).all()


@EACH
def test_what_is_masked_plays_no_part(
    text: str, task: str, space: tuple[int, ...], bounded: bool, value_and_gradient: Any
) -> None:
    z, target = a_call(text, task, space, 6, bounded)
    mask = torch.rand(4, *space) < 0.6
    spread = mask.unsqueeze(1).expand_as(z)
    options = {"task": kind(task), "call": {"mask": mask}}
    expected = value_and_gradient(text, z, target, **options)
    result, gradient = value_and_gradient(text, z.masked_fill(~spread, math.nan), target, **options)
    torch.testing.assert_close((result, gradient), expected, rtol=0, atol=0)
    assert result.isfinite()
    assert gradient.isfinite().all()
    assert (gradient[~spread] == 0).all()
