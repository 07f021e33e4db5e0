"""Operations in the user's text whose argument can leave their domain or touch its edge.

At run time all of them stay finite (see runtime/ops.py), but a formula that gets there is most likely a slip. Inside a
definition nothing is looked at: what it does at its edges is documented, and its range is tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from lossdsl.errors import Diagnostic
from lossdsl.graph.nodes import Node
from lossdsl.graph.trace import Applied
from lossdsl.proving import interval as of
from lossdsl.proving.analysis import Proof
from lossdsl.proving.edges import Users, dies_out, is_cut_off, vanishes_with
from lossdsl.proving.interval import Interval
from lossdsl.proving.messages import lies, says, written
from lossdsl.proving.relations import ratio_interval
from lossdsl.proving.slopes import moves
from lossdsl.proving.transfer import LEAST_LOG, refined

_LEAST_DENOMINATOR = 1e-19  # nothing nearer to 0 is divided by in float32
_MEANS = frozenset({"count", "weight"})  # what divides a mean, as a word of it


def domain_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Logarithms, roots, divisions and powers at or beyond their edge."""
    for _, found in _judged(proof):
        yield from found


def doubtful_nodes(proof: Proof) -> list[Node]:
    """The operations that there is something to say about, with their operands."""
    judged = (applied for applied, found in _judged(proof) if found)
    return [node for applied in judged for node in (*applied.arguments, applied.result)]


def _judged(proof: Proof) -> Iterator[tuple[Applied, list[Diagnostic]]]:
    users = Users(proof.built)
    for applied in proof.built.trace.applied:
        rule = _RULES.get(applied.function)
        if rule and (applied.function in _MEANS or _is_still(applied.function, applied.result)):
            yield applied, list(rule(_Case(proof, applied, users)))


def _is_still(function: str, result: Node) -> bool:
    """Whether an operation is still what the text says, or a part of what stands for it, and no stable form of it."""
    same = {function, "log1p"} if function == "log" else {function}
    if result.operation in ("add", "multiply"):
        return any(argument.operation in same for argument in result.arguments)
    return result.operation in same or result.operation == "negative"


class _Case:
    """One operation, with what is known of its operands where it stands."""

    def __init__(self, proof: Proof, applied: Applied, users: Users):
        self.proof, self.applied, self.users = proof, applied, users
        counted = [
            argument.arguments[0] if argument.operation == "keep" else argument for argument in applied.arguments
        ]
        self.intervals = [refined(argument, applied.guards, proof.intervals) for argument in counted]

    def tells(self, code: str, message: str, hint: str, at: int = 0) -> Diagnostic:
        origin = self.applied.origins[at]
        message = f"{message}; `{written(origin)}` is {lies(self.intervals[at])}"
        return says(origin, code, message, hint)

    def is_steep(self) -> bool:
        """Whether a slope without bound at 0 reaches the model: that of probabilities dies out there."""
        proof, node = self.proof, self.applied.arguments[0]
        if not moves(node, proof.trained) or dies_out(node, proof.intervals, proof.trained):
            return False
        return not self.is_cut_off("maximum", lambda other: proof.intervals[other].positive)

    def is_cut_off(self, operation: str, reached: Callable[[Node], bool]) -> bool:
        """Whether all that is made of the result is the smaller or larger of it and a number that is reached first."""
        return is_cut_off(self.applied.result, operation, reached, self.users)

    def vanishes_with(self, *values: Node) -> bool:
        """Whether the result is multiplied by what is 0 where one of some values is, before anything else is done."""

        def goes_to_0(factor: Node) -> bool:
            return factor in values or any(self._is_held(factor, value) for value in values)

        return vanishes_with(self.applied.result, goes_to_0, self.users)

    def _is_held(self, factor: Node, value: Node) -> bool:
        """Whether a factor from 0 on is at most some times the value."""
        if not (self.proof.intervals[factor].at_least_0 and factor.axes == value.axes):
            return False
        ratio = ratio_interval(self.proof.forms, factor, value)
        return ratio is not None and ratio.high < math.inf


def _log(case: _Case) -> Iterator[Diagnostic]:
    (a,) = case.intervals
    node = case.applied.arguments[0]
    below = node.arguments[:1] if node.operation == "divide" else ()
    if a.positive or (a.at_least_0 and case.vanishes_with(node, *below)):
        return
    if a.at_least_0 and case.is_cut_off("maximum", lambda other: case.proof.intervals[other].low > LEAST_LOG):
        return
    if a.at_most_0:
        yield case.tells("LD701", "the logarithm of a number that is never above 0", "log needs numbers above 0")
    elif a.at_least_0:
        hint = "keep it above 0: add a small number, or smooth=1 if the loss has it"
        yield case.tells("LD701", "the logarithm of a number that can be 0", hint)
    else:
        yield case.tells("LD701", "the logarithm of a number that can be below 0", "log needs numbers above 0")


def _sqrt(case: _Case) -> Iterator[Diagnostic]:
    (a,) = case.intervals
    if a.negative:
        message = "the square root of a number that is always below 0"
        yield case.tells("LD702", message, "sqrt needs numbers of at least 0")
    elif not a.at_least_0:
        yield case.tells("LD702", "the square root of a number that can be below 0", "it counts as 0 there")
    elif not a.positive and case.is_steep():
        hint = "add a small number under the root: sqrt(x + 1e-6)"
        yield case.tells("LD705", "the square root of a number that can be 0 has an infinite slope there", hint)


def _divide(case: _Case) -> Iterator[Diagnostic]:
    if _is_harmless_quotient(case):
        return
    yield from _by_what_can_be_0(case, "a division by a number", _way_above_0(case.applied.arguments[1]))


def _way_above_0(divisor: Node) -> str:
    """How a divisor is kept from 0."""
    while divisor.operation in ("cast_like", "keep"):
        divisor = divisor.arguments[0]
    kind, _, name = divisor.input_name.partition(":")
    if kind == "scalar":
        return f"`{name}` is 0 at first: divide by ({name} + 1)"
    if kind == "learned":
        return f"divide by exp({name}), which is always above 0"
    weighted = "for a mean weighted by w, write mean(x, weight=w)"
    if kind == "tensor":
        ranges = f'tensors: {{{name}: "(0, inf)"}}'
        return f"add a positive number to it, or declare its range, {ranges}; {weighted}"
    return f"add a positive number to it, as smooth does; {weighted}"


def _is_harmless_quotient(case: _Case) -> bool:
    """p*log(p/m), where m is 0 only where p is; and min(1/x, 10), which is 10 where x is 0."""
    a, b = case.intervals
    result, known = case.applied.result, case.proof.intervals
    if not (a.at_least_0 and b.at_least_0) or b == of.ZERO or result.operation != "divide":
        return False
    if a.positive and case.is_cut_off("minimum", lambda other: known[other].high < 1 / _LEAST_DENOMINATOR):
        return True
    logarithms = case.users.of(result)
    vanishing = all(
        user.operation == "log" and vanishes_with(user, lambda factor: factor is result.arguments[0], case.users)
        for user in logarithms
    )
    return bool(logarithms) and vanishing and known[result].high < math.inf


def _count(case: _Case) -> Iterator[Diagnostic]:
    """`count=` is added up before it divides: with a mask and class weights, which may leave nothing, so that it is
    looked at by itself too.
    """
    if _is_never_0(case.intervals[2]):
        return
    hint = "add a positive number to it; for a mean weighted by w, write mean(x, weight=w)"
    yield from _by_what_can_be_0(case, "a division by the sum of a number", hint)


def _weight(case: _Case) -> Iterator[Diagnostic]:
    """A mean with weights from 0 on lies where its values do, and is 0 where all weights are."""
    b, total = case.intervals[1:]
    if b == of.ZERO or not (b.at_least_0 or b.at_most_0 or _is_never_0(total)):
        hint = "weights must be at least 0: use abs(w) or clamp(w, min=0)"
        yield from _by_what_can_be_0(case, "a division by the sum of a number", hint)


def _by_what_can_be_0(case: _Case, division: str, hint: str) -> Iterator[Diagnostic]:
    b = case.intervals[1]
    if _is_never_0(b):
        return
    if b == of.ZERO:
        yield case.tells("LD703", f"{division} that is always 0", hint, at=1)
    elif b.at_least_0 or b.at_most_0:
        yield case.tells("LD703", f"{division} that can be 0", hint, at=1)
    else:
        yield case.tells("LD703", f"{division} that can be 0 and changes its sign there", hint, at=1)


def _is_never_0(a: Interval) -> bool:
    return a.positive or a.negative


def _power(case: _Case) -> Iterator[Diagnostic]:
    base, exponent = case.intervals
    if case.applied.arguments[0].is_constant:
        return
    whole = case.applied.arguments[1].is_constant and exponent.low == math.floor(exponent.low)
    if exponent.low < 0 and not (base.positive or (base.negative and whole)):
        yield case.tells("LD704", f"a number that can be 0 to the power {exponent}", "keep it above 0")
    elif not whole and not base.at_least_0:
        message = f"a number that can be below 0 to the power {exponent} counts as 0 there"
        yield case.tells("LD704", message, "use abs(x), or a whole number as the power")
    elif _steep(base, exponent) and case.is_steep():
        message = f"a number that can be 0 to the power {exponent} has an infinite slope there"
        yield case.tells("LD705", message, "use a power of at least 1, or add a small number: (x + 1e-6)**0.5")


def _steep(base: Interval, exponent: Interval) -> bool:
    return not base.positive and exponent.low < 1 and exponent.high > 0


_RULES = {"log": _log, "sqrt": _sqrt, "divide": _divide, "power": _power, "count": _count, "weight": _weight}
