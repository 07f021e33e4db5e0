"""The syntax tree: frozen nodes, each with its span in the source. Equality ignores spans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from lossdsl.errors import Span
from lossdsl.stack import with_room

NOWHERE = Span(0, 0)
AXES = ("batch", "class", "pixel")
"""The axes that a value may have, in the order of a tensor's dimensions."""


class Printed:
    """`str` of a node is its canonical text, which parses back to an equal node."""

    __slots__ = ()

    @with_room
    def __str__(self) -> str:
        from lossdsl.syntax.printing import text

        return text(self)  # type: ignore[arg-type]

    def __deepcopy__(self, memo: object) -> Self:
        return self  # frozen all the way down


@dataclass(frozen=True, slots=True)
class Number(Printed):
    value: float
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Name(Printed):
    """A bare word: a loss, a tensor, a scalar of the run, a binding, or a choice such as `none`."""

    text: str
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Negative(Printed):
    operand: Expression
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Part(Printed):
    """One operand of a `Sum` (operator `+` or `-`) or of a `Product` (`*` or `/`)."""

    operator: str
    operand: Expression
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Sum(Printed):
    """`a + b - c`, one node however many terms, so that long sums are not deep. The first part has operator `+`."""

    parts: tuple[Part, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Product(Printed):
    """`a * b / c`, applied from left to right. The first part has operator `*`."""

    parts: tuple[Part, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Power(Printed):
    base: Expression
    exponent: Expression
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Comparison(Printed):
    """`left < right`, which is only allowed as the first argument of `where`."""

    operator: str
    left: Expression
    right: Expression
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Keyword(Printed):
    name: str
    value: Expression
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call(Printed):
    function: Name
    arguments: tuple[Expression, ...]
    keywords: tuple[Keyword, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Listing(Printed):
    """`[1, .5, .25]` or `[batch, pixel]`."""

    items: tuple[Expression, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)


Expression: TypeAlias = Number | Name | Negative | Sum | Product | Power | Comparison | Call | Listing


@dataclass(frozen=True, slots=True)
class Binding(Printed):
    """`region = dice(smooth=1)`."""

    name: str
    value: Expression
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Program(Printed):
    """Any number of bindings, then one expression."""

    bindings: tuple[Binding, ...]
    expression: Expression
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Range(Printed):
    """A range of numbers as it is written; each end is open or closed. whole: only the whole numbers in it.

    It says what may be given, `whole [1, inf)`. What a value can be is an interval, which is computed with.
    """

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False
    span: Span = field(default=NOWHERE, compare=False, repr=False)
    whole: bool = False

    def __contains__(self, value: float) -> bool:
        if self.whole and not float(value).is_integer():
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below


@dataclass(frozen=True, slots=True)
class ParameterSyntax(Printed):
    """`smooth: [0, inf) = 1` or `per: image | batch = image`: the allowed values and the default, None if required.

    lists: 1 for a list of numbers, `[(0, inf)]`, 2 for a list of lists. decides_task: the words are the tasks, written
    `mode: task`, and the value is the task of the call.
    """

    name: str
    interval: Range | None
    words: tuple[str, ...]
    default: Expression | None
    lists: int = 0
    decides_task: bool = False
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Case(Printed):
    """`for binary | multilabel = expression`; no tasks means every task."""

    tasks: tuple[str, ...]
    expression: Expression
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Declaration(Printed):
    """A loss defined in the language: `loss name(parameters) -> [low, high] ... = expression`."""

    name: str
    parameters: tuple[ParameterSyntax, ...]
    range: Range
    bindings: tuple[Binding, ...]
    cases: tuple[Case, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)


Node: TypeAlias = Expression | Part | Keyword | Binding | Program | ParameterSyntax | Case | Declaration | Range


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below `node`, left to right."""
    match node:
        case Number() | Name() | Range():
            return ()
        case Negative() | Part():
            return (node.operand,)
        case Sum() | Product():
            return node.parts
        case Power():
            return (node.base, node.exponent)
        case Comparison():
            return (node.left, node.right)
        case Keyword() | Binding():
            return (node.value,)
        case Call():
            return (node.function, *node.arguments, *node.keywords)
        case Listing():
            return node.items
        case Program():
            return (*node.bindings, node.expression)
        case ParameterSyntax():
            return tuple(part for part in (node.interval, node.default) if part is not None)
        case Case():
            return (node.expression,)
        case Declaration():
            return (*node.parameters, node.range, *node.bindings, *node.cases)


_LEVELS = (Negative, Sum, Product, Power, Comparison, Call, Listing)


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Every node, parents first, with its depth: the number of operations, calls and lists around it, with itself."""
    stack: list[tuple[Node, int]] = [(node, 0)]
    while stack:
        current, depth = stack.pop()
        depth += isinstance(current, _LEVELS)
        yield current, depth
        stack.extend((child, depth) for child in reversed(children(current)))
