"""Expand the losses that a formula names to their formulas, with parameters filled in and simplified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lossdsl.errors import Diagnostic, FormulaError, nearest
from lossdsl.registry.discover import Registry
from lossdsl.registry.entry_points import BUILT_IN
from lossdsl.registry.model import Formula, full_name
from lossdsl.syntax import tree
from lossdsl.syntax.printing import text

_ZERO, _ONE = tree.Number(0.0), tree.Number(1.0)


def simplified(node: tree.Expression) -> tree.Expression:
    """An expression whose operands are simplified already."""
    match node:
        case tree.Negative(operand=tree.Number(value=0.0)):
            return _ZERO
        case tree.Sum():
            return _sum(node)
        case tree.Product():
            return _product(node)
        case tree.Power() if node.exponent == _ONE:
            return node.base
        case tree.Call(function=tree.Name(text="mean")):
            # Without `count` and `weight` each element counts 1.
            idle = [(name, _ONE) for name in ("count", "weight")]
            kept = tuple(word for word in node.keywords if (word.name, word.value) not in idle)
            return replace(node, keywords=kept)
        case _:
            return node


def _sum(node: tree.Sum) -> tree.Expression:
    parts = [part for part in node.parts if part.operand != _ZERO]
    if not parts:
        return _ZERO
    first, *rest = parts
    if first.operator == "-":
        first = tree.Part("+", tree.Negative(first.operand))
    return replace(node, parts=(first, *rest)) if rest else first.operand


def _product(node: tree.Product) -> tree.Expression:
    if any(part.operator == "*" and part.operand == _ZERO for part in node.parts):
        return _ZERO
    parts = [part for part in node.parts if part.operand != _ONE]
    if not parts or parts[0].operator == "/":
        parts.insert(0, tree.Part("*", _ONE))
    return replace(node, parts=tuple(parts)) if len(parts) > 1 else parts[0].operand


ALL = "all"


@dataclass(frozen=True, slots=True)
class Opening:
    """The call of a loss, and its expansion: names, and an expression for each group of tasks (empty: all)."""

    call: tree.Expression
    bindings: tuple[tree.Binding, ...]
    cases: tuple[tree.Case, ...]


def openings(roots: Iterable[tree.Expression], registry: Registry, wanted: Sequence[str]) -> tuple[Opening, ...]:
    """The formula losses that the roots use, directly or indirectly, each call once.

    wanted: their names, or ALL. Raises FormulaError for a name that is not used.
    """
    waiting = [(root, BUILT_IN, frozenset[str]()) for root in roots]
    found: dict[str, Opening] = {}
    met: set[str] = set()
    for root, home, own in waiting:  # grows
        for call, loss in _calls(root, home, own, registry):
            names = {loss.name, full_name(loss)}
            if text(call) in met:
                continue
            met |= {text(call), *names}
            opening = open_call(call, loss)
            if ALL in wanted or names & set(wanted):
                found[text(call)] = opening
            bound = frozenset(binding.name for binding in opening.bindings)
            parts = (*(binding.value for binding in opening.bindings), *(case.expression for case in opening.cases))
            waiting += [(part, loss.namespace, bound) for part in parts]
    for name in wanted:
        if name not in {*met, ALL}:
            hint = nearest(name, met) or "losses that are formulas can be opened"
            raise FormulaError([Diagnostic("LD201", f"the loss does not use `{name}`", hint=hint)])
    return tuple(found.values())


def open_call(call: tree.Call, loss: Formula) -> Opening:
    """The formula of a loss for one call."""
    values = {parameter.name: parameter.default for parameter in loss.parameters if parameter.default}
    values |= {keyword.name: keyword.value for keyword in call.keywords}
    words = frozenset(word for parameter in loss.parameters for word in parameter.words)
    declaration = loss.declaration
    bindings: dict[str, tree.Expression] = {}
    for binding in declaration.bindings:
        value = _filled(binding.value, values, words)
        if isinstance(value, (tree.Number, tree.Name)):
            values[binding.name] = value
        else:
            bindings[binding.name] = value
    cases = tuple(replace(case, expression=_filled(case.expression, values, words)) for case in declaration.cases)
    used = _used(bindings, [case.expression for case in cases])
    return Opening(call, tuple(tree.Binding(name, bindings[name]) for name in bindings if name in used), cases)


def _calls(
    root: tree.Expression, home: str, own: frozenset[str], registry: Registry
) -> Iterator[tuple[tree.Call, Formula]]:
    """The calls of formula losses in an expression, without their tensors and `reduction`."""
    nodes = [node for node, _ in tree.walk(root)]
    called = {id(node.function) for node in nodes if isinstance(node, tree.Call)}
    for node in nodes:
        name = node.function if isinstance(node, tree.Call) else node
        if not isinstance(name, tree.Name) or name.text in own:
            continue
        candidates = registry.candidates(name.text, home)
        loss = registry.load(candidates[0]) if len(candidates) == 1 else None
        if isinstance(loss, Formula):
            keywords = node.keywords if isinstance(node, tree.Call) else ()
            kept = tuple(keyword for keyword in keywords if keyword.name != "reduction")
            if isinstance(node, tree.Call) or id(node) not in called:
                yield tree.Call(name, (), kept), loss


def _used(bindings: Mapping[str, tree.Expression], roots: Sequence[tree.Expression]) -> set[str]:
    used: set[str] = set()
    waiting = list(roots)
    while waiting:
        names = {node.text for node, _ in tree.walk(waiting.pop()) if isinstance(node, tree.Name)}
        new = (names & bindings.keys()) - used
        used |= new
        waiting += [bindings[name] for name in new]
    return used


def _filled(node: tree.Expression, values: Mapping[str, tree.Expression], words: frozenset[str]) -> tree.Expression:
    """An expression with values for names, simplified; a `where` that compares words, or a number and a word, is
    decided.
    """

    def fill(part: tree.Expression) -> tree.Expression:
        return _filled(part, values, words)

    match node:
        case tree.Name():
            return values.get(node.text, node)
        case tree.Negative():
            return simplified(replace(node, operand=fill(node.operand)))
        case tree.Sum() | tree.Product():
            parts = tuple(replace(part, operand=fill(part.operand)) for part in node.parts)
            return simplified(replace(node, parts=parts))
        case tree.Power():
            return simplified(replace(node, base=fill(node.base), exponent=fill(node.exponent)))
        case tree.Comparison():
            return replace(node, left=fill(node.left), right=fill(node.right))
        case tree.Listing():
            return replace(node, items=tuple(map(fill, node.items)))
        case tree.Call():
            keywords = tuple(replace(keyword, value=fill(keyword.value)) for keyword in node.keywords)
            call = replace(node, arguments=tuple(map(fill, node.arguments)), keywords=keywords)
            return simplified(_decided(call, words))
        case tree.Number():
            return node


def _decided(call: tree.Call, words: frozenset[str]) -> tree.Expression:
    if call.function.text != "where" or len(call.arguments) != 3:
        return call
    condition, chosen, otherwise = call.arguments
    if not isinstance(condition, tree.Comparison) or condition.operator not in ("==", "!="):
        return call
    left, right = condition.left, condition.right
    if not isinstance(right, tree.Name) or right.text not in words:
        return call
    if not (isinstance(left, tree.Number) or (isinstance(left, tree.Name) and left.text in words)):
        return call
    return chosen if (left == right) == (condition.operator == "==") else otherwise
