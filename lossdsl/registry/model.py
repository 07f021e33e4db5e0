"""What a name can stand for: a formula or a kernel, with its signature, range, documentation and provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lossdsl.errors import Source
from lossdsl.syntax.tree import Declaration, Interval, ParameterSyntax

Parameter: TypeAlias = ParameterSyntax


@dataclass(frozen=True, slots=True)
class Provider:
    """The installed distribution that brought a loss in, for messages and clashes."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Documentation:
    """The comment above a definition: what it is, where it comes from, what happens at its edges.

    refused: parameter words whose meaning differs between libraries, with what to write instead.
    otherwise: tasks for which it is not written, with what to write instead.
    better: `lower` values of a loss are better, `higher` ones of a score, `neither` of a building block.
    """

    summary: str
    source: str = ""
    notes: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    otherwise: tuple[tuple[str, str], ...] = ()
    better: str = "lower"


@dataclass(frozen=True, slots=True)
class Formula:
    """A loss that is a text in the language."""

    name: str
    namespace: str
    declaration: Declaration
    documentation: Documentation
    provider: Provider
    source: Source = field(repr=False)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.declaration.parameters

    @property
    def range(self) -> Interval:
        return self.declaration.range

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks it is written for; empty when one text serves all."""
        if any(not case.tasks for case in self.declaration.cases):
            return ()
        return tuple(task for case in self.declaration.cases for task in case.tasks)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A loss that is a Python function on torch tensors of shape (batch, class, pixel).

    inputs: names of its tensor arguments, in order. keeps: the axes that its result still has; `per=batch` removes the
    batch axis from them. takes_mask: it has a keyword `mask`, the boolean tensor of the elements that count.
    takes_spatial: it has a keyword `spatial`, the sizes of the image axes that the pixel axis stands for.
    """

    name: str
    namespace: str
    inputs: tuple[str, ...]
    keeps: frozenset[str]
    takes_mask: bool
    takes_spatial: bool
    parameters: tuple[Parameter, ...]
    range: Interval
    documentation: Documentation
    provider: Provider
    function: Callable[..., Any] = field(repr=False)

    @property
    def tasks(self) -> tuple[str, ...]:
        return ()


Loss: TypeAlias = Formula | Kernel


def full_name(loss: Loss) -> str:
    return f"{loss.namespace}.{loss.name}"
