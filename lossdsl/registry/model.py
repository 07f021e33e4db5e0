"""What a name can stand for: a formula or a kernel, with its signature, range, documentation and provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from lossdsl.errors import Source
from lossdsl.syntax.tree import Declaration, ParameterSyntax, Range
from lossdsl.tasks import TASKS

Parameter: TypeAlias = ParameterSyntax

INPUTS = ("logits", "probs")

LOCAL = "local"
"""The namespace of what this process registered."""


@dataclass(frozen=True, slots=True)
class Provider:
    """The installed distribution that brought a loss in, or the module that registered it, for messages and clashes."""

    distribution: str
    version: str
    entry_point: str
    installed: bool = False

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()

    @property
    def exactly(self) -> str:
        """With the entry point, for messages about what went wrong in it."""
        return f"{self} ({self.entry_point})" if self.entry_point else str(self)


@dataclass(frozen=True, slots=True)
class Taken:
    """`Input: probs for binary unless sigmoid=true`: what a prediction must be that a loss takes as it is.

    kind: `logits` or `probs`. tasks: those for which it holds, all when empty. when, unless: parameters with a word; it
    holds with any of the first, if there are some, and with none of the second.
    """

    kind: str
    tasks: tuple[str, ...] = ()
    when: tuple[tuple[str, str], ...] = ()
    unless: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        tasks = f" for {', '.join(self.tasks)}" if self.tasks else ""
        conditions = (("if", self.when), ("unless", self.unless))
        said = (f" {word} {', '.join(map('='.join, pairs))}" for word, pairs in conditions if pairs)
        return "".join((self.kind, tasks, *said))

    def holds(self, task: str, parameters: Mapping[str, object]) -> bool:
        """Whether it is so for a task and the values of the parameters."""
        given = [[parameters.get(name) == word for name, word in pairs] for pairs in (self.when, self.unless)]
        return task in (self.tasks or TASKS) and (any(given[0]) or not given[0]) and not any(given[1])


@dataclass(frozen=True, slots=True)
class Documentation:
    """The comment above a definition: what it is, where it comes from, what happens at its edges.

    refused: parameter words whose meaning differs between libraries, with what to write instead.
    accepted: parameters that configs of another library write and that change nothing here, with the reason.
    otherwise: tasks for which it is not written, with what to write instead.
    better: `lower` values are better, as in a loss; `higher` ones, as in a score; `neither`, as in a building block.
    example: a call that stands alone, where the name without brackets does not.
    exceptions: rules of lossdsl.testing that it does not keep, with the reason.
    shape: the numbers of classes and pixels of a call that it can take, where it cannot take any.
    taken: what the prediction must be where the loss takes it as it is; empty where logits and probabilities both work.
    classes: parameters that are a list with one item for each class, or a table with a row and a column for each.
    """

    summary: str
    source: str = ""
    notes: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    otherwise: tuple[tuple[str, str], ...] = ()
    better: str = "lower"
    example: str = ""
    exceptions: tuple[tuple[str, str], ...] = ()
    shape: tuple[int, int] | None = None
    accepted: tuple[tuple[str, str], ...] = ()
    taken: tuple[Taken, ...] = ()
    classes: tuple[str, ...] = ()


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
    def range(self) -> Range:
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
    full_size: its tensors are broadcast to each other; else each comes with size 1 along the axes that it lacks.
    elementwise: each element of its result depends on that element alone, so one that does not count is left out.
    """

    name: str
    namespace: str
    inputs: tuple[str, ...]
    keeps: frozenset[str]
    takes_mask: bool
    takes_spatial: bool
    parameters: tuple[Parameter, ...]
    range: Range
    documentation: Documentation
    provider: Provider
    function: Callable[..., Any] = field(repr=False)
    full_size: bool = True
    elementwise: bool = False

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks it is written for: all but those for which it says what to use instead; empty for all."""
        others = dict(self.documentation.otherwise)
        return tuple(task for task in TASKS if task not in others) if others else ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Kernel:
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Stored without its function when a plugin brings it: what reads it finds the plugin, or says what is gone."""
        from lossdsl.registry.restoring import restored

        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.provider.installed:
            values["function"] = None
        return restored, (values,)


Loss: TypeAlias = Formula | Kernel


def full_name(loss: Loss) -> str:
    return f"{loss.namespace}.{loss.name}"
