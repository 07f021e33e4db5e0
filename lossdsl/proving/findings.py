"""All that can be said about a loss before the first batch."""

from __future__ import annotations

from collections.abc import Iterator

from lossdsl.checking.facts import Facts
from lossdsl.checking.resolved import Objective
from lossdsl.errors import Diagnostic
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.context import Context
from lossdsl.proving.analysis import Proof, prove
from lossdsl.proving.direction import direction_findings
from lossdsl.proving.domain import domain_findings, overflow_findings
from lossdsl.proving.idle import class_findings, idle_findings, name_findings
from lossdsl.proving.kinds import activation_findings, label_findings, parameter_findings, scheduled
from lossdsl.registry.discover import Registry
from lossdsl.spec.model import Options, Spec


def certain_errors(
    objective: Objective, built: BuiltLoss, context: Context, facts: Facts, options: Options
) -> tuple[Diagnostic, ...]:
    """What is wrong for every batch, so that the loss is not even compiled. Cheap: hardly an interval is needed."""
    proof = prove(objective, built, context, facts, related=False, nodes=scheduled(built))
    found = (*activation_findings(proof), *parameter_findings(proof), *class_findings(proof, options))
    return tuple(finding for finding in dict.fromkeys(found) if finding.severity == "error")


def warnings(
    spec: Spec, objective: Objective, built: BuiltLoss, context: Context, facts: Facts, registry: Registry
) -> tuple[Diagnostic, ...]:
    """What is most likely a slip."""
    proof = prove(objective, built, context, facts, related=False)
    if any(_of_ranges(proof)):
        proof = prove(objective, built, context, facts)
    found = (*_of_ranges(proof), *idle_findings(proof), *name_findings(spec, proof, registry))
    return tuple(finding for finding in dict.fromkeys(found) if finding.severity == "warning")


def _of_ranges(proof: Proof) -> Iterator[Diagnostic]:
    """What depends on intervals: with closer ones there is less of it."""
    yield from domain_findings(proof)
    yield from overflow_findings(proof)
    yield from direction_findings(proof)
    yield from label_findings(proof)
    yield from parameter_findings(proof)
