"""The forms of a graph that run with the fewest and cheapest operations: one by one, or in the loops of a compiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from lossdsl.graph.factored_form import is_number, is_wide
from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.rewrites import MOST_FACTORS

Made: TypeAlias = Mapping[Node, Node]


def for_a_compiler(graph: Graph, outputs: Sequence[Node]) -> list[Node]:
    """The outputs made anew in a graph."""
    made: dict[Node, Node] = {}
    for node in in_order(outputs):
        arguments = [made[argument] for argument in node.arguments]
        rule = _RULES.get(node.operation)
        result = rule(graph, node, made) if rule else None
        made[node] = result or graph.make(node.operation, *arguments, attributes=node.attributes, axes=node.axes)
    return [made[output] for output in outputs]


def _from_one_exponential(graph: Graph, node: Node, made: Made) -> Node:
    """sigmoid(x), sigmoid(-x) and their logarithms from e = exp(-|x|), which is 0 for an infinite x."""
    make, one = graph.make, graph.constant(1.0)
    (value,) = node.arguments
    flipped = value.operation == "negative"
    logits = value.arguments[0] if flipped else value
    x = made[logits.arguments[0] if logits.operation == "finite" else logits]
    e = make("exp", make("negative", make("abs", x)))
    if node.operation == "log_sigmoid":
        x = made[logits]
        below = make("minimum", x, graph.constant(0.0))
        return make("subtract", make("subtract", below, x) if flipped else below, make("log1p_of_share", e))
    larger = make("quotient", one, make("add", one, e))
    smaller = make("multiply", e, larger)
    positive = make("compare", x, graph.constant(0.0), attributes=(">=",))
    return make("where", positive, *((smaller, larger) if flipped else (larger, smaller)))


def _from_one_sum(graph: Graph, node: Node, made: Made) -> Node:
    """softmax(x) and its logarithm from the largest x and the sum of exp(x - largest) over the classes."""
    x = made[node.arguments[0]]
    narrow = x.axes - {"class"}
    largest = graph.make("reduce_max", x, attributes=(("class",),), axes=narrow)
    difference = graph.make("subtract", x, largest)
    e = graph.make("exp", difference)
    added = graph.make("sum", e, attributes=(("class",),), axes=narrow)
    if node.operation == "log_softmax":
        return graph.make("subtract", difference, graph.make("log", added))
    return graph.make("multiply", e, graph.make("quotient", graph.constant(1.0), added))


def _sum(graph: Graph, node: Node, made: Made) -> Node | None:
    """Over pixels, then over what else: so all sums over pixels have the same domain."""
    (value,) = node.arguments
    over = node.attributes[0]
    assert isinstance(over, tuple)
    if "pixel" not in over or len(over) == 1 or not is_wide(value):
        return None
    rest = tuple(axis for axis in over if axis != "pixel")
    inner = graph.make("sum", made[value], attributes=(("pixel",),), axes=value.axes - {"pixel"})
    return graph.make("sum", inner, attributes=(rest,), axes=inner.axes - set(rest))


def _scatter(graph: Graph, node: Node, made: Made) -> Node:
    """By comparison, because scattering is a loop of its own."""
    return graph.make("placed", *(made[argument] for argument in node.arguments), axes=node.axes)


_RULES: Mapping[str, Callable[[Graph, Node, Made], Node | None]] = {
    "sigmoid": _from_one_exponential,
    "log_sigmoid": _from_one_exponential,
    "softmax": _from_one_sum,
    "log_softmax": _from_one_sum,
    "sum": _sum,
    "scatter": _scatter,
}


def fewest_operations(graph: Graph, outputs: Sequence[Node]) -> list[Node]:
    """The outputs made anew in a graph, for few elements: there the number of operations counts."""
    nodes = in_order(outputs)
    uses = Counter(argument for node in nodes for argument in node.arguments) + Counter(outputs)
    return _Selection(graph, uses=uses, complements=_two_sided(nodes, "sigmoid")).made_of(nodes, outputs)


def cheapest_operations(graph: Graph, outputs: Sequence[Node]) -> list[Node]:
    """The outputs made anew in a graph, for many elements: there counts what each operation costs.

    What is needed twice is computed twice where that is one operation too, and a difference is cheaper than a sigmoid
    that was not kept.
    """
    nodes = in_order(outputs)
    return _Selection(graph, two_sided=_two_sided(nodes, "log_sigmoid")).made_of(nodes, outputs)


def cheapest_operations_together(graph: Graph, outputs: Sequence[Node]) -> list[Node]:
    """As `cheapest_operations`, for outputs that are computed at the same time: each can be made of parts of others."""
    nodes = in_order(outputs)
    two_sided, mirrored = _two_sided(nodes, "log_sigmoid"), _two_sided(nodes, "sigmoid")
    return _Selection(graph, two_sided=two_sided, mirrored=mirrored).made_of(nodes, outputs)


def _two_sided(nodes: Sequence[Node], operation: str) -> frozenset[Node]:
    """Values of which f(x) and f(-x) are both needed."""
    read = {node.arguments[0] for node in nodes if node.operation == operation}
    return frozenset(node.arguments[0] for node in read if node.operation == "negative" and node.arguments[0] in read)


class _Selection:
    def __init__(
        self,
        graph: Graph,
        *,
        uses: Counter[Node] | None = None,
        two_sided: frozenset[Node] = frozenset(),
        mirrored: frozenset[Node] = frozenset(),
        complements: frozenset[Node] = frozenset(),
    ):
        self.graph = graph
        self.uses: Counter[Node] = Counter() if uses is None else uses
        self.two_sided = two_sided
        self.mirrored = mirrored
        self.complements = complements
        self.made: dict[Node, Node] = {}

    def made_of(self, nodes: Sequence[Node], outputs: Sequence[Node]) -> list[Node]:
        """The outputs, of which `nodes` are all that they need, arguments first."""
        for node in nodes:
            self.add(node)
        return [self.made[output] for output in outputs]

    def add(self, node: Node) -> None:
        arguments = [self.made[argument] for argument in node.arguments]
        result = None
        if node.operation == "log_sigmoid":
            result = self._log_sigmoid(node)
        elif node.operation in ("add", "subtract"):
            result = self._complement(node) or self._mixture(node) or self._placed(node)
            result = result or self._sum_with_product(node)
        elif node.operation == "power":
            result = self._square(node)
        elif node.operation == "multiply":
            result = self._scaled_difference(node) or self._scaled_twice(arguments)
        elif node.operation == "quotient" and is_number(arguments[1]) and not is_number(arguments[0]):
            share = self.graph.make("quotient", self.graph.constant(1.0), arguments[1])
            result = self._scaled_twice([share, arguments[0]]) or self.graph.make("multiply", share, arguments[0])
        elif node.operation == "negative" and not is_wide(node):
            result = self._scaled_twice([self.graph.constant(-1.0), *arguments])
        if result is None:
            result = self.graph.make(node.operation, *arguments, attributes=node.attributes, axes=node.axes)
        self.made[node] = result

    def _log_sigmoid(self, node: Node) -> Node | None:
        """min(x, 0) + log1p(-u) and min(x, 0) - x + log1p(-u) with u = sigmoid(-|x|): one logarithm for both.

        Where sigmoid(x) and sigmoid(-x) are there anyway, u is the smaller of them.
        """
        (value,) = node.arguments
        positive = value in self.two_sided
        if not positive and not (value.operation == "negative" and value.arguments[0] in self.two_sided):
            return None
        make = self.graph.make
        value = value if positive else value.arguments[0]
        x = self.made[value]
        below = make("minimum", x, self.graph.constant(0.0))
        above = make("subtract", below, x)
        if value in self.mirrored:
            smaller = make("minimum", make("sigmoid", x), make("sigmoid", make("negative", x)))
        else:
            smaller = make("sigmoid", make("add", below, above))
        shared = make("raw_log1p", make("negative", smaller))
        return make("add", below if positive else above, shared)

    def _complement(self, node: Node) -> Node | None:
        """1 - sigmoid(x) as sigmoid(-x) where that is there anyway: no operation, and no digit lost near 0."""
        right = node.arguments[1]
        if right.operation != "sigmoid" or not _is_complement(node, right):
            return None
        (value,) = right.arguments
        plain = value.arguments[0] if value.operation == "negative" else value
        if plain not in self.complements:
            return None
        return self.graph.make("sigmoid", self.graph.make("negative", self.made[value]))

    def _square(self, node: Node) -> Node | None:
        """(a - b)**2 in one operation, where the difference is not needed by itself."""
        difference, exponent = node.arguments
        if not (exponent.is_constant and exponent.value == 2 and self._is_plain_difference(difference)):
            return None
        return self.graph.make("squared_difference", *(self.made[argument] for argument in difference.arguments))

    def _scaled_difference(self, node: Node) -> Node | None:
        """c*(a - b) in one operation for a single number c."""
        factor, difference = node.arguments
        if factor.axes or is_number(factor) or not self._is_plain_difference(difference):
            return None
        half = self.graph.make("multiply", self.graph.constant(0.5), self.made[factor])
        return self.graph.make("scaled_difference", half, *(self.made[argument] for argument in difference.arguments))

    def _scaled_twice(self, arguments: list[Node]) -> Node | None:
        """number*(number*x): numbers are multiplied before they meet a tensor."""
        left, right = arguments if is_number(arguments[0]) else arguments[::-1]
        if not is_number(left) or is_number(right) or right.operation != "multiply" or is_wide(right):
            return None
        inner, tensor = right.arguments if is_number(right.arguments[0]) else right.arguments[::-1]
        if not is_number(inner):
            return None
        return self.graph.make("multiply", self.graph.make("multiply", left, inner), tensor)

    def _is_plain_difference(self, node: Node) -> bool:
        if node.operation != "subtract" or self.uses[node] > 1 or not is_wide(node):
            return False
        if _weight(*(_product_factors(argument) for argument in node.arguments)):
            return False  # an interpolation
        if any(argument.operation == "scatter" for argument in node.arguments):
            return False  # added where it is placed
        return all(argument.axes == node.axes for argument in node.arguments)

    def _mixture(self, node: Node) -> Node | None:
        """w*a + (1 - w)*b and (1 - w)*a - w*b as an interpolation, which is exact where w is 0 or 1."""
        left, right = (_product_factors(argument) for argument in node.arguments)
        found = _weight(left, right)
        if found is None:
            return None
        weight, on_left = found
        complement = next(f for f in (right if on_left else left) if _is_complement(f, weight))
        a = self._rest(left, weight if on_left else complement)
        b = self._rest(right, complement if on_left else weight)
        if a is None or b is None:
            return None
        if node.operation == "subtract":
            b = self.graph.make("negative", b)
        first, second = (b, a) if on_left else (a, b)
        common = _common_summand(first, second)
        if common is None:
            return self.graph.make("interpolate", first, second, self.made[weight])
        mixed = self.graph.make("interpolate", first.arguments[0], second.arguments[0], self.made[weight])
        return self.graph.make("add", mixed, common)

    def _rest(self, factors: list[Node], without: Node) -> Node | None:
        """The product of the other factors; None when it would be a number."""
        place = next(i for i, factor in enumerate(factors) if factor is without)  # it may be there twice, as a square
        rest = [self.made[factor] for i, factor in enumerate(factors) if i != place]
        if not rest or all(is_number(factor) for factor in rest):
            return None
        result = rest[0]
        for factor in rest[1:]:
            result = self.graph.make("multiply", result, factor)
        return result

    def _placed(self, node: Node) -> Node | None:
        """A value with another added at the class of each element, in one pass."""
        left, right = node.arguments
        sign = node.operation
        if right.operation == "scatter" and "class" in left.axes:
            base, placed, by = self.made[left], self.made[right], sign
        elif left.operation == "scatter" and "class" in right.axes:
            placed, by = self.made[left], "add"
            base = self.made[right] if sign == "add" else self.graph.make("negative", self.made[right])
        else:
            return None
        value = placed.arguments[0]
        if by == "subtract":
            value = self.graph.make("negative", value)
        return self.graph.make("add_at_class", base, value, placed.arguments[1], axes=node.axes)

    def _sum_with_product(self, node: Node) -> Node | None:
        """x + a*b in one operation, where the product is not needed by itself."""
        left, right = node.arguments
        if node.operation == "add" and right.operation != "multiply":
            left, right = right, left
        if right.operation != "multiply" or self.uses[right] > 1 or is_number(left) or is_number(right):
            return None
        a, b = right.arguments
        return self.graph.make(f"{node.operation}_product", self.made[left], self.made[a], self.made[b])


def _common_summand(left: Node, right: Node) -> Node | None:
    if left.operation != "add" or right.operation != "add" or left.arguments[1] is not right.arguments[1]:
        return None
    return left.arguments[1]


def _product_factors(node: Node) -> list[Node]:
    """The factors of a product; one with many is taken as a whole, as a product of products may have any number."""
    factors, waiting = [], [node]
    while waiting:
        factor = waiting.pop()
        if factor.operation == "multiply":
            waiting += reversed(factor.arguments)
        else:
            factors.append(factor)
        if len(factors) + len(waiting) > MOST_FACTORS:
            return [node]
    return factors


def _is_complement(node: Node, of: Node) -> bool:
    if node.operation != "subtract" or node.arguments[1] is not of:
        return False
    return node.arguments[0].is_constant and node.arguments[0].value == 1


def _weight(left: list[Node], right: list[Node]) -> tuple[Node, bool] | None:
    """A factor of one side whose complement is a factor of the other: the factor, and whether it is on the left."""
    for ours, theirs, on_left in ((left, right, True), (right, left, False)):
        for factor in ours:
            if not is_number(factor) and any(_is_complement(other, factor) for other in theirs):
                return factor, on_left
    return None
