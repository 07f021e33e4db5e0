"""What is known while one text is read, and how a fault in it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from lossdsl.checking.resolved import NumberList, Resolved
from lossdsl.errors import Diagnostic, Place
from lossdsl.graph.choices import Chosen, Classes
from lossdsl.graph.heads import Head
from lossdsl.graph.nodes import AXES, Node
from lossdsl.graph.spaces import Space
from lossdsl.syntax.printing import shown

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
