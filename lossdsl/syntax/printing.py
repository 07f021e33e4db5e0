"""Convert a tree to canonical text. `parse(text(tree)) == tree` for every tree that the parser can make."""

from __future__ import annotations

import math

from lossdsl.syntax import tree
from lossdsl.tasks import TASKS

# How tightly a node binds; an operand is bracketed when it binds less tightly than its place needs.
_COMPARISON, _SUM, _PRODUCT, _UNARY, _POWER, _ATOM = range(6)


def text(node: tree.Node) -> str:
    """The canonical text of any node."""
    match node:
        case tree.Program():
            return "\n".join([*(text(binding) for binding in node.bindings), text(node.expression)])
        case tree.Binding():
            return f"{node.name} = {text(node.value)}"
        case tree.Declaration():
            return _declaration(node)
        case tree.Case():
            head = f"for {' | '.join(node.tasks)} " if node.tasks else ""
            return f"{head}= {text(node.expression)}"
        case tree.ParameterSyntax():
            return _parameter(node)
        case tree.Range():
            low, high = "[("[node.low_open], "])"[node.high_open]
            return f"{'whole ' * node.whole}{low}{number(node.low)}, {number(node.high)}{high}"
        case tree.Keyword():
            return f"{node.name}={text(node.value)}"
        case tree.Part():
            return f"{node.operator} {text(node.operand)}"
        case _:
            return _expression(node)


def number(value: float) -> str:
    """Shortest text that reads back as the same number: `1`, `0.5`, `1e-06`, `inf`."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1e16:
        return str(int(value))
    return repr(value)


def shown(value: float) -> str:
    """A number for messages: -0.3 instead of the -0.30000000000000004 of arithmetic."""
    return number(float(f"{value:.12g}"))


def _declaration(node: tree.Declaration) -> str:
    parameters = ", ".join(text(parameter) for parameter in node.parameters)
    lines = [f"loss {node.name}({parameters}) -> {text(node.range)}"]
    below: tuple[tree.Node, ...] = (*node.bindings, *node.cases)
    lines += [f"    {text(part)}" for part in below]
    return "\n".join(lines)


def _parameter(node: tree.ParameterSyntax) -> str:
    words = ["task", *(word for word in node.words if word not in TASKS)] if node.decides_task else node.words
    default = f" = {text(node.default)}" if node.default else ""
    return f"{node.name}: {' | '.join([*numbers_allowed(node), *words])}{default}"


def numbers_allowed(node: tree.ParameterSyntax) -> list[str]:
    """The range of a parameter, `[0, 1]`, or of the numbers in its list, `[[0, 1]]`; empty when it takes words only."""
    return [f"{'[' * node.lists}{text(node.interval)}{']' * node.lists}"] if node.interval else []


def _expression(node: tree.Expression) -> str:
    match node:
        case tree.Number():
            return number(node.value)
        case tree.Name():
            return node.text
        case tree.Negative():
            return f"-{_operand(node.operand, _UNARY)}"
        case tree.Sum():
            first, *rest = node.parts
            return _operand(first.operand, _PRODUCT) + "".join(
                f" {part.operator} {_later(part.operand, _PRODUCT)}" for part in rest
            )
        case tree.Product():
            first, *rest = node.parts
            return _operand(first.operand, _UNARY) + "".join(
                f"{part.operator}{_later(part.operand, _UNARY)}" for part in rest
            )
        case tree.Power():
            return f"{_operand(node.base, _ATOM)}**{_operand(node.exponent, _UNARY)}"
        case tree.Comparison():
            return f"{_operand(node.left, _SUM)} {node.operator} {_operand(node.right, _SUM)}"
        case tree.Call():
            inside = ", ".join(text(argument) for argument in (*node.arguments, *node.keywords))
            return f"{node.function.text}({inside})"
        case tree.Listing():
            return f"[{', '.join(text(item) for item in node.items)}]"


def _operand(node: tree.Expression, needed: int) -> str:
    printed = _expression(node)
    return printed if _binding_strength(node) >= needed else f"({printed})"


def _later(node: tree.Expression, needed: int) -> str:
    """An operand after the first: a negative one is in brackets, `a - (-b)`, which is easier to read."""
    return f"({_expression(node)})" if isinstance(node, tree.Negative) else _operand(node, needed)


def _binding_strength(node: tree.Expression) -> int:
    match node:
        case tree.Comparison():
            return _COMPARISON
        case tree.Sum():
            return _SUM
        case tree.Product():
            return _PRODUCT
        case tree.Negative():
            return _UNARY
        case tree.Power():
            return _POWER
        case _:
            return _ATOM
