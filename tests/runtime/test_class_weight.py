"""class_weight makes every mean over classes a weighted mean, divided by the weights that were used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

import lossdsl

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
WEIGHTS = ([1, 2, 3], [0.1, 0, 2.5], [0, 0, 1], [1, 1, 1], [7, 7, 7])


def weighted(x: Tensor, w: Tensor) -> Tensor:
    """Mean of (N, C, ...) with weights for C."""
    shape = w.view(1, -1, *[1] * (x.ndim - 2)).expand_as(x)
    return (x * shape).sum() / shape.sum()


def soft_dice(p: Tensor, y: Tensor, dims: tuple[int, ...]) -> Tensor:
    return 1 - (2 * (p * y).sum(dims) + 1) / (p.sum(dims) + y.sum(dims) + 1)


def bce_map(z: Tensor, y: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(z, y, reduction="none")


# Multilabel formulas, of logits and labels (N, C, P).
MULTILABEL: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "bce": lambda z, y, w: weighted(bce_map(z, y), w),
    "dice": lambda z, y, w: weighted(soft_dice(z.sigmoid(), y, (2,)), w),
    "dice(per=batch)": lambda z, y, w: weighted(soft_dice(z.sigmoid(), y, (0, 2))[None], w),
    "mean(bce(reduction=none)**2)": lambda z, y, w: weighted(bce_map(z, y) ** 2, w),
    "mean(mean(p, over=class)**2)": lambda z, y, w: ((z.sigmoid() * w.view(1, -1, 1)).sum(1) / w.sum()).pow(2).mean(),
    "mean(mean(mean(p, over=pixel), over=class))": lambda z, y, w: weighted(z.sigmoid().mean(2), w),
    "max(mean(p, over=[batch, pixel]))": lambda z, y, w: z.sigmoid().mean((0, 2)).max(),
    "sum(bce(reduction=none))": lambda z, y, w: bce_map(z, y).sum(),
    "bce(reduction=sum)": lambda z, y, w: bce_map(z, y).sum(),
    "mean(sum(p, over=class))": lambda z, y, w: z.sigmoid().sum(1).mean(),
    "mean(class_weight*p)": lambda z, y, w: weighted(z.sigmoid() * w.view(1, -1, 1), w),
    "l1": lambda z, y, w: weighted((z - y).abs(), w),
    "hinge": lambda z, y, w: weighted((1 - (2 * y - 1) * z).relu(), w),
}


@pytest.mark.parametrize("weight", WEIGHTS, ids=str)
@pytest.mark.parametrize("formula", MULTILABEL)
def test_multilabel(formula: str, weight: list[float], make_batch: Any, run: Any, compile_for: Any) -> None:
    batch = make_batch("multilabel", (3, 4))
    value, gradient = run(compile_for(formula, batch, class_weight=weight), batch)
    pred = batch.pred.clone().requires_grad_()
    w = torch.tensor(weight, dtype=torch.float64)
    wanted = MULTILABEL[formula](pred.flatten(2), batch.target.flatten(2), w)
    assert_close(value, wanted.detach(), **CLOSE)
    assert_close(gradient, torch.autograd.grad(wanted, pred)[0], **CLOSE)


@pytest.mark.parametrize("weight", WEIGHTS, ids=str)
@pytest.mark.parametrize("smoothing", [0, 0.1, 0.9], ids=str)
@pytest.mark.parametrize("ignored", [None, 255, 1], ids=str)
def test_ce_is_that_of_torch(
    weight: list[float], smoothing: float, ignored: int | None, make_batch: Any, run: Any, compile_for: Any
) -> None:
    for spatial in ((), (5,), (3, 4), (2, 2, 3)):
        batch = make_batch("multiclass", spatial, samples=8)
        target = batch.target.clone()
        target[0] = 2
        if ignored is not None:
            target[1] = ignored
        batch = batch.with_(target=target)
        loss = compile_for(f"ce(label_smoothing={smoothing})", batch, class_weight=weight, ignore_index=ignored)
        value, gradient = run(loss, batch)
        pred = batch.pred.clone().requires_grad_()
        wanted = functional.cross_entropy(
            pred,
            target,
            torch.tensor(weight, dtype=torch.float64),
            ignore_index=-100 if ignored is None else ignored,
            label_smoothing=smoothing,
        )
        assert_close(value, wanted.detach(), **CLOSE)
        assert_close(gradient, torch.autograd.grad(wanted, pred)[0], **CLOSE)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("weight", WEIGHTS, ids=str)
@pytest.mark.parametrize("name", ["dice", "iou", "tversky", "focal_tversky", "dice_coef", "iou_coef"])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_regions_of_classes(name: str, per: str, weight: list[float], make_batch: Any, compile_for: Any) -> None:
    """The loss of each class alone, by a weight that is 0 for the others, averaged by hand."""
    batch = make_batch("multiclass", (3, 4))
    formula = f"{name}(per={per})"
    alone = []
    for index in range(3):
        only = [float(index == other) for other in range(3)]
        alone.append(compile_for(formula, batch, class_weight=only)(batch.pred, batch.target))
    w = torch.tensor(weight, dtype=torch.float64)
    wanted = (torch.stack(alone) * w).sum() / w.sum()
    assert_close(compile_for(formula, batch, class_weight=weight)(batch.pred, batch.target), wanted, **CLOSE)


def test_only_the_ratio_matters(formula: str, task: str, make_batch: Any, run: Any, compile_for: Any) -> None:
    """Equal weights are no weights, and twice the weights are the same weights: nothing is rescaled by them."""
    if "reduction=sum" in formula or task == "binary" or (task == "multiclass" and "reduction=none" in formula):
        return
    batch = make_batch(task, (3, 4))
    plain = run(compile_for(formula, batch), batch)
    equal = run(compile_for(formula, batch, class_weight=[3, 3, 3]), batch)
    once = run(compile_for(formula, batch, class_weight=[1, 2, 0.5]), batch)
    twice = run(compile_for(formula, batch, class_weight=[2, 4, 1]), batch)
    for one, other in ((plain, equal), (once, twice)):
        assert_close(one[0], other[0], **CLOSE)
        assert_close(one[1], other[1], **CLOSE)


def test_the_map_of_ce_is_that_of_torch(make_batch: Any, compile_for: Any) -> None:
    """Its weights are in it, so a mean by hand is not divided by them; `ce` is."""
    batch, weight = make_batch("multiclass", (3, 4)), [1, 2, 0.5]
    w = torch.tensor(weight, dtype=torch.float64)
    wanted = functional.cross_entropy(batch.pred, batch.target, w, reduction="none")
    for formula, value in {
        "mean(ce(reduction=none))": wanted.mean(),
        "max(ce(reduction=none))": wanted.max(),
        "ce(reduction=sum)": wanted.sum(),
    }.items():
        assert_close(compile_for(formula, batch, class_weight=weight)(batch.pred, batch.target), value, **CLOSE)


def test_the_number_of_the_own_class(make_batch: Any, run: Any, compile_for: Any) -> None:
    """What is advised where a list, or a tensor (N, C), stands against a map of multiclass, which has no classes."""
    batch, numbers = make_batch("multiclass", (3, 4)), [1, 2, 0.5]
    u, w = torch.rand(4, 3, dtype=torch.float64), torch.tensor(numbers, dtype=torch.float64)
    each = functional.cross_entropy(batch.pred, batch.target, reduction="none")
    own = u.gather(1, batch.target.flatten(1)).view_as(each)
    for formula, wanted in {
        "mean(sum([1, 2, 0.5]*y, over=class)*ce(reduction=none))": (w[batch.target] * each).mean(),
        "mean(ce(reduction=none), weight=sum([1, 2, 0.5]*y, over=class))": (w[batch.target] * each).sum()
        / w[batch.target].sum(),
        "mean(sum(u*y, over=class)*ce(reduction=none))": (own * each).mean(),
    }.items():
        call = {"u": u} if "u*y" in formula else {}
        assert_close(compile_for(formula, batch)(batch.pred, batch.target, **call), wanted, **CLOSE)
    with pytest.raises(lossdsl.FormulaError, match=r"`u` has the axes batch and class"):
        lossdsl.compile("mean(u*ce(reduction=none))")(batch.pred, batch.target, u=u)


def test_a_class_of_weight_zero_takes_no_part(make_batch: Any, run: Any, compile_for: Any) -> None:
    """In multilabel it can be removed."""
    batch = make_batch("multilabel", (3, 4))
    for formula in ("bce", "dice(per=batch)", "focal", "iou", "mean(bce(reduction=none)**2)", "lovasz"):
        value, gradient = run(compile_for(formula, batch, class_weight=[1, 0, 2]), batch)
        two = batch.with_(pred=batch.pred[:, [0, 2]], target=batch.target[:, [0, 2]])
        small = run(compile_for(formula, two, class_weight=[1, 2]), two)
        assert_close(value, small[0], **CLOSE)
        assert_close(gradient[:, [0, 2]], small[1], **CLOSE)
        assert torch.count_nonzero(gradient[:, 1]) == 0


def test_only_classes_of_weight_zero_count(make_batch: Any, run: Any, compile_for: Any) -> None:
    """0/0: nothing with a weight is left, so the loss is 0 and finite (torch's cross_entropy is NaN)."""
    batch = make_batch("multiclass", (3, 4))
    batch = batch.with_(target=torch.zeros_like(batch.target))
    value, gradient = run(compile_for("ce", batch, class_weight=[0, 1, 1]), batch)
    assert value == 0
    assert torch.count_nonzero(gradient) == 0


def test_a_binary_weight_cancels(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    for formula in ("bce + dice", "focal + lovasz"):
        wanted = compile_for(formula, batch)(batch.pred, batch.target)
        assert_close(compile_for(formula, batch, class_weight=[4])(batch.pred, batch.target), wanted, **CLOSE)


@pytest.mark.parametrize(
    ("task", "count"), [("binary", 2), ("multiclass", 2), ("multiclass", 4), ("multilabel", 1), ("regression", 5)]
)
def test_a_wrong_number_of_weights(task: str, count: int, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch(task, (3, 4))
    formula = "mse" if task == "regression" else "dice"
    weights = [1.0] * count
    if task == "binary":  # where it is given, there is one class
        loss = lossdsl.compile(formula, class_weight=weights)
        with pytest.raises(lossdsl.FormulaError, match="a binary task has one class"):
            lossdsl.compile(formula, task=task, class_weight=weights)
    else:
        loss = compile_for(formula, batch, class_weight=weights)
    with pytest.raises(lossdsl.InputError) as caught:
        loss(batch.pred, batch.target)
    assert f"({count},)" in str(caught.value)
    assert str(tuple(batch.pred.shape)) in str(caught.value)


@pytest.mark.parametrize("weight", [[], [0, 0], [-1, 2], [float("nan"), 1], [float("inf"), 1], "abc", 3], ids=str)
def test_weights_that_mean_nothing(weight: Any) -> None:
    with pytest.raises(lossdsl.ConfigError, match="class_weight"):
        lossdsl.compile("ce", class_weight=weight)


def test_weights_from_a_tensor(make_batch: Any, compile_for: Any) -> None:
    """As torch's own losses take them."""
    batch = make_batch("multiclass", (3, 4))
    wanted = compile_for("ce", batch, class_weight=[1, 2, 0.5])(batch.pred, batch.target)
    got = compile_for("ce", batch, class_weight=torch.tensor([1, 2, 0.5]))(batch.pred, batch.target)
    assert torch.equal(got, wanted)


def test_weights_stay_the_written_ones(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("multiclass", (3, 4), dtype=torch.float32)
    loss = compile_for("ce", batch, class_weight=[0.1, 0.2, 0.7])
    wanted = loss(batch.pred, batch.target)
    assert_close(loss.bfloat16()(batch.pred, batch.target), wanted, rtol=1e-6, atol=0)


def test_weights_act_in_float64(make_batch: Any, compile_for: Any) -> None:
    """A weight of 0.1 is 0.1 and not what float32 makes of it."""
    batch = make_batch("multiclass", (3, 4))
    w = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    wanted = functional.cross_entropy(batch.pred, batch.target, w)
    assert_close(
        compile_for("ce", batch, class_weight=w.tolist())(batch.pred, batch.target), wanted, rtol=1e-14, atol=0
    )
