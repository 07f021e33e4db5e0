"""What to write here for the names of losses in torch and in the registries of other frameworks."""

from __future__ import annotations

_TEXTS = {
    "BCELoss": "bce",
    "BCEWithLogitsLoss": "bce",
    "BinaryCrossEntropyLoss": "bce",
    "BCEDiceLoss": "bce + dice",
    "CrossEntropyLoss": "ce",
    "DiceLoss": "dice",
    "FocalLoss": "focal",
    "HuberLoss": "huber",
    "KLDivLoss": "kl",
    "L1Loss": "l1",
    "LovaszHingeLoss": "lovasz",
    "LovaszLoss": "lovasz",
    "LovaszSoftmaxLoss": "lovasz",
    "MSELoss": "mse",
    "NLLLoss": "ce",
    "OhemCrossEntropyLoss": "topk_ce",
    "SmoothL1Loss": "smooth_l1",
    "TverskyLoss": "tversky",
}
# Of torch; KLDivLoss and NLLLoss take logarithms.
_THE_SAME = frozenset(
    {"BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "MSELoss", "SmoothL1Loss"}
)


def written_here(name: str) -> str | None:
    """The formula for the name of a loss elsewhere, such as `CrossEntropyLoss`; None where there is none."""
    return _TEXTS.get(name.rpartition(".")[2])


def is_the_same(path: str) -> bool:
    """Whether the number is that of the formula, up to arguments; elsewhere only the name is the same."""
    return path.partition(".")[0] in ("torch", "nn") and path.rpartition(".")[2] in _THE_SAME


def takes_probabilities(path: str) -> bool:
    return path.rpartition(".")[2] == "BCELoss"
