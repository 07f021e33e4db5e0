"""The gradient of a loss as nodes of the same graph, by going through the operations backwards."""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence

from lossdsl.graph.derivatives import CONTINUOUS, RULES
from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.products import Unsupported, add_up, collapse, is_number, product, quotient, size, total

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
