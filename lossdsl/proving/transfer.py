"""The interval of an operation from those of its arguments, and what a comparison says in the branches of a `where`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from lossdsl.graph.nodes import Node, for_each_operation
from lossdsl.graph.trace import Guard
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.operations.row import Clipped, Course, Even, Rising, Within
from lossdsl.proving import interval as of
from lossdsl.proving.averages import entropy, is_logarithm_of
from lossdsl.proving.interval import ALL, NON_NEGATIVE, NON_POSITIVE, UNIT, ZERO, Interval, Known, interval
from lossdsl.registry.model import Kernel

Transfer: TypeAlias = Callable[[Node, list[Interval]], Interval]

LEAST_LOG = -87.0  # a little above that of the smallest normal number of float32
# Numbers of the run; what is learned may become anything.
_SCALARS = {"scalar:epoch": NON_NEGATIVE, "scalar:step": NON_NEGATIVE, "mask": UNIT, "class_weight": NON_NEGATIVE}


def transfer(node: Node, arguments: list[Interval]) -> Interval:
    """An interval that holds every value of a node."""
    return _TRANSFER[node.operation](node, arguments)


def _input(node: Node, _: list[Interval]) -> Interval:
    return _SCALARS.get(node.input_name, ALL)


def _multiply(node: Node, arguments: list[Interval]) -> Interval:
    left, right = node.arguments
    if left is right:
        return of.whole_power(arguments[0], 2)
    result = of.multiply(*arguments)
    for factor, logarithm, at in ((left, right, 0), (right, left, 1)):
        if arguments[at].at_least_0 and is_logarithm_of(logarithm, factor):
            return of.meet(result, entropy(arguments[at]))
    return result


def _subtract(node: Node, arguments: list[Interval]) -> Interval:
    left, right = node.arguments
    if left is right:
        return ZERO
    result = of.subtract(*arguments)
    return of.meet(result, NON_POSITIVE) if _is_at_least(right, left) else result


def _is_at_least(node: Node, part: Node) -> bool:
    """Whether a node is the largest of some values, or more, of which `part` is one that counts everywhere."""
    while node.operation == "stop_gradient":
        (node,) = node.arguments
    if node.operation == "maximum":
        return part in node.arguments
    return node.operation in ("reduce_max", "logsumexp") and node.arguments == (part,)


def _power(node: Node, arguments: list[Interval]) -> Interval:
    base, exponent = arguments
    if not node.arguments[1].is_constant:
        return of.power(base, exponent)
    number = node.arguments[1].value
    if number == math.floor(number) and abs(number) < 2**31:
        raised = of.whole_power(base, abs(int(number)))
        return raised if number > 0 else of.reciprocal(raised)
    return of.power(base, exponent)


def _where(_: Node, arguments: list[Interval]) -> Interval:
    """One of the arguments but the first."""
    return of.hull(*arguments[1:])


def _rising(function: Callable[[float], float]) -> Transfer:
    """A function that never falls; it reaches its limits, because floating point numbers do."""

    def rule(_: Node, arguments: list[Interval]) -> Interval:
        (a,) = arguments
        low_open = a.low_open and math.isfinite(a.low)
        high_open = a.high_open and math.isfinite(a.high)
        return interval(function(a.low), function(a.high), low_open, high_open)

    return rule


def _on_course(course: Course) -> Transfer:
    """The rule of a function of one number."""
    match course:
        case Rising(at):
            return _rising(at)
        case Even(at):
            return lambda _, arguments: of.even(at, arguments[0])
        case Clipped():
            return lambda _, arguments: of.clipped(arguments[0])
        case Within(low, high):
            return _always(interval(low, high))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _logarithm(_: Node, arguments: list[Interval]) -> Interval:
    """At and below 0 it is that of the smallest normal number."""
    (a,) = arguments
    return interval(_log(a.low), max(_log(a.high), LEAST_LOG), a.low_open, a.high_open and _log(a.high) > LEAST_LOG)


def _first(_: Node, arguments: list[Interval]) -> Interval:
    return arguments[0]


def _or_0(_: Node, arguments: list[Interval]) -> Interval:
    return of.hull(arguments[0], ZERO)


def _or_0_with_mask(_: Node, arguments: list[Interval]) -> Interval:
    """A group in which nothing counts gives 0."""
    return arguments[0] if len(arguments) == 1 else of.hull(arguments[0], ZERO)


def _window(node: Node, arguments: list[Interval]) -> Interval:
    """Outside of the image is what `outside` says; a window in which nothing counts has a mean of 0."""
    outside = node.attributes[-1]
    if isinstance(outside, float):
        return of.hull(arguments[0], of.point(outside))
    masked = len(arguments) > 2
    if masked and node.operation != "local_mean":
        return ALL
    return of.hull(arguments[0], ZERO) if masked else arguments[0]


def _filled(node: Node, _: list[Interval]) -> Interval:
    number = node.attributes[0]
    assert isinstance(number, float)
    return of.point(number)


def _log_sum_exp(_: Node, arguments: list[Interval]) -> Interval:
    """At least the largest of one or more numbers; of numbers that do not count, nobody knows."""
    return interval(arguments[0].low, math.inf, arguments[0].low_open) if len(arguments) == 1 else ALL


def _log1p(_: Node, arguments: list[Interval]) -> Interval:
    return _logarithm(_, [of.add(arguments[0], of.ONE)])


def _sum(_: Node, arguments: list[Interval]) -> Interval:
    return of.added_up(arguments[0])


def _kernel(node: Node, _: list[Interval]) -> Interval:
    kernel = node.attributes[0]
    assert isinstance(kernel, Kernel)
    declared = kernel.range
    return interval(declared.low, declared.high, declared.low_open, declared.high_open)


def _always(result: Interval) -> Transfer:
    return lambda _node, _arguments: result


_TRANSFER: Mapping[str, Transfer] = for_each_operation({
    "constant": lambda node, _: of.point(node.value),
    "input": _input,
    "classes": _always(interval(1, math.inf)),
    "add": lambda _, arguments: of.add(*arguments),
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": lambda _, arguments: of.divide(*arguments),
    "power": _power,
    "negative": lambda _, arguments: of.negative(arguments[0]),
    **{name: _on_course(function.course) for name, function in FUNCTIONS.items()},
    "log": _logarithm,
    "log1p": _log1p,
    "logsumexp": _log_sum_exp,
    "sqrt": _rising(lambda x: math.sqrt(max(x, 0.0))),
    "minimum": lambda _, arguments: of.minimum(*arguments),
    "maximum": lambda _, arguments: of.maximum(*arguments),
    "where": _where,
    "per_class": _where,
    "compare": _always(UNIT),
    "stop_gradient": _first,
    "cast": _first,
    "cast_like": _first,
    "pick": _first,
    "index": _first,
    "mean": _first,
    "keep": _or_0,
    "sum": _sum,
    "reduce_max": _or_0_with_mask,
    "reduce_min": _or_0_with_mask,
    "topk": _or_0_with_mask,
    "local_mean": _window,
    "filled_image": _filled,
    "local_min": _window,
    "local_max": _window,
    "softmax": _always(UNIT),
    "log_softmax": _always(NON_POSITIVE),
    "log_one_minus_softmax": _always(NON_POSITIVE),
    "one_hot": _always(UNIT),
    "foreground": _always(UNIT),
    "class_is_one_of": _always(UNIT),
    "differs": _always(UNIT),
    "both": _always(UNIT),
    "any": _always(UNIT),
    "any_of": _always(UNIT),
    "size": _always(interval(1, math.inf)),
    "ones": _always(of.ONE),
    "kernel": _kernel,
})  # fmt: skip


_MOST_NODES = 40
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def refined(node: Node, guards: tuple[Guard, ...], known: Known) -> Interval:
    """The interval of a node where some comparisons hold."""
    if not guards:
        return known[node]
    changed: dict[Node, Interval] = {}
    for guard in guards:
        comparison = guard.comparison if guard.holds else _OPPOSITE[guard.comparison]
        _narrow(changed, known, guard.left, comparison, guard.right)
        _narrow(changed, known, guard.right, _MIRRORED[comparison], guard.left)
    return again(node, changed, known)


def branch(condition: Node, chosen: Node, holds: bool, known: Known) -> Interval:
    """The interval of a branch of a `where` node."""
    if condition.operation != "compare":
        return known[chosen]
    left, right = condition.arguments
    return refined(chosen, (Guard(str(condition.attributes[0]), left, right, holds),), known)


def _narrow(changed: dict[Node, Interval], known: Known, left: Node, comparison: str, right: Node) -> None:
    if left.is_constant:
        return
    before, other = changed.get(left, known[left]), changed.get(right, known[right])
    if comparison == "!=" and other == of.ZERO and before.at_least_0:
        comparison = ">"  # what is at least 0 and not 0
    match comparison:
        case "<" | "<=":
            bound = interval(-math.inf, other.high, high_open=other.high_open or comparison == "<")
        case ">" | ">=":
            bound = interval(other.low, math.inf, low_open=other.low_open or comparison == ">")
        case "==":
            bound = other
        case _:
            return
    changed[left] = of.meet(before, bound)


def again(node: Node, changed: dict[Node, Interval], known: Known) -> Interval:
    """The interval of a node, computed anew from what is narrower now; the known one if that takes long."""
    order: dict[Node, None] = {}
    stack = [(node, False)]
    while stack:
        current, expanded = stack.pop()
        if current in changed or current in order:
            continue
        if expanded:
            order[current] = None
        elif len(stack) > _MOST_NODES or len(order) > _MOST_NODES:
            return known[node]
        else:
            stack.append((current, True))
            stack.extend((argument, False) for argument in current.arguments)
    found = dict(changed)
    for current in order:
        if any(argument in found for argument in current.arguments):
            arguments = [found.get(argument, known[argument]) for argument in current.arguments]
            found[current] = of.meet(known[current], transfer(current, arguments))
    return found.get(node, known[node])
