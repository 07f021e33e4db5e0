"""Whether a total falls without bound: what disproves it, and what shows it."""

from __future__ import annotations

import math

from lossdsl.graph.nodes import Node
from lossdsl.proving import interval as of
from lossdsl.proving.analysis import Proof
from lossdsl.proving.interval import Interval, interval
from lossdsl.proving.transfer import transfer
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
