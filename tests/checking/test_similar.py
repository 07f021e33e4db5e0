"""Misspelt names of losses: what is suggested, for all of a formula at once."""

from __future__ import annotations

import random
import string
import time
from difflib import get_close_matches

import pytest

import lossdsl
from lossdsl.checking.unknown_names import similar
from lossdsl.errors import closest
from lossdsl.registry.discover import default_registry

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
        "write kornia.DiceLoss or monai.DiceLoss or smp.DiceLoss or toolbelt.DiceLoss; of the built-ins, "
        "the nearest is dice; libraries differ in smoothing and in what they pool",
        "did you mean `bce`?",
    ]


def test_the_closest_is_what_difflib_finds() -> None:
    rng = random.Random(0)
    names = default_registry().names()
    for _ in range(500):
        letters = list(rng.choice(names))
        for _ in range(rng.randint(0, 6)):
            at = rng.randint(0, len(letters))
            letters[at : at + rng.randint(0, 2)] = rng.choice(string.printable)
        word = "".join(letters)
        assert [closest(word, names) or ""] == (get_close_matches(word, names, n=1) or [""]), word


MANY = {
    "names": " + ".join(f"name_{i}" for i in range(3000)),
    "names in definitions": "\n".join(f"a{i} = name_{i}" for i in range(250)) + "\nbce",
    "functions": " + ".join(f"function_{i}(p)" for i in range(2000)),
    "keywords": f"dice({', '.join(f'word_{i}={i}' for i in range(2400))})",
    "keywords of a loss that refuses some": f"ce({', '.join(f'word_{i}={i}' for i in range(2400))})",
    "keywords with long values": "dice(" + ", ".join(f"word_{i}=1" + "+1" * 8 for i in range(900)) + ")",
}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("text", MANY.values(), ids=MANY)
def test_thousands_of_unknown_words_take_seconds_at_most(text: str) -> None:
    start = time.process_time()
    report = lossdsl.check(text)
    assert time.process_time() - start < 4
    assert len(report.diagnostics) >= 240
