"""The numbers of segmentation_models.pytorch, with the arguments of its classes as they are written in Python."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.usefixtures("full_precision")

FLAG = (True, False)
REGION = {
    "mode": ("task",), "classes": (None, [0], [1, 0]), "log_loss": FLAG, "from_logits": FLAG,
    "smooth": (0.0, 1.0, 0.2), "eps": (1e-7, 1e-3), "class_weights": (True,),
}  # fmt: skip
ALL = ("binary", "multilabel", "multiclass")
CHOICES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "DiceLoss": (ALL, REGION),
    "JaccardLoss": (ALL, REGION),
    "TverskyLoss": (ALL, REGION | {"alpha": (0.3, 1.0), "beta": (0.7, 0.0), "gamma": (1.0, 0.75, 2.0)}),
    "FocalLoss": (
        ALL,
        {
            "mode": ("task",), "alpha": (None, 0.25), "gamma": (2.0, 0.0, 1.5), "normalized": FLAG,
            "reduced_threshold": (None, 0.5, 0.3), "reduction": ("mean", "sum"), "class_weights": (True,),
        },
    ),
    "LovaszLoss": (("binary", "multiclass"), {"mode": ("task",), "per_image": FLAG}),
    "SoftBCEWithLogitsLoss": (
        ("binary", "multilabel"),
        {"smooth_factor": (None, 0.1), "reduction": ("mean", "sum"), "pos_weight": (None, 2.0)},
    ),
    "SoftCrossEntropyLoss": (("multiclass",), {"smooth_factor": (0.1,), "reduction": ("mean", "sum")}),
    "MCCLoss": (("binary", "multilabel"), {"eps": (1e-5, 0.1)}),
}  # fmt: skip


@pytest.fixture(scope="module")
def losses(smp_losses: Any) -> Any:
    return smp_losses


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", CHOICES)
def test_same_numbers(name: str, losses: Any, compare: Any, text_of: Any, setup_of: Any) -> None:
    tasks, choices = CHOICES[name]

    def setup(call: Any, arguments: dict[str, Any], rng: random.Random) -> Any:
        if "mode" in arguments:
            arguments["mode"] = call.task
        if arguments.pop("class_weights", None) and call.task != "binary" and rng.random() < 0.6:
            arguments["class_weights"] = [rng.choice([0.5, 1.0, 3.0]) for _ in range(call.classes)]
        if call.task == "binary":
            arguments.pop("classes", None)
        theirs = dict(arguments)
        if theirs.get("pos_weight"):
            theirs["pos_weight"] = torch.tensor(theirs["pos_weight"], dtype=call.z.dtype)
        return setup_of(
            f"smp.{name}({text_of(arguments)})",
            getattr(losses, name)(**theirs),
            call,
            probabilities=name == "MCCLoss" or not arguments.get("from_logits", True),
        )

    # In smp's Lovasz loss a prediction of three axes is that of a sigmoid.
    shapes = {"sizes": [(4, 5), (2, 3, 3)]} if name == "LovaszLoss" else {}
    compare(choices, setup, tasks, **shapes)


def test_pos_weight_of_each_class(losses: Any, compare: Any, setup_of: Any) -> None:
    """torch wants the weights in the shape of the classes: (C, 1, ...)."""

    def setup(call: Any, arguments: dict[str, Any], rng: random.Random) -> Any:
        weights = [rng.choice([0.5, 1.0, 3.0]) for _ in range(call.classes)]
        shaped = torch.tensor(weights, dtype=call.z.dtype).view(-1, *[1] * (call.z.ndim - 2))
        theirs = losses.SoftBCEWithLogitsLoss(pos_weight=shaped)
        return setup_of(f"smp.SoftBCEWithLogitsLoss(pos_weight={weights})", theirs, call)

    compare({}, setup, ["multilabel"])
