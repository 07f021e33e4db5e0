"""Misspelt names of losses: what is suggested, for all of a formula at once."""

from __future__ import annotations

import pytest

import lossdsl
from lossdsl.checking.similar import similar

KNOWN = [
    *("dice", "dice_coef", "focal", "bce", "ce", "hausdorff"),
    *("boundary.hausdorff", "keras.Dice", "kornia.DiceLoss", "kornia.dice_loss", "monai.DiceCELoss"),
    *("monai.DiceLoss", "nnunet.DC_and_CE_loss", "smp.DiceLoss", "smp.MCCLoss"),
]
ALL = "`dice`, `kornia.DiceLoss`, `monai.DiceLoss` or `smp.DiceLoss`"
MEANT = {
    "monai.DiceLos": "`monai.DiceLoss`",
    "monai.diceloss": "`monai.DiceLoss`",
    "monay.DiceLoss": "`monai.DiceLoss`",
    "monai.dice_loss": "`monai.DiceLoss`",
    "monai.MCCLoss": "`smp.MCCLoss` or `monai.DiceCELoss`",
    "nnunet.DC_and_CE": "`nnunet.DC_and_CE_loss`",
    "DC_and_CE": "`nnunet.DC_and_CE_loss`",
    "DiceLos": ALL,
    "diceloss": ALL,
    "dice_loss": "`dice` or `kornia.dice_loss`",
    "Dice": "`dice`",
    "bec": "`bce`",
    "CE": "`ce`",
    "hausdorf": "`hausdorff`",
    "foo.dice": "`dice`",
    "foo.MCCLoss": "`smp.MCCLoss`",
}


@pytest.mark.parametrize("word", MEANT)
def test_what_may_be_meant(word: str) -> None:
    assert similar(word, KNOWN) == f"did you mean {MEANT[word]}?"


@pytest.mark.parametrize("word", ["xy", "qqqqqq", "qqq.wwwwww"])
def test_nothing_is_near(word: str) -> None:
    assert similar(word, KNOWN) is None


def test_all_of_a_formula_at_once() -> None:
    report = lossdsl.check("monai.DiceLos(sigmoid=true) + nnunet.DC_and_CE + DiceLoss + bec")
    assert [found.code for found in report.diagnostics] == ["LD201", "LD201", "LD601", "LD201"]
    assert [found.hint for found in report.diagnostics] == [
        "did you mean `monai.DiceLoss`?",
        "did you mean `nnunet.DC_and_CE_loss`?",
        "write kornia.DiceLoss or monai.DiceLoss or smp.DiceLoss or toolbelt.DiceLoss",
        "did you mean `bce`?",
    ]
