"""Remove references to parts that could not be read, so that one mistake gives one finding."""

from __future__ import annotations

from dataclasses import replace

from lossdsl.spec.model import Sourced, Spec
from lossdsl.syntax import tree


def prune(spec: Spec, lost_definitions: frozenset[str], lost_terms: frozenset[str]) -> Spec:
    """The spec without the expressions that use lost names, directly or indirectly.

    Only `total` can use terms; every expression can use definitions.
    """
    lost = _closure(spec, lost_definitions)
    terms = tuple(term for term in spec.terms if not (_mentions(term.value, lost) or _mentions(term.weight, lost)))
    kept = {term.name for term in terms}
    unknown = lost | lost_terms | {term.name for term in spec.terms if term.name not in kept}
    return replace(
        spec,
        definitions=tuple(item for item in spec.definitions if item.name not in lost),
        terms=terms,
        total=None if spec.total and _mentions(spec.total, unknown) else spec.total,
    )


def _closure(spec: Spec, lost: frozenset[str]) -> frozenset[str]:
    """The lost definitions and all definitions that need one of them."""
    while True:
        more = {item.name for item in spec.definitions if item.name not in lost and _mentions(item.value, lost)}
        if not more:
            return lost
        lost = lost | more


def _mentions(value: Sourced, names: frozenset[str]) -> bool:
    return bool(names) and any(
        isinstance(node, tree.Name) and node.text in names for node, _ in tree.walk(value.expression)
    )
