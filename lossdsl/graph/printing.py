"""Graph nodes as formula text, for explanations."""

from __future__ import annotations

from lossdsl.graph.nodes import Node
from lossdsl.syntax.printing import number

_INFIX = {"add": " + ", "subtract": " - ", "multiply": "*", "divide": "/", "power": "**"}
_SHORT = 60


def node_text(node: Node, depth: int = 6) -> str:
    """A node and what it is made of; deeper parts are shortened to `...`."""
    if depth == 0 and node.arguments:
        return "..."
    parts = [node_text(argument, depth - 1) for argument in node.arguments]
    match node.operation:
        case "constant":
            return number(node.value)
        case "input":
            return shown_input(str(node.attributes[0]))
        case "cast" | "cast_like" | "keep" | "index":
            return parts[0]
        case "negative":
            return f"-{parts[0]}"
        case "one_hot":
            return "y"
        case "classes":
            return "classes"
        case "pick":
            return f"{parts[0]}[target]"
        case operation if operation in _INFIX:
            return f"({_INFIX[operation].join(parts)})"
        case operation:
            return f"{operation}({', '.join(parts)})"


def shown_input(name: str) -> str:
    """`pred@1` is the second output; a head with a layout of its own goes by the names of its tensors."""
    role, _, space = name.rpartition(":")[2].partition("@")
    prediction, pair, target = space.partition("/")
    if not pair:
        return f"{role}@{space}" if space else role
    return {"pred": prediction, "target": target}.get(role, role)
