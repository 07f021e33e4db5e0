"""Whether a logarithm is always multiplied by its own argument, as in y*log(y): what it is at 0 does not matter."""

from __future__ import annotations

from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.nodes import Node, in_order

_LINEAR = frozenset({"add", "subtract", "negative"})
_FACTORS = frozenset({"multiply"})


class Users:
    """Which nodes use a node; found when first asked for."""

    def __init__(self, built: BuiltLoss):
        self.built = built
        self._users: dict[Node, list[Node]] | None = None

    def of(self, node: Node) -> list[Node]:
        if self._users is None:
            self._users = {}
            for user in in_order([self.built.total]):
                for argument in user.arguments:
                    self._users.setdefault(argument, []).append(user)
        return self._users.get(node, [])


def vanishes_with(node: Node, argument: Node, users: Users) -> bool:
    """Whether every way from a node to the total goes through a product with `argument`."""
    waiting, seen = [node], {node}
    while waiting:
        current = waiting.pop()
        found = users.of(current)
        if not found:
            return False
        for user in found:
            if user.operation in _FACTORS and argument in _factors(user):
                continue
            if user.operation not in _LINEAR | _FACTORS:
                return False
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return True


def _factors(node: Node) -> set[Node]:
    """The factors of a product of products."""
    factors, waiting = set(), [node]
    while waiting:
        current = waiting.pop()
        if current.operation in ("multiply", "negative"):
            waiting += current.arguments
        else:
            factors.add(current)
    return factors
