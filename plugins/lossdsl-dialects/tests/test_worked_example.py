"""One name, many numbers: "dice loss" of the same two images in each library, from the names of the dialects.

Two images of 4 pixels, the second without an object. The values are those that the formulas give by hand.
"""

from __future__ import annotations

import pytest
import torch

import lossdsl

P = torch.tensor([[0.9, 0.8, 0.2, 0.1], [0.3, 0.2, 0.1, 0.0]], dtype=torch.float64)[:, None]
Y = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)[:, None]
SMP = "mode=binary, from_logits=false"

VALUES = {
    "keras.dice_coef_loss": 0.247500,
    f"toolbelt.DiceLoss({SMP}, smooth=1)": 0.214286,
    f"smp.DiceLoss({SMP}, smooth=1)": 0.181818,
    f"smp.DiceLoss({SMP})": 0.260870,
    f"toolbelt.DiceLoss({SMP})": 0.260870,
    "keras.Dice": 0.260870,
    "monai.DiceLoss": 0.574991,
    "monai.DiceLoss(batch=true)": 0.260869,
    "monai.DiceLoss(squared_pred=true)": 0.514250,
    "monai.DiceLoss(squared_pred=true, smooth_nr=1, smooth_dr=1)": 0.072515,
    "monai.DiceLoss(smooth_nr=0)": 0.575001,
    "nnunet.SoftDiceLoss(batch_dice=true, smooth=1e-5)": -0.739131,
    "monai.DiceLoss(jaccard=true)": 0.630430,
    f"smp.JaccardLoss({SMP}, smooth=1)": 0.307692,
    f"smp.TverskyLoss({SMP}, smooth=1, alpha=0.3, beta=0.7)": 0.150943,
    f"smp.TverskyLoss({SMP}, smooth=1, alpha=0.7, beta=0.3)": 0.210526,
}


@pytest.mark.parametrize("text", VALUES)
def test_value(text: str) -> None:
    assert lossdsl.compile(text, task="binary", input="probs")(P, Y).item() == pytest.approx(VALUES[text], abs=5e-7)


def test_they_differ() -> None:
    """Ten of the numbers for which eight libraries have one name."""
    dice = {value for text, value in VALUES.items() if "ice" in text and "jaccard" not in text}
    assert len(dice) == 10
