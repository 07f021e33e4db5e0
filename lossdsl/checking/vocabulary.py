"""The words of the language that are not losses: functions, reductions, tensors and scalars."""

from __future__ import annotations

from lossdsl.operations import functions
from lossdsl.syntax.tree import AXES

# name -> least and greatest number of arguments; None: any number
FUNCTIONS: dict[str, tuple[int, int | None]] = {
    **{name: (1, 1) for name, row in functions.FUNCTIONS.items() if row.latex is not None},
    "log": (1, 1),
    "sqrt": (1, 1),
    "softmax": (1, 1),
    "stop_gradient": (1, 1),
    "min": (2, None),
    "max": (2, None),
    "clamp": (1, 1),
    "where": (3, 3),
}

# The mean, smallest or largest value in a window around each pixel: `local_mean(y, size=31)`.
NEIGHBOURHOODS = ("local_mean", "local_min", "local_max")
# `min` and `max` of one value reduce it; of several, they compare element by element.
REDUCTIONS = ("sum", "mean", "max", "min", "topk", "logsumexp")
COMBINATORS = ("for_class", "multiscale")
TENSORS = ("z", "p", "y", "pred", "target", "class_weight", "foreground")
SCALARS = ("epoch", "step", "classes")
# Choices and numbers in the spellings of several languages. They are the value of a parameter and nothing else, while
# `image` or `batch` may be what a caller names a tensor.
CHOICES = ("true", "false", "none")
NUMBERS = ("inf", "nan")
WORDS = ("image", *AXES, "mean", "sum", *CHOICES, *NUMBERS)

# Keywords of every call, so that no tensor can be passed under these names.
CALL_WORDS = ("mask", "self")
# Words that begin a part of a definition.
DEFINITION_WORDS = ("loss", "for", "whole")
# What a call itself provides or takes, so that no parameter of a definition can have these names.
PROVIDED = frozenset({*TENSORS, *CALL_WORDS, "epoch", "step", "reduction", *CHOICES, *NUMBERS})
RESERVED = frozenset(
    {
        *FUNCTIONS,
        *NEIGHBOURHOODS,
        *REDUCTIONS,
        *COMBINATORS,
        *TENSORS,
        *SCALARS,
        "learn",
        *CHOICES,
        *NUMBERS,
    }
)
REDUCTION_WORDS = ("mean", "sum", "none")


def is_reserved(name: str) -> bool:
    """Whether a name is reserved by the language."""
    return name in RESERVED or as_word(name) is not None


def as_word(name: str) -> str | None:
    """`none` for a name such as `None`, which no tensor and no value can have; None for other names."""
    word = name.lower()
    return word if word in CHOICES or word in NUMBERS else None
