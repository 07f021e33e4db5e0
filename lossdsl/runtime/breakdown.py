"""A loss and its terms, as `loss.breakdown` returns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TermValue:
    """One term of a `Breakdown`. All values are 0-d tensors, and contribution = weight * value."""

    value: Tensor
    weight: Tensor
    contribution: Tensor


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A loss and its terms.

    Attributes:
        total: the loss, a differentiable 0-d tensor.
        terms: a `TermValue` for each term by name, in the order of the formula.

    >>> import torch, lossdsl
    >>> loss = lossdsl.compile("bce + 0.5*dice", task="binary")
    >>> parts = loss.breakdown(torch.zeros(2, 1, 8), torch.ones(2, 1, 8))
    >>> [(name, float(term.weight)) for name, term in parts.terms.items()]
    [('bce', 1.0), ('dice', 0.5)]
    """

    total: Tensor
    terms: Mapping[str, TermValue]

    def __reduce__(self) -> tuple[Callable[..., Breakdown], tuple[Any, ...]]:
        """Pickle the values without the graph of the gradient."""
        terms = {name: tuple(getattr(value, part).detach() for part in _PARTS) for name, value in self.terms.items()}
        return _stored, (self.total.detach(), terms)


_PARTS = ("value", "weight", "contribution")


def _stored(total: Tensor, terms: Mapping[str, tuple[Tensor, ...]]) -> Breakdown:
    return Breakdown(total, MappingProxyType({name: TermValue(*parts) for name, parts in terms.items()}))
