"""The classes that `for_class` chooses of a map are those that count, wherever the map goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import lossdsl

CLOSE = {"rtol": 1e-9, "atol": 1e-12}

# A loss with a map, and the tasks for which its mean is the mean of the map.
MAPS = {
    "bce": ("multilabel",),
    "bce(pos_weight=[1, 2, 0.5], label_smoothing=0.1)": ("multilabel",),
    "focal": ("multilabel",),
    "balanced_bce": ("multilabel",),
    "hinge": ("multilabel",),
    "dice": ("multilabel", "multiclass"),
    "dice(per=batch, smooth=0)": ("multilabel", "multiclass"),
    "iou": ("multilabel", "multiclass"),
    "focal_tversky": ("multilabel", "multiclass"),
    "f_beta(beta=2)": ("multilabel", "multiclass"),
    "mcc": ("multilabel", "multiclass"),
    "kl": ("multilabel", "multiclass"),
    "js": ("multilabel", "multiclass"),
    "l1": ("multilabel", "regression"),
    "huber": ("regression",),
    "lovasz": ("multilabel",),
}
CASES = [(name, task) for name, tasks in MAPS.items() for task in tasks]
CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "masked": {"mask": True},
    "ignoring": {"ignore_index": 1},
    "weighted": {"class_weight": (1, 2, 0.5)},
    "all of it": {"mask": True, "ignore_index": 1, "class_weight": (0, 3, 0.1)},
}


def with_map(loss: str) -> str:
    return f"{loss[:-1]}, reduction=none)" if loss.endswith(")") else f"{loss}(reduction=none)"


@pytest.mark.sampled(4)
@pytest.mark.parametrize("how", CALLS)
@pytest.mark.parametrize(("loss", "task"), CASES)
def test_the_mean_of_a_chosen_map_is_the_loss_of_these_classes(
    loss: str, task: str, how: str, make_batch: Any, run: Any, shared_for: Any
) -> None:
    options = dict(CALLS[how])
    batch = make_batch(task, (3, 4))
    call = {"mask": torch.rand(4, 3, 4) < 0.7} if options.pop("mask", False) else {}
    if task == "multiclass" and loss in ("kl", "js") and "class_weight" in options:
        del options["class_weight"]  # these put the classes together themselves, without weights
    for classes in ("[1]", "[0, 2]"):
        for outer, written in (("mean", loss), ("sum", f"{with_map(loss).replace('none', 'sum')}")):
            whole = run(shared_for(f"for_class({written}, {classes})", batch, **options), batch, **call)
            mapped = run(
                shared_for(f"{outer}(for_class({with_map(loss)}, {classes}))", batch, **options), batch, **call
            )
            assert_close(mapped, whole, **CLOSE)


# Formulas of which only the channels 0 and 2 count, and the same of p and y without the others.
FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean(for_class(p, [0, 2])**2 + 0.5*y)": lambda p, y: (p**2 + 0.5 * y).mean(),
    "mean(y*z - for_class(y, [0, 2]))": lambda p, y: (y * torch.logit(p) - y).mean(),
    "max(for_class(p, [0, 2]))": lambda p, y: p.max(),
    "min(for_class(p + y, [0, 2]))": lambda p, y: (p + y).min(),
    "topk(for_class(abs(p - y), [0, 2]), share=0.3)": lambda p, y: (
        (p - y).abs().flatten().topk(-(-3 * p.numel() // 10)).values.mean()
    ),
    "mean(topk(for_class(abs(p - y), [0, 2]), share=0.5, over=class))": lambda p, y: (p - y).abs().amax(1).mean(),
    "mean(sum(for_class(p, [0, 2]), over=class)**2)": lambda p, y: (p.sum(1) ** 2).mean(),
    "mean(max(for_class(p*y, [0, 2]), over=class))": lambda p, y: (p * y).amax(1).mean(),
    "mean(mean(for_class(p, [0, 2]), over=pixel)**2)": lambda p, y: (p.mean(2) ** 2).mean(),
    "mean(sum(for_class(p, [0, 2]), per=batch)*sum(y, per=batch))": lambda p, y: (p.sum((0, 2)) * y.sum((0, 2))).mean(),
    "mean(where(for_class(p, [0, 2]) > 0.5, p, y))": lambda p, y: torch.where(p > 0.5, p, y).mean(),
    "mean(where(y > 0.5, for_class(p, [0, 2]), 2*p))": lambda p, y: torch.where(y > 0.5, p, 2 * p).mean(),
    "mean(min(p, for_class(y, [0, 2])))": lambda p, y: torch.minimum(p, y).mean(),
    "mean(clamp(for_class(p, [0, 2]), min=0.2, max=0.7))": lambda p, y: p.clamp(0.2, 0.7).mean(),
    "mean(-for_class(log(p), [0, 2]))": lambda p, y: -p.log().mean(),
    "mean(log(for_class(p, [0, 2])))": lambda p, y: p.log().mean(),
    "mean(1/for_class(p + 1, [0, 2])**2)": lambda p, y: (p + 1).pow(-2).mean(),
    "mean(0*for_class(p, [0, 2]) + y*p)": lambda p, y: (y * p).mean(),
    "mean(p, count=for_class(y + 1, [0, 2]))": lambda p, y: p.sum() / (y + 1).sum(),
    "mean(for_class(p, [0, 2]), weight=y)": lambda p, y: (p * y).sum() / y.sum(),
    "mean(local_mean(for_class(y, [0, 2]), size=1)*p)": lambda p, y: (p * y).mean(),
    "mean(for_class(for_class(p, [0, 2]) + y, [0, 1, 2]))": lambda p, y: (p + y).mean(),
    "mean(for_class(for_class(p, [0, 1, 2]) + y, [0, 2]))": lambda p, y: (p + y).mean(),
    "m = for_class(p, [0, 2])\nmean(m*m) - 0.1*max(m)": lambda p, y: (p * p).mean() - 0.1 * p.max(),
    "l1(for_class(p, [0, 2]), y)": lambda p, y: (p - y).abs().mean(),
    "l1(p, for_class(y, [0, 2]))": lambda p, y: (p - y).abs().mean(),
    "mean(mse(for_class(p, [0, 2]), y, reduction=none)*y)": lambda p, y: ((p - y) ** 2 * y).mean(),
    "dice(for_class(z, [0, 2]), y)": lambda p, y: (1 - (2 * (p * y).sum(2) + 1) / (p.sum(2) + y.sum(2) + 1)).mean(),
    "mean(focal(gamma=for_class(1 + y, [0, 2]), reduction=none))": lambda p, y: (
        -(y * (1 - p) ** (1 + y) * p.log() + (1 - y) * p ** (1 + y) * (1 - p).log())
    ).mean(),
    "for_class(lovasz_extension(abs(y - p), y), [0, 2]) + mean(for_class(lovasz_extension(abs(y - p), y, reduction=none), [0, 2]))": lambda p, y: (  # noqa: E501
        2 * _lovasz(p, y)
    ),
}


def _lovasz(p: Tensor, y: Tensor) -> Tensor:
    alone = lossdsl.compile("lovasz_extension(abs(y - p), y)", task="multilabel", input="probs")
    value: Tensor = alone(p, y)
    return value


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_as_if_the_other_channels_were_not_there(
    formula: str, masked: bool, make_batch: Any, run: Any, compile_for: Any
) -> None:
    batch = make_batch("multilabel", (12,))
    call = {"mask": (torch.arange(12) % 3 != 1).expand(4, 12)} if masked else {}
    value, gradient = run(compile_for(formula, batch), batch, **call)
    pred = batch.pred.clone().requires_grad_()
    kept = torch.arange(12)[torch.arange(12) % 3 != 1] if masked else torch.arange(12)
    wanted = FORMULAS[formula](pred.sigmoid()[:, [0, 2]][..., kept], batch.target[:, [0, 2]][..., kept])
    assert_close(value, wanted.detach(), **CLOSE)
    assert_close(gradient, torch.autograd.grad(wanted, pred)[0], **CLOSE)
    assert torch.count_nonzero(gradient[:, 1]) == 0


# Sums over the classes in the text itself leave nothing to count, so that they are right.
SUMMED = {
    "mean(for_class(sum(y*log(p), over=class), [1]))": lambda p, y: (y * p.log())[:, 1].mean(),
    "mean(sum(y*for_class(log(p), [1]), over=class))": lambda p, y: (y * p.log())[:, 1].mean(),
    "mean(for_class(max(p, over=class), [1, 2]))": lambda p, y: p[:, 1:].amax(1).mean(),
    "mean(for_class(kl(reduction=none), [1]))": lambda p, y: (1 - y - y * p.log())[:, 1].mean(),
}


@pytest.mark.parametrize("formula", SUMMED)
@pytest.mark.parametrize("soft", [False, True], ids=["indices", "probabilities"])
def test_summed_classes(formula: str, soft: bool, make_batch: Any, run: Any, compile_for: Any) -> None:
    batch = make_batch("multiclass", (5,), soft=soft)
    pred = batch.pred.clone().requires_grad_()
    y = batch.target if soft else torch.nn.functional.one_hot(batch.target, 3).movedim(-1, 1).double()
    wanted = SUMMED[formula](pred.softmax(1), y)
    if soft and "kl" in formula:
        wanted = wanted + (y * y.log())[:, 1].mean()
    value, gradient = run(compile_for(formula, batch), batch)
    assert_close(value, wanted.detach(), **CLOSE)
    assert_close(gradient, torch.autograd.grad(wanted, pred)[0], **CLOSE)


def test_in_every_output_of_a_list(make_batch: Any) -> None:
    z, y = make_batch("multilabel", (4, 4)).pred, make_batch("multilabel", (4, 4)).target
    outputs = [z, z[:, :, ::2, ::2]]
    one = lossdsl.compile("multiscale(mean(for_class(bce(reduction=none), [1])))", task="multilabel")
    other = lossdsl.compile("multiscale(for_class(bce, [1]))", task="multilabel")
    assert_close(one(outputs, y), other(outputs, y), **CLOSE)


def test_compiled_whole(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("multilabel", (4,))
    loss = compile_for("mean(for_class(bce(reduction=none), [1])**2) + max(for_class(p, [0]))", batch)
    whole = torch.compile(loss, fullgraph=True, backend="eager")
    assert_close(whole(batch.pred, batch.target), loss(batch.pred, batch.target), **CLOSE)


def test_a_class_that_is_not_there(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("multilabel", (4,))
    with pytest.raises(lossdsl.InputError, match="names the class 3"):
        compile_for("mean(for_class(p, [3]))", batch)(batch.pred, batch.target)
