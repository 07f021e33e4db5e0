"""Split a formula into terms, each with a name for logs and a weight.

The signs and scalar factors of a summand outside of brackets are its weight, the rest is its value, and the
value's canonical text is its name. So `0.5*bce - 2*dice` has the terms `bce` (0.5) and `dice` (-2), and a name depends
on nothing but the term's own text. A name that occurs twice is one term with the weights added.
"""

from __future__ import annotations

from lossdsl.checking.vocabulary import FUNCTIONS
from lossdsl.errors import Place
from lossdsl.spec.model import NamedExpression, Sourced, Spec, TermSpec
from lossdsl.syntax import tree

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
