"""The gradient of a loss as nodes of the same graph, by the derivative of each operation: a formula's gradient is
again a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from lossdsl.graph.factored_form import (
    Unsupported,
    add_up,
    chosen,
    collapse,
    is_number,
    product,
    quotient,
    size,
    source,
    split,
    total,
)
from lossdsl.graph.nodes import OPERATIONS, Graph, Node, for_each_operation, in_order
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.operations.row import Function

if TYPE_CHECKING:
    from lossdsl.operations.expression import Expression


Adjoints: TypeAlias = tuple[Node | None, ...]
Rule: TypeAlias = Callable[[Graph, Node, Node], Adjoints]

# Arguments through which a value depends on them continuously; of other operations all.
CONTINUOUS: dict[str, tuple[int, ...]] = {
    "compare": (), "one_hot": (), "index": (), "differs": (), "both": (), "any": (), "any_of": (), "size": (),
    "foreground": (), "class_is_one_of": (), "stop_gradient": (), "undefined": (),
    "classes": (), "ones": (),
    "cast_like": (0,), "keep": (0,), "pick": (0,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Expression:
    """A node of which the row of an operation makes its derivative."""

    graph: Graph
    node: Node

    def __add__(self, other: Expression | float) -> _Expression:
        return self._made("add", self.node, self._node(other))

    def __radd__(self, other: float) -> _Expression:
        return self._made("add", self._node(other), self.node)

    def __sub__(self, other: Expression | float) -> _Expression:
        return self._made("subtract", self.node, self._node(other))

    def __rsub__(self, other: float) -> _Expression:
        return self._made("subtract", self._node(other), self.node)

    def __mul__(self, other: Expression | float) -> _Expression:
        return self._made("multiply", self.node, self._node(other))

    def __rmul__(self, other: float) -> _Expression:
        return self._made("multiply", self._node(other), self.node)

    def __truediv__(self, other: Expression | float) -> _Expression:
        return _Expression(self.graph, quotient(self.graph, self.node, self._node(other)))

    def __rtruediv__(self, other: float) -> _Expression:
        return _Expression(self.graph, quotient(self.graph, self._node(other), self.node))

    def __neg__(self) -> _Expression:
        return self._made("negative", self.node)

    def apply(self, operation: str) -> _Expression:
        return self._made(operation, self.node)

    def above(self, number: float) -> _Expression:
        compared = self.graph.make("compare", self.node, self._node(number), attributes=(">",))
        return _Expression(self.graph, compared)

    def _node(self, value: Expression | float) -> Node:
        if isinstance(value, _Expression):
            return value.node
        assert isinstance(value, float)
        return self.graph.constant(value)

    def _made(self, operation: str, *arguments: Node) -> _Expression:
        return _Expression(self.graph, self.graph.make(operation, *arguments))


def _of_function(function: Function) -> Rule:
    """The rule of a function of one number."""

    def rule(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
        slope = function.derivative(_Expression(graph, node.arguments[0]), _Expression(graph, node))
        assert isinstance(slope, _Expression)
        chooses = slope.node.operation == "compare"
        return (chosen(graph, slope.node, adjoint) if chooses else product(graph, adjoint, slope.node),)

    return rule


def _multiply(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    left, right = node.arguments
    return product(graph, adjoint, right), product(graph, adjoint, left)


def _quotient(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    of_numerator = quotient(graph, adjoint, node.arguments[1])
    return of_numerator, graph.make("negative", product(graph, of_numerator, node))


def _safe_denominator(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    return (chosen(graph, graph.make("away_from_zero", *node.arguments), adjoint),)


def _bounded(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    return (chosen(graph, graph.make("within_domain", *node.arguments), adjoint),)


def _log(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    return (quotient(graph, adjoint, graph.make("bounded", *node.arguments)),)


def _log1p(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    return (quotient(graph, adjoint, graph.make("bounded", graph.make("add", graph.constant(1.0), *node.arguments))),)


def _sqrt(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    root = graph.make("sqrt", graph.make("bounded", *node.arguments, attributes=node.attributes))
    return (quotient(graph, product(graph, graph.constant(0.5), adjoint), root),)


def _power(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    base, exponent = node.arguments
    if not exponent.is_constant or exponent.value <= 0:
        raise Unsupported("power")
    less = graph.constant(exponent.value - 1)
    if exponent.value < 1:
        slope = graph.make("raw_power", graph.make("bounded", base, attributes=node.attributes), less)
    else:
        slope = graph.make("power", base, less)
    return product(graph, product(graph, exponent, adjoint), slope), None


def _extremum(comparison: str) -> Rule:
    """Of two values the chosen one; equal tensors share."""

    def rule(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
        left, right = node.arguments
        if is_number(left) or is_number(right):
            tensor, bound = (right, left) if is_number(left) else (left, right)
            kept = chosen(graph, graph.make("compare", tensor, bound, attributes=(f"{comparison}=",)), adjoint)
            return (None, kept) if is_number(left) else (kept, None)
        half = product(graph, graph.constant(0.5), adjoint)
        equal = chosen(graph, graph.make("compare", left, right, attributes=("==",)), half)
        first = chosen(graph, graph.make("compare", left, right, attributes=(comparison,)), adjoint)
        second = chosen(graph, graph.make("compare", right, left, attributes=(comparison,)), adjoint)
        return total(graph, [equal, first]), total(graph, [equal, second])

    return rule


def _where(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    condition = node.arguments[0]
    return None, chosen(graph, condition, adjoint), chosen(graph, condition, adjoint, where=False)


def _keep(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    return chosen(graph, node.arguments[1], adjoint), None


def _softmax(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    weighted = product(graph, adjoint, node)
    sums = add_up(graph, weighted, frozenset({"class"}))
    return (total(graph, [weighted, graph.make("negative", product(graph, sums, node))]),)


def _log_softmax(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    if "class" in adjoint.axes:
        sums = add_up(graph, adjoint, frozenset({"class"}))
    else:
        sums = product(graph, adjoint, size(graph, node, "class"))
    share = product(graph, sums, graph.make("softmax", *node.arguments))
    return (total(graph, [adjoint, graph.make("negative", share)]),)


def _pick(graph: Graph, node: Node, adjoint: Node) -> Adjoints:
    value, index = node.arguments
    factors = split(adjoint)
    if factors.narrow is not None and "batch" in factors.narrow.axes:
        raise Unsupported("pick")
    wide = factors.wide or graph.constant(1.0)
    like = source(value, "class")
    placed = graph.make("scatter", wide, index, like, axes=index.axes | {"class"} | wide.axes)
    result = product(graph, factors.narrow or graph.constant(1.0), placed)
    return (result if factors.sign > 0 else graph.make("negative", result)), None


RULES: dict[str, Rule] = {
    "add": lambda _graph, _node, adjoint: (adjoint, adjoint),
    "subtract": lambda graph, _node, adjoint: (adjoint, graph.make("negative", adjoint)),
    "negative": lambda graph, _node, adjoint: (graph.make("negative", adjoint),),
    "cast": lambda _graph, _node, adjoint: (adjoint,),
    "cast_like": lambda _graph, _node, adjoint: (adjoint, None),
    "sum": lambda _graph, _node, adjoint: (adjoint,),
    "multiply": _multiply,
    "quotient": _quotient,
    "safe_denominator": _safe_denominator,
    "bounded": _bounded,
    "power": _power,
    **{name: _of_function(function) for name, function in FUNCTIONS.items()},
    "log": _log,
    "log1p": _log1p,
    "finite": lambda _graph, _node, adjoint: (adjoint,),
    "sqrt": _sqrt,
    "minimum": _extremum("<"),
    "maximum": _extremum(">"),
    "where": _where,
    "keep": _keep,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "pick": _pick,
}

# Made of other operations before a derivative is taken, or with nothing below them.
_EXPANDED = frozenset({"mean", "divide"})
_LEAVES = frozenset({"constant", "input", "filled_image"})
# Operations that only torch's own autograd differentiates: a formula with one of them is run by it.
_BY_TORCH = frozenset({
    "kernel", "per_class", "local_mean", "local_min", "local_max", "log_one_minus_softmax", "logsumexp", "reduce_max",
    "reduce_min", "topk",
})  # fmt: skip
for_each_operation(
    dict.fromkeys((*(OPERATIONS & RULES.keys()), *(OPERATIONS & CONTINUOUS.keys()), *_EXPANDED, *_LEAVES, *_BY_TORCH))
)


SEED = "seed:"


def seed(graph: Graph, number: int) -> Node:
    """The incoming derivative with respect to an output."""
    return graph.make("input", attributes=(f"{SEED}{number}",), axes=())


def gradients(graph: Graph, outputs: Sequence[Node], names: Collection[str]) -> dict[str, Node]:
    """The derivatives of the outputs, each times its seed and added up, with respect to the inputs of these names.

    The graph is one made by `expanded`. An input that no output depends on is left out.
    Raises Unsupported where an operation on the way has no derivative rule.
    """
    nodes = in_order(outputs)
    depends = dependent(nodes, names)
    received: dict[Node, list[Node]] = {}
    for number, output in enumerate(outputs):
        if output in depends:
            received.setdefault(output, []).append(seed(graph, number))
    found = {}
    for node in reversed(nodes):
        if node not in received:
            continue
        adjoint = total(graph, received.pop(node))
        if adjoint.is_constant and adjoint.value == 0:
            continue  # nothing is passed on, and a number has no axes to be added up over
        if node.operation == "input":
            found[str(node.attributes[0])] = adjoint
            continue
        if node.operation not in RULES:
            raise Unsupported(node.operation)
        passed = RULES[node.operation](graph, node, adjoint)
        for index, (argument, part) in enumerate(zip(node.arguments, passed, strict=True)):
            if argument in depends and index in _continuous(node):
                if part is None:
                    raise Unsupported(node.operation)
                received.setdefault(argument, []).append(collapse(graph, part, node, argument.axes))
    return found


def _continuous(node: Node) -> Sequence[int]:
    return CONTINUOUS.get(node.operation, range(len(node.arguments)))


def dependent(nodes: Sequence[Node], names: Collection[str]) -> set[Node]:
    """The nodes whose value changes with an input of these names."""
    found: set[Node] = set()
    for node in nodes:
        if node.operation == "input":
            if node.attributes[0] in names:
                found.add(node)
        elif any(node.arguments[index] in found for index in _continuous(node)):
            found.add(node)
    return found


def expanded(graph: Graph, outputs: Sequence[Node], positive: Container[Node] = ()) -> list[Node]:
    """The outputs made anew in a graph, of operations that have simple derivatives.

    Means become sums, a safe division its parts, a negative power a division. positive: of these nodes it is known that
    they are well above 0, so that a division by them is safe as it is.
    """
    made: dict[Node, Node] = {}
    for node in in_order(outputs):
        made[node] = _expanded(graph, node, [made[argument] for argument in node.arguments], positive)
    return [made[output] for output in outputs]


def _expanded(graph: Graph, node: Node, arguments: list[Node], positive: Container[Node]) -> Node:
    match node.operation:
        case "sum" | "mean":
            over = node.attributes[0]
            assert isinstance(over, tuple)
            result = add_up(graph, arguments[0], frozenset(over))
            if node.operation == "sum":
                return result
            count = graph.constant(1.0)
            for axis in over:
                count = graph.make("multiply", count, size(graph, arguments[0], axis))
            return quotient(graph, result, count)
        case "divide" if node.arguments[1] in positive:
            return quotient(graph, *arguments)
        case "divide":
            return _division(graph, *arguments)
        case "power" if arguments[1].is_constant and arguments[1].value < 0:
            base, exponent = arguments
            if exponent.value > -1:
                base = graph.make("bounded", base)
            power = graph.make("power", base, graph.constant(-exponent.value))
            return _division(graph, graph.constant(1.0), power)
        case "multiply":
            return product(graph, *arguments)
        case operation:
            return graph.make(operation, *arguments, attributes=node.attributes, axes=node.axes)


def _division(graph: Graph, numerator: Node, denominator: Node) -> Node:
    if is_number(denominator):
        if denominator.is_constant and denominator.value == 0:
            return graph.make("divide", numerator, denominator)
        return quotient(graph, numerator, denominator)
    if not is_number(numerator):
        undefined = graph.make("undefined", numerator, denominator)
        numerator = graph.make("where", undefined, graph.constant(0.0), numerator)
    return quotient(graph, numerator, graph.make("safe_denominator", denominator))
