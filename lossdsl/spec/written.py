"""What to write here for the names of losses in torch and in the registries of other frameworks."""

from __future__ import annotations

from lossdsl import words


def written_here(name: str) -> str | None:
    """The formula for the name of a loss elsewhere, such as `CrossEntropyLoss`; None where there is none."""
    word = words.word(name.rpartition(".")[2], "loss")
    return word.write or None if word else None


def is_the_same(path: str) -> bool:
    """Whether the number is that of the formula, up to arguments; elsewhere only the name is the same."""
    word = words.word(path.rpartition(".")[2], "loss")
    return path.partition(".")[0] in ("torch", "nn") and word is not None and word.same


def takes_probabilities(path: str) -> bool:
    return path.rpartition(".")[2] == "BCELoss"
