"""Objective to graph, for one context: the terms, their weights, and the total."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from lossdsl.checking.resolved import Objective, Resolved, Term
from lossdsl.errors import Diagnostic, FormulaError, Place
from lossdsl.graph import verify
from lossdsl.graph.context import Context
from lossdsl.graph.evaluate import Evaluator
from lossdsl.graph.frames import Fault, Frame, too_large
from lossdsl.graph.heads import Head, zero_without_elements
from lossdsl.graph.nodes import Node, Rewrite
from lossdsl.graph.signatures import Phase
from lossdsl.graph.trace import Trace
from lossdsl.syntax.parse import MAX_NUMBER


@dataclass(frozen=True, slots=True)
class BuiltTerm:
    """A term as nodes. contribution = weight * value."""

    name: str
    weight: Node
    value: Node
    contribution: Node


@dataclass(frozen=True, slots=True)
class BuiltLoss:
    """A whole loss as nodes, the rewrites that led there, what was read, and each prediction with its target.

    context: the kind of call that it was built for.
    """

    context: Context
    terms: tuple[BuiltTerm, ...]
    total: Node
    rewrites: tuple[Rewrite, ...]
    trace: Trace
    heads: tuple[Head, ...]

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The total, then value, weight and contribution of each term."""
        terms = ((term.value, term.weight, term.contribution) for term in self.terms)
        return (self.total, *chain.from_iterable(terms))


def build(objective: Objective, context: Context, ignore_index: int | None = None) -> BuiltLoss:
    """The graph of an objective for one kind of call.

    Raises FormulaError with everything that does not fit the task or the axes.
    """
    loss = _Builder(Evaluator(objective, context, ignore_index)).loss()
    verify.checked(loss.outputs, Phase.WRITTEN)
    return loss


class _Builder:
    def __init__(self, evaluator: Evaluator):
        self.evaluator = evaluator
        self.faults: list[Diagnostic] = []

    def loss(self) -> BuiltLoss:
        frame = Frame(self.evaluator.main, dict(self.evaluator.objective.bindings))
        self._bind(frame)
        parts = [
            (term, self._scalar(term.weight, frame), self._scalar(term.value, frame))
            for term in self.evaluator.objective.terms
        ]
        terms = [self._term(term, weight, value) for term, weight, value in parts]
        total = self._total(terms, frame)
        if self.faults:
            raise FormulaError(dict.fromkeys(self.faults))
        evaluator = self.evaluator
        rewrites, heads = tuple(evaluator.graph.rewrites), tuple(evaluator.heads)
        return BuiltLoss(evaluator.context, tuple(terms), total, rewrites, evaluator.trace, heads)

    def _bind(self, frame: Frame) -> None:
        """Evaluate the bindings in their order, so that a long chain of them is not a deep recursion."""
        for name in frame.bindings:
            try:
                self.evaluator.local(name, frame)
            except Fault as fault:
                self.faults.append(fault.diagnostic)

    def _term(self, term: Term, weight: Node, value: Node) -> BuiltTerm:
        value = self._zero_without_elements(value)
        contribution = self.evaluator.graph.make("multiply", weight, value)
        self._check_size(f"the weighted `{term.name}`", contribution, term.value.origin)
        return BuiltTerm(term.name, weight, value, contribution)

    def _total(self, terms: list[BuiltTerm], frame: Frame) -> Node:
        if self.evaluator.objective.total is not None:
            frame.locals.update({term.name: term.contribution for term in terms})
            return self._zero_without_elements(self._scalar(self.evaluator.objective.total, frame))
        total = terms[0].contribution
        for term in terms[1:]:
            total = self.evaluator.graph.make("add", total, term.contribution)
        self._check_size("the total", total, self.evaluator.objective.terms[-1].value.origin)
        return total

    def _check_size(self, what: str, node: Node, origin: Place) -> None:
        """What the text itself computes of numbers is checked where it is applied; terms are put together here."""
        if node.is_constant and abs(node.value) >= MAX_NUMBER and not self.faults:
            self.faults.append(too_large(what, node, origin))

    def _zero_without_elements(self, value: Node) -> Node:
        return zero_without_elements(value, self.evaluator.heads)

    def _scalar(self, expression: Resolved, frame: Frame) -> Node:
        """A number without axes; faults are gathered so that all terms are looked at."""
        try:
            node = self.evaluator.scalar(expression, frame, "a loss")
        except Fault as fault:
            self.faults.append(fault.diagnostic)
            return self.evaluator.graph.constant(0.0)
        return node
