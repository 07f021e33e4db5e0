"""Simplify a formula with parameters filled in: factors 1, summands 0, powers of 1. All rules are exact."""

from __future__ import annotations

from dataclasses import replace

from lossdsl.syntax import tree

_ZERO, _ONE = tree.Number(0.0), tree.Number(1.0)


def simplified(node: tree.Expression) -> tree.Expression:
    """An expression whose operands are simplified already."""
    match node:
        case tree.Negative(operand=tree.Number(value=0.0)):
            return _ZERO
        case tree.Sum():
            return _sum(node)
        case tree.Product():
            return _product(node)
        case tree.Power() if node.exponent == _ONE:
            return node.base
        case tree.Call(function=tree.Name(text="mean")):
            # Without `count` and `weight` each element counts 1.
            idle = [(name, _ONE) for name in ("count", "weight")]
            kept = tuple(word for word in node.keywords if (word.name, word.value) not in idle)
            return replace(node, keywords=kept)
        case _:
            return node


def _sum(node: tree.Sum) -> tree.Expression:
    parts = [part for part in node.parts if part.operand != _ZERO]
    if not parts:
        return _ZERO
    first, *rest = parts
    if first.operator == "-":
        first = tree.Part("+", tree.Negative(first.operand))
    return replace(node, parts=(first, *rest)) if rest else first.operand


def _product(node: tree.Product) -> tree.Expression:
    if any(part.operator == "*" and part.operand == _ZERO for part in node.parts):
        return _ZERO
    parts = [part for part in node.parts if part.operand != _ONE]
    if not parts or parts[0].operator == "/":
        parts.insert(0, tree.Part("*", _ONE))
    return replace(node, parts=tuple(parts)) if len(parts) > 1 else parts[0].operand
