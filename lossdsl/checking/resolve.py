"""Resolve names and parameters: a spec becomes an objective, or a list of findings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lossdsl.checking.bindings import cycle_faults, needed
from lossdsl.checking.memory import Memory
from lossdsl.checking.passed import passed_faults
from lossdsl.checking.resolved import Objective, Term
from lossdsl.checking.scope import Scope
from lossdsl.checking.terms import merges, terms_of
from lossdsl.errors import Diagnostic
from lossdsl.registry.discover import Registry
from lossdsl.spec.model import Spec


@dataclass(frozen=True, slots=True)
class Resolution:
    """The result: an objective unless there is an error, and the findings."""

    objective: Objective | None
    diagnostics: tuple[Diagnostic, ...]


def resolve(spec: Spec, registry: Registry) -> Resolution:
    """Resolve every name of a spec and check every parameter."""
    memory = Memory(registry)
    definitions = spec.definitions
    terms = terms_of(spec)
    scope = Scope(
        memory,
        names=frozenset(definition.name for definition in definitions),
        passed=frozenset(one.name for one in spec.tensors or ()),
        doubts=spec.tensors is None,
    )
    resolved = tuple(Term(term.name, scope.of(term.weight), scope.of(term.value)) for term in terms)
    if memory.diagnostics and spec.total and merges(spec, terms):
        scope.of(spec.total)  # what is wrong with one of two equal summands is wrong with both
    total = None
    if spec.terms and spec.total:
        total = replace(scope, names=scope.names | {term.name for term in terms}).of(spec.total)
    bindings = scope.definitions(definitions)
    memory.diagnostics += cycle_faults(bindings)
    _report_repeated(memory, spec)
    roots = [part for term in resolved for part in (term.weight, term.value)] + ([total] if total else [])
    if spec.tensors is not None:
        read = [*bindings.values(), *roots]
        memory.diagnostics += passed_faults(spec.tensors, read, memory.bodies, registry)
    if any(diagnostic.severity == "error" for diagnostic in memory.diagnostics):
        return Resolution(None, _distinct(memory.diagnostics))
    order = needed(bindings, roots)
    ranges = tuple((one.name, one.range) for one in spec.tensors or () if one.range)
    objective = Objective(
        tuple((name, bindings[name]) for name in order), resolved, total, tuple(memory.bodies.items()), ranges
    )
    return Resolution(objective, _distinct(memory.diagnostics))


def _report_repeated(memory: Memory, spec: Spec) -> None:
    """Report names with two values."""
    seen: set[str] = set()
    for name, place in [*((d.name, d.place) for d in spec.definitions), *((t.name, t.place) for t in spec.terms)]:
        if name in seen:
            memory.diagnostics.append(place.says("LD206", f"`{name}` already has a value", "choose another name"))
        seen.add(name)


def _distinct(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings in reading order, each once, as a term is read both on its own and in the total."""
    return tuple(dict.fromkeys(diagnostics))
