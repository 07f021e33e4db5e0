"""The interval of every node of a loss, from the ranges of its inputs to its total."""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass

from lossdsl.checking.facts import Facts
from lossdsl.checking.resolved import Objective
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.context import Context
from lossdsl.graph.graphs import Graphs
from lossdsl.graph.heads import Head
from lossdsl.graph.nodes import NO_AXES, Node, in_order
from lossdsl.graph.trace import Used
from lossdsl.proving import interval as of
from lossdsl.proving.averages import factors, is_logarithm, times_logarithm
from lossdsl.proving.forms import COUNTING, Forms
from lossdsl.proving.interval import ALL, NON_NEGATIVE, UNIT, Interval, Known, interval
from lossdsl.proving.relations import cosine_interval, form_interval, ratio_interval
from lossdsl.proving.transfer import branch, transfer

_SOME = interval(1, math.inf)
_MOST_SUMMANDS = 8
_LOG_PROBABILITIES = interval(-math.inf, -2 * math.log(2))  # their sum over two classes or more


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved of a loss for one kind of call.

    order: the nodes, arguments first. forms: for what its parts have in common. trained: the inputs through which a
    gradient may reach the model.
    """

    objective: Objective
    facts: Facts
    built: BuiltLoss
    order: tuple[Node, ...]
    intervals: dict[Node, Interval]
    forms: Forms
    trained: frozenset[Node]

    @property
    def context(self) -> Context:
        return self.built.context


def prove(
    graphs: Graphs,
    built: BuiltLoss,
    related: Container[Node] | None = None,
    nodes: Sequence[Node] | None = None,
    before: Proof | None = None,
) -> Proof:
    """Intervals of all nodes that were read, also of those that the total does not need, or only of some nodes.

    related: the nodes for which to use what their parts have in common, all by default. It takes most of the time.
    before: a proof of the same with less related; what stands in none of these nodes is taken from it.
    """
    facts = graphs.facts
    order = before.order if before else in_order(_roots(built) if nodes is None else nodes)
    earlier = before.intervals if before else {}
    intervals = dict(_inputs(built, order, facts))
    forms, whole = Forms(intervals), Forms(intervals, whole=True)
    declared: dict[Node, list[Used]] = {}
    for used in built.trace.used:
        if used.reduction == "mean":
            declared.setdefault(used.node, []).append(used)
    tasks = [head.space.task_record for head in built.heads]
    alone = frozenset({"class"}) if all(task.has_one_class for task in tasks) else NO_AXES
    exclusive = all(task.is_exclusive for task in tasks)
    trained = set()
    for node in order:
        if node.operation == "input" and _is_trained(node.input_name, facts):
            trained.add(node)
        if node in intervals:
            continue
        relate = related is None or node in related
        if earlier and not relate and _stays(node, intervals, earlier):
            intervals[node] = earlier[node]
            continue
        if node.operation == "sum" and alone.issuperset(_over(node)):  # of one element
            intervals[node] = intervals[node.arguments[0]]
            continue
        result = _interval(node, intervals, (forms, whole) if relate else ())
        if exclusive and _adds_log_probabilities(node):
            result = of.meet(result, _LOG_PROBABILITIES)
        for used in declared.get(node, ()):
            if takes_what_it_needs(used, intervals):
                declaration = used.use.loss.range
                promised = interval(declaration.low, declaration.high, declaration.low_open, declaration.high_open)
                result = of.meet(result, promised)
        intervals[node] = result
    return Proof(graphs.objective, facts, built, order, intervals, forms, frozenset(trained))


def _over(node: Node) -> tuple[Hashable, ...]:
    (axes,) = node.attributes
    assert isinstance(axes, tuple)
    return axes


def _adds_log_probabilities(node: Node) -> bool:
    return node.operation == "sum" and node.arguments[0].operation == "log_softmax" and "class" in _over(node)


def _stays(node: Node, intervals: dict[Node, Interval], earlier: dict[Node, Interval]) -> bool:
    """Whether nothing that the interval of a node depends on is another than before."""
    return node.operation != "where" and all(intervals[part] is earlier[part] for part in node.arguments)


def _is_trained(name: str, facts: Facts) -> bool:
    """Predictions and learned scalars; and what a caller passes by name, unless it stands as a target."""
    kind, _, passed = name.partition(":")
    return name == "pred" or kind == "learned" or (kind == "tensor" and passed not in facts.targets)


def _roots(built: BuiltLoss) -> list[Node]:
    terms = [part for term in built.terms for part in (term.value, term.weight, term.contribution)]
    heads = [part for head in built.heads for part in (head.prediction, head.truth)]
    used = [part for used in built.trace.used for part in (used.node, *(value for _, value in used.parameters))]
    applied = [part for applied in built.trace.applied for part in (*applied.arguments, applied.result)]
    guards = [part for applied in built.trace.applied for guard in applied.guards for part in (guard.left, guard.right)]
    return [*heads, *used, *applied, *guards, *(node for _, node in built.trace.read), *terms, built.total]


def _inputs(built: BuiltLoss, order: Sequence[Node], facts: Facts) -> list[tuple[Node, Interval]]:
    """Predictions and targets as the caller passes them, and how many classes they have."""
    known = []
    classes = {head.space.prediction: interval(*head.space.task_record.classes) for head in built.heads}
    declared = dict(facts.ranges)
    for head in built.heads:
        if not head.prepared:
            known += [(head.prediction, _predictions(head)), (head.truth, _labels(head))]
    for node in order:
        name = node.input_name.removeprefix("tensor:")
        if name in declared and name != node.input_name:
            ends = declared[name]
            known.append((node, interval(ends.low, ends.high, ends.low_open, ends.high_open)))
        elif name in facts.targets:
            known.append((node, _labels_by_name(node, built.heads[0])))
        elif name in facts.predictions:
            known.append((node, _predictions(built.heads[0])))
        elif node.operation == "classes":
            known.append((node, classes.get(node.arguments[0], _SOME)))
    return known


def _predictions(head: Head) -> Interval:
    return UNIT if head.space.context.input == "probs" and head.space.task_record.has_labels else ALL


def _labels(head: Head) -> Interval:
    if not head.space.task_record.has_labels:
        return ALL
    return NON_NEGATIVE if head.indexed else UNIT


def _labels_by_name(node: Node, head: Head) -> Interval:
    """Those that the caller passes by name: class indices where they have no classes, whatever `target` is."""
    if head.space.task_record.indices:
        return UNIT if "class" in node.axes else NON_NEGATIVE
    return _labels(head)


def takes_what_it_needs(used: Used, intervals: dict[Node, Interval]) -> bool:
    """Whether the tensors of a loss are what its declared range is for: labels and probabilities in [0, 1]."""
    head = used.head
    if not head.space.task_record.has_labels or not head.prepared:
        return True
    return intervals[head.prediction].within(_predictions(head)) and intervals[head.truth].within(UNIT)


def _interval(node: Node, intervals: dict[Node, Interval], forms: Sequence[Forms]) -> Interval:
    """forms: for what the parts have in common, none to do without."""
    arguments = [intervals[argument] for argument in node.arguments]
    result = intervals[node] = transfer(node, arguments)  # a form that grows too large asks for it
    match node.operation:
        case "where":
            condition, chosen, otherwise = node.arguments
            branches = branch(condition, chosen, True, intervals), branch(condition, otherwise, False, intervals)
            return of.hull(*branches)
        case "sum" if node.attributes == (("class",),):
            return of.meet(result, _of_probabilities(node.arguments[0], intervals))
        case "add" | "subtract":
            for form in forms:
                if not _settled(result):
                    result = of.meet(result, form_interval(form, form.of(node)))
        case "multiply":
            for one, other in (node.arguments, node.arguments[::-1]) if forms else ():
                result = of.meet(result, _times_logarithms(one, other, intervals))
        case "divide" if not node.arguments[1].is_constant:
            for form in forms:  # the first gives close bounds, the second bounds where there are none
                if form is forms[0] or not _bounded(result):
                    result = of.meet(result, _quotient(form, *node.arguments))
    return result


def _of_probabilities(added: Node, known: Known) -> Interval:
    """A sum over the classes of values times probabilities lies where the values do: the probabilities add up to 1."""
    coefficient, others = factors(added)
    probability = next((factor for factor in others if factor.operation == "softmax"), None)
    if probability is None:
        return ALL
    others.remove(probability)
    result = of.ONE
    for factor in others:
        result = of.multiply(result, known[factor])
    chosen = any("class" in factor.axes and factor.operation in COUNTING for factor in others)
    result = of.scale(result, coefficient)
    return of.hull(result, of.ZERO) if chosen else result


def _times_logarithms(factor: Node, value: Node, known: Known) -> Interval:
    """A number times a sum with its logarithm, as in p*(log(p) - log(q)): part by part."""
    result, found = of.ZERO, False
    for sign, part in _summands(value):
        entropy = times_logarithm(factor, part, known) if is_logarithm(part) else None
        found |= entropy is not None
        product = of.multiply(known[factor], known[part]) if entropy is None else entropy
        result = of.add(result, of.scale(product, sign))
    return result if found else ALL


def _summands(node: Node) -> list[tuple[float, Node]]:
    """The parts of a sum with their signs; one with many is a part by itself."""
    found, waiting = [], [(1.0, node)]
    while waiting:
        sign, current = waiting.pop()
        match current.operation:
            case "add" | "subtract":
                left, right = current.arguments
                waiting += [(sign, left), (sign if current.operation == "add" else -sign, right)]
            case "negative":
                waiting.append((-sign, current.arguments[0]))
            case _:
                found.append((sign, current))
        if len(found) + len(waiting) > _MOST_SUMMANDS:
            return [(1.0, node)]
    return found


def _quotient(forms: Forms, numerator: Node, denominator: Node) -> Interval:
    related = ratio_interval(forms, numerator, denominator)
    cosine = cosine_interval(forms, numerator, denominator)
    return of.meet(related or ALL, cosine or ALL)


def _bounded(result: Interval) -> bool:
    return math.isfinite(result.low) and math.isfinite(result.high)


def _settled(result: Interval) -> bool:
    """Whether the sign is known, which is what relations are asked for."""
    return result.at_least_0 or result.at_most_0
