"""Each recipe is checked, compiled and run: a finite loss with a finite gradient that is not zero."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

import lossdsl

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.yaml"))
CLASSES = {"binary": 1, "multiclass": 4, "multilabel": 3, "regression": 3}
# What a recipe may name beside pred and target.
TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "phi": torch.randn_like,
    "teacher": torch.randn_like,
    "aux": torch.randn_like,
    "dp": torch.rand_like,
    "dy": torch.rand_like,
    "critical": lambda pred: (torch.rand_like(pred[:, 0]) > 0.8).double(),
}


def test_there_are_recipes() -> None:
    numbers = {path.stem[:2] for path in RECIPES if path.stem[0].isdigit()}
    assert len(numbers) >= 26


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    loss = yaml.safe_load(text)["loss"]
    assert "# Source: " in text
    assert str(lossdsl.check(path)) == "ok"
    pred, target = batch(loss["task"])
    named = {name: make(pred.detach()) for name, make in TENSORS.items() if name in re.findall(r"\w+", loss["expr"])}
    breakdown = lossdsl.load(path).breakdown(pred, target, epoch=3, **named)
    assert breakdown.total.isfinite()
    assert torch.allclose(sum(term.contribution for term in breakdown.terms.values()), breakdown.total)
    breakdown.total.backward()
    assert pred.grad is not None
    assert pred.grad.isfinite().all()
    assert pred.grad.abs().sum() > 0


def batch(task: str) -> tuple[Tensor, Tensor]:
    classes = CLASSES[task]
    pred = torch.randn(2, classes, 8, 8, dtype=torch.float64, requires_grad=True)
    if task == "multiclass":
        return pred, torch.randint(0, classes, (2, 8, 8))
    if task == "regression":
        return pred, torch.randn_like(pred)
    return pred, (torch.rand_like(pred) > 0.5).double()
