"""All findings that the proofs of a loss give, for each task that it may have."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

from lossdsl.errors import Diagnostic
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.nodes import in_order
from lossdsl.proving.analysis import Proof, prove
from lossdsl.proving.classes import class_findings
from lossdsl.proving.comparing import comparison_findings
from lossdsl.proving.direction import direction_findings
from lossdsl.proving.domain import domain_findings, doubtful_nodes
from lossdsl.proving.idle import idle_findings, name_findings
from lossdsl.proving.kinds import (
    activation_findings,
    input_findings,
    label_findings,
    parameter_findings,
    scheduled,
    taken_as_they_are,
)
from lossdsl.proving.overflow import overflow_findings
from lossdsl.proving.study import Study
from lossdsl.registry.discover import Registry


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


_CAUSES = frozenset({"LD703", "LD720", "LD721", "LD724"})  # why a total falls that would not with the right parts
_LASTING = frozenset({"LD710", "LD713"})  # what is the wrong way stays so, however close the intervals are


def findings(study: Study, known: Registry | None) -> tuple[Diagnostic, ...]:
    """What is wrong with a loss whose names and parameters are right; with warnings when the known losses are given.

    Warnings take longer than all the rest.
    """
    working = study.first_working()
    if working is None:
        return study.task_faults()

    def look(built: BuiltLoss) -> tuple[Diagnostic, ...]:
        found = certain_errors(study, built)
        return (*found, *warnings(study, built, known)) if known else found

    others = study.also_working(working.context.task)
    return (*class_findings(study, working), *for_each_task(working, others, look))


def certain_errors(study: Study, built: BuiltLoss) -> tuple[Diagnostic, ...]:
    """What is wrong for every batch, so that the loss is not even compiled. Cheap: hardly an interval is needed."""
    proof = prove(study, built, related=(), nodes=[*scheduled(built), *taken_as_they_are(built)])
    found = (
        *activation_findings(proof),
        *input_findings(proof),
        *parameter_findings(proof),
        *comparison_findings(proof),
    )
    return tuple(finding for finding in dict.fromkeys(found) if finding.severity == "error")


def warnings(study: Study, built: BuiltLoss, registry: Registry) -> tuple[Diagnostic, ...]:
    """What is most likely a slip."""
    proof = study.proof(built, closely=False)
    doubtful = in_order(doubtful_nodes(proof))
    if doubtful:
        proof = prove(study, built, related=frozenset(doubtful), before=proof)
    whole = tuple(_of_the_whole(proof))
    if any(finding.code not in _LASTING for finding in whole):
        proof = study.proof(built)
        whole = tuple(_of_the_whole(proof))
    doubts = tuple(domain_findings(proof) if doubtful else ())
    if proof.intervals[built.total].high == math.inf and any(one.code in _CAUSES for one in (*doubts, *whole)):
        whole = tuple(one for one in whole if one.code != "LD712")
    found = (
        *doubts,
        *whole,
        *comparison_findings(proof),
        *idle_findings(proof),
        *name_findings(study.spec, proof, registry),
    )
    return tuple(finding for finding in dict.fromkeys(found) if finding.severity == "warning")


def _of_the_whole(proof: Proof) -> Iterator[Diagnostic]:
    """What depends on the intervals of all parts: with closer ones there is less of it."""
    yield from overflow_findings(proof)
    yield from direction_findings(proof)
    yield from label_findings(proof)
    yield from input_findings(proof)
    yield from parameter_findings(proof)
