"""What holds between the parts of a form: equality up to a factor, and the least value of a sum whose negative parts
are held up by positive ones.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from lossdsl.graph.nodes import NO_AXES, Node
from lossdsl.proving import interval as of
from lossdsl.proving.forms import Form, Forms, Monomial, added, interval_of
from lossdsl.proving.interval import ONE, UNIT, Interval, interval

_REDUCTIONS = frozenset({"mean", "sum"})


def same_up_to_a_factor(forms: Forms, value: Node) -> tuple[Hashable, float]:
    """A key that is equal for equal values, and the factor in front of it."""
    around: list[Hashable] = []
    factor = 1.0
    while True:
        constant, inner = _split(value)
        factor *= constant
        if inner is value:
            break
        if value.operation in _REDUCTIONS:
            around.append((value.operation, value.attributes))
        value = inner
    if value.operation != "divide" or value.arguments[0].is_constant:
        return (*around, value), factor
    (above, times), (below, share) = (_normal(forms.of(argument)) for argument in value.arguments)
    ratio = times / share
    if not math.isfinite(ratio) or not ratio:  # coefficients may be as small and as large as numbers are
        return (*around, value), factor
    return (*around, above, below), factor * ratio


def _split(value: Node) -> tuple[float, Node]:
    """A constant factor and the rest; the value under a sum or mean."""
    match value.operation:
        case "negative":
            return -1.0, value.arguments[0]
        case "sum" | "mean":
            return 1.0, value.arguments[0]
        case "multiply":
            for constant, rest in (value.arguments, value.arguments[::-1]):
                if constant.is_constant:
                    return constant.value, rest
        case "divide" if value.arguments[1].is_constant and value.arguments[1].value:
            return 1 / value.arguments[1].value, value.arguments[0]
    return 1.0, value


def _normal(form: Form) -> tuple[Hashable, float]:
    """A form with the first of its coefficients made 1, and that coefficient."""
    if not form:
        return form_key(form), 1.0
    first = form[min(form)]
    return form_key({monomial: coefficient / first for monomial, coefficient in form.items()}), first


def form_key(form: Form) -> Hashable:
    return frozenset((monomial, float(f"{coefficient:.9g}")) for monomial, coefficient in form.items())


_MOST = 12
_MOST_FACTORS = 4
_NOTHING = 1e-12


def form_interval(forms: Forms, form: Form) -> Interval:
    """Where the value of a form lies."""
    plain = interval_of(forms, form)
    if len(form) < 2 or len(form) > _MOST:
        return plain
    low = _held_up(forms, form)
    high = of.negative(_held_up(forms, {m: -c for m, c in form.items()}))
    return of.meet(of.meet(plain, interval(low.low, math.inf, low.low_open)), _up_to(high))


def _up_to(bound: Interval) -> Interval:
    return interval(-math.inf, bound.high, high_open=bound.high_open)


def _held_up(forms: Forms, form: Form) -> Interval:
    """An interval whose low end no value of the form is below: what can be negative is charged to what is positive."""
    left = dict(form)
    for monomial in sorted(form, key=lambda m: (-forms.degree(m), m)):
        if monomial not in left or not _may_be_negative(forms, monomial, left[monomial]):
            continue
        _charge(forms, left, monomial)
    return interval_of(forms, left)


def _may_be_negative(forms: Forms, monomial: Monomial, coefficient: float) -> bool:
    bounds = forms.bounds(monomial)
    return bounds.low < 0 if coefficient > 0 else bounds.high > 0


def _charge(forms: Forms, left: Form, monomial: Monomial) -> None:
    """Replace a monomial that may be negative, as far as others hold it up, by the share of them that it may take.

    The nearest go first: p*y*w should use up p*w, and leave p to hold up p*y.
    """
    for base in sorted(left, key=lambda m: -forms.degree(m)):
        coefficient = left.get(monomial, 0.0)
        if not coefficient:
            return
        if base == monomial or left[base] <= 0:
            continue
        share = quotient(forms, monomial, base)
        worst = None if share is None else of.scale(share, coefficient).low
        if worst is not None and math.isfinite(worst):
            _take(left, monomial, base, -worst)
    for pair in _square_pairs(forms, monomial):
        coefficient = left.get(monomial, 0.0)
        if coefficient and all(left.get(square, 0.0) > 0 for square in pair):
            _take_pair(left, monomial, pair, coefficient)


def _take(left: Form, monomial: Monomial, base: Monomial, price: float) -> None:
    """The whole monomial costs `price` times the base; as much of it goes as the base can pay."""
    paid = 1.0 if price <= 0 else min(1.0, left[base] / price)
    _reduce(left, base, max(price, 0.0) * paid)
    left[monomial] *= 1 - paid
    if paid >= 1 - _NOTHING:
        del left[monomial]


def _take_pair(left: Form, monomial: Monomial, pair: tuple[Monomial, Monomial], coefficient: float) -> None:
    paid = min(1.0, *(2 * left[square] / abs(coefficient) for square in pair))
    for square in pair:
        _reduce(left, square, 0.5 * abs(coefficient) * paid)
    left[monomial] *= 1 - paid
    if paid >= 1 - _NOTHING:
        del left[monomial]


def _reduce(left: Form, base: Monomial, amount: float) -> None:
    rest = left[base] - amount
    if abs(rest) <= _NOTHING * abs(amount):
        del left[base]
    else:
        left[base] = rest


def quotient(forms: Forms, monomial: Monomial, base: Monomial) -> Interval | None:
    """Where e lies if monomial = base*e element by element, and the base is at least 0; else None."""
    if base and not forms.bounds(base).at_least_0:
        return None
    rest, wanted = _without_common(monomial, base)
    if not wanted:
        return forms.bounds(rest)
    for atom in dict.fromkeys(rest):
        if rest.count(atom) == 2 and _is_at_most(forms, atom, wanted):
            return of.multiply(UNIT, forms.bounds(_without_common(rest, (atom, atom))[0]))
    sizes = [total.over for atom in wanted if (total := forms.atoms[atom].total) and not total.monomial]
    sums = [atom for atom in wanted if (total := forms.atoms[atom].total) and total.monomial]
    if len(sums) != 1 or len(sizes) + 1 != len(wanted):
        return None
    inner = forms.atoms[sums[0]].total
    assert inner
    over = inner.over.union(*sizes)
    for atom in rest:
        total = forms.atoms[atom].total
        if total and total.monomial and total.kind == inner.kind and total.over == over:
            share = quotient(forms, total.monomial, inner.monomial)
            others = _without_common(rest, (atom,))[0]
            return None if share is None else of.multiply(share, forms.bounds(others))
    return None


def _is_at_most(forms: Forms, atom: int, bound: Monomial) -> bool:
    """Whether a bound is sum(a*a)*sum(b*b) for the atom sum(a*b); with means for a mean. Of a mean b may be 1."""
    inner = forms.atoms[atom].total
    if inner is None or not 0 < len(inner.monomial) <= _MOST_FACTORS:
        return False
    totals = [forms.atoms[other].total for other in bound]
    squares = sorted(total.monomial for total in totals if total and total.monomial)
    sizes = frozenset[str]().union(*(total.over for total in totals if total and not total.monomial))
    if any(total is None or (total.monomial and total[:2] != inner[:2]) for total in totals):
        return False
    of_one = sizes == (inner.over if inner.kind == "sum" else NO_AXES)
    for chosen in range(2 ** len(inner.monomial)):
        parts: tuple[list[int], list[int]] = ([], [])
        for place, factor in enumerate(inner.monomial):
            for side in (0, 1) if forms.atoms[factor].whole else (chosen >> place & 1,):
                parts[side].append(factor)
        wanted = sorted(forms.ordered((*part, *part)) for part in parts if part)
        if wanted == squares and (of_one if len(wanted) == 1 else not sizes):
            return True
    return False


def _without_common(left: Monomial, right: Monomial) -> tuple[Monomial, Monomial]:
    rest, wanted = list(left), []
    for atom in right:
        if atom in rest:
            rest.remove(atom)
        else:
            wanted.append(atom)
    return tuple(rest), tuple(wanted)


def _square_pairs(forms: Forms, monomial: Monomial) -> list[tuple[Monomial, Monomial]]:
    """k*a*a and k*b*b for k*a*b, also under one sum or mean; k must be at least 0."""
    pairs = [
        (tuple(sorted((*rest, a, a))), tuple(sorted((*rest, b, b))))
        for a, b, rest in _pairs_of(monomial)
        if forms.bounds(rest).at_least_0
    ]
    for atom in monomial:
        total = forms.atoms[atom].total
        if total is None:
            continue
        outside = _without_common(monomial, (atom,))[0]
        for first, second in _square_pairs(forms, total.monomial):
            squares = [forms.known(total.kind, total.over, inner) for inner in (first, second)]
            if None not in squares and forms.bounds(outside).at_least_0:
                one, other = (tuple(sorted((*outside, square))) for square in squares if square is not None)
                pairs.append((one, other))
    return pairs


def _pairs_of(monomial: Monomial) -> list[tuple[int, int, Monomial]]:
    places = [(i, j) for i in range(len(monomial)) for j in range(i) if monomial[i] != monomial[j]]
    return [
        (monomial[i], monomial[j], tuple(a for at, a in enumerate(monomial) if at not in (i, j))) for i, j in places
    ]


def ratio_interval(forms: Forms, above: Node, below: Node) -> Interval | None:
    """Where above/below lies for a denominator that is at least 0, as far as the two are related.

    x/d <= c holds where c*d - x >= 0, and where d is 0 both ways: the quotient is 0 there, or has the sign of x.
    """
    numerator, denominator = forms.of(above), forms.of(below)
    if len(numerator) + len(denominator) > _MOST:
        return None
    least = of.meet(_held_up(forms, denominator), forms.intervals[below])
    if not least.at_least_0:
        return None
    convex = _average(forms, numerator, denominator)
    result = interval(-math.inf, math.inf)
    if convex is not None:
        result = convex if least.positive or _some_count(forms, denominator) else of.hull(convex, of.ZERO)
    high = _bound_above(forms, numerator, denominator, least.positive)
    low = of.negative(_bound_above(forms, {m: -c for m, c in numerator.items()}, denominator, least.positive))
    return of.meet(result, of.meet(high, low))


def cosine_interval(forms: Forms, numerator: Node, denominator: Node) -> Interval | None:
    """[-1, 1] where the denominator is at least the root of a form that is at least the square of the numerator."""
    floor = _square_below(forms, denominator)
    while numerator.operation in ("abs", "negative"):
        (numerator,) = numerator.arguments
    top = forms.of(numerator)
    if floor is None or len(top) ** 2 + len(floor) > _MOST:
        return None
    rest = added(floor, forms.product(top, top), -1.0)
    return interval(-1.0, 1.0) if _held_up(forms, rest).at_least_0 else None


def _square_below(forms: Forms, node: Node) -> Form | None:
    """A form that is at least 0 and whose root a node is at least, as roots and products of roots are."""
    match node.operation:
        case "constant":
            return {(): node.value**2} if node.value > 0 else None
        case "multiply":
            left, right = (_square_below(forms, argument) for argument in node.arguments)
            return None if left is None or right is None else forms.product(left, right)
        case "add" | "maximum":
            for one, other in (node.arguments, node.arguments[::-1]):
                below = _square_below(forms, one) if not one.is_constant else None
                if below is not None and (node.operation == "maximum" or forms.intervals[other].at_least_0):
                    return below
            return None
        case "cast" | "cast_like":
            return _square_below(forms, node.arguments[0])
    if node.operation != "sqrt" and not (node.operation == "power" and _is(node.arguments[1], 0.5)):
        return None
    form = forms.of(node.arguments[0])
    return form if _held_up(forms, form).at_least_0 else None


def _is(node: Node, number: float) -> bool:
    return node.is_constant and node.value == number


def _bound_above(forms: Forms, numerator: Form, denominator: Form, positive: bool) -> Interval:
    """The smallest of a few numbers that the quotient is not above. positive: the denominator is never 0."""
    bound = interval(-math.inf, math.inf)
    for c in (0.0, 1.0, 2.0):
        rest = _held_up(forms, added(_times(denominator, c), numerator, -1.0))
        if rest.at_least_0:
            bound = interval(-math.inf, c, high_open=rest.positive and positive)
            break
    if bound.high == 0 and positive:
        rest = _held_up(forms, added(_times(denominator, -1.0), numerator, -1.0))
        if rest.at_least_0:
            return interval(-math.inf, -1.0, high_open=rest.positive)
    return bound


def _times(form: Form, factor: float) -> Form:
    return {m: c * factor for m, c in form.items()} if factor else {}


def _average(forms: Forms, numerator: Form, denominator: Form) -> Interval | None:
    """A weighted mean: sum(w*x)/sum(w) lies where x does."""
    if len(denominator) != 1:
        return None
    ((base, weight),) = denominator.items()
    total = interval(0.0, 0.0)
    for monomial, coefficient in numerator.items():
        share = ONE if monomial == base else quotient(forms, monomial, base)
        if share is None:
            return None
        total = of.add(total, of.scale(share, coefficient / weight))
    return total


def _some_count(forms: Forms, denominator: Form) -> bool:
    """Whether only the mask can make a denominator 0: a call in which nothing counts has the loss 0 anyway."""
    atoms = [forms.atoms[atom] for monomial in denominator for atom in monomial]
    return all(
        atom.total is not None and not atom.axes and all(forms.atoms[a].counts for a in atom.total.monomial)
        for atom in atoms
    )
