"""What is known while one text is read, which operands fit each other, and how a fault in it is reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from lossdsl.checking.resolved import Local, NumberList, Reduction, Resolved, Use, Word
from lossdsl.errors import Diagnostic, Edit, Place
from lossdsl.graph.heads import Chosen, Classes, Head, Space
from lossdsl.graph.nodes import AXES, NO_AXES, Node
from lossdsl.syntax.printing import shown
from lossdsl.tasks import task_record

_NO_REDUCTION = re.compile(r"\(\s*reduction\s*=\s*none\s*\)|,\s*reduction\s*=\s*none\b|\breduction\s*=\s*none\s*,\s*")


def with_its_mean(expression: Resolved) -> Edit | None:
    """`bce` for `bce(reduction=none)` where one number is meant: the mean is what a loss by name is."""
    if not isinstance(expression, Use) or not isinstance(expression.reduction, Word):
        return None
    span = expression.origin.extent
    text = expression.origin.source.text[span.start : span.end]
    found = list(_NO_REDUCTION.finditer(text))
    if len(found) != 1:
        return None
    return expression.origin.replaced(text[: found[0].start()] + text[found[0].end() :])


def without_the_mean(expression: Reduction) -> Edit | None:
    """`dice` for `mean(dice)`: one number is its own mean."""
    if expression.kind != "mean" or not isinstance(expression.value, (Use, Local)) or expression.over:
        return None
    whole, value = expression.origin.extent, expression.value.origin.extent
    text = expression.origin.source.text
    if text[value.end : whole.end].strip() != ")":
        return None
    return expression.origin.replaced(text[value.start : value.end])


Value: TypeAlias = Node | Chosen | str | NumberList
"""A number or tensor, a map of some classes, a word such as `image`, or a list that a parameter takes."""

HEAD_TENSORS = ("z", "p", "y", "pred", "target")


class Fault(Exception):
    """Stops the reading of one term; carries the diagnostic."""

    def __init__(self, diagnostic: Diagnostic):
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


@dataclass(slots=True)
class Frame:
    """One text being read: a user's formula, or a definition with its parameters. `used`: parameters that were read.
    `locals`, `faults`: what its names stand for, or why they stand for nothing.

    A definition is written for every choice of its parameters: with per=batch a mean over the images has nothing left
    to average. In a user's own formula the mean of one number is a slip. `classes`: which classes count, None for all.
    `place`: the loss in the user's text that led here, None in that text itself.
    `scaled`: the text stands in a multiscale. `mapped`: its value is the map that the user asks another loss for.
    """

    head: Head
    bindings: dict[str, Resolved]
    parameters: dict[str, Value] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    locals: dict[str, Value] = field(default_factory=dict)
    faults: dict[str, Diagnostic] = field(default_factory=dict)
    is_definition: bool = False
    classes: Classes | None = None
    place: Place | None = None
    scaled: bool = False
    mapped: bool = False

    @property
    def space(self) -> Space:
        return self.head.space


def node_of(value: Value) -> Node | None:
    """The node of a number or map, None for a word or a list."""
    if isinstance(value, Chosen):
        return value.node
    return value if isinstance(value, Node) else None


def listed(axes: Iterable[str]) -> str:
    """Axes in their order: `batch, class, pixel`."""
    return ", ".join(axis for axis in AXES if axis in set(axes))


def the_axes(axes: Iterable[str]) -> str:
    """Axes in a sentence: `no axes`, `the axis class`, `the axes batch, class and pixel`."""
    *first, last = listed(axes).split(", ")
    if first:
        return f"the axes {', '.join(first)} and {last}"
    return f"the axis {last}" if last else "no axes"


def too_large(what: str, value: Node, origin: Place) -> Diagnostic:
    """The finding for a constant that float32 does not hold."""
    message = f"{what} is {shown(value.value)}, infinite in float32"
    return origin.says("LD209", message, "the largest float32 number is 3.4e38")


def without_result(function: str, arguments: Sequence[Node], origin: Place) -> Diagnostic:
    """The finding for arithmetic on constants that gives no finite number."""
    values = [argument.value for argument in arguments]
    if function == "divide" and values[1] == 0:
        return origin.says("LD213", "division by zero", "divide by a number that is not 0")
    written = " and ".join(map(shown, values))
    undefined = _UNDEFINED.get(function)
    if undefined and undefined(*values):
        return origin.says("LD213", f"`{function}` of {written} is undefined", _DEFINED_FOR[function])
    message = f"`{function}` of {written} is infinite in float32"
    return origin.says("LD209", message, "the largest float32 number is 3.4e38")


_UNDEFINED: dict[str, Callable[..., bool]] = {
    "log": lambda x: x <= 0,
    "sqrt": lambda x: x < 0,
    "power": lambda base, exponent: base == 0 if exponent < 0 else base < 0,
}
_DEFINED_FOR = {
    "log": "log takes numbers above 0",
    "sqrt": "sqrt takes numbers of at least 0",
    "power": "0 has no negative powers, and a negative number has only whole powers",
}


@dataclass(frozen=True, slots=True)
class Operand:
    """A value where it is written. classes: those of it that count, None for all."""

    origin: Place
    node: Node
    classes: Classes | None = None


def met(origin: Place, operands: Sequence[Operand], task: str) -> Classes | None:
    """The classes that count for the result of an operation, judged as a whole: `a*b*c` is one.

    Raises Fault where the axes or the classes of the operands do not fit: broadcasting a number for each class against
    one for each pixel would make a map that nobody wrote.
    """
    axes = NO_AXES.union(*(operand.node.axes for operand in operands))
    if all(operand.node.axes != axes for operand in operands):
        raise Fault(_apart(origin, operands, task))
    chosen = [operand.classes for operand in operands if operand.classes]
    for other in chosen[1:]:
        if other.numbers != chosen[0].numbers:
            one, two = chosen[0].origin.text, other.origin.text
            message = f"`{one}` uses the classes {chosen[0]}, `{two}` the classes {other}"
            raise Fault(origin.says("LD308", message, f"reduce each of them first: mean({one})"))
    return chosen[0] if chosen else None


def _apart(origin: Place, operands: Sequence[Operand], task: str) -> Diagnostic:
    """Two operands, neither of which has all axes of the other."""
    widest = max(operands, key=lambda operand: len(operand.node.axes))
    other = next(operand for operand in operands if not operand.node.axes <= widest.node.axes)
    first, second = sorted((widest, other), key=operands.index)
    message = ", but ".join(f"`{one.origin.text}` has {the_axes(one.node.axes)}" for one in (first, second))
    hint = "reduce one of them, or multiply both into a map that has all these axes"
    of_classes = [one for one in (first, second) if "class" in one.node.axes]
    if task_record(task).is_exclusive and len(of_classes) == 1:
        text = of_classes[0].origin.text
        text = f"({text})" if re.search(r"[-+ ]", re.sub(r"\[[^]]*\]|\([^)]*\)", "", text)) else text
        own = f"sum({text}*y, over=class) gives each element the number of its class"
        hint = f"{own}; class_weight= weights the classes and divides by the weights"
    return origin.says("LD308", message, hint)
