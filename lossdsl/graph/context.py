"""What a graph is built for: the facts about a call that change which operations are needed, and nothing else."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

Plain: TypeAlias = tuple[Any, ...]
"""The fields of a context, and those of the contexts in it, as tuples."""


class Context(NamedTuple):
    """A hashable description of a call, made of plain values. Its fields are read by name.

    It is no dataclass because torch.compile, which traces where one is made, hashes no frozen dataclass.

    indexed: the target holds class indices. mask: the axes of the mask that is passed, None without one.
    ignoring: ignore_index is set. weighted: class_weight is set. tensors: the axes of each tensor passed by name,
    sorted by name. scales: how many outputs `pred` is a list of, 0 for one tensor. heads: the pairs of tensors by name
    that have a layout of their own.
    absent: the axes that `pred` does not have: pixel for (N, C), class for (N, *spatial); they have size 1.
    """

    task: str
    input: str = "logits"
    indexed: bool = False
    mask: tuple[str, ...] | None = None
    ignoring: bool = False
    weighted: bool = False
    tensors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    scales: int = 0
    heads: tuple[OwnHead, ...] = ()
    absent: tuple[str, ...] = ()


class OwnHead(NamedTuple):
    """A prediction and a target passed by name that have a layout of their own. context: about these two alone."""

    prediction: str
    target: str
    context: Context


def plain(context: Context) -> Plain:
    """A context as tuples: torch.compile passes records of no kind to a function whose result it takes as constant."""
    heads = [(head.prediction, head.target, plain(head.context)) for head in context.heads]
    return tuple(context._replace(heads=tuple(heads)))  # type: ignore[arg-type]


def from_plain(fields: Plain) -> Context:
    """The context that `plain` made tuples of."""
    context = Context(*fields)
    heads = [OwnHead(prediction, target, from_plain(own)) for prediction, target, own in context.heads]
    return context._replace(heads=tuple(heads))
