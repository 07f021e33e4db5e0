"""The findings of a loss for each task that it may have; one that does not hold for all names those it holds for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

from lossdsl.errors import Diagnostic
from lossdsl.graph.build import BuiltLoss


def for_each_task(
    first: BuiltLoss, others: Iterable[BuiltLoss], look: Callable[[BuiltLoss], tuple[Diagnostic, ...]]
) -> tuple[Diagnostic, ...]:
    """The findings for the first task that works, beside those for the others.

    A loss in which nothing is found for the first is not looked at again: of some hundred formulas none had a finding
    for another task alone, and it would take twice as long.
    """
    found = {first.context.task: look(first)}
    if not found[first.context.task]:
        return ()
    found |= {built.context.task: look(built) for built in others}
    return tuple(_told(found))


def _told(found: Mapping[str, tuple[Diagnostic, ...]]) -> Iterator[Diagnostic]:
    """Each finding once. What is certain for some tasks only is not so for a loss that may have another."""
    everywhere = set.intersection(*({_place(one) for one in findings} for findings in found.values()))
    tasks: dict[Diagnostic, list[str]] = {}
    for task, findings in found.items():
        for one in dict.fromkeys(findings):
            tasks.setdefault(one, []).append(task)
    said: set[Hashable] = set()
    for one, holding in sorted(tasks.items(), key=lambda item: item[0].severity == "error"):  # the mildest stands
        if _place(one) not in everywhere:
            yield replace(one, message=f"for {', '.join(holding)}: {one.message}", severity="warning", edit=None)
        elif _place(one) not in said:
            said.add(_place(one))
            yield one


def _place(finding: Diagnostic) -> Hashable:
    return finding.code, finding.span, id(finding.source)
