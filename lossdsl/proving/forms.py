"""Polynomials over atoms: what two parts of a formula have in common, which their intervals alone do not say.

A form is a sum of monomials with coefficients. A monomial is a product of atoms: nodes that are no sums and no
products, and sums or means of monomials. So `sum(p) + sum(y) - 2*sum(p*y)` is seen to be at least 0: each p*y is
at most p and at most y.

A difference may also be taken as a whole: with d an atom, `mean(d**2) - mean(d)**2` is a variance, and a square that is
not multiplied out is at least 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from lossdsl.graph.nodes import NO_AXES, Node
from lossdsl.proving import interval as of
from lossdsl.proving.averages import Average, average, factors, is_logarithm, is_whole_power, times_logarithm
from lossdsl.proving.interval import ONE, UNIT, Interval, interval

Monomial: TypeAlias = tuple[int, ...]
"""Atoms by number, in order; the empty one is the number 1."""
Form: TypeAlias = dict[Monomial, float]

_MOST_MONOMIALS = 12
_HIGHEST_DEGREE = 6
_CONSTANT: Monomial = ()


class Total(NamedTuple):
    """The sum, or the mean, of a monomial over some axes. space: that of the axes, where the monomial is 1."""

    kind: str
    over: frozenset[str]
    monomial: Monomial
    space: str = ""


@dataclass(frozen=True, slots=True)
class Atom:
    """interval: where its value lies. total: what it adds up, None for a node. whole: it is 0 or 1.
    counts: it says which elements count, or how much each class does; some element and some class do.
    factors: how many it is made of. node: the node that it is, None for a total.
    """

    interval: Interval
    axes: frozenset[str]
    total: Total | None = None
    whole: bool = False
    counts: bool = False
    factors: int = 1
    node: Node | None = None


@dataclass(slots=True)
class Forms:
    """The forms of the nodes of one graph. `intervals` grows as the nodes are looked at in their order.

    whole: a sum or difference that is multiplied or added up is an atom.
    """

    intervals: Mapping[Node, Interval]
    whole: bool = False
    atoms: list[Atom] = field(default_factory=list)
    _numbers: dict[Hashable, int] = field(default_factory=dict)
    _forms: dict[Node, Form] = field(default_factory=dict)
    _bounds: dict[Monomial, Interval] = field(default_factory=dict)

    def of(self, node: Node) -> Form:
        """The form of a node whose arguments have intervals. Without recursion: sums may be long."""
        waiting = [node]
        while waiting:
            current = waiting[-1]
            missing = [part for part in self._parts(current) if part not in self._forms]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if current not in self._forms:
                self._forms[current] = self._form(current)
        return self._forms[node]

    def _form(self, node: Node) -> Form:
        result = self._expanded(node)
        if result is None or len(result) > _MOST_MONOMIALS or any(len(m) > _HIGHEST_DEGREE for m in result):
            return {(self._node(node),): 1.0}
        if not all(map(math.isfinite, result.values())):
            return {(self._node(node),): 1.0}
        return result

    def _expanded(self, node: Node) -> Form | None:
        """None for what is an atom."""
        if self.whole and _is_product(node):
            return self._whole(node)
        parts = [self._forms[part] for part in self._parts(node)]
        match node.operation:
            case "constant":
                return {_CONSTANT: node.value} if node.value else {}
            case "add" | "subtract":
                return added(parts[0], parts[1], 1.0 if node.operation == "add" else -1.0)
            case "negative":
                return {m: -c for m, c in parts[0].items()}
            case "multiply":
                return self.product(*parts)
            case "divide" if node.arguments[1].is_constant and node.arguments[1].value:
                return {m: c / node.arguments[1].value for m, c in parts[0].items()}
            case "divide" if self.whole and (found := average(node, self.intervals)):
                return self._average(found)
            case "power" if parts:
                result = parts[0]
                for _ in range(int(node.arguments[1].value) - 1):
                    result = self.product(result, parts[0])
                return result
            case "keep":
                return self.product(parts[0], {(self._node(node.arguments[1]),): 1.0})
            case "cast" | "cast_like":
                return parts[0]
            case "sum" | "mean":
                (over,) = node.attributes
                assert isinstance(over, tuple)
                inner = self._whole(node.arguments[0]) if self.whole else parts[0]
                return None if inner is None else self._reduced(node, frozenset(over), inner)
            case "size":
                return {(self._size(str(node.attributes[0]), node.arguments[0]),): 1.0}
        return None

    def _parts(self, node: Node) -> tuple[Node, ...]:
        """The arguments, or factors of one, whose forms make up the form of a node; none for an atom."""
        if self.whole and (_is_product(node) or node.operation in _REDUCTIONS):
            inner = factors(node if _is_product(node) else node.arguments[0]).others
            return tuple(factor for factor in inner if factor.operation in _AVERAGES)
        return _parts(node)

    def _whole(self, node: Node) -> Form | None:
        """A product of nodes that are taken as they are."""
        coefficient, others = factors(node)
        if not coefficient or len(others) > _HIGHEST_DEGREE:
            return None
        result: Form = {_CONSTANT: coefficient}
        for factor in others:
            of_factor: Form = self._forms[factor] if factor.operation in _AVERAGES else {(self._node(factor),): 1.0}
            result = self.product(result, of_factor)
        return result

    def _average(self, found: Average) -> Form | None:
        """A weighted mean as an atom of its own, with that of the same weights in common."""
        if not found.coefficient or not 0 < len(found.values) <= _HIGHEST_DEGREE:
            return None
        weights = [self._node(weight) for weight in found.weights]
        values = [self._node(value) for value in found.values]
        counted = [atom for atom in values if not (atom in weights and self.atoms[atom].whole)]
        total = self.total(f"mean by {sorted(weights)}", found.over, self.ordered(tuple(counted)))
        return {(total,): found.coefficient}

    def _node(self, node: Node) -> int:
        """The atom of a node."""
        whole = node.operation in _WHOLE | COUNTING or node.input_name == "mask"
        counts = node.operation in COUNTING or node.input_name in ("mask", "class_weight")
        known = UNIT if whole else self.intervals[node]
        return self._number(node, lambda: Atom(known, node.axes, whole=whole, counts=counts, node=node))

    def _number(self, key: Hashable, make: Callable[[], Atom]) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.atoms)
            self.atoms.append(make())
        return self._numbers[key]

    def product(self, left: Form, right: Form) -> Form:
        result: Form = {}
        for m, c in left.items():
            for n, d in right.items():
                self._put(result, m + n, c * d)
        return result

    def _put(self, form: Form, atoms: Monomial, coefficient: float) -> None:
        monomial = self.ordered(atoms)
        total = form.get(monomial, 0.0) + coefficient
        if total:
            form[monomial] = total
        else:
            form.pop(monomial, None)  # so that every coefficient can be divided by

    def ordered(self, atoms: Monomial) -> Monomial:
        """Sorted, and 1*1 is 1 where an atom is 0 or 1."""
        kept: list[int] = []
        for atom in sorted(atoms):
            if not (kept and kept[-1] == atom and self.atoms[atom].whole):
                kept.append(atom)
        return tuple(kept)

    def _size(self, axis: str, node: Node) -> int:
        """The atom of how many elements there are along an axis of the space of a node."""
        return self.total("sum", frozenset({axis}), _CONSTANT, _space(node))

    def _reduced(self, node: Node, over: frozenset[str], form: Form) -> Form:
        kind, result = node.operation, Form()
        for monomial, coefficient in form.items():
            inside = tuple(a for a in monomial if self.atoms[a].axes & over)
            outside = tuple(a for a in monomial if not self.atoms[a].axes & over)
            if kind == "mean" and not inside:
                self._put(result, outside, coefficient)
            else:
                covered = over & NO_AXES.union(*(self.atoms[a].axes for a in inside))
                sizes = () if kind == "mean" else (self._size(axis, node.arguments[0]) for axis in over - covered)
                totals = (self.total(kind, covered, inside),) if inside else ()
                self._put(result, (*outside, *totals, *sizes), coefficient)
        return result

    def total(self, kind: str, over: frozenset[str], monomial: Monomial, space: str = "") -> int:
        """The atom of a sum or mean. A sum of the number 1 is how many there are."""
        key = Total(kind, over, monomial, space)

        def make() -> Atom:
            axes = NO_AXES.union(*(self.atoms[a].axes for a in monomial)) - over
            inner = self.bounds(monomial)
            known = of.added_up(inner) if kind == "sum" else inner if kind == "mean" else of.hull(inner, of.ZERO)
            return Atom(known, axes, key, factors=max(1, self.degree(monomial)))

        return self._number(key, make)

    def known(self, kind: str, over: frozenset[str], monomial: Monomial) -> int | None:
        """The atom of a sum or mean that occurs somewhere."""
        return self._numbers.get(Total(kind, over, self.ordered(monomial)))

    def bounds(self, monomial: Monomial) -> Interval:
        """The interval of a monomial; even powers of one atom are not negative."""
        if monomial not in self._bounds:
            result, rest = self._with_logarithm(monomial)
            for atom in dict.fromkeys(rest):
                result = of.multiply(result, of.whole_power(self.atoms[atom].interval, rest.count(atom)))
            self._bounds[monomial] = result
        return self._bounds[monomial]

    def _with_logarithm(self, monomial: Monomial) -> tuple[Interval, Monomial]:
        """The interval of x*log(x) where both are in a monomial, and the other atoms."""
        nodes = [(atom, node) for atom in monomial if (node := self.atoms[atom].node) is not None]
        for one, logarithm in nodes if any(is_logarithm(node) for _, node in nodes) else ():
            for other, factor in nodes:
                known = times_logarithm(factor, logarithm, self.intervals) if is_logarithm(logarithm) else None
                if known is not None:
                    rest = list(monomial)
                    rest.remove(one)
                    rest.remove(other)
                    return known, tuple(rest)
        return ONE, monomial

    def degree(self, monomial: Monomial) -> int:
        """How many factors a monomial has, those under sums counted."""
        return sum(self.atoms[atom].factors for atom in monomial)


_REDUCTIONS = frozenset({"sum", "mean"})
_AVERAGES = frozenset({*_REDUCTIONS, "divide"})
_WHOLE = frozenset({"one_hot", "foreground", "compare"})
COUNTING = frozenset({"class_is_one_of", "differs", "both", "any", "any_of"})


def _parts(node: Node) -> tuple[Node, ...]:
    """The arguments whose forms make up the form of a node; none for an atom."""
    match node.operation:
        case "add" | "subtract" | "multiply" | "negative" | "sum" | "mean":
            return node.arguments
        case "keep" | "cast" | "cast_like":
            return node.arguments[:1]
        case "divide" if node.arguments[1].is_constant:
            return node.arguments[:1]
        case "power" if is_whole_power(node):
            return node.arguments[:1]
    return ()


def _is_product(node: Node) -> bool:
    if node.operation == "multiply":
        return not any(argument.is_constant for argument in node.arguments)
    return is_whole_power(node)


def _space(node: Node) -> str:
    """What marks the inputs of the space in which a node has its axes."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current.operation == "input":
            return str(current.attributes[0]).partition("@")[2]
        waiting += [argument for argument in current.arguments if argument.axes]
    return ""


def added(left: Form, right: Form, factor: float = 1.0) -> Form:
    """left + factor*right. What cancels but for rounding is gone."""
    result = dict(left)
    for monomial, coefficient in right.items():
        before, change = result.get(monomial, 0.0), factor * coefficient
        total = before + change
        if abs(total) <= 1e-12 * abs(change):
            result.pop(monomial, None)
        else:
            result[monomial] = total
    return result


def interval_of(forms: Forms, form: Form) -> Interval:
    """The interval of a form, from the intervals of its monomials alone."""
    result = interval(0.0, 0.0)
    for monomial, coefficient in form.items():
        result = of.add(result, of.scale(forms.bounds(monomial), coefficient))
    return result
