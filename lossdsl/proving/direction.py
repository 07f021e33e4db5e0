"""Whether a lower total means a better prediction: losses must push it up, scores down."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from lossdsl.checking.resolved import Learned
from lossdsl.errors import Diagnostic
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.trace import Used
from lossdsl.proving import interval as of
from lossdsl.proving.analysis import Proof
from lossdsl.proving.bottom import falls_for_a_prediction, is_bounded_below
from lossdsl.proving.idle import weight_place
from lossdsl.proving.interval import Interval
from lossdsl.proving.saying import lies, says
from lossdsl.proving.schedules import first_time_outside
from lossdsl.proving.slopes import moves, slopes
from lossdsl.syntax.printing import number

_TARGETS = frozenset({"input", "cast_like", "keep", "one_hot", "index"})


def direction_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Losses and scores that the total moves the wrong way with, and a total without a lower bound."""
    leaves = _leaves(proof)
    found = slopes(proof.built.total, proof.order, proof.intervals, leaves)
    wrong = [used for node, used in leaves.items() if node in found and _is_wrong(used, found[node])]
    for used in wrong:
        yield _rewards(used, proof.intervals[used.node], proof.intervals[proof.built.total])
    turning = list(_turning_weights(proof))
    yield from turning
    yield from _loose(proof, found, leaves) if not turning else ()
    total = proof.intervals[proof.built.total]
    if total.low == -math.inf and not wrong and not turning and moves(proof.built.total, proof.trained):
        falls = falls_for_a_prediction(proof) if total.high == math.inf else not is_bounded_below(proof)
        if falls:
            yield _bottomless(proof, total)


def _leaves(proof: Proof) -> dict[Node, Used]:
    """The losses and scores that the user's text names, of a target as it is."""
    return {
        used.node: used
        for used in proof.built.trace.used
        if used.by_user
        and used.use.loss.documentation.better != "neither"
        and (not used.head.prepared or used.head.truth.operation in _TARGETS)
    }


def _is_wrong(used: Used, slope: Interval) -> bool:
    if slope == of.ZERO:
        return False
    return slope.at_least_0 if _is_score(used) else slope.at_most_0


def _is_score(used: Used) -> bool:
    return used.use.loss.documentation.better == "higher"


def _rewards(used: Used, value: Interval, total: Interval) -> Diagnostic:
    name = used.use.loss.name
    if _is_score(used):
        message = f"a lower total means a lower `{name}`, which is a score: higher is better"
        return says(used.use.origin, "LD710", message, f"subtract it: 1 - {name}")
    fall = "falls without bound" if value.high == math.inf else "falls"
    message = f"the total {fall} as `{name}` grows, which is a loss: lower is better"
    best = f"`{name}` is best at {number(used.use.loss.range.low)}"
    if total.at_most_0:
        return says(used.use.origin, "LD710", message, f"is a minus missing? {best}, and the total is never above 0")
    score = f"; the score is 1 - {name}" if value.low >= 0 and value.high <= 1 else ""
    return says(used.use.origin, "LD710", message, f"add it: {best}{score}")


def _turning_weights(proof: Proof) -> Iterator[Diagnostic]:
    """Weights that change their sign with the epoch, or by training."""
    terms = zip(proof.built.terms, proof.objective.terms, strict=True)
    for built, term in terms:
        weight = proof.intervals[built.weight]
        if weight.low < 0 < weight.high and moves(built.value, proof.trained):
            message = f"the weight of `{built.name}` can change its sign: it is {lies(weight)}"
            when = first_time_outside(built.weight, of.NON_NEGATIVE, proof.intervals)
            hint = f"{when}; max(0, ...) keeps it at least 0" if when else "keep it above 0: exp(s) for a learned s"
            yield says(weight_place(term), "LD711", message, hint)


def _loose(proof: Proof, found: dict[Node, Interval], leaves: Collection[Node]) -> Iterator[Diagnostic]:
    """Learned scalars that training moves one way for ever. One that is a parameter of a loss may be held by it."""
    if not proof.facts.learned:
        return
    below = set(in_order(leaves))
    for expression, node in proof.built.trace.read:
        slope = found.get(node)
        if not isinstance(expression, Learned) or slope is None or slope == of.ZERO or node in below:
            continue
        if slope.at_least_0 or slope.at_most_0:
            way = "down" if slope.at_least_0 else "up"
            message = f"the learned `{expression.name}` is unbounded: training drives it {way} forever"
            hint = "add a term that grows in the other direction, as in exp(-s)*bce + s"
            yield says(expression.origin, "LD713", message, hint)


def _bottomless(proof: Proof, total: Interval) -> Diagnostic:
    message = f"the total is not bounded below: it is {lies(total)}"
    terms = zip(proof.built.terms, proof.objective.terms, strict=True)
    falling = [term for built, term in terms if proof.intervals[built.contribution].low == -math.inf]
    place = falling[0].value.origin if falling else proof.objective.terms[0].value.origin
    return says(place, "LD712", message, "a loss needs a lower bound; is a minus missing?")
