"""Losses against the formulas of their papers, written out here from the papers.

They are written with torch's arithmetic, not NumPy's, because the gradient is compared as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from configurations import Case, Each
from torch import Tensor

OUTCOMES = ("binary", "multilabel")
LABELS = (*OUTCOMES, "multiclass", "soft")


def counts(s: Case, per: str) -> tuple[Tensor, ...]:
    """True positives, false positives, false negatives, true negatives."""
    return tuple(s.total(x, per) for x in (s.p * s.y, s.p * (1 - s.y), (1 - s.p) * s.y, (1 - s.p) * (1 - s.y)))


def ratio(top: Tensor, bottom: Tensor, at_nothing: float) -> Tensor:
    """top/bottom; where both are 0 the limit that is given."""
    nothing = bottom == 0
    return torch.where(nothing, at_nothing, top / torch.where(nothing, 1.0, bottom))


def dice(
    s: Case, smooth: float = 1.0, per: str = "image", squared: str = "false", average: str = "macro",
    include_background: str = "true", empty: str = "count",
) -> Each | Tensor:  # fmt: skip
    """Milletari et al. 2016, equation 1 with smooth in both places; without squares as Drozdzal et al. 2016."""
    power, background = 2 if squared == "true" else 1, include_background == "true"
    parts = [s.total(x, per) for x in (s.p * s.y, s.p**power + s.y**power)]
    counted = torch.ones_like(parts[0])
    counted[:, :1] = float(background or s.task == "binary")
    if average == "micro" and s.task != "binary":
        both, size = ((s.w * counted * x).sum(-1, keepdim=True) for x in parts)
        each = s.each(1 - ratio(2 * both + smooth, size + smooth, 1.0))
        return each if per == "image" else each.mean()
    if empty == "skip":
        counted = counted * (s.total(s.y, per) > 0)
    return s.each(counted * (1 - ratio(2 * parts[0] + smooth, parts[1] + smooth, 1.0)), counted)


def generalized_dice(
    s: Case, weight: str = "square", smooth: float = 0.0, per: str = "image", include_background: str = "true"
) -> Each | Tensor:
    """Sudre et al. 2017, section 2; infinite weights become the largest finite one, as in MONAI."""
    here = s if include_background == "true" else s.foreground()
    size = here.total(here.y, per)
    weights = size ** -{"square": 2.0, "simple": 1.0, "uniform": 0.0}[weight]
    if not size.shape[1]:
        return 0 * s.p.sum()
    infinite = weights.isinf()
    weights = here.w * torch.where(infinite, weights.masked_fill(infinite, 0.0).amax(-1, keepdim=True), weights)
    top, bottom = (
        (weights * here.total(x, per)).sum(-1, keepdim=True) for x in (here.y * here.p, here.y + here.p)
    )  # fmt: skip
    each = s.each(1 - ratio(2 * top + smooth, bottom + smooth, 1.0))
    return each if per == "image" else each.mean()


def tversky(
    s: Case, fp_weight: float = 0.5, fn_weight: float = 0.5, smooth: float = 1.0, per: str = "image", gamma: float = 1.0
) -> Each:
    """Salehi et al. 2017, equation 3; to the power gamma Abraham and Khan 2018, equation 4."""
    tp, fp, fn, _ = counts(s, per)
    loss = 1 - ratio(tp + smooth, tp + fp_weight * fp + fn_weight * fn + smooth, 1.0)
    return s.each(loss**gamma)


def focal_tversky(s: Case, **parameters: Any) -> Each:
    return tversky(s, **{"fp_weight": 0.3, "fn_weight": 0.7, "gamma": 0.75} | parameters)


def f_beta(s: Case, beta: float = 1.0, smooth: float = 1.0, per: str = "image") -> Each:
    """van Rijsbergen 1979: (1 + b²) P R / (b² P + R), P and R with the same tp, so one ratio of counts."""
    tp, fp, fn, _ = counts(s, per)
    return s.each(1 - ratio((1 + beta**2) * tp + smooth, (1 + beta**2) * tp + beta**2 * fn + fp + smooth, 1.0))


def flipped_iou(s: Case, smooth: float = 1e-6) -> Each:
    def score(p: Tensor, y: Tensor) -> Tensor:
        both = s.total(p * y, "image")
        return (both + smooth) / (s.total(p + y, "image") - both + smooth)

    return s.each(-torch.where(s.total(s.y, "image") == 0, score(1 - s.p, 1 - s.y), score(s.p, s.y)))


def sensitivity_specificity(s: Case, balance: float = 0.05, per: str = "image") -> Each:
    """Brosch et al. 2015, equation 2."""
    error = (s.y - s.p) ** 2
    parts = [ratio(s.total(error * part, per), s.total(part, per), 0.0) for part in (s.y, 1 - s.y)]
    return s.each(balance * parts[0] + (1 - balance) * parts[1])


def mcc(s: Case, per: str = "batch") -> Each:
    tp, fp, fn, tn = counts(s, per)
    bottom = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    safe = torch.where(bottom == 0, 1.0, bottom)
    return s.each(1 - torch.where(bottom == 0, 0.0, (tp * tn - fp * fn) / safe.sqrt()))


def outcomes(s: Case, positive: Tensor | float = 1.0, negative: Tensor | float = 1.0) -> Tensor:
    """Cross-entropy of two outcomes with a weight for each."""
    z = s.z if s.given == "logits" else s.z.log() - (1 - s.z).log()
    log = torch.nn.functional.logsigmoid
    return -(positive * s.y * log(z) + negative * (1 - s.y) * log(-z))


def classes(s: Case, factor: Tensor | float = 1.0) -> Tensor:
    """-sum over the classes of weight*factor*y*log(p)."""
    log = s.z.log_softmax(1) if s.given == "logits" else s.z.log()
    return -(s.w.view(1, -1, 1) * factor * s.y * log).sum(1, keepdim=True)


def focal(s: Case, gamma: float = 2.0, alpha: float | None = None) -> Each:
    """Lin et al. 2017, equations 3 to 5: -alpha_t (1 - p_t)**gamma log(p_t), for both outcomes or the true class."""
    if s.exclusive:
        return s.each(classes(s, (1 - s.p) ** gamma), (s.w.view(1, -1, 1) * s.y).sum(1, keepdim=True))
    weights = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    return s.each(outcomes(s, weights[0] * (1 - s.p) ** gamma, weights[1] * s.p**gamma))


def normalized_focal(s: Case, gamma: float = 2.0) -> Tensor:
    """Focal loss divided by the mean of its factors."""
    positive, negative = (1 - s.p) ** gamma, s.p**gamma
    top, bottom = s.each(outcomes(s, positive, negative)), s.each(s.y * positive + (1 - s.y) * negative)
    return ratio(top.mean(), bottom.mean(), 0.0)


def reduced_focal(s: Case, gamma: float = 2.0, threshold: float = 0.5) -> Each:
    """Sergievskiy and Ponamarev 2019 for their threshold of 1/2; for others pytorch-toolbelt's continuous form."""

    def factor(pt: Tensor) -> Tensor:
        return torch.where(pt < threshold, 1.0, ((1 - pt) / (1 - threshold)) ** gamma)

    return s.each(outcomes(s, factor(s.p), factor(1 - s.p)))


def quality_focal(s: Case, beta: float = 2.0) -> Each:
    """Li et al. 2020, equation 4."""
    return s.each((s.y - s.p).abs() ** beta * outcomes(s))


def balanced_bce(s: Case, beta: Any = "auto") -> Each:
    """Xie and Tu 2015, equation 2: beta = |Y-|/|Y|."""
    share = s.each(1 - s.y).mean() if beta == "auto" else beta
    return s.each(outcomes(s, share, 1 - share))


def frequency_ce(s: Case, power: float = 1.0) -> Tensor:
    """losses.md row 8: w = 1/frequency, and divided by the sum of the weights used."""
    pixels = s.total(s.y, "batch")
    frequency = pixels / pixels.sum().clamp_min(1e-300)
    weight = (s.w * torch.where(frequency > 0, frequency, math.inf).pow(-power) * (frequency > 0)).unsqueeze(2)
    each = classes(replace(s, w=torch.ones_like(s.w)), weight)
    return s.each(each, (weight * s.y).sum(1, keepdim=True)).mean()


def combo(s: Case, alpha: float = 0.5, beta: float = 0.5, **parameters: Any) -> Tensor:
    """Taghanaki et al. 2018, equation 3."""
    score = 1 - dice(s, **parameters).mean() if s.kept.any() else 0.0
    return alpha * balanced_bce(s, beta).mean() - (1 - alpha) * score


def exp_log(
    s: Case, dice_weight: float = 0.8, ce_weight: float = 0.2, dice_gamma: float = 0.3, ce_gamma: float = 0.3,
    smooth: float = 1.0,
) -> Tensor:  # fmt: skip
    """Wong et al. 2018, equations 1 to 4: the labels of the batch are counted, sums are over all voxels."""
    frequency = s.total(s.y, "batch")
    score = (2 * s.total(s.p * s.y, "batch") + smooth) / (s.total(s.p + s.y, "batch") + smooth)
    region = s.each((-score.log()) ** dice_gamma)
    own = (frequency.unsqueeze(2) * s.y).sum(1, keepdim=True)
    weight = (frequency.sum() / torch.where(own > 0, own, 1.0)) ** 0.5
    negative = classes(replace(s, w=torch.ones_like(s.w)))
    return dice_weight * region.mean() + ce_weight * s.each(weight * negative**ce_gamma).mean()


def unified_focal(
    s: Case, share: float = 0.5, delta: float = 0.7, gamma: float = 0.5, smooth: float = 1.0, per: str = "image"
) -> Tensor:
    """Yeung et al. 2022, equations 10 to 12, class 0 the background; as in their code the Tversky part is averaged."""
    log = s.z.log_softmax(1) if s.given == "logits" else s.z.log()
    ce = -s.y * log
    pixel = (1 - delta) * (1 - s.p[:, :1]) ** gamma * ce[:, :1] + delta * ce[:, 1:].sum(1, keepdim=True)
    lost = tversky(s, 1 - delta, delta, smooth, per).values
    region = torch.cat([lost[:, :1], lost[:, 1:] ** (1 - gamma)], 1)
    return share * s.each(pixel).mean() + (1 - share) * s.each(region).mean()


def wing(d: Tensor, width: float = 5.0, curvature: float = 0.5) -> Tensor:
    """Feng et al. 2018, equation 5."""
    constant = width - width * math.log(1 + width / curvature)
    return torch.where(d.abs() < width, width * (1 + d.abs() / curvature).log(), d.abs() - constant)


def barron(d: Tensor, alpha: float) -> Tensor:
    """Barron 2019, equation 8 with c = 1, where it is not one of its limits."""
    return abs(alpha - 2) / alpha * ((d**2 / abs(alpha - 2) + 1) ** (alpha / 2) - 1)


def difference(formula: Callable[..., Tensor]) -> Callable[..., Each]:
    return lambda s, **parameters: s.each(formula(s.z - s.y, **parameters))


REGRESSION: dict[str, Callable[..., Tensor]] = {
    "log_cosh": lambda d: ((d.exp() + (-d).exp()) / 2).log(),
    "charbonnier": partial(barron, alpha=1),
    "cauchy": lambda d: (d**2 / 2 + 1).log(),
    "geman_mcclure": partial(barron, alpha=-2),
    "welsch": lambda d: 1 - (-(d**2) / 2).exp(),
    "wing": wing,
}
PER = [None, "image", "batch"]
AREA = {"smooth": [None, 0, 1e-5, 3], "per": PER}
FLAG = [None, "true", "false"]
GAMMAS = [None, 0, 0.5, 1, 3.5]
# The gradient of a ratio of one pixel is a difference of numbers 1/p times as large; and (1 - p)**gamma has none at 1.
MILD = (0.1, 1.0, 2.0)


def row(reference: Callable[..., Any], tasks: tuple[str, ...], **keywords: Any) -> dict[str, Any]:
    limits = {key: keywords.pop(key) for key in ("weighted", "elementwise", "soft", "scales") if key in keywords}
    return {"reference": reference, "tasks": tasks, "parameters": keywords, **limits}


COMPARED: dict[str, dict[str, Any]] = {
    "dice": row(dice, LABELS, **AREA, squared=FLAG, empty=[None, "count", "skip"]),
    "dice: of classes": row(dice, LABELS[1:], **AREA, squared=FLAG, average=["macro", "micro"],
                            include_background=FLAG, elementwise=False),
    "dice: skipped": row(dice, LABELS[1:], per=PER, include_background=["false"], empty=["skip", "count"]),
    "generalized_dice": row(generalized_dice, LABELS[1:], weight=[None, "square", "simple", "uniform"],
                            smooth=[None, 0, 1e-5, 1], per=PER, include_background=FLAG),
    "iou": row(partial(tversky, fp_weight=1, fn_weight=1), LABELS, **AREA),
    "tversky": row(tversky, LABELS, **AREA, fp_weight=[None, 0.3, 1], fn_weight=[None, 0, 2.5]),
    "focal_tversky": row(focal_tversky, LABELS, **AREA, gamma=[None, 1, 4 / 3, 2], fp_weight=[None, 0.5], scales=MILD),
    "precision": row(partial(tversky, fp_weight=1, fn_weight=0), LABELS[:3], **AREA, soft=False),
    "recall": row(partial(tversky, fp_weight=0, fn_weight=1), LABELS[:3], **AREA, soft=False),
    "f_beta": row(f_beta, LABELS, **AREA, beta=[None, 0.5, 2]),
    "flipped_iou": row(flipped_iou, OUTCOMES, smooth=[None, 1e-6, 1]),
    "sensitivity_specificity": row(sensitivity_specificity, LABELS, balance=[None, 0, 0.5, 1], per=PER),
    "mcc": row(mcc, LABELS, per=PER),
    "focal": row(focal, OUTCOMES, gamma=GAMMAS, alpha=[None, 0, 0.25, 1]),
    "focal: of classes": row(focal, LABELS[2:], gamma=GAMMAS),
    "normalized_focal": row(normalized_focal, OUTCOMES, gamma=GAMMAS),
    "reduced_focal": row(reduced_focal, OUTCOMES, gamma=[None, 0, 1, 3.5], threshold=[None, 0, 0.3, 0.5]),
    "quality_focal": row(quality_focal, OUTCOMES, beta=[None, 0, 1, 2]),
    "balanced_bce": row(balanced_bce, OUTCOMES, beta=[None, "auto", 0, 0.3, 1]),
    "frequency_ce": row(frequency_ce, LABELS[2:], power=[None, 0, 0.5, 1]),
    "combo": row(combo, OUTCOMES, alpha=[None, 0, 0.3, 1], beta=[None, 0.2, 0.8], smooth=[None, 0, 1e-5], per=PER),
    "exp_log": row(exp_log, ("multiclass",), dice_gamma=[None, 1], ce_gamma=[None, 2], smooth=[None, 0.1],
                   dice_weight=[None, 2], ce_weight=[None, 0]),
    "unified_focal": row(unified_focal, LABELS[2:], share=[None, 0, 1], delta=[None, 0.4], gamma=[None, 0],
                         smooth=[None, 1e-6], per=PER, scales=MILD),
    **{name: row(difference(formula), ("regression",)) for name, formula in REGRESSION.items()},
    "wing: parameters": row(difference(wing), ("regression",), width=[2, 0.3], curvature=[3, 0.5]),
}  # fmt: skip


@pytest.mark.parametrize("name", list(COMPARED))
def test_paper(name: str, agrees: Any) -> None:
    agrees(name, **COMPARED[name])
