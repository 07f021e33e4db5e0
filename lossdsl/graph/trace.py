"""What was read on the way to a graph: which node came from which part of the user's text, and from which loss."""

from __future__ import annotations

from dataclasses import dataclass, field

from lossdsl.checking.resolved import Resolved, Use, Where
from lossdsl.errors import Place
from lossdsl.graph.heads import Head
from lossdsl.graph.nodes import Node
from lossdsl.registry.model import Taken


@dataclass(frozen=True, slots=True)
class Guard:
    """A branch of `where` that is being read: left `comparison` right is `holds`."""

    comparison: str
    left: Node
    right: Node
    holds: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """An operation in the user's text: its operands with their places, and the branches that it stands in.

    A mean with `count=` or `weight=` is an operation of this name, on its value, that word's, and what it divides by.
    """

    function: str
    arguments: tuple[Node, ...]
    result: Node
    origins: tuple[Place, ...]
    guards: tuple[Guard, ...]


@dataclass(frozen=True, slots=True)
class Used:
    """A loss by name. place: where the user's text names it, or the loss whose definition does.

    parameters: the numbers that were written, by name, in a use by the user; empty inside a definition.
    taken: what its prediction must be, as it takes it as it is; None where logits and probabilities both work.
    """

    use: Use
    node: Node
    reduction: str
    head: Head
    place: Place
    by_user: bool
    parameters: tuple[tuple[str, Node], ...] = ()
    taken: Taken | None = None


@dataclass(slots=True)
class Trace:
    """Facts in reading order. `read`: the expressions of the user's own text with their values."""

    read: list[tuple[Resolved, Node]] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    used: list[Used] = field(default_factory=list)
    guards: tuple[Guard, ...] = ()

    def inside(self, where: Where, left: Node, right: Node, holds: bool) -> None:
        """Enter one branch of a comparison of the data."""
        self.guards = (*self.guards, Guard(where.comparison, left, right, holds))

    def outside(self) -> None:
        self.guards = self.guards[:-1]
