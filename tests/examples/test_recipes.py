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


def boxes(count: int) -> Tensor:
    low = torch.rand(count, 2, dtype=torch.float64)
    return torch.cat([low, low + torch.rand_like(low)], 1)


# What a recipe may name beside pred and target.
TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "phi": torch.randn_like,
    "teacher": torch.randn_like,
    "aux": torch.randn_like,
    "dp": torch.rand_like,
    "dy": torch.rand_like,
    "critical": lambda pred: (torch.rand_like(pred[:, 0]) > 0.8).double(),
    "empty": lambda pred: torch.randn_like(pred[:, 0, 0, 0]),
    "has_mask": lambda pred: torch.ones_like(pred[:, 0, 0, 0]),
    "predicted_iou": lambda pred: torch.rand_like(pred[:, 0, 0, 0]),
    "actual_iou": lambda pred: torch.rand_like(pred[:, 0, 0, 0]),
    "visible": lambda pred: torch.randn_like(pred[:, 0, 0, 0]),
    "is_visible": lambda pred: torch.ones_like(pred[:, 0, 0, 0]),
    "cls": lambda pred: torch.randn(2, 5, dtype=torch.float64),
    "label": lambda pred: torch.randint(0, 5, (2,)),
    "boxes": lambda pred: boxes(3),
    "true_boxes": lambda pred: boxes(3),
    "judged": lambda pred: torch.randn(2, 1, 3, 3, dtype=torch.float64),
    "real": lambda pred: torch.ones(2, 1, 3, 3, dtype=torch.float64),
    "decoded": lambda pred: torch.randn(2, 1, 5, 5, dtype=torch.float64),
    "original": lambda pred: torch.rand(2, 1, 5, 5, dtype=torch.float64),
}


def test_every_compound_has_its_recipe() -> None:
    numbers = {path.stem[:2] for path in RECIPES if path.stem[0].isdigit()}
    assert numbers == {f"{number:02}" for number in range(1, 37)}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    loss = yaml.safe_load(text)["loss"]
    assert "# Source: " in text
    assert lossdsl.check(path).ok  # tests/proving says which warnings are true
    leaves, target = batch(loss["task"], outputs(loss["expr"]), side=176 if "ms_ssim" in loss["expr"] else 16)
    named = {
        name: make(leaves[0].detach()) for name, make in TENSORS.items() if name in re.findall(r"\w+", loss["expr"])
    }
    pred = leaves if "multiscale" in loss["expr"] else leaves[0]
    breakdown = lossdsl.load(path).breakdown(pred, target, epoch=3, **named)
    assert breakdown.total.isfinite()
    assert torch.allclose(sum(term.contribution for term in breakdown.terms.values()), breakdown.total)
    for gradient in torch.autograd.grad(breakdown.total, leaves):
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def outputs(formula: str) -> int:
    """How many: as many as `multiscale` has weights."""
    weights = re.search(r"multiscale\(.*weights=\[(.*)\]", formula, re.DOTALL)
    return len(weights[1].split(",")) if weights else 1


def batch(task: str, count: int, side: int) -> tuple[list[Tensor], Tensor]:
    classes, size = CLASSES[task], (side, side)
    preds = [torch.randn(2, classes, *size, dtype=torch.float64, requires_grad=True) for _ in range(count)]
    if task == "multiclass":
        return preds, torch.randint(0, classes, (2, *size))
    if task == "regression":
        return preds, preds[0].detach() + torch.randn_like(preds[0])
    return preds, (torch.rand_like(preds[0]) > 0.5).double()
