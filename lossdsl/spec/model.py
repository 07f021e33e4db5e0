"""What a user asked for, read from text, YAML or a mapping: expressions with their sources, and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lossdsl.errors import Diagnostic, Source
from lossdsl.registry.model import INPUTS as INPUTS
from lossdsl.syntax.tree import TASKS as TASKS
from lossdsl.syntax.tree import Expression
from lossdsl.syntax.tree import Task as Task

BACKENDS = ("eager", "inductor")


@dataclass(frozen=True, slots=True)
class Sourced:
    """An expression and the text that it was read from."""

    expression: Expression
    source: Source


@dataclass(frozen=True, slots=True)
class NamedExpression:
    """`region = dice(smooth=1)` in a formula, or an entry of `define:`."""

    name: str
    value: Sourced


@dataclass(frozen=True, slots=True)
class TermSpec:
    """One entry of `terms:`."""

    name: str
    value: Sourced
    weight: Sourced


@dataclass(frozen=True, slots=True)
class Options:
    """The keywords of `lossdsl.compile`; None means not given (task, input, backend) or not wanted (the others)."""

    task: Task | None = None
    input: Literal["logits", "probs"] | None = None
    ignore_index: int | None = None
    class_weight: Sequence[float] | None = None
    backend: Literal["eager", "inductor"] | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A loss before its names are looked up. `total` is None when it is the weighted sum of `terms`."""

    definitions: tuple[NamedExpression, ...]
    terms: tuple[TermSpec, ...]
    total: Sourced | None
    options: Options


@dataclass(frozen=True, slots=True)
class Reading:
    """The outcome of reading: a spec (of the parts that could be read) and everything found wrong on the way."""

    spec: Spec | None
    diagnostics: tuple[Diagnostic, ...]
