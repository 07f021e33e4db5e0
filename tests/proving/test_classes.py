"""Numbers of classes where the task is not given: what is said holds for every task that is possible."""

from __future__ import annotations

import pytest
import torch

import lossdsl
import lossdsl.testing
from lossdsl.registry.define import unregistered

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


@pytest.mark.parametrize(
    ("text", "weights", "place", "counts"),
    [
        ("bce + three", [1, 2], "three", ("3 classes", "2 classes")),
        ("bce + 2*three + dice", [1, 2], "three", ("3 classes", "2 classes")),
        ("bce + fourth", [1, 2], "fourth", ("class 3", "2 classes")),
        ("bce(pos_weight=[1, 2]) + three", None, "three", ("3 classes", "2 classes")),
        ("bce(pos_weight=[1, 2]) + dice + fourth", None, "fourth", ("class 3", "2 classes")),
        ("three + bce + fourth", None, "fourth", ("class 3", "3 classes")),
    ],
)
def test_what_a_definition_counts_is_shown_where_it_is_used(
    text: str, weights: list[float] | None, place: str, counts: tuple[str, str]
) -> None:
    with unregistered():
        lossdsl.define("three() = mean(sum([1, 2, 3]*p, over=class))")
        lossdsl.define("fourth() = mean(for_class(p, [3]))")
        (found,) = lossdsl.check(text, task="multilabel", class_weight=weights).diagnostics
    assert found.code == "LD723"
    assert found.column == text.index(place) + 1
    assert all(count in found.message for count in counts)
