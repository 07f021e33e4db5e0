"""What a graph is built for: the facts about a call that change which operations are needed, and nothing else."""

from __future__ import annotations

from typing import Any, NamedTuple


class Context(NamedTuple):
    """A hashable description of a call, made of plain values.

    indexed: the target holds class indices. mask: the axes of the mask that is passed, None without one.
    ignoring: ignore_index is set. weighted: class_weight is set. tensors: the axes of each tensor passed by name,
    sorted by name. scales: how many outputs `pred` is a list of, 0 for one tensor. heads: the pairs of tensors by name
    that have a layout of their own, as (prediction, target, the fields of a context of that pair alone).
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
    heads: tuple[tuple[str, str, tuple[Any, ...]], ...] = ()
    absent: tuple[str, ...] = ()
