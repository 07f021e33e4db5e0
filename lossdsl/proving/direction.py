"""Whether a lower total means a better prediction, and whether a total falls without bound."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from lossdsl.checking.resolved import Learned
from lossdsl.errors import Diagnostic
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.trace import Used
from lossdsl.proving import interval as of
from lossdsl.proving.analysis import Proof
from lossdsl.proving.idle import first_time_outside, weight_place
from lossdsl.proving.interval import Interval, interval
from lossdsl.proving.messages import lies, says
from lossdsl.proving.slopes import moves, slopes
from lossdsl.proving.transfer import transfer
from lossdsl.syntax.printing import number
from lossdsl.tasks import task_record

_ELEMENTS = interval(1, 1e12)
_FAR, _FURTHER = 1e3, 1e5
_USUAL = (0.37, 0.73, 1.19)  # what is counted is not below 0
_BINARY = (0.0, 1.0)


def is_bounded_below(proof: Proof) -> bool:
    """Whether a total has a lower bound in every batch: a sum of bounded numbers has one, however many there are."""
    found: dict[Node, Interval] = {}
    for node in proof.order:
        known = proof.intervals[node]
        if node.operation == "sum":
            known = of.meet(known, of.multiply(found[node.arguments[0]], _ELEMENTS))
        elif node.arguments and not math.isfinite(known.size):
            known = of.meet(known, transfer(node, [found[argument] for argument in node.arguments]))
        found[node] = known
    return found[proof.built.total].low > -math.inf


def falls_for_a_prediction(proof: Proof) -> bool:
    """Whether the total keeps falling as the prediction goes one way, for some target.

    All elements are the same here: what they add up to is a number for certain, or else nothing is said.
    """
    predictions = {node for node in proof.order if node.operation == "input" and _is_prediction(node, proof)}
    targets = [node for node in proof.order if node.operation == "input" and _is_target(node, proof)]
    others = [
        node for node in proof.order if node.operation == "input" and node not in predictions and node not in targets
    ]
    if not predictions or any(proof.intervals[node] != of.ALL for node in predictions):
        return False
    labels = _BINARY if task_record(proof.context.task).has_labels else _USUAL
    usual = {node: of.point(_USUAL[place % 2]) for place, node in enumerate(others)}
    for label in labels:
        for way in (1.0, -1.0):
            inputs = usual | dict.fromkeys(targets, of.point(label))
            far, further = (
                _total(proof, inputs | dict.fromkeys(predictions, of.point(way * distance)))
                for distance in (_FAR, _FURTHER)
            )
            if far.high < 0 and further.high < 10 * far.low and math.isfinite(far.low):
                return True
    return False


def _total(proof: Proof, inputs: dict[Node, Interval]) -> Interval:
    """The interval of the total for inputs of which all elements are the same."""
    found = dict(inputs)
    for node in proof.order:
        if node not in found:
            arguments = [found[argument] for argument in node.arguments]
            found[node] = of.meet(proof.intervals[node], transfer(node, arguments)) if arguments else _leaf(node, proof)
    return found[proof.built.total]


def _leaf(node: Node, proof: Proof) -> Interval:
    return of.point(node.value) if node.is_constant else proof.intervals[node]


def _is_prediction(node: Node, proof: Proof) -> bool:
    name = node.input_name
    return name == "pred" or name.removeprefix("tensor:") in proof.facts.predictions


def _is_target(node: Node, proof: Proof) -> bool:
    name = node.input_name
    return name == "target" or name.removeprefix("tensor:") in proof.facts.targets


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
            hint = f"{when}; max(0, ...) keeps it at 0 or above" if when else "keep it above 0: exp(s) for a learned s"
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
