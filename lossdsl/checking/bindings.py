"""Sort bindings so that each comes after the bindings that it uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from lossdsl.checking.resolved import Local, Resolved, every
from lossdsl.errors import Diagnostic


def needed(bindings: Mapping[str, Resolved], roots: Iterable[Resolved]) -> tuple[str, ...]:
    """The names that the roots use, each after the names that it uses. Raises CycleError for a circular definition."""
    graph: dict[str, set[str]] = {}
    waiting = [name for root in roots for name in _locals(root, bindings)]
    while waiting:
        name = waiting.pop()
        if name not in graph:
            graph[name] = _locals(bindings[name], bindings)
            waiting.extend(graph[name])
    return tuple(TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)}).static_order())


def cycle(bindings: Mapping[str, Resolved]) -> tuple[str, ...]:
    """The names of a circular definition, empty if there is none."""
    try:
        needed(bindings, bindings.values())
    except CycleError as error:
        found: list[str] = error.args[1]
        return tuple(reversed(found))
    return ()


def cycle_faults(bindings: Mapping[str, Resolved]) -> Iterator[Diagnostic]:
    """The finding for a circular definition."""
    names = cycle(bindings)
    if names:
        hint = "define one of them without using the others"
        if len(set(names)) == 1:
            hint = f"a definition cannot refer to itself; give the value of `{names[0]}` another name"
        yield bindings[names[0]].origin.says("LD210", f"circular definition: {' -> '.join(names)}", hint)


def _locals(value: Resolved, bindings: Mapping[str, Resolved]) -> set[str]:
    return {node.name for node in every([value]) if isinstance(node, Local) and node.name in bindings}
