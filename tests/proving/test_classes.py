"""Numbers of classes where the task is not given: what is said holds for every task that is possible."""

from __future__ import annotations

import pytest
import torch

import lossdsl
import lossdsl.testing

Z, Y = torch.randn(2, 2, 3, 4), torch.ones(2, 2, 3, 4)


@pytest.mark.parametrize("text", ["only_binary + mean([1, 2]*p)", "only_binary + for_class(iou, [1])"])
def test_only_one_task_is_possible(text: str) -> None:
    with lossdsl.testing.registry():
        lossdsl.define("only_binary() -> [0, 1]\n    for binary = mean(abs(p - y))")
        (found,) = lossdsl.check(text).diagnostics
        assert (found.code, found.severity) == ("LD723", "error")
        with pytest.raises(lossdsl.FormulaError, match="a binary task has one class"):
            lossdsl.compile(text)


@pytest.mark.parametrize("text", ["bce(pos_weight=[1, 2])", "for_class(dice, [1])", "mean([1, 2]*p) + bce"])
def test_another_task_is_possible(text: str) -> None:
    """The first batch decides; with the task binary it is wrong before."""
    assert torch.isfinite(lossdsl.compile(text)(Z, Y))
    with pytest.raises(lossdsl.FormulaError, match="LD723"):
        lossdsl.compile(text, task="binary")


def test_the_reason_that_shuts_out_the_other_tasks_is_told() -> None:
    """A kernel without a class axis cannot weigh classes: that binary has one class is not what is wrong."""
    with lossdsl.testing.registry():

        @lossdsl.loss("one_number")
        def one_number(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (p - y).abs().mean()

        with pytest.raises(lossdsl.FormulaError, match="LD306: `one_number` cannot weight or select classes"):
            lossdsl.compile("one_number", class_weight=[1, 2])


def test_heads_have_classes_of_their_own() -> None:
    loss = lossdsl.compile("ce + bce(aux, seg, pos_weight=[1, 2])", task="multiclass", class_weight=[1, 1, 1])
    value = loss(torch.randn(2, 3, 5, 5), torch.zeros(2, 5, 5).long(), aux=Z, seg=Y)
    assert torch.isfinite(value)
