"""All that can be said about a loss before the first batch."""

from __future__ import annotations

from collections.abc import Iterator

from lossdsl.checking.facts import Facts
from lossdsl.checking.resolved import Objective
from lossdsl.errors import Diagnostic
from lossdsl.graph.tasks import first_working
from lossdsl.proving.analysis import Proof, prove
from lossdsl.proving.direction import direction_findings
from lossdsl.proving.domain import domain_findings, overflow_findings
from lossdsl.proving.idle import idle_findings, name_findings, one_class_findings
from lossdsl.proving.kinds import kind_findings
from lossdsl.registry.discover import Registry
from lossdsl.spec.model import Options, Spec


def findings(
    spec: Spec, objective: Objective, facts: Facts, options: Options, registry: Registry
) -> tuple[Diagnostic, ...]:
    """What is wrong or most likely so with a loss that can be built, for the first task that it works for."""
    working = first_working(objective, facts, options)
    if working is None:
        return ()
    built, context = working
    proof = prove(objective, built, context, facts, related=False)
    if any(_of_ranges(proof)):
        proof = prove(objective, built, context, facts)
    found = [
        *_of_ranges(proof),
        *idle_findings(proof),
        *name_findings(spec, proof, registry),
        *one_class_findings(proof, options),
    ]
    return tuple(dict.fromkeys(found))


def _of_ranges(proof: Proof) -> Iterator[Diagnostic]:
    """What depends on intervals: with closer ones there is less of it."""
    yield from domain_findings(proof)
    yield from overflow_findings(proof)
    yield from direction_findings(proof)
    yield from kind_findings(proof)
