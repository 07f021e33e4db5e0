"""The words of the language that came with these losses: for_class, local_mean/min/max, foreground, softmax."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossdsl

SPACES = [(), (7,), (4, 5), (3, 4, 2)]


def same(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-13)


def logits(classes: int, space: tuple[int, ...]) -> Tensor:
    return torch.randn(2, classes, *space, dtype=torch.float64) * 2


BY_CLASS = ["bce", "dice", "dice(per=batch, smooth=0)", "focal", "iou", "recall", "mcc", "mean((p - y)**2)", "sum(z*y)",
            "mcc(per=image)", "dice(empty=skip)", "dice(average=micro)", "topk_ce(share=0.3)", "lovasz", "balanced_bce",
            "bce + 0.5*dice", "max(p) - min(z)", "mean(sum(p, over=class)**2)", "combo"]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("text", BY_CLASS)
def test_for_class_is_the_loss_of_these_channels(text: str, space: tuple[int, ...], value_and_gradient: Any) -> None:
    """Outcomes that do not depend on each other: as if the other channels were not there."""
    for chosen, weight in itertools.product(([1], [0, 2]), (None, (0.5, 1.0, 3.0, 2.0))):
        z = logits(4, space)
        y = (torch.rand(z.shape) < 0.4).double()
        options = {"task": "multilabel", "class_weight": weight}
        result, gradient = value_and_gradient(f"for_class({text}, {chosen})", z, y, **options)
        options["class_weight"] = weight and tuple(weight[c] for c in chosen)
        expected, slope = value_and_gradient(text, z[:, chosen], y[:, chosen], **options)
        same((result, gradient[:, chosen]), (expected, slope))
        assert (gradient[:, [c for c in range(4) if c not in chosen]] == 0).all()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("text", ["dice", "iou(per=batch)", "mean((p - y)**2)"])
def test_for_class_of_a_softmax(text: str, soft: bool, value_and_gradient: Any) -> None:
    """The mean over some classes of what the loss is for each."""
    z, index = logits(4, (6,)).requires_grad_(), torch.randint(0, 4, (2, 6))
    p, y = z.softmax(1), functional.one_hot(index, 4).movedim(-1, 1).double()
    axes = 2 if text == "dice" else (0, 2)
    both, size = (p * y).sum(axes), (p + y).sum(axes)
    each = {
        "dice": 1 - (2 * both + 1) / (size + 1),
        "iou(per=batch)": 1 - (both + 1) / (size - both + 1),
        "mean((p - y)**2)": ((p - y) ** 2).mean((0, 2)),
    }[text]
    expected = each[..., [1, 3]].mean()
    (slope,) = torch.autograd.grad(expected, z)
    result = value_and_gradient(f"for_class({text}, [1, 3])", z, y if soft else index, task="multiclass")
    same(result, (expected.detach(), slope))


@pytest.mark.parametrize("text", ["ce", "dice", "unified_focal", "focal", "frequency_ce", "kl", "js", "exp_log",
                                  "generalized_dice", "lovasz", "ce + dice", "topk_ce"])  # fmt: skip
def test_for_class_of_all(text: str, value_and_gradient: Any) -> None:
    z, index = logits(3, (6,)), torch.randint(0, 3, (2, 6))
    every = value_and_gradient(f"for_class({text}, [0, 1, 2])", z, index, task="multiclass")
    same(every, value_and_gradient(text, z, index, task="multiclass"))


@pytest.mark.parametrize("soft", [False, True])
def test_for_class_of_ce_is_that_of_their_pixels(soft: bool, value_and_gradient: Any) -> None:
    """ce weighs a pixel by its label: those of other classes have no weight."""
    z, index = logits(4, (9,)), torch.arange(18).reshape(2, 9) % 4
    target = functional.one_hot(index, 4).movedim(-1, 1).double() if soft else index
    ours = value_and_gradient("for_class(ce, [1, 3])", z, target, task="multiclass")
    mask = (index == 1) | (index == 3)
    same(ours, value_and_gradient("ce", z, target, task="multiclass", call={"mask": mask}))


def test_for_class_inside_for_class_and_beside_another(value: Any) -> None:
    z = logits(4, (5,))
    y = (torch.rand(z.shape) < 0.4).double()

    def of(text: str) -> Tensor:
        return value(text, z, y, task="multilabel")

    assert of("for_class(for_class(dice, [1, 2]), [2, 3])") == of("for_class(dice, [2])")
    separately = of("for_class(dice, [1])") + 2 * of("for_class(dice, 3)") + of("dice")
    torch.testing.assert_close(of("for_class(dice, [1]) + 2*for_class(dice, [3]) + dice"), separately)
    torch.testing.assert_close(of("d = dice; for_class(d, [1])"), of("for_class(dice, [1])"))
    masked = (torch.rand(2, 5) < 0.6).double()
    result = value("for_class(bce + dice, [0, 3])", z, y, task="multilabel", call={"mask": masked})
    torch.testing.assert_close(
        result, value("bce + dice", z[:, [0, 3]], y[:, [0, 3]], task="multilabel", call={"mask": masked})
    )


NUMBERS = {
    "classes": lambda count: count,
    "1/classes": lambda count: 1 / count,
    "2**-classes": lambda count: 2.0**-count,
    "log(classes)": math.log,
    "max(1/classes, 0.3)": lambda count: max(1 / count, 0.3),
    "where(classes > 2, 1, 2)": lambda count: 1 if count > 2 else 2,
    "where(classes > 3, log(classes), classes**0.5)": lambda count: math.log(count) if count > 3 else math.sqrt(count),
}


@pytest.mark.parametrize("text", NUMBERS)
def test_the_number_of_classes_is_a_number(text: str, value: Any) -> None:
    for count in (2, 4):
        z, index = logits(count, (6,)), torch.randint(0, count, (2, 6))
        expected = NUMBERS[text](count) * functional.cross_entropy(z, index)
        torch.testing.assert_close(value(f"({text})*ce", z, index), expected)


def window(image: np.ndarray, counts: np.ndarray, size: int, function: Any) -> np.ndarray:
    """What `function` makes of the pixels that count in the window around each pixel."""
    result = np.zeros_like(image)
    for place in np.ndindex(*image.shape):
        around = tuple(slice(max(0, i - size // 2), i + size // 2 + 1) for i in place)
        inside = image[around][counts[around]]
        result[place] = function(inside) if inside.size else 0
    return result


NEIGHBOURS = {"local_mean": np.mean, "local_max": np.max, "local_min": np.min}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("space", SPACES[1:], ids=str)
@pytest.mark.parametrize("word", list(NEIGHBOURS))
@pytest.mark.parametrize("size", [1, 3, 5])
def test_neighbourhood(word: str, size: int, space: tuple[int, ...], masked: bool, value: Any) -> None:
    """Each window by hand: pixels outside of the image and masked ones do not count."""
    z = logits(2, space)
    y, w = (torch.rand(z.shape) < 0.4).double(), torch.rand(z.shape, dtype=torch.float64)
    mask = torch.rand(2, *space) < 0.5 if masked else torch.ones(2, *space, dtype=torch.bool)
    mask.view(-1)[0] = True
    expected = 0.0
    for n, c in np.ndindex(2, 2):
        counts = mask[n].numpy()
        local = window(z[n, c].numpy(), counts, size, NEIGHBOURS[word])
        expected += float((local * w[n, c].numpy())[counts].sum())
    call = {"w": w} | ({"mask": mask} if masked else {})
    result = value(f"sum(w*{word}(z, size={size}))", z, y, task="multilabel", call=call)
    assert result.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("space", SPACES[1:], ids=str)
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("outside", ["", ", outside=0", ", outside=-2.5"])
def test_gaussian_neighbourhood(size: int, outside: str, space: tuple[int, ...], value: Any) -> None:
    """Weights exp(-d**2/(2*sigma**2)) of what counts, or of all, where the rest holds a number."""
    z, sigma = logits(1, space), 0.8
    y, mask = (z > 0).double(), torch.rand(2, *space) < 0.6
    mask.view(-1)[0] = True
    held = float(outside.partition("=")[2] or "nan")
    expected = 0.0
    for n in range(2):
        image = np.where(mask[n].numpy(), z[n, 0].numpy(), held)
        image = np.pad(image, size // 2, constant_values=held)
        offsets = sum(o**2 for o in np.meshgrid(*[np.arange(size) - size // 2] * len(space), indexing="ij"))
        for place in np.ndindex(*space):
            around = image[tuple(slice(i, i + size) for i in place)]
            weights = np.exp(-np.asarray(offsets) / (2 * sigma**2)) * ~np.isnan(around)
            if mask[n][place]:
                expected += float((weights * np.nan_to_num(around)).sum() / weights.sum())
    text = f"sum(local_mean(z, size={size}, sigma={sigma}{outside}))"
    result = value(text, z, y, task="binary", call={"mask": mask})
    assert result.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("word", list(NEIGHBOURS))
@pytest.mark.parametrize("number", [0, 0.7, -3])
def test_what_lies_outside(number: float, word: str, masked: bool, value: Any) -> None:
    """As if the image had a margin that holds the number, and the masked pixels held it too."""
    z, mask = logits(2, (5, 6)), torch.rand(2, 5, 6) < (0.6 if masked else 2)
    y = (z > 0).double()
    filled = z.masked_fill(~mask.unsqueeze(1), number)
    wide = functional.pad(filled, (2, 2, 2, 2), value=number)
    windows = wide.unfold(2, 5, 1).unfold(3, 5, 1).flatten(4)
    local = {"local_mean": windows.mean(-1), "local_max": windows.amax(-1), "local_min": windows.amin(-1)}[word]
    text = f"sum(y*{word}(z, size=5, outside={number}))"
    result = value(text, z, y, task="multilabel", call={"mask": mask})
    assert result.item() == pytest.approx((local * y * mask.unsqueeze(1)).sum().item(), rel=1e-9)


def test_windows_that_lie_inside(value: Any) -> None:
    """A number with outside= is an image of that number: its least value marks the windows that are whole."""
    z, mask = logits(2, (6, 7)), torch.ones(2, 6, 7, dtype=torch.bool)
    y = (z > 0).double()
    text = "sum(y*local_min(1, size=3, outside=0))"
    assert value(text, z, y, task="multilabel").item() == y[..., 1:-1, 1:-1].sum()
    mask[1, 1, 1] = False
    inside = torch.ones(2, 1, 6, 7)
    inside[:, :, [0, -1]] = inside[..., [0, -1]] = 0
    inside[1, :, 1:3, 1:3] = 0
    assert value(text, z, y, task="multilabel", call={"mask": mask}).item() == (inside * y).sum()


@pytest.mark.parametrize(("text", "code", "told"), [
    ("mean(local_max(p, size=3, sigma=1))", "LD203", "`local_max` has no parameter `sigma`"),
    ("mean(local_mean(p, size=3, sigm=1))", "LD203", "`local_mean` has no parameter `sigm`"),
    ("mean(local_mean(p, sigma=1))", "LD202", "`local_mean` takes one value and size="),
    ("mean(local_mean(p, size=3, sigma=0))", "LD204", "`sigma` of `local_mean` must be a number of pixels above 0"),
    ("mean(local_mean(p, size=3, sigma=epoch))", "LD204", "`sigma` of `local_mean` must be a number of pixels above 0"),
    ("mean(local_mean(p, size=3, outside=epoch))", "LD204", "`outside` of `local_mean` must be a number"),
    ("mean(local_mean(p, size=3, outside=inf))", "LD205", "`inf` cannot be used in arithmetic"),
    ("mean(local_mean(2, size=3))", "LD302", "`local_mean` of a value without the axis pixel"),
])  # fmt: skip
def test_words_of_a_neighbourhood_are_checked(text: str, code: str, told: str) -> None:
    (found,) = lossdsl.check(text, task="binary").diagnostics
    assert found.code == code
    assert told in found.message


UNDER_A_MASK = ["{}(p, size=3)", "abs({}(y, size=3) - y)*p", "exp({}(z, size=3))", "{}(z, size=3)**3",
                "log({}(p, size=3))", "log({}(p, size=3, outside=0))",
                "{}(local_max(p, size=3), size=3)*z", "1/{}(p, size=5)"]  # fmt: skip


@pytest.mark.parametrize("formula", UNDER_A_MASK)
@pytest.mark.parametrize("word", list(NEIGHBOURS))
def test_neighbourhood_under_a_mask(word: str, formula: str, value_and_gradient: Any) -> None:
    """What masked pixels hold changes nothing, and windows in which nothing counts spoil no gradient."""
    z, y, mask = logits(2, (9, 9)), (torch.rand(2, 2, 9, 9) < 0.4).double(), torch.rand(2, 9, 9) < 0.1
    mask[0], mask[1, 0, 0] = False, True
    text = f"mean({formula.format(word)})"
    ours = value_and_gradient(text, z, y, task="multilabel", call={"mask": mask})
    hidden = z.masked_fill(~mask.unsqueeze(1), float("nan"))
    same(value_and_gradient(text, hidden, y, task="multilabel", call={"mask": mask}), ours)
    assert ours[0].isfinite()
    assert ours[1].isfinite().all()
    assert (ours[1].masked_select(~mask.unsqueeze(1)) == 0).all()
    for dtype in (torch.float32, torch.float16):
        leaf = z.to(dtype).requires_grad_()
        result = value_and_gradient(text, leaf, y.to(dtype), task="multilabel", call={"mask": mask})
        assert result[1].isfinite().all()


@pytest.mark.parametrize("word", list(NEIGHBOURS))
def test_gradient_of_neighbourhood(word: str, value: Any) -> None:
    z, mask = logits(2, (3, 4)).requires_grad_(), torch.rand(2, 3, 4) < 0.7
    y = (torch.rand(z.shape) < 0.4).double()
    for call in ({}, {"mask": mask}):
        assert torch.autograd.gradcheck(
            lambda x, c=call: value(f"mean({word}(p, size=3)**2*(1 + y))", x, y, task="multilabel", call=c), (z,)
        )


def test_foreground(value: Any) -> None:
    z, index = logits(3, (5,)), torch.randint(0, 3, (2, 5))
    p = z.softmax(1)
    result = value("sum(foreground*p)", z, index, task="multiclass")
    assert result.item() == pytest.approx(p[:, 1:].sum().item())
    result = value("mean(bce(reduction=none), count=foreground)", z, (p > 0.4).double(), task="multilabel")
    each = functional.binary_cross_entropy_with_logits(z, (p > 0.4).double(), reduction="none")
    assert result.item() == pytest.approx(each.sum().item() / each[:, 1:].numel())


def test_numbers_divided_by_the_number_of_classes(value: Any) -> None:
    z, index = logits(4, (5,)), torch.randint(0, 4, (2, 5))
    assert value("(0.5/classes)*ce", z, index, task="multiclass") == value("0.125*ce", z, index, task="multiclass")


def test_softmax(value_and_gradient: Any) -> None:
    """Distillation, Hinton et al. 2015: the cross-entropy of softened teacher and student."""
    z, teacher, index = logits(3, (5,)), logits(3, (5,)), torch.randint(0, 3, (2, 5))
    leaf = z.clone().requires_grad_()
    expected = -((teacher / 4).softmax(1) * (leaf / 4).log_softmax(1)).sum(1).mean() * 16
    (slope,) = torch.autograd.grad(expected, leaf)
    text = "16*mean(-sum(softmax(teacher/4)*log(softmax(z/4)), over=class))"
    same(value_and_gradient(text, z, index, task="multiclass", call={"teacher": teacher}), (expected.detach(), slope))
