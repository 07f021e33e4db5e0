"""The numbers of Keras, which is not installed: its formulas, written down here in plain torch."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

BCE = {"from_logits": (True, False), "label_smoothing": (0.1, 0.0, 0.4)}
SIGMOID, ALL = ("binary", "multilabel"), ("binary", "multilabel", "multiclass")
CHOICES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "BinaryCrossentropy": (SIGMOID, BCE),
    "binary_crossentropy": (SIGMOID, BCE),
    "Dice": (ALL, {}),
    "dice": (ALL, {}),
    "dice_coef_loss": (ALL, {"smooth": (1, 1.0, 0.1)}),
}


def crossentropy(pred: Tensor, y: Tensor, from_logits: bool = False, label_smoothing: float = 0.0) -> Tensor:
    y = y * (1 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        return functional.binary_cross_entropy_with_logits(pred, y)
    return functional.binary_cross_entropy(pred.clamp(1e-7, 1 - 1e-7), y)


def dice(pred: Tensor, y: Tensor) -> Tensor:
    return 1 - 2 * (pred * y).sum() / (pred.sum() + y.sum() + 1e-7)


def of_notebooks(pred: Tensor, y: Tensor, smooth: float = 1.0) -> Tensor:
    axes = tuple(range(1, y.ndim))
    return 1 - ((2 * (pred * y).sum(axes) + smooth) / (pred.sum(axes) + y.sum(axes) + smooth)).mean()


@pytest.mark.parametrize("name", CHOICES)
def test_same_numbers(name: str, compare: Any, text_of: Any, setup_of: Any) -> None:
    tasks, choices = CHOICES[name]
    function = crossentropy if "ross" in name else dice if name.lower() == "dice" else of_notebooks

    def setup(call: Any, arguments: dict[str, Any], rng: random.Random) -> Any:
        return setup_of(
            f"keras.{name}({text_of(arguments)})",
            lambda pred, y: function(pred, y, **arguments),
            call,
            probabilities=not arguments.get("from_logits", False),
            their_target=call.y,
        )

    compare(choices, setup, tasks)


def test_probabilities_of_0_and_1_cost_what_they_cost_in_keras() -> None:
    import lossdsl

    p, y = torch.tensor([[0.0, 1.0, 0.0, 1.0]]).double(), torch.tensor([[0.0, 1.0, 1.0, 0.0]]).double()
    value = lossdsl.compile("keras.binary_crossentropy", task="binary", input="probs")(p, y)
    torch.testing.assert_close(value, crossentropy(p, y), rtol=1e-9, atol=0)
    assert value.item() == pytest.approx(8.059, abs=1e-3)
