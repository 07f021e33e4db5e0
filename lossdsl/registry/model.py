"""What a name can stand for: a formula or a kernel, with its signature, range, documentation and provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from lossdsl.errors import Diagnostic, Place, Source, Span
from lossdsl.syntax import tree
from lossdsl.syntax.printing import numbers_allowed
from lossdsl.syntax.tree import Declaration, ParameterSyntax, Range
from lossdsl.tasks import TASKS

Parameter: TypeAlias = ParameterSyntax

INPUTS = ("logits", "probs")

LOCAL = "local"
"""The namespace of the losses that this process registered."""


@dataclass(frozen=True, slots=True)
class Provider:
    """The installed distribution that provides a loss, or the module that registered it, for messages."""

    distribution: str
    version: str
    entry_point: str
    installed: bool = False

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()

    @property
    def exactly(self) -> str:
        """The provider with its entry point, for messages about errors in it."""
        return f"{self} ({self.entry_point})" if self.entry_point else str(self)


@dataclass(frozen=True, slots=True)
class Taken:
    """`Input: probs for binary unless sigmoid=true`: the kind of prediction that a loss needs without activation.

    kind: `logits` or `probs`. tasks: the tasks for which it holds, empty for all. when, unless: parameter values; it
    holds if one of `when` is given, or `when` is empty, and none of `unless` is given.
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
        """Whether it holds for a task and the values of the parameters."""
        given = [[parameters.get(name) == word for name, word in pairs] for pairs in (self.when, self.unless)]
        return task in (self.tasks or TASKS) and (any(given[0]) or not given[0]) and not any(given[1])


@dataclass(frozen=True, slots=True)
class Documentation:
    """The comment above a definition: a summary, the source, and notes on edge cases.

    refused: parameter words whose meaning differs between libraries, with what to write instead.
    accepted: parameters of another library that have no effect here, with the reason.
    otherwise: unsupported tasks, with what to write instead.
    better: `lower` values are better, as in a loss; `higher` ones, as in a score; `neither`, as in a building block.
    example: a complete call, if the name without brackets is not one.
    exceptions: rules of lossdsl.testing that it does not follow, with the reason.
    shape: the numbers of classes and pixels of an example call, if it does not support any shape.
    taken: the kind of prediction that the loss needs without activation; empty if both kinds work.
    classes: parameters that are a list with one item per class, or a matrix with a row and a column per class.
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
    """A loss that is a formula in the language."""

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
        """The supported tasks; empty if one formula supports all."""
        if any(not case.tasks for case in self.declaration.cases):
            return ()
        return tuple(task for case in self.declaration.cases for task in case.tasks)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A loss that is a Python function on torch tensors of shape (batch, class, pixel).

    inputs: names of its tensor arguments, in order. keeps: the axes of its result; `per=batch` removes the
    batch axis from them. takes_mask: it has a keyword `mask`, the boolean tensor of the valid elements.
    takes_spatial: it has a keyword `spatial`, the sizes of the image axes.
    full_size: its tensors are broadcast to each other; otherwise each has size 1 along missing axes.
    elementwise: each element of its result depends only on that element of the input, so invalid ones can be excluded.
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
        """The supported tasks: all except those in `otherwise`; empty for all."""
        others = dict(self.documentation.otherwise)
        return tuple(task for task in TASKS if task not in others) if others else ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Kernel:
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pickle without the function of a plugin, which is looked up again when the pickle is read."""
        from lossdsl.registry.stored_kernels import restored

        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.provider.installed:
            values["function"] = None
        return restored, (values,)


Loss: TypeAlias = Formula | Kernel


def full_name(loss: Loss) -> str:
    return f"{loss.namespace}.{loss.name}"


def signature_faults(parameters: Iterable[ParameterSyntax], source: Source | None) -> tuple[Diagnostic, ...]:
    """The problems in the signature of a definition, each with its place in the source, if there is one."""

    def fault(code: str, message: str, span: Span, hint: str) -> Diagnostic:
        return Place(source, span).says(code, message, hint) if source else Diagnostic(code, message, hint=hint)

    return tuple(
        fault(code, message, span, f"`{parameter.name}` takes {allowed_values(parameter)}")
        for parameter in parameters
        for code, message, span in _faults(parameter)
    )


def allowed_values(parameter: ParameterSyntax) -> str:
    """`[0, 1] or none`, `image or batch`."""
    return " or ".join([*numbers_allowed(parameter), *parameter.words])


def plain_number(written: tree.Expression) -> float | None:
    """A number with or without a sign."""
    match written:
        case tree.Number(value=number):
            return number
        case tree.Negative(operand=operand):
            positive = plain_number(operand)
            return None if positive is None else -positive
        case tree.Name(text="inf"):
            return float("inf")
    return None


def _faults(parameter: ParameterSyntax) -> Iterator[tuple[str, str, Span]]:
    name, written = parameter.name, parameter.default
    repeated = next((word for word in parameter.words if parameter.words.count(word) > 1), None)
    if repeated:
        yield "LD105", f"`{repeated}` is given twice as a choice of `{name}`", parameter.span
    if written is None or (isinstance(written, tree.Name) and written.text in parameter.words):
        return
    span = written.span if written.span != tree.NOWHERE else parameter.span
    numbers = None if parameter.interval is None else _numbers(written, parameter.lists)
    if numbers is None:
        yield "LD205", f"`{written}` cannot be the default of `{name}`", span
    elif parameter.interval is not None:
        outside = [number for number in numbers if number not in parameter.interval]
        if outside:
            yield "LD204", f"the default of `{name}` is {tree.Number(outside[0])}, outside its range", span


def _numbers(written: tree.Expression, depth: int) -> list[float] | None:
    """The numbers in a list of this depth; a single number is a list of one. None for anything else."""
    if depth == 0 or (depth == 1 and not isinstance(written, tree.Listing)):
        number = plain_number(written)
        return None if number is None else [number]
    if not isinstance(written, tree.Listing) or not written.items:
        return None
    if depth > 1 and not all(isinstance(item, tree.Listing) for item in written.items):
        return None
    inner = [_numbers(item, depth - 1) for item in written.items]
    return None if None in inner else [number for numbers in inner for number in numbers or ()]
