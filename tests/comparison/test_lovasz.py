"""The Lovasz losses against the set function of Berman et al. 2018, written with sets and without cumulative sums."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from configurations import Case, Each
from torch import Tensor


def jaccard_of_errors(wrong: set[int], truth: set[int]) -> float:
    """Equation 6 of the paper: |M| / |{y = c} united with M|, for the set M of mispredicted pixels."""
    united = truth | wrong
    return len(wrong) / len(united) if united else 0.0


def extension(errors: Tensor, labels: Tensor) -> Tensor:
    """Equations 7 to 9: the errors, downwards, times what each adds to the Jaccard loss."""
    wrong: set[int] = set()
    truth = set(labels.nonzero().flatten().tolist())
    weights, before = torch.zeros_like(errors), 0.0
    for pixel in errors.argsort(descending=True).tolist():
        wrong.add(pixel)
        after = jaccard_of_errors(wrong, truth)
        weights[pixel] = after - before
        before = after
    return (errors * weights.detach()).sum()


def rows(s: Case, errors: Tensor, per: str) -> Tensor:
    """The extension for each image and class, or for each class, of the elements that count."""
    images = [[b] for b in range(len(errors))] if per == "image" else [list(range(len(errors)))]
    return torch.stack([
        torch.stack([extension(errors[some, c][s.kept[some, c]], s.y[some, c][s.kept[some, c]])
                     for c in range(errors.shape[1])])
        for some in images
    ])  # fmt: skip


def hinge(s: Case, per: str = "image") -> Each:
    """Section 3.1: of the hinge losses max(0, 1 - z*sign)."""
    return s.each(rows(s, (1 - s.z * (2 * s.y - 1)).relu(), per))


def softmax(s: Case, per: str = "image", classes: str = "present") -> Each | Tensor:
    """Section 3.2, equation 12: the mean over the classes, or over those that the labels have."""
    each = s.each(rows(s, torch.where(s.y == 1, 1 - s.p, s.p), per))
    if classes == "all":
        return each
    share = s.w * (s.total(s.y, per) > 0)
    there = each.there.any(1) & (share.sum(1) > 0)
    means = (share * each.values).sum(1)[there] / share.sum(1)[there]
    return means.mean() if there.any() else 0 * each.values.sum()


def of_errors(s: Case, per: str = "image") -> Each:
    return s.each(rows(s, (s.y - s.p).abs(), per))


PER = {"per": [None, "image", "batch"]}
COMPARED: dict[str, dict[str, Any]] = {
    "lovasz": {"reference": hinge, "tasks": ("binary", "multilabel"), "parameters": PER, "soft": False,
               "given": ("logits",)},
    "lovasz: of classes": {"reference": softmax, "tasks": ("multiclass",),
                           "parameters": PER | {"classes": [None, "present", "all"]}, "hows": ("mean",),
                           "scales": (0.1, 1.0)},
    "lovasz_extension": {"reference": of_errors, "tasks": ("binary", "multilabel", "multiclass"), "parameters": PER,
                         "positional": "abs(y - p), y", "soft": False, "scales": (0.1, 1.0)},
}  # fmt: skip


@pytest.mark.parametrize("name", list(COMPARED))
def test_lovasz(name: str, agrees: Any) -> None:
    agrees(name, **COMPARED[name])
