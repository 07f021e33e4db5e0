"""The numbers of MONAI, with the arguments of its classes as they are written in Python."""

from __future__ import annotations

import itertools
import random
import warnings
from typing import Any

import pytest
import torch

pytestmark = [pytest.mark.usefixtures("full_precision"), pytest.mark.filterwarnings("ignore:single channel prediction")]

TASKS = ("binary", "multilabel", "multiclass")
FLAG = (True, False)
SMOOTH = {"smooth_nr": (1e-5, 1.0, 0.3), "smooth_dr": (1e-5, 1.0, 0.2)}
REGION = {"include_background": FLAG, "batch": FLAG, **SMOOTH}
DICE = {**REGION, "squared_pred": FLAG, "jaccard": FLAG}
WEIGHT = {"weight": (True,)}

CHOICES: dict[str, dict[str, Any]] = {
    "DiceLoss": {**DICE, "soft_label": FLAG, "reduction": ("mean", "sum", "none"), **WEIGHT},
    "GeneralizedDiceLoss": {
        **REGION,
        "w_type": ("square", "simple", "uniform"),
        "soft_label": FLAG,
        "reduction": ("mean", "sum"),
    },
    "TverskyLoss": {
        **REGION, "alpha": (0.3, 1.0, 0), "beta": (0.7, 1.0), "soft_label": FLAG, "reduction": ("mean", "sum", "none"),
    },
    "FocalLoss": {
        "include_background": FLAG, "gamma": (2.0, 0.5, 0, 3.5), "alpha": (None, 0.25, 0.8), "use_softmax": FLAG,
        "reduction": ("mean", "none"), **WEIGHT,
    },
    "DiceCELoss": {**DICE, "lambda_dice": (0.5, 0), "lambda_ce": (2.0, 0.3), "label_smoothing": (0.1, 0.0), **WEIGHT},
    "DiceFocalLoss": {
        **DICE, "gamma": (2.0, 1.5), "alpha": (None, 0.3), "lambda_dice": (0.5,), "lambda_focal": (2.0,), **WEIGHT,
    },
    "GeneralizedDiceFocalLoss": {
        **REGION, "w_type": ("square", "simple", "uniform"), "gamma": (2.0, 1.5), "lambda_gdl": (0.5,),
        "lambda_focal": (2.0,), **WEIGHT,
    },
    "AsymmetricUnifiedFocalLoss": {"weight": (0.2, 0.9), "gamma": (0.3, 0.6), "delta": (0.6, 0.8)},
}  # fmt: skip
NO_ACTIVATION = ("FocalLoss", "AsymmetricUnifiedFocalLoss")
# Without an activation too: of the compounds one part takes the logits as they are.
OF_LOGITS = ("FocalLoss", "DiceCELoss", "DiceFocalLoss", "GeneralizedDiceFocalLoss")


@pytest.fixture(scope="module")
def losses() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.losses", reason="MONAI is not installed")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", CHOICES)
def test_same_numbers(name: str, losses: Any, compare: Any, text_of: Any, setup_of: Any) -> None:
    def setup(call: Any, arguments: dict[str, Any], rng: random.Random) -> Any:
        single = call.task == "binary"
        if arguments.get("reduction") == "none":
            arguments.pop("include_background", None)
        if single:
            for word in ("include_background", "use_softmax", "label_smoothing"):
                arguments.pop(word, None)
        activated = name not in NO_ACTIVATION and _activate(call.task, arguments, rng)
        weight = _weight(name, arguments, call, rng)
        to_onehot = call.task == "multiclass" and "Generalized" not in name
        theirs = {**arguments, **weight["theirs"], **({"to_onehot_y": True} if to_onehot else {})}
        ours = text_of({**arguments, **weight["ours"], **({"to_onehot_y": True} if to_onehot else {})})
        loss, text = getattr(losses, name)(**theirs), f"monai.{name}({ours})"
        mapped = arguments.get("reduction") == "none"
        return setup_of(
            f"sum({text}**2)" if mapped else text,
            (lambda p, y: (loss(p, y) ** 2).sum()) if mapped else loss,
            call,
            probabilities=not activated and name not in OF_LOGITS,
            their_target=call.target[:, None] if to_onehot else call.y,
        )

    shapes = {"sizes": [(4, 5), (2, 3, 3)], "classes": [2]} if "Unified" in name else {}
    compare(CHOICES[name], setup, TASKS, **shapes)


def _activate(task: str, arguments: dict[str, Any], rng: random.Random) -> bool:
    """Choose the activation, written out in full or not. The cross-entropy and focal parts want logits."""
    chosen = rng.choice(["sigmoid", None] if task == "binary" else ["sigmoid", "softmax", None])
    if chosen is None and any(word.startswith("lambda") for word in arguments):
        chosen = "sigmoid"
    if chosen:
        arguments[chosen] = True
    for word in ("sigmoid", "softmax"):
        if rng.random() < 0.3 and word not in arguments:
            arguments[word] = False
    return chosen is not None


def _weight(name: str, arguments: dict[str, Any], call: Any, rng: random.Random) -> dict[str, dict[str, Any]]:
    """A weight for each class as both take it, or none. MONAI's has no number for a background that is left out."""
    if "weight" not in arguments or "Unified" in name:
        return {"ours": {}, "theirs": {}}
    del arguments["weight"]
    alone = (
        call.classes == 2 and not arguments.get("include_background", True) and name not in ("DiceLoss", "DiceCELoss")
    )
    if alone or (call.task == "binary" and name == "DiceLoss") or rng.random() < 0.4:
        return {"ours": {}, "theirs": {}}
    if call.task == "binary":
        tensor = torch.tensor(2.0, dtype=call.z.dtype)
        return {"ours": {"weight": 2.0}, "theirs": {"weight": tensor}}
    numbers = [rng.choice([0.5, 1.0, 3.0]) for _ in range(call.classes)]
    theirs = numbers if arguments.get("include_background", True) or name == "DiceCELoss" else numbers[1:]
    one_hot = call.task == "multilabel" or name != "DiceCELoss"
    assert one_hot or len(theirs) == call.classes
    return {"ours": {"weight": numbers}, "theirs": {"weight": torch.tensor(theirs, dtype=call.z.dtype)}}


@pytest.mark.parametrize(("sigmoid", "softmax"), list(itertools.product(FLAG, FLAG)))
def test_one_activation_at_most(sigmoid: bool, softmax: bool, text_of: Any) -> None:
    import lossdsl

    given = "logits" if sigmoid or softmax else "probs"
    text = f"monai.DiceLoss({text_of({'sigmoid': sigmoid, 'softmax': softmax})})"
    found = lossdsl.check(text, input=given).diagnostics
    assert [d.code for d in found] == ["LD203"] * (sigmoid and softmax)


# What a map without the background is written as, in place of NAME(include_background=False, reduction="none").
WITHOUT_BACKGROUND = {
    "for_class(monai.DiceLoss(sigmoid=true, reduction=none), [1, 2])": ("DiceLoss", {"sigmoid": True}),
    "for_class(monai.DiceLoss(softmax=true, batch=true, jaccard=true, reduction=none), [1, 2])": (
        "DiceLoss", {"softmax": True, "batch": True, "jaccard": True},
    ),
    "for_class(monai.TverskyLoss(sigmoid=true, reduction=none), [1, 2])": ("TverskyLoss", {"sigmoid": True}),
    "for_class(monai.TverskyLoss(softmax=true, alpha=0.3, beta=0.7, reduction=none), [1, 2])": (
        "TverskyLoss", {"softmax": True, "alpha": 0.3, "beta": 0.7},
    ),
    "for_class(monai.FocalLoss(reduction=none), [1, 2])": ("FocalLoss", {}),
    "for_class(monai.FocalLoss(gamma=3, alpha=0.3, reduction=none), [1, 2])": ("FocalLoss", {"gamma": 3, "alpha": 0.3}),
    "for_class(-(1 - q)**2*log(q)*y, [1, 2])": ("FocalLoss", {"use_softmax": True}),
}  # fmt: skip


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
@pytest.mark.parametrize("text", WITHOUT_BACKGROUND)
def test_a_map_without_the_background(text: str, task: str, losses: Any) -> None:
    """What the refusal advises to write has MONAI's numbers, and is advised word for word."""
    import lossdsl

    name, arguments = WITHOUT_BACKGROUND[text]
    torch.manual_seed(0)
    z = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    index = torch.randint(3, (2, 4, 5))
    y = torch.nn.functional.one_hot(index, 3).movedim(-1, 1).double()
    theirs = getattr(losses, name)(**arguments, include_background=False, reduction="none")(z, y)
    before = "q = softmax(where(foreground > 0.5, z, -1e9))\n" if "log(q)" in text else ""
    target = index if task == "multiclass" else y
    for outer, wanted in (("mean({})", theirs.mean()), ("sum({}**2)", (theirs**2).sum()), ("max({})", theirs.max())):
        ours = lossdsl.compile(before + outer.format(text), task=task)(z, target)
        torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["DiceLoss", "TverskyLoss", "FocalLoss"])
@pytest.mark.parametrize("use_softmax", [False, True])
def test_the_advice_is_what_is_tested(name: str, use_softmax: bool, losses: Any) -> None:
    import lossdsl

    words = ", use_softmax=true" if use_softmax and name == "FocalLoss" else ""
    (found,) = lossdsl.check(f"monai.{name}(include_background=false, reduction=none{words})").diagnostics
    assert found.code == "LD203"
    advised = [text for text, (loss, _) in WITHOUT_BACKGROUND.items() if loss == name and text in (found.hint or "")]
    assert len(advised) == 1
    assert ("log(q)" in advised[0]) == bool(words)
    assert not words or "q = softmax(where(foreground > 0.5, z, -1e9))" in (found.hint or "")
