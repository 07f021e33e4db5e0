"""The example of reference/losses.md section 1.8: two images of four pixels, the second one without an object.

What is expected is computed here in plain Python from the definitions as the papers and libraries print them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

P = [[0.9, 0.8, 0.2, 0.1], [0.3, 0.2, 0.1, 0.0]]
Y = [[1, 1, 0, 0], [0, 0, 0, 0]]
PAIRS = [list(zip(p, y, strict=True)) for p, y in zip(P, Y, strict=True)]
BATCH = [pair for image in PAIRS for pair in image]


class Sums(NamedTuple):
    both: float
    predicted: float
    true: float


def sums(pairs: list[tuple[float, int]], power: int = 1) -> Sums:
    return Sums(
        math.fsum(p * y for p, y in pairs),
        math.fsum(p**power for p, _ in pairs),
        math.fsum(y**power for _, y in pairs),
    )


def per_image(measure: Callable[[Sums], float], power: int = 1) -> float:
    return math.fsum(measure(sums(pairs, power)) for pairs in PAIRS) / len(PAIRS)


def dice(s: Sums, top: float, bottom: float) -> float:
    return 1 - (2 * s.both + top) / (s.predicted + s.true + bottom)


def iou(s: Sums, smooth: float) -> float:
    return 1 - (s.both + smooth) / (s.predicted + s.true - s.both + smooth)


def tversky(s: Sums, fp: float, fn: float, smooth: float) -> float:
    return 1 - (s.both + smooth) / (s.both + fp * (s.predicted - s.both) + fn * (s.true - s.both) + smooth)


def flipped_iou() -> float:
    """Jaccard per image; an image without an object is complemented first."""
    scores = []
    for pairs in PAIRS:
        chosen = pairs if any(y for _, y in pairs) else [(1 - p, 1 - y) for p, y in pairs]
        scores.append(1 - iou(sums(chosen), 1e-6))
    return sum(scores) / len(scores)


def of_truth(p: float, y: int) -> float:
    return p if y else 1 - p


def cross_entropy(weight: Callable[[float, int], float] = lambda p, y: 1.0) -> float:
    return math.fsum(-weight(p, y) * math.log(of_truth(p, y)) for p, y in BATCH) / len(BATCH)


ALL = sums(BATCH)
BCE = cross_entropy()
FLIP = """
    outside = sum(y, over=pixel)
    both = sum(p*y, over=pixel)
    either = sum(p, over=pixel) + outside - both
    neither = sum((1 - p)*(1 - y), over=pixel)
    most = sum(1 - p, over=pixel) + sum(1 - y, over=pixel) - neither
    -mean(where(outside == 0, (neither + 1e-6)/(most + 1e-6), (both + 1e-6)/(either + 1e-6)))
"""

# formula, the value from its definition, the digits printed in the table
TABLE = [
    ("dice", per_image(lambda s: dice(s, 1, 1)), "0.247500"),
    ("dice(per=batch)", dice(ALL, 1, 1), "0.214286"),
    ("tversky(per=batch)", tversky(ALL, 0.5, 0.5, 1), "0.181818"),
    ("dice(smooth=2, per=batch)", tversky(ALL, 0.5, 0.5, 1), "0.181818"),
    ("tversky", per_image(lambda s: tversky(s, 0.5, 0.5, 1)), "0.165385"),
    ("dice(smooth=0, per=batch)", dice(ALL, 0, 0), "0.260870"),
    ("dice(smooth=1e-5)", per_image(lambda s: dice(s, 1e-5, 1e-5)), "0.574991"),
    ("dice(smooth=1e-5, per=batch)", dice(ALL, 1e-5, 1e-5), "0.260869"),
    (
        "mean(1 - (2*sum(p*y, over=pixel) + 1e-5)/(sum(p**2, over=pixel) + sum(y**2, over=pixel) + 1e-5))",
        per_image(lambda s: dice(s, 1e-5, 1e-5), power=2),
        "0.514250",
    ),
    (
        "mean(1 - (2*sum(p*y, per=image) + 1)/(sum(p**2, per=image) + sum(y**2, per=image) + 1))",
        per_image(lambda s: dice(s, 1, 1), power=2),
        "0.072515",
    ),
    (
        "mean(1 - 2*sum(p*y, over=pixel)/(sum(p, over=pixel) + sum(y, over=pixel) + 1e-5))",
        per_image(lambda s: dice(s, 0, 1e-5)),
        "0.575001",
    ),
    ("-dice_coef(smooth=1e-5, per=batch)", dice(ALL, 1e-5, 1e-5) - 1, "-0.739131"),
    ("iou(per=batch)", iou(ALL, 1), "0.307692"),
    (FLIP, -flipped_iou(), "-0.794565"),
    ("iou(smooth=0.5e-5)", per_image(lambda s: iou(s, 0.5e-5)), "0.630430"),
    ("tversky(fp_weight=0.3, fn_weight=0.7, per=batch)", tversky(ALL, 0.3, 0.7, 1), "0.150943"),
    ("tversky(fp_weight=0.7, fn_weight=0.3, per=batch)", tversky(ALL, 0.7, 0.3, 1), "0.210526"),
    ("bce", BCE, "0.167773"),
    ("bce - log(1 - dice(per=batch))", BCE - math.log(1 - dice(ALL, 1, 1)), "0.408935"),
    ("bce - log(1 - dice)", BCE - math.log(1 - per_image(lambda s: dice(s, 1, 1))), "0.452128"),
    (
        "bce + mean(-log(1 - dice(reduction=none)))",
        BCE + per_image(lambda s: -math.log(1 - dice(s, 1, 1))),
        "0.466692",
    ),
    ("0.5*bce + 0.5*(-log(1 - dice(per=batch)))", (BCE - math.log(1 - dice(ALL, 1, 1))) / 2, "0.204468"),
    ("focal", cross_entropy(lambda p, y: (1 - of_truth(p, y)) ** 2), "0.007755"),
    (
        "focal(alpha=0.25)",
        cross_entropy(lambda p, y: (0.25 if y else 0.75) * (1 - of_truth(p, y)) ** 2),
        "0.005192",
    ),
    ("logcosh(dice(per=batch))", math.log(math.cosh(dice(ALL, 1, 1))), "0.022786"),
    ("log(cosh(dice(per=batch)))", math.log(math.cosh(dice(ALL, 1, 1))), "0.022786"),
    ("focal_tversky(per=batch)", tversky(ALL, 0.3, 0.7, 1) ** 0.75, "0.242165"),
    ("focal_tversky(gamma=4/3, per=batch)", tversky(ALL, 0.3, 0.7, 1) ** (4 / 3), "0.080368"),
    ("1 - tversky(fp_weight=1, fn_weight=0, smooth=0, per=batch)", 1.7 / 2.6, "0.653846"),
    ("1 - tversky(fp_weight=0, fn_weight=1, smooth=0, per=batch)", 1.7 / 2.0, "0.850000"),
    ("dice_coef(smooth=0, per=batch)", 2 * 1.7 / 4.6, "0.739130"),
]


def logit(p: float) -> float:
    """-1000 stands for the logit of 0: its sigmoid is 0 in double precision."""
    return math.log(p / (1 - p)) if p else -1000.0


INPUTS = {"probs": P, "logits": [[logit(p) for p in image] for image in P]}


@pytest.mark.parametrize("shape", [(2, 4), (2, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("given", list(INPUTS))
@pytest.mark.parametrize(("text", "expected", "printed"), TABLE, ids=[row[0].strip()[:60] for row in TABLE])
def test_definition(text: str, expected: float, printed: str, given: str, shape: Any, value: Any) -> None:
    pred = torch.tensor(INPUTS[given], dtype=torch.float64).reshape(shape)
    target = torch.tensor(Y, dtype=torch.float64).reshape(shape)
    result = value(text, pred, target, task="binary", input=given).item()
    assert result == pytest.approx(expected, rel=1e-7)
    assert f"{result:.6f}" == printed


@pytest.mark.parametrize("given", list(INPUTS))
def test_single_precision(given: str, value: Any) -> None:
    pred, target = torch.tensor(INPUTS[given]), torch.tensor(Y, dtype=torch.uint8)
    result = value("0.5*bce + 0.5*(-log(1 - dice))", pred, target, task="binary", input=given)
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(0.452128 / 2, abs=1e-6)
