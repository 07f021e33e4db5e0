"""A loss and its parts, as `loss.breakdown` returns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TermValue:
    """One term of a breakdown: 0-d tensors with contribution = weight * value."""

    value: Tensor
    weight: Tensor
    contribution: Tensor


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A loss and its parts. `total` is differentiable; `terms` are in the order of the formula."""

    total: Tensor
    terms: Mapping[str, TermValue]

    def __reduce__(self) -> tuple[Callable[..., Breakdown], tuple[Any, ...]]:
        """Stored as numbers, without the graph of the gradient."""
        terms = {name: tuple(getattr(value, part).detach() for part in _PARTS) for name, value in self.terms.items()}
        return _stored, (self.total.detach(), terms)


_PARTS = ("value", "weight", "contribution")


def _stored(total: Tensor, terms: Mapping[str, tuple[Tensor, ...]]) -> Breakdown:
    return Breakdown(total, MappingProxyType({name: TermValue(*parts) for name, parts in terms.items()}))
