"""A graph in stages, so that wide values are computed piece by piece and never stored whole.

A sweep goes over the pieces of all wide inputs and adds up the sums that it computes. Narrow values are computed once,
between the sweeps. What a later sweep needs of an earlier one's wide values is computed again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lossdsl.graph.factored_form import is_number, is_wide
from lossdsl.graph.nodes import Node, in_order

# How the results of pieces are put together.
MERGING = {"sum": "sum", "any": "any", "any_of": "any", "reduce_max": "max", "reduce_min": "min"}
# Narrow values that are read from a wide input, of which they only need shape and dtype.
_OF_SHAPES = frozenset({"size", "foreground", "class_is_one_of", "per_class", "cast_like", "classes"})
_OF_NEIGHBOURS = frozenset({"kernel", "local_mean", "local_min", "local_max", "filled_image", "topk"})


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes that are computed together: from what, and which of them are kept."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """What is computed at once, which is narrow where there are sweeps, then a sweep; either can be empty."""

    narrow: Part
    sweep: Part


def part(outputs: Sequence[Node], known: Collection[Node]) -> Part:
    """The outputs computed from what is known and from inputs."""
    nodes = in_order(outputs, known)
    leaves = [node for node in nodes if node in known or node.operation == "input"]
    return Part(tuple(leaves), tuple(outputs))


def stages(outputs: Sequence[Node], known: Collection[Node] = ()) -> tuple[Stage, ...] | None:
    """The stages that compute the outputs from the inputs and what is known; None when pieces are not independent."""
    nodes = in_order(outputs, known)
    levels: dict[Node, int] = {}
    for node in nodes:
        below = 0 if node in known else max((levels[argument] for argument in node.arguments), default=0)
        reduces = node not in known and _is_reduction(node)
        if node not in known and not _separable(node, reduces):
            return None
        levels[node] = below + reduces
    swept = [node for node in nodes if node not in known and _is_reduction(node)]
    swept += [node for node in dict.fromkeys(outputs) if is_wide(node) and node.operation != "input"]
    available = dict.fromkeys(known)
    result = []
    for level in range(max(levels.values(), default=0) + 1):
        due = [node for node in swept if levels[node] - (not is_wide(node)) == level]
        if due:
            sweep = _sweep(due, known)
            wanted = [node for node in sweep.inputs if node.operation != "input" and node not in available]
            result.append(Stage(part(wanted, available), sweep))
            available |= dict.fromkeys([*wanted, *due])
    last = [node for node in dict.fromkeys(outputs) if node not in available and not is_wide(node)]
    if last:
        result.append(Stage(part(last, available), Part((), ())))
    return tuple(result)


def in_passing(outputs: Sequence[Node], more: Sequence[Node]) -> bool:
    """Whether the sweeps that compute the outputs can compute more, too."""
    alone, together = stages(outputs), stages([*outputs, *more])
    if alone is None or together is None:
        return False
    return _sweeps(alone) == _sweeps(together)


def _sweeps(found: Sequence[Stage]) -> int:
    return sum(bool(stage.sweep.outputs) for stage in found)


def _is_reduction(node: Node) -> bool:
    return node.operation in MERGING and not is_wide(node) and any(is_wide(argument) for argument in node.arguments)


def _separable(node: Node, reduces: bool) -> bool:
    """Whether a piece of the value needs only the same piece of the arguments."""
    if node.operation in ("input", "constant"):
        return True
    if is_wide(node):
        values = (node, *(argument for argument in node.arguments if is_wide(argument)))
        return node.operation not in _OF_NEIGHBOURS and all("batch" in value.axes for value in values)
    if reduces:
        return len(node.arguments) == 1 or node.operation == "any_of"
    if node.operation in _OF_SHAPES:
        return all(not is_wide(argument) or argument.operation == "input" for argument in node.arguments)
    return not any(is_wide(argument) for argument in node.arguments)


def _sweep(outputs: Sequence[Node], known: Collection[Node]) -> Part:
    """Wide nodes are computed, narrow ones are given."""
    done: dict[Node, None] = {}
    given: dict[Node, None] = {}
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node in done:
            continue
        done[node] = None
        for argument in node.arguments:
            outside = not is_wide(argument) and not argument.is_constant
            if outside or argument in known or argument.operation == "input":
                given[argument] = None
            elif not argument.is_constant:
                stack.append(argument)
    return Part(tuple(given), tuple(outputs))


def frontier(outputs: Sequence[Node], computed: Collection[Node]) -> tuple[Node, ...]:
    """What of the values already computed the outputs are made from; numbers and inputs are not stored."""
    wanted = {node for node in computed if node.operation not in ("input", "constant") and not is_number(node)}
    return tuple(node for node in in_order(outputs, wanted) if node in wanted)
