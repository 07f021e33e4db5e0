"""What a loss returns owns its memory: changed in place, it changes no parameter, no input, no gradient and no other.

Most results are new anyway. Copied are those that may be an argument of the operation, and those that something else
still reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lossdsl.graph.nodes import Node

_AS_IT_IS = frozenset({"cast", "cast_like", "stop_gradient", "index"})
_NOT_ALWAYS_NEW = _AS_IT_IS | {"input", "kernel"}  # a kernel may return what it keeps
_NOT_SAVED = frozenset({"add", "subtract", "multiply", "divide", "negative", "sum", "mean"})


def to_copy(results: Sequence[Node | None], stored: Iterable[Node] = ()) -> tuple[int, ...]:
    """Which results are copied. stored: what is read again later, for the gradient."""
    read = {_whose_memory(node) for node in stored}
    again = {*repeated(results)}
    return tuple(
        index
        for index, node in enumerate(results)
        if node is not None and (node.operation in _NOT_ALWAYS_NEW or node in read or index in again)
    )


def repeated(results: Sequence[Node | None]) -> tuple[int, ...]:
    """Where a node stands that stood before."""
    first: dict[Node | None, int] = {}
    return tuple(
        index
        for index, node in enumerate(results)
        if first.setdefault(node, index) < index and node is not None and not node.is_constant
    )


def is_saved(node: Node) -> bool:
    """Whether torch's autograd may save the result of a node, or the result is not always new."""
    return node.operation not in _NOT_SAVED


def copied(values: Sequence[Any], saved: bool, terms: bool) -> tuple[Any, ...]:
    """What a plan's module returned: the total, with `terms` also all others, which autograd saves for one another.

    saved: `is_saved` of the total.
    """
    if terms:
        return tuple(
            [_copy(value, index) if isinstance(value, Tensor) else value for index, value in enumerate(values)]
        )
    total = values[0]
    return (_copy(total, 0) if saved and isinstance(total, Tensor) else total,)


def filled(number: float, total: Tensor, index: int) -> Tensor:
    """A number as a tensor like the total. index: as for `_of_its_own`."""
    like = total.detach()
    value = torch.full_like(like, number)
    return _of_its_own(value, like, index) if torch.compiler.is_compiling() else value


def _copy(value: Tensor, index: int) -> Tensor:
    return _of_its_own(value, value, index) if torch.compiler.is_compiling() else value.clone()


def _of_its_own(value: Tensor, like: Tensor, index: int) -> Tensor:
    """The value, in an operation that a compiler does not leave out, as it does a copy.

    index: another one for each value that is returned, because a compiler computes equal operations once.
    """
    return torch.where(like == index, value, value)


def _whose_memory(node: Node) -> Node:
    while node.operation in _AS_IT_IS:
        node = node.arguments[0]
    return node
