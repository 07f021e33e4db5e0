"""Names and parameters: a spec becomes an objective with its terms, with every name known, or a list of problems."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lossdsl.checking.arguments import cycle_faults, needed
from lossdsl.checking.body_cache import Memory
from lossdsl.checking.declared_tensors import passed_faults
from lossdsl.checking.resolved import Objective, Term
from lossdsl.checking.scope import Scope
from lossdsl.checking.vocabulary import FUNCTIONS
from lossdsl.config.model import NamedExpression, Sourced, Spec, TermSpec
from lossdsl.errors import Diagnostic, Place
from lossdsl.registry.discover import Registry
from lossdsl.syntax import tree


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


_NUMBERS = frozenset({"epoch", "step", "inf", "learn", *FUNCTIONS})
_ONE = tree.Number(1.0)


def terms_of(spec: Spec) -> tuple[TermSpec, ...]:
    """The terms of a spec, or of its expression."""
    if spec.terms or spec.total is None:
        return spec.terms
    return split_terms(spec.total, spec.definitions)


def split_terms(total: Sourced, definitions: tuple[NamedExpression, ...]) -> tuple[TermSpec, ...]:
    """The terms of an expression, in the order of their first appearance."""
    scalars = frozenset(definition.name for definition in definitions) - _data_names(definitions)
    weights: dict[str, list[tree.Expression]] = {}
    values: dict[str, tree.Expression] = {}
    for sign, summand in _summands(total.expression):
        weight, value = _split(sign, summand, scalars)
        name = str(value)
        values.setdefault(name, value)
        weights.setdefault(name, []).append(weight)
    return tuple(
        TermSpec(
            name,
            Sourced(value, total.source),
            Sourced(_added(weights[name]), total.source),
            Place(total.source, value.span),
        )
        for name, value in values.items()
    )


def merges(spec: Spec, terms: tuple[TermSpec, ...]) -> bool:
    """Whether the terms were made from summands, and are fewer."""
    return not spec.terms and spec.total is not None and len(_summands(spec.total.expression)) > len(terms)


def repeated_terms(spec: Spec) -> tuple[NamedExpression, ...]:
    """The repeated summands of an expression, each with its place, except for numbers."""
    if spec.terms or spec.total is None:
        return ()
    scalars = frozenset(definition.name for definition in spec.definitions) - _data_names(spec.definitions)
    seen: set[str] = set()
    repeated = []
    for sign, summand in _summands(spec.total.expression):
        _, value = _split(sign, summand, scalars)
        if str(value) in seen:
            place = Place(spec.total.source, value.span)
            repeated.append(NamedExpression(str(value), Sourced(value, spec.total.source), place))
        elif _names(value) - scalars:
            seen.add(str(value))
    return tuple(repeated)


def _summands(expression: tree.Expression) -> list[tuple[str, tree.Expression]]:
    if isinstance(expression, tree.Sum):
        return [(part.operator, part.operand) for part in expression.parts]
    return [("+", expression)]


def _split(
    sign: str, summand: tree.Expression, scalar_names: frozenset[str]
) -> tuple[tree.Expression, tree.Expression]:
    """Weight and value of one summand. A factor without data is part of the weight."""
    negative = sign == "-"
    while isinstance(summand, tree.Negative):
        negative, summand = not negative, summand.operand
    parts = summand.parts if isinstance(summand, tree.Product) else (tree.Part("*", summand, summand.span),)
    scalars = [part for part in parts if not _names(part.operand) - scalar_names]
    data = [part for part in parts if part not in scalars]
    if not data:
        return _signed(_ONE, negative), summand
    return _signed(_product(scalars), negative), _product(data)


def _names(expression: tree.Expression) -> set[str]:
    return {node.text for node, _ in tree.walk(expression) if isinstance(node, tree.Name)} - _NUMBERS


def _data_names(definitions: tuple[NamedExpression, ...]) -> frozenset[str]:
    """The bindings that depend on more than epoch, step and learned scalars."""
    uses = {definition.name: _names(definition.value.expression) for definition in definitions}
    data = {name for name, used in uses.items() if used - uses.keys()}
    users: dict[str, list[str]] = {}
    for name, used in uses.items():
        for other in used:
            users.setdefault(other, []).append(name)
    waiting = list(data)
    while waiting:
        new = [user for user in users.get(waiting.pop(), ()) if user not in data]
        data.update(new)
        waiting.extend(new)
    return frozenset(data)


def _product(parts: list[tree.Part]) -> tree.Expression:
    if not parts:
        return _ONE
    first, *rest = parts
    if first.operator == "/":
        first, rest = tree.Part("*", _ONE), parts
    if not rest:
        return first.operand
    return tree.Product((first, *rest), first.operand.span.to(rest[-1].span) if first.span.end else rest[0].span)


def _signed(weight: tree.Expression, negative: bool) -> tree.Expression:
    return tree.Negative(weight, weight.span) if negative else weight


def _added(weights: list[tree.Expression]) -> tree.Expression:
    if len(weights) == 1:
        return weights[0]
    return tree.Sum(tuple(tree.Part("+", weight, weight.span) for weight in weights), weights[0].span)
