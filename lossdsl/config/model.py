"""The content of a formula, file or mapping: expressions with their sources, and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lossdsl.config.allow_comments import Answer
from lossdsl.config.options import BACKENDS as BACKENDS
from lossdsl.config.options import Options as Options
from lossdsl.errors import Diagnostic, Place, Source
from lossdsl.registry.model import INPUTS as INPUTS
from lossdsl.syntax.tree import Expression, Range
from lossdsl.tasks import TASKS as TASKS
from lossdsl.tasks import Task as Task


@dataclass(frozen=True, slots=True)
class Sourced:
    """An expression and the text that it was read from."""

    expression: Expression
    source: Source


@dataclass(frozen=True, slots=True)
class NamedExpression:
    """`region = dice(smooth=1)` in a formula, or an entry of `define:`. place: that of the name."""

    name: str
    value: Sourced
    place: Place


@dataclass(frozen=True, slots=True)
class TermSpec:
    """One entry of `terms:`. place: that of the name."""

    name: str
    value: Sourced
    weight: Sourced
    place: Place


@dataclass(frozen=True, slots=True)
class Passed:
    """One entry of `tensors:`: a tensor that the call passes by name. range: the range of its values, if given."""

    name: str
    place: Place
    range: Range | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A loss before its names are resolved. total: None if it is the weighted sum of `terms`.

    tensors: the named tensors, None if any name is allowed. places: the places of the options in a file.
    """

    definitions: tuple[NamedExpression, ...]
    terms: tuple[TermSpec, ...]
    total: Sourced | None
    options: Options
    tensors: tuple[Passed, ...] | None = None
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading: a spec of the parts that could be read, and the findings.

    answers: the comments that answer warnings.
    """

    spec: Spec | None
    diagnostics: tuple[Diagnostic, ...]
    answers: tuple[Answer, ...] = ()
