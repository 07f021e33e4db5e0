"""Compositions are finite at every edge, and so are their gradients: saturated logits, probabilities 0 and 1, empty and
full targets, and nothing that counts. tests/testing does it for every built-in; test_operations.py has what the
operations are inside their domain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
LOGITS = (0.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4)
PROBS = (0.0, 1e-8, 1 - 1e-8, 1.0)
OUTCOMES = ("binary", "multilabel")
INPUTS = ("logits", "probs")
COMPOSITIONS = (
    "-log(1 - dice(smooth=0))", "-log(1 - dice)",
    "mean(-log(1 - dice(smooth=0, reduction=none)))", "log(dice(smooth=0))",
    "sqrt(mean((p - y)**2))", "mean(sqrt(abs(p - y)))", "(1 - dice_coef(smooth=0))**0.3", "(1 - iou_coef)**1.5",
    "1/dice", "1/dice(smooth=0)", "1/dice_coef(smooth=0)", "dice(smooth=0)**-0.5", "sqrt(sqrt(iou(smooth=0)))",
    "dice(smooth=0)/iou(smooth=0)", "mean(p**0.1)", "mean((1 - p)**0.1*log(p))", "mean(y*log(y/p))", "mean(1/p)",
    "mean(p/(1 - p))", "mean(log(p/(1 - p)))", "mean(p**p)", "mean(y*(log(y) - log(p)))", "max(p)*min(p)",
    "topk(-log(p), share=0.1)", "mean(sum(p*y, over=pixel)/sum(y, over=pixel))", "mean(tanh(z)*sigmoid(z)*softplus(z))",
    "mean(logcosh(z))", "log(mean(relu(z)))", "mean(abs(z)**0.7)", "mean(where(p > 0.5, log(p), log(1 - p)))",
    "mean(clamp(log(p), min=-10))", "mean(max(p, y))**0.3", "exp(-mean(z**2))", "mean((p - 0.5)**1.5)",
    "tversky(smooth=0, fp_weight=0, fn_weight=0)",
)  # fmt: skip
WITH_BCE = ("log(bce)", "bce/dice(smooth=0)", "dice(smooth=0)/bce", "bce**0.2", "1/(1 - exp(-bce))",
            "log(1 - exp(-bce))", "s = learn(0); dice(smooth=0)**s + bce",
            "s = learn(-0.5); dice(smooth=0)**s", "tanh(bce)")  # fmt: skip
WITH_CE = ("log(ce)", "ce**0.2", "1/ce", "log(1 - exp(-ce))", "mean(-log(1 - p))", "mean(sum(y*p, over=class)**0.5)",
           "mean(sum(p*log(p), over=class))", "mean(-sum(y*(1 - p)**0.05*log(p), over=class))")  # fmt: skip

ROWS = [(text, task) for text in COMPOSITIONS for task in ("multilabel", "multiclass")]
ROWS += [(text, task) for text in WITH_BCE for task in OUTCOMES] + [(text, "multiclass") for text in WITH_CE]


def predictions(task: str, given: str, dtype: torch.dtype) -> Iterator[Tensor]:
    """Constant maps, one class alone at a value, and all values side by side, for one image and two."""
    numbers = LOGITS if given == "logits" else PROBS
    classes = 1 if task == "binary" else 3
    for number in numbers:
        yield torch.full((1, classes, 4), number, dtype=dtype)
        if classes > 1:
            rest = 0.0 if given == "logits" else (1 - number) / 2
            alone = torch.full((2, classes, 4), rest, dtype=dtype)
            alone[:, 0] = number
            yield alone
    mixed = torch.tensor(numbers, dtype=dtype)
    yield mixed.expand(2, classes, -1).clone()
    yield torch.stack([mixed.roll(shift) for shift in range(classes)]).unsqueeze(0)


def targets(task: str, pred: Tensor) -> Iterator[Tensor]:
    """Nothing, everything, one pixel."""
    if task == "multiclass":
        index = torch.zeros(pred.shape[0], pred.shape[2], dtype=torch.long)
        yield index
        yield index + 2
        yield index.index_fill(1, torch.tensor([1]), 1)
        return
    for fill in (0.0, 1.0):
        yield torch.full_like(pred, fill)
    one = torch.zeros_like(pred)
    one[0, 0, 1] = 1
    yield one


@pytest.mark.sampled(4)
@DTYPES
@pytest.mark.parametrize(("text", "task"), ROWS, ids=["-".join(row) for row in ROWS])
def test_finite(text: str, task: str, dtype: torch.dtype, value_and_gradient: Any) -> None:
    wrong = []
    for given in INPUTS:
        for pred in predictions(task, given, dtype):
            for target in targets(task, pred):
                result, gradient = value_and_gradient(text, pred, target, task=task, input=given)
                if not (result.isfinite() and gradient.isfinite().all()):
                    wrong.append(f"{given} {pred.tolist()} {target.tolist()}: {result}, {gradient.tolist()}")
    assert not wrong, "\n".join(wrong[:5])


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("text", "task"), ROWS, ids=["-".join(row) for row in ROWS])
def test_nothing_counts(text: str, task: str, value: Any) -> None:
    """All masked, all ignored and an empty batch: exactly 0 with a gradient of exactly 0, whatever is held."""
    classes = 1 if task == "binary" else 3
    tensors = [(0.3, 2, torch.float32), (float("nan"), 2, torch.float64), (float("inf"), 1, torch.float32)]
    tensors += [(0.3, 0, torch.float64)]
    for ignoring, given in itertools.product((False, True), INPUTS):
        for held, batch, dtype in tensors:
            pred = torch.full((batch, classes, 4), held, dtype=dtype).requires_grad_()
            shape = (batch, 4) if task == "multiclass" else pred.shape
            target = torch.full(shape, 255 if ignoring else 1, dtype=torch.long if task == "multiclass" else dtype)
            call = {} if ignoring else {"mask": torch.zeros(batch, 4)}
            options: dict[str, Any] = {"ignore_index": 255} if ignoring else {}
            result = value(text, pred, target, task=task, input=given, call=call, **options)
            (gradient,) = torch.autograd.grad(result, pred)
            assert result.item() == 0
            assert gradient.shape == pred.shape
            assert (gradient == 0).all()


@DTYPES
@pytest.mark.parametrize("name", ["dice", "iou", "tversky", "focal_tversky"])
def test_one_empty_image_among_others(name: str, dtype: torch.dtype, value_and_gradient: Any) -> None:
    """An image that is masked out entirely is as if it were not there, with a smooth of 0 too."""
    torch.manual_seed(0)
    z, y = torch.randn(3, 2, 6, dtype=dtype), (torch.rand(3, 2, 6) < 0.5).to(dtype)
    mask = torch.tensor([1, 0, 1]).reshape(3, 1).expand(3, 6)
    result, gradient = value_and_gradient(f"{name}(smooth=0)", z, y, task="multilabel", call={"mask": mask})
    expected, part = value_and_gradient(f"{name}(smooth=0)", z[[0, 2]], y[[0, 2]], task="multilabel")
    torch.testing.assert_close((result, gradient[[0, 2]]), (expected, part))
    assert (gradient[1] == 0).all()


@DTYPES
@pytest.mark.parametrize("gamma", [0.01, 0.1, 0.5, 0.9, 1])
def test_confident_and_right_pulls_at_nothing(gamma: float, dtype: torch.dtype, value_and_gradient: Any) -> None:
    """No steep power at 1 - p = 0 leaks into the gradient: it falls as the logit of the truth rises."""
    rising = torch.arange(5, 120, 0.25, dtype=dtype)
    bound = 10 * torch.exp(-rising) + 1e-6
    text = f"focal(gamma={gamma}, reduction=sum)"
    z = torch.stack([rising, torch.zeros_like(rising), torch.ones_like(rising)], 1)
    _, gradient = value_and_gradient(text, z, torch.zeros(len(z), dtype=torch.long), task="multiclass")
    assert (gradient.abs().amax(1) < bound).all()
    _, gradient = value_and_gradient(text, rising, torch.ones_like(rising), task="binary")
    assert (gradient.abs() < bound).all()


@DTYPES
def test_probability_of_the_truth_is_zero(dtype: torch.dtype, value_and_gradient: Any) -> None:
    """With input="probs" the logarithm of 0 is that of the smallest normal number; the slope points the right way."""
    lowest = -torch.tensor(torch.finfo(dtype).tiny, dtype=dtype).log().item()
    for p, y in ((0.0, 1.0), (1.0, 0.0)):
        pred, target = torch.full((1, 1, 1), p, dtype=dtype), torch.full((1, 1, 1), y, dtype=dtype)
        result, gradient = value_and_gradient("bce", pred, target, task="binary", input="probs")
        assert result.item() == pytest.approx(lowest, rel=1e-6)
        assert gradient.sign().item() == (1 if p else -1)
