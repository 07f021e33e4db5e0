"""The numbers of kornia, with the arguments of its functions and classes as they are written in Python."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest
import torch

FOCAL = {"alpha": (None, 0.25, 0.8), "gamma": (2.0, 1.5, 3.5), "reduction": ("mean", "sum", "none"), "weight": (True,)}
BINARY = FOCAL | {"pos_weight": (True,)}
DICE = {"average": ("micro", "macro"), "eps": (1e-8, 0.1), "weight": (True,)}
TVERSKY = {"alpha": (0.3,), "beta": (0.7,), "eps": (1e-8, 0.1)}
SIGMOID, SOFTMAX = ("binary", "multilabel"), ("multiclass",)

# name of the function, name of the class, tasks, arguments
PAIRS: list[tuple[str, str, tuple[str, ...], dict[str, Any]]] = [
    ("dice_loss", "DiceLoss", SOFTMAX, DICE),
    ("tversky_loss", "TverskyLoss", SOFTMAX, TVERSKY),
    ("focal_loss", "FocalLoss", SOFTMAX, FOCAL),
    ("binary_focal_loss_with_logits", "BinaryFocalLossWithLogits", SIGMOID, BINARY),
    ("lovasz_hinge_loss", "LovaszHingeLoss", ("binary",), {}),
    ("lovasz_softmax_loss", "LovaszSoftmaxLoss", SOFTMAX, {"weight": (True,)}),
]
NAMES = [name for function, loss, _, _ in PAIRS for name in (function, loss)]


@pytest.fixture(scope="module")
def losses() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("kornia.losses", reason="kornia is not installed", exc_type=ImportError)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", NAMES)
def test_same_numbers(name: str, losses: Any, compare: Any, text_of: Any, setup_of: Any) -> None:
    tasks, choices = next((tasks, choices) for function, loss, tasks, choices in PAIRS if name in (function, loss))

    def setup(call: Any, arguments: dict[str, Any], rng: random.Random) -> Any:
        for word in ("weight", "pos_weight"):
            wanted = arguments.pop(word, None) and rng.random() < 0.5
            if wanted:
                arguments[word] = [rng.choice([0.5, 1.0, 3.0]) for _ in range(call.classes)]
        if "Focal" in name or "focal_loss" in name:
            arguments.setdefault("alpha", 0.3)
            arguments.setdefault("reduction", "mean")
        theirs = {k: torch.tensor(v, dtype=call.z.dtype) if isinstance(v, list) else v for k, v in arguments.items()}
        loss, text = getattr(losses, name), f"kornia.{name}({text_of(arguments)})"
        mapped = arguments.get("reduction") == "none"

        def value(pred: Any, target: Any) -> Any:
            result = loss(**theirs)(pred, target) if name[0].isupper() else loss(pred, target, **theirs)
            return (result**2).sum() if mapped else result

        target = call.target[:, 0] if "hinge" in name.lower() else None
        return setup_of(f"sum({text}**2)" if mapped else text, value, call, their_target=target)

    compare(choices, setup, tasks, sizes=[(4, 5), (3, 3), (1, 6)])
