"""Each loss against the formula of its paper, written out here in torch from the paper: the same value and gradient."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

SEEDS = range(25)
OUTCOMES = ("binary", "multilabel")
LABELS = (*OUTCOMES, "multiclass", "soft")


class Seen(NamedTuple):
    """Probabilities and labels (N, C, pixels), a weight for each class, and whether the classes exclude each other."""

    p: Tensor
    y: Tensor
    w: Tensor
    exclusive: bool

    def mean(self, x: Tensor, times: Tensor | float = 1.0) -> Tensor:
        """Mean of what has the classes as its second, or its only, axis."""
        weight = (self.w if x.ndim == 1 else self.w.view(1, -1, *[1] * (x.ndim - 2))) * times
        weight = weight.expand_as(x)
        return (weight * x).sum() / weight.sum() if weight.sum() > 0 else (0 * x).sum()


def total(x: Tensor, per: str) -> Tensor:
    return x.sum(2) if per == "image" else x.sum((0, 2))


def counts(s: Seen, per: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """True positives, false positives, false negatives, true negatives."""
    return tuple(total(x, per) for x in (s.p * s.y, s.p * (1 - s.y), (1 - s.p) * s.y, (1 - s.p) * (1 - s.y)))  # type: ignore[return-value]


def ratio(top: Tensor, bottom: Tensor, at_nothing: float) -> Tensor:
    """top/bottom; where both are 0 the limit that is given."""
    nothing = bottom == 0
    return torch.where(nothing, at_nothing, top / torch.where(nothing, 1.0, bottom))


def dice(
    s: Seen, smooth=1.0, per="image", squared="false", average="macro", include_background="true", empty="count"
) -> Tensor:
    """Milletari et al. 2016, equation 1 with smooth in both places; without squares as Drozdzal et al. 2016."""
    power = 2 if squared == "true" else 1
    if include_background == "false":
        s = Seen(s.p[:, 1:], s.y[:, 1:], s.w[1:], s.exclusive)
    parts = [total(x, per) for x in (s.p * s.y, s.p**power + s.y**power)]
    if average == "micro":
        both, size = ((s.w * x).sum(-1) for x in parts)
        return (1 - ratio(2 * both + smooth, size + smooth, 1.0)).mean()
    loss = 1 - ratio(2 * parts[0] + smooth, parts[1] + smooth, 1.0)
    return s.mean(loss, times=(total(s.y, per) > 0).double() if empty == "skip" else 1.0)


def generalized_dice(s: Seen, weight="square", smooth=0.0, per="image", include_background="true") -> Tensor:
    """Sudre et al. 2017, section 2; infinite weights become the largest finite one, as in MONAI."""
    p, y, w = (s.p, s.y, s.w) if include_background == "true" else (s.p[:, 1:], s.y[:, 1:], s.w[1:])
    size = total(y, per)
    weights = size ** -{"square": 2.0, "simple": 1.0, "uniform": 0.0}[weight]
    infinite = size == 0
    largest = weights.masked_fill(infinite, 0.0).amax(-1, keepdim=True)
    weights = w * torch.where(infinite, largest, weights)
    top, bottom = ((weights * total(x, per)).sum(-1) for x in (y * p, y + p))
    return (1 - ratio(2 * top + smooth, bottom + smooth, 1.0)).mean()


def flipped_iou(s: Seen, smooth=1e-6) -> Tensor:
    def score(p: Tensor, y: Tensor) -> Tensor:
        both = (p * y).sum(2)
        return (both + smooth) / (p.sum(2) + y.sum(2) - both + smooth)

    return -s.mean(torch.where(s.y.sum(2) == 0, score(1 - s.p, 1 - s.y), score(s.p, s.y)))


def precision(s: Seen, smooth=1.0, per="image") -> Tensor:
    tp, fp, _, _ = counts(s, per)
    return s.mean(1 - ratio(tp + smooth, tp + fp + smooth, 1.0))


def recall(s: Seen, smooth=1.0, per="image") -> Tensor:
    tp, _, fn, _ = counts(s, per)
    return s.mean(1 - ratio(tp + smooth, tp + fn + smooth, 1.0))


def f_beta(s: Seen, beta=1.0, smooth=1.0, per="image") -> Tensor:
    """van Rijsbergen 1979: (1 + b²) P R / (b² P + R), P and R with the same tp, so one ratio of counts."""
    tp, fp, fn, _ = counts(s, per)
    return s.mean(1 - ratio((1 + beta**2) * tp + smooth, (1 + beta**2) * tp + beta**2 * fn + fp + smooth, 1.0))


def sensitivity_specificity(s: Seen, balance=0.05, per="image") -> Tensor:
    """Brosch et al. 2015, equation 2."""
    error = (s.y - s.p) ** 2
    parts = [ratio(total(error * part, per), total(part, per), 0.0) for part in (s.y, 1 - s.y)]
    return s.mean(balance * parts[0] + (1 - balance) * parts[1])


def mcc(s: Seen, per="batch") -> Tensor:
    tp, fp, fn, tn = counts(s, per)
    bottom = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    safe = torch.where(bottom == 0, 1.0, bottom)
    return s.mean(1 - torch.where(bottom == 0, 0.0, (tp * tn - fp * fn) / safe.sqrt()))


def outcomes(s: Seen, positive: Tensor | float = 1.0, negative: Tensor | float = 1.0) -> Tensor:
    """Cross-entropy of two outcomes with a weight for each."""
    return -(positive * s.y * s.p.log() + negative * (1 - s.y) * (1 - s.p).log())


def bce(s: Seen, pos_weight=1.0, label_smoothing=0.0) -> Tensor:
    """losses.md row 7: y' = y(1 - s) + (1 - y)s, so that s=.1 makes .9 and .1."""
    return s.mean(outcomes(s._replace(y=s.y * (1 - label_smoothing) + (1 - s.y) * label_smoothing), pos_weight))


def balanced_bce(s: Seen, beta: Any = "auto") -> Tensor:
    """Xie and Tu 2015, equation 2: beta = |Y-|/|Y|."""
    share = s.mean(1 - s.y) if beta == "auto" else beta
    return s.mean(outcomes(s, share, 1 - share))


def frequency_ce(s: Seen, power=1.0) -> Tensor:
    """losses.md row 8: w = 1/frequency, and divided by the sum of the weights used."""
    frequency = s.y.sum((0, 2)) / s.y.sum()
    w = (s.w * torch.where(frequency > 0, frequency, math.inf).pow(-power)).view(1, -1, 1)
    return -(w * s.y * s.p.log()).sum() / (w * s.y).sum()


def topk_ce(s: Seen, share: float = 0.1) -> Tensor:
    """nnU-Net's TopKLoss, with its weight; of n pixels the next whole number above share*n."""
    w = s.w.view(1, -1, 1) if s.p.shape[1] > 1 else 1.0
    each = (-(w * s.y * s.p.log()).sum(1) if s.exclusive else w * outcomes(s)).flatten()
    return each.sort(descending=True).values[: math.ceil(round(share * each.numel(), 9))].mean()


def factor(s: Seen, each: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """A modulating factor of p_t, for both outcomes."""
    return each(s.p), each(1 - s.p)


def normalized_focal(s: Seen, gamma=2.0) -> Tensor:
    """Focal loss summed, divided by the sum of its factors."""
    positive, negative = factor(s, lambda pt: (1 - pt) ** gamma)
    weight = s.w.view(1, -1, 1)
    return (weight * outcomes(s, positive, negative)).sum() / (weight * (s.y * positive + (1 - s.y) * negative)).sum()


def reduced_focal(s: Seen, gamma=2.0, threshold=0.5) -> Tensor:
    """Sergievskiy and Ponamarev 2019 for their threshold of 1/2; for others pytorch-toolbelt's continuous form."""
    return s.mean(
        outcomes(s, *factor(s, lambda pt: torch.where(pt < threshold, 1.0, ((1 - pt) / (1 - threshold)) ** gamma)))
    )


def quality_focal(s: Seen, beta=2.0) -> Tensor:
    """Li et al. 2020, equation 4."""
    return s.mean((s.y - s.p).abs() ** beta * outcomes(s))


def combo(s: Seen, alpha=0.5, beta=0.5, smooth=1.0, per="image") -> Tensor:
    """Taghanaki et al. 2018, equation 3."""
    return alpha * balanced_bce(s, beta) - (1 - alpha) * (1 - dice(s, smooth, per))


def exp_log(s: Seen, dice_weight=0.8, ce_weight=0.2, dice_gamma=0.3, ce_gamma=0.3, smooth=1.0) -> Tensor:
    """Wong et al. 2018, equations 1 to 4: the labels of the batch are counted, sums are over all voxels."""
    score = (2 * (s.p * s.y).sum((0, 2)) + smooth) / (s.p.sum((0, 2)) + s.y.sum((0, 2)) + smooth)
    frequency = s.y.sum((0, 2))
    label = s.y.argmax(1)
    weight = (frequency.sum() / frequency[label]) ** 0.5
    pixel = weight * (-(s.p * s.y).sum(1).log()) ** ce_gamma
    return dice_weight * s.mean((-score.log()) ** dice_gamma) + ce_weight * pixel.mean()


def unified_focal(s: Seen, share=0.5, delta=0.7, gamma=0.5, smooth=1.0, per="image") -> Tensor:
    """Yeung et al. 2022, equations 10 to 12, class 0 the background; as in their code the Tversky part is averaged."""
    ce = -s.y * s.p.log()
    pixel = (1 - delta) * (1 - s.p[:, 0]) ** gamma * ce[:, 0] + delta * ce[:, 1:].sum(1)
    tp, fp, fn, _ = counts(s, per)
    lost = 1 - (tp + smooth) / (tp + delta * fn + (1 - delta) * fp + smooth)
    region = torch.cat([lost[..., :1], lost[..., 1:] ** (1 - gamma)], -1)
    return share * pixel.mean() + (1 - share) * s.mean(region)


def relative_entropy(y: Tensor, p: Tensor) -> Tensor:
    """y*log(y/p), where 0*log(0) is 0."""
    return torch.where(y == 0, 0.0, y * (torch.where(y == 0, 1.0, y) / p).log())


def kl(s: Seen) -> Tensor:
    if s.exclusive:
        return relative_entropy(s.y, s.p).sum(1).mean()
    return s.mean(relative_entropy(s.y, s.p) + relative_entropy(1 - s.y, 1 - s.p))


def js(s: Seen) -> Tensor:
    """Lin 1991: the mean of the divergences of both from their middle."""
    middle = (s.p + s.y) / 2
    return (kl(s._replace(p=middle)) + kl(s._replace(p=middle, y=s.p))) / 2


PER = ["image", "batch"]
SMOOTH = [0, 1e-5, 1]
LOSSES: dict[str, tuple[Callable[..., Tensor], tuple[str, ...], dict[str, list[Any]]]] = {
    "dice": (dice, LABELS, {"smooth": SMOOTH, "per": PER, "squared": ["true", "false"], "empty": ["skip", "count"]}),
    "dice ": (dice, LABELS[1:], {"smooth": SMOOTH, "per": PER, "squared": ["true", "false"], "average": ["micro"],
                                 "include_background": ["true", "false"]}),
    "dice  ": (dice, LABELS[1:], {"per": PER, "include_background": ["false"], "empty": ["skip", "count"]}),
    "generalized_dice": (generalized_dice, LABELS[1:], {"weight": ["square", "simple", "uniform"], "smooth": SMOOTH,
                                                        "per": PER, "include_background": ["true", "false"]}),
    "flipped_iou": (flipped_iou, OUTCOMES, {"smooth": [1e-6, 1]}),
    "precision": (precision, LABELS, {"smooth": SMOOTH, "per": PER}),
    "recall": (recall, LABELS, {"smooth": SMOOTH, "per": PER}),
    "f_beta": (f_beta, LABELS, {"beta": [0.5, 1, 2], "smooth": SMOOTH, "per": PER}),
    "sensitivity_specificity": (sensitivity_specificity, LABELS, {"balance": [0, 0.05, 0.5, 1], "per": PER}),
    "mcc": (mcc, LABELS, {"per": PER}),
    "bce": (bce, OUTCOMES, {"pos_weight": [1, 3], "label_smoothing": [0.1, 0.4]}),
    "balanced_bce": (balanced_bce, OUTCOMES, {"beta": ["auto", 0, 0.3, 1]}),
    "frequency_ce": (frequency_ce, LABELS[2:], {"power": [0, 0.5, 1]}),
    "topk_ce": (topk_ce, LABELS, {"share": [0.1, 0.5, 1]}),
    "normalized_focal": (normalized_focal, OUTCOMES, {"gamma": [0, 0.5, 2]}),
    "reduced_focal": (reduced_focal, OUTCOMES, {"gamma": [0, 1, 2], "threshold": [0, 0.3, 0.5]}),
    "quality_focal": (quality_focal, OUTCOMES, {"beta": [0, 1, 2]}),
    "log_cosh_dice": (lambda s, **k: dice(s, **k).cosh().log(), LABELS, {"smooth": SMOOTH, "per": PER}),
    "combo": (combo, OUTCOMES, {"alpha": [0, 0.3, 1], "beta": [0.2, 0.8], "smooth": SMOOTH, "per": PER}),
    "exp_log": (exp_log, ("multiclass",), {"dice_gamma": [0.3, 1], "ce_gamma": [0.3, 2], "smooth": [0.1, 1],
                                           "dice_weight": [0.8, 2], "ce_weight": [0, 0.2]}),
    "unified_focal": (unified_focal, LABELS[2:], {"share": [0, 0.5, 1], "delta": [0.4, 0.7], "gamma": [0, 0.5],
                                                  "smooth": [1e-6, 1], "per": PER}),
    "kl": (kl, LABELS, {}),
    "js": (js, LABELS, {}),
}  # fmt: skip
ROWS = [(name, task) for name, (_, tasks, _) in LOSSES.items() for task in tasks]


def written(name: str, parameters: dict[str, Any]) -> str:
    return f"{name.strip()}({', '.join(f'{key}={number}' for key, number in parameters.items())})"


@pytest.mark.parametrize(("name", "task"), ROWS, ids=["-".join(row).replace(" ", "_") for row in ROWS])
def test_definition(name: str, task: str, draw: Any, value_and_gradient: Any) -> None:
    formula, _, choices = LOSSES[name]
    kind = "multiclass" if task == "soft" else task
    for seed, given in itertools.product(SEEDS, ("logits", "probs")):
        rng = random.Random(f"{name} {task} {seed}")
        parameters = {key: rng.choice(options) for key, options in choices.items()}
        call = draw(f"{name} {task} {seed}", task, given)
        classes = 1 if task == "binary" else call.pred.shape[1]
        weighted = rng.random() < 0.4
        weights = tuple(rng.choice([0.5, 1.0, 3.0]) for _ in range(classes)) if weighted else (1.0,) * classes
        leaf = call.pred.clone().requires_grad_()
        probability = leaf if given == "probs" else leaf.softmax(1) if kind == "multiclass" else leaf.sigmoid()
        layout = (call.pred.shape[0], classes, -1)
        weight = torch.tensor(weights, dtype=torch.float64)
        seen = Seen(probability.reshape(layout), call.labels.reshape(layout), weight, kind == "multiclass")
        expected = formula(seen, **parameters)
        (slope,) = torch.autograd.grad(expected, leaf)
        options = {"task": kind, "input": given} | ({"class_weight": weights} if weighted else {})
        text = written(name, parameters)
        result, gradient = value_and_gradient(text, call.pred, call.target, **options)
        told = partial("{}: {}".format, f"{text} {options} seed {seed} {tuple(call.pred.shape)}")
        torch.testing.assert_close(result, expected.detach(), rtol=1e-7, atol=1e-12, msg=told)
        torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-12, msg=told)
        target = call.target.float() if call.target.is_floating_point() else call.target
        single, _ = value_and_gradient(text, call.pred.float(), target, **options)
        torch.testing.assert_close(single, expected.detach().float(), rtol=1e-5, atol=1e-6, msg=told)
