"""The formulas for names of losses in torch and in the registries of other frameworks."""

from __future__ import annotations

from lossdsl import words


def written_here(name: str) -> str | None:
    """The formula for a loss of another library, such as `CrossEntropyLoss`; None if there is none."""
    word = words.word(name.rpartition(".")[2], "loss")
    return word.write or None if word else None


def is_the_same(path: str) -> bool:
    """Whether the loss of this path has the same value as the formula, apart from arguments."""
    word = words.word(path.rpartition(".")[2], "loss")
    return path.partition(".")[0] in ("torch", "nn") and word is not None and word.same


def takes_probabilities(path: str) -> bool:
    return path.rpartition(".")[2] == "BCELoss"
