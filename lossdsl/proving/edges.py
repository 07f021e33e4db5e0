"""Where the edge of a domain does not matter: denominators far from 0, and values that vanish there."""

from __future__ import annotations

from collections.abc import Callable, Collection

from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.graphs import Graphs
from lossdsl.graph.nodes import Node, in_order
from lossdsl.proving.analysis import prove
from lossdsl.proving.interval import Known
from lossdsl.proving.slopes import moves

# Far above where a division begins to be unsafe in single precision, 1e-19, and below the smallest `smooth` in use.
_WELL_ABOVE = 1e-12


def positive_denominators(graphs: Graphs, built: BuiltLoss) -> frozenset[Node]:
    """Those of the loss and its terms, for labels and probabilities in [0, 1]."""
    nodes = in_order(built.outputs)
    divisors = dict.fromkeys(node.arguments[1] for node in nodes if node.operation == "divide")
    if not divisors:
        return frozenset()
    intervals = prove(graphs, built, related=divisors, nodes=tuple(divisors)).intervals
    return frozenset(node for node in divisors if intervals[node].low >= _WELL_ABOVE)


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


def vanishes_with(node: Node, goes_to_0: Callable[[Node], bool], users: Users) -> bool:
    """Whether every way from a node to the total goes through a product with a factor that goes to 0."""
    waiting, seen = [node], {node}
    while waiting:
        current = waiting.pop()
        found = users.of(current)
        if not found:
            return False
        for user in found:
            if user.operation in _FACTORS and any(map(goes_to_0, _factors(user))):
                continue
            if user.operation not in _LINEAR | _FACTORS:
                return False
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return True


def is_cut_off(node: Node, operation: str, reached: Callable[[Node], bool], users: Users) -> bool:
    """Whether all that uses a node is `minimum` or `maximum` with a number that is reached before the edge."""
    found = users.of(node)
    return bool(found) and all(
        user.operation == operation and any(reached(other) for other in user.arguments if other is not node)
        for user in found
    )


def dies_out(node: Node, known: Known, trained: Collection[Node]) -> bool:
    """Whether the slopes of a number are at most in proportion to it: then those of a power of it are finite at 0.

    So it is for probabilities of logits, for one minus such, and for sums and products of numbers from 0 on of which
    all are so: each y*p of sum(y*p, over=class).
    """
    found: dict[Node, bool] = {}
    for part in in_order([node]):
        found[part] = (not moves(part, trained) and known[part].at_least_0) or _dies_out(part, found, known)
    return found[node]


def _dies_out(node: Node, found: dict[Node, bool], known: Known) -> bool:
    match node.operation:
        case "sigmoid" | "softmax":
            return True
        case "subtract":
            one, probability = node.arguments
            return one.is_constant and one.value == 1 and probability.operation in ("sigmoid", "softmax")
        case "add" | "multiply" | "minimum" | "maximum":
            return all(found[argument] for argument in node.arguments)
        case "where":
            return all(found[argument] for argument in node.arguments[1:])
        case "power":
            base, exponent = node.arguments
            return found[base] and exponent.is_constant and exponent.value > 0
        case "divide":
            numerator, denominator = node.arguments
            return found[numerator] and found[denominator] and known[denominator].positive
        case operation if operation in _PASSING:
            return found[node.arguments[0]]
    return False


_PASSING = frozenset({"sum", "mean", "keep", "pick", "cast", "cast_like", "reduce_max", "reduce_min", "topk"})


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
