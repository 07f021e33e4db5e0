"""What a comparison says about the values in the branches of a `where`."""

from __future__ import annotations

import math

from lossdsl.graph.nodes import Node
from lossdsl.graph.trace import Guard
from lossdsl.proving import interval as of
from lossdsl.proving.interval import Interval, Known, interval
from lossdsl.proving.transfer import transfer

_MOST_NODES = 40
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def refined(node: Node, guards: tuple[Guard, ...], known: Known) -> Interval:
    """The interval of a node where some comparisons hold."""
    if not guards:
        return known[node]
    changed: dict[Node, Interval] = {}
    for guard in guards:
        comparison = guard.comparison if guard.holds else _OPPOSITE[guard.comparison]
        _narrow(changed, known, guard.left, comparison, guard.right)
        _narrow(changed, known, guard.right, _MIRRORED[comparison], guard.left)
    return again(node, changed, known)


def branch(condition: Node, chosen: Node, holds: bool, known: Known) -> Interval:
    """The interval of a branch of a `where` node."""
    if condition.operation != "compare":
        return known[chosen]
    left, right = condition.arguments
    return refined(chosen, (Guard(str(condition.attributes[0]), left, right, holds),), known)


def _narrow(changed: dict[Node, Interval], known: Known, left: Node, comparison: str, right: Node) -> None:
    if left.is_constant:
        return
    before, other = changed.get(left, known[left]), changed.get(right, known[right])
    if comparison == "!=" and other == of.ZERO and before.at_least_0:
        comparison = ">"  # what is at least 0 and not 0
    match comparison:
        case "<" | "<=":
            bound = interval(-math.inf, other.high, high_open=other.high_open or comparison == "<")
        case ">" | ">=":
            bound = interval(other.low, math.inf, low_open=other.low_open or comparison == ">")
        case "==":
            bound = other
        case _:
            return
    changed[left] = of.meet(before, bound)


def again(node: Node, changed: dict[Node, Interval], known: Known) -> Interval:
    """The interval of a node, computed anew from what is narrower now; the known one if that takes long."""
    order: dict[Node, None] = {}
    stack = [(node, False)]
    while stack:
        current, expanded = stack.pop()
        if current in changed or current in order:
            continue
        if expanded:
            order[current] = None
        elif len(stack) > _MOST_NODES or len(order) > _MOST_NODES:
            return known[node]
        else:
            stack.append((current, True))
            stack.extend((argument, False) for argument in current.arguments)
    found = dict(changed)
    for current in order:
        if any(argument in found for argument in current.arguments):
            arguments = [found.get(argument, known[argument]) for argument in current.arguments]
            found[current] = of.meet(known[current], transfer(current, arguments))
    return found.get(node, known[node])
