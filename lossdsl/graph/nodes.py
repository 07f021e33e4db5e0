"""The graph: a DAG of operations in which equal nodes are one node, each with the named axes of its value.

Every tensor is laid out as (batch, class, pixel); an axis that a value does not have has size 1, a value without axes
is 0-d. So broadcasting follows the names of axes and never the sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from lossdsl.graph.signatures import SIGNATURES, Phase
from lossdsl.syntax.tree import AXES as AXES

NO_AXES: frozenset[str] = frozenset()

# All that the graph of a formula is made of. The graph that is run has further ones, which only it is made of.
OPERATIONS = frozenset(name for name, signature in SIGNATURES.items() if signature.since is Phase.WRITTEN)

_NUMBERS = frozenset({"constant", "size"})
NUMBER_ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "quotient", "negative"})


_Row = TypeVar("_Row")


def for_each_operation(table: Mapping[str, _Row]) -> Mapping[str, _Row]:
    """A table with a row for each operation of a formula, and no other.

    Where one is missing this raises: it would be taken for harmless, and what is proved of a formula would not hold.
    """
    wrong = OPERATIONS ^ table.keys()
    if wrong:
        raise LookupError(f"a table is about the operations of a formula, all of them: {', '.join(sorted(wrong))}")
    return table


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation. `attributes` are what is not a node: a number, a name, the axes that a reduction removes.

    is_number: the value is a Python number at run time rather than a tensor.
    """

    operation: str
    arguments: tuple[Node, ...]
    attributes: tuple[Hashable, ...]
    axes: frozenset[str]
    is_number: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        of_numbers = self.operation in NUMBER_ARITHMETIC and all(part.is_number for part in self.arguments)
        object.__setattr__(self, "is_number", of_numbers or self.operation in _NUMBERS)

    @property
    def value(self) -> float:
        """The number of a `constant`."""
        (number,) = self.attributes
        assert isinstance(number, float)
        return number

    @property
    def is_constant(self) -> bool:
        return self.operation == "constant"

    @property
    def input_name(self) -> str:
        """The name of an `input` without that of its space: `pred`, `mask`, `tensor:w`, `scalar:epoch`; else empty."""
        return str(self.attributes[0]).partition("@")[0] if self.operation == "input" else ""


Rule: TypeAlias = Callable[["Graph", tuple[Node, ...], tuple[Hashable, ...]], "Node | None"]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A rule that was applied: its name, what stood there, and what it became."""

    rule: str
    before: Node
    after: Node


@dataclass(slots=True)
class Graph:
    """Makes nodes. `rules` maps an operation to named rewrites, tried in order when such a node is made."""

    rules: dict[str, tuple[tuple[str, Rule], ...]]
    rewrites: dict[Rewrite, None] = field(default_factory=dict)
    _nodes: dict[tuple[Hashable, ...], Node] = field(default_factory=dict)

    def make(
        self,
        operation: str,
        *arguments: Node,
        attributes: tuple[Hashable, ...] = (),
        axes: Iterable[str] | None = None,
    ) -> Node:
        """The node of this operation, rewritten; the same one for the same arguments. Axes default to those
        that its signature gives it."""
        for name, rule in self.rules.get(operation, ()):
            result = rule(self, arguments, attributes)
            if result is not None:
                if name:
                    before = self._intern(operation, arguments, attributes, axes)
                    self.rewrites.setdefault(Rewrite(name, before, result))
                return result
        return self._intern(operation, arguments, attributes, axes)

    def constant(self, number: float) -> Node:
        return self._intern("constant", (), (float(number),), NO_AXES)

    def _intern(
        self,
        operation: str,
        arguments: tuple[Node, ...],
        attributes: tuple[Hashable, ...],
        axes: Iterable[str] | None,
    ) -> Node:
        key = (operation, *(id(argument) for argument in arguments), *attributes)
        if key not in self._nodes:
            known = _axes_of(operation, arguments, attributes) if axes is None else frozenset(axes)
            self._nodes[key] = Node(operation, arguments, attributes, known)
        return self._nodes[key]


def _axes_of(operation: str, arguments: tuple[Node, ...], attributes: tuple[Hashable, ...]) -> frozenset[str]:
    return SIGNATURES[operation].axes([argument.axes for argument in arguments], attributes, NO_AXES)


def in_order(outputs: Iterable[Node], known: Container[Node] = ()) -> tuple[Node, ...]:
    """Every node that the outputs need, arguments first, without recursion; not what those `known` are made of."""
    done: dict[Node, None] = {}
    stack = list(outputs)[::-1]
    while stack:
        node = stack[-1]
        if node not in done:
            missing = [] if node in known else [argument for argument in node.arguments if argument not in done]
            if missing:
                stack.extend(reversed(missing))
                continue
            done[node] = None
        stack.pop()
    return tuple(done)
