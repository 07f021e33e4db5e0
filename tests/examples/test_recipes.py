"""Each recipe is checked, compiled and run: a finite loss with a finite gradient that is not zero."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import lossdsl

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.yaml"))


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 26


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path: Path) -> None:
    assert "# Source: " in path.read_text(encoding="utf-8")
    assert str(lossdsl.check(path)) == "ok"
    loss = lossdsl.load(path)
    side = 176 if "ms_ssim" in path.read_text(encoding="utf-8") else 8
    pred, target = batch(yaml.safe_load(path.read_text(encoding="utf-8"))["loss"]["task"], side)
    breakdown = loss.breakdown(pred, target, epoch=3, **tensors(path, pred))
    assert breakdown.total.isfinite()
    assert torch.allclose(sum(term.contribution for term in breakdown.terms.values()), breakdown.total)
    breakdown.total.backward()
    assert pred.grad is not None
    assert pred.grad.isfinite().all()
    assert pred.grad.abs().sum() > 0


def batch(task: str, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    classes = 1 if task == "binary" else 3
    pred = torch.randn(2, classes, side, side, dtype=torch.float64, requires_grad=True)
    if task == "multiclass":
        return pred, torch.randint(0, classes, (2, side, side))
    if task == "regression":
        return pred, pred.detach() + torch.randn_like(pred)
    return pred, (torch.rand_like(pred) > 0.5).double()


def tensors(path: Path, pred: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the recipe names: a distance map, or the logits of a teacher."""
    text = path.read_text(encoding="utf-8")
    return {name: torch.randn_like(pred) for name in ("phi", "teacher") if name in text.partition("expr")[2]}
