"""The graphs of a loss, each built once, and the kinds of calls that a loss is likely to get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import chain, islice, product, tee
from math import prod

from lossdsl.checking.arguments import needed
from lossdsl.checking.facts import Facts, facts_of
from lossdsl.checking.heads import Pair, pair_of
from lossdsl.checking.resolved import (
    Apply,
    Chain,
    Constant,
    Local,
    Objective,
    Reduction,
    Resolved,
    Term,
    Use,
    below,
    every,
)
from lossdsl.config.model import TASKS, Options, Task
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context, OwnHead
from lossdsl.graph.evaluate import TooLarge
from lossdsl.graph.loss_calls import instead
from lossdsl.graph.nodes import AXES
from lossdsl.tasks import candidates, task_record

MOST_CALLS = 32
# What a tensor by name may be, the likely ones first.
_BESIDE = (("batch", "pixel"), AXES, ("batch",), ("batch", "class"))


def simplest(task: Task, options: Options, facts: Facts) -> Context:
    """The call of a task with nothing but pred and target, class indices for multiclass."""
    return Context(
        task=task,
        input=options.input,
        indexed=task_record(task).indices,
        ignoring=options.ignore_index is not None,
        weighted=options.class_weight is not None,
        scales=next((len(scale.weights) or 2 for scale in facts.scales), 0),
    )


def contexts(simple: Context, facts: Facts, axes: Sequence[tuple[str, ...]] | None = None) -> Iterator[Context]:
    """Every call with what is passed by name, the likely ones first, made when it is asked for."""
    for beside in axes or axes_beside(facts):
        for chosen in choices(facts.pairs):
            yield context_of(simple, facts, beside, chosen)


def axes_beside(facts: Facts) -> Sequence[tuple[str, ...]]:
    return _BESIDE if facts.beside else (AXES,)


def choices(pairs: Sequence[Pair]) -> Iterator[tuple[str, ...]]:
    """A layout for each pair, in all ways; where these are many, first those in which all have the same."""
    layouts = [_layouts(pair) for pair in pairs]
    if prod(map(len, layouts)) > MOST_CALLS:
        for place in range(max(map(len, layouts))):
            yield tuple(own[min(place, len(own) - 1)] for own in layouts)
    yield from product(*layouts)


def context_of(simple: Context, facts: Facts, beside: tuple[str, ...], chosen: Sequence[str]) -> Context:
    """The call in which the tensors by name have these axes, and the pairs these layouts."""
    layouts = list(zip(facts.pairs, chosen, strict=True))
    alike = {name for pair, own in layouts if not own for name in pair.names}
    tensors = tuple(
        (name, AXES if name in facts.predictions | facts.targets else beside) for name in sorted(facts.beside | alike)
    )
    heads = tuple(OwnHead(pair.prediction, pair.target, _of_pair(own, simple)) for pair, own in layouts if own)
    return simple._replace(tensors=tensors, heads=heads)


def separate_parts(objective: Objective, pairs: Sequence[Pair]) -> list[tuple[Objective, tuple[Pair, ...]]]:
    """The parts of a loss that depend on each other's layouts, as losses of their own, each with its pairs.

    Losses of pairs are numbers when they meet, whatever the layouts are: what they have in common are tensors.
    """
    bindings = dict(objective.bindings)
    mapped = frozenset(pair.names for pair in pairs if pair.mapped)
    groups: list[tuple[list[Resolved], set[str]]] = []
    written = [part for term in objective.terms for part in (term.weight, term.value)]
    for value in _numbers(written, bindings, mapped):
        named = {name for pair in _pairs_in([value, *_bound(bindings, [value])]) for name in pair}
        if named:
            near = [group for group in groups if group[1] & named]
            groups = [group for group in groups if group not in near]
            values = [*(one for values, _ in near for one in values), value]
            groups.append((values, named.union(*(names for _, names in near))))
    parts = [
        (_of_values(objective, values), tuple(pair for pair in pairs if pair.names[0] in names))
        for values, names in groups
    ]
    apart = sum(len(own) for _, own in parts)
    return parts if apart == len(pairs) else []  # one is named in a definition, or by the total alone


def _numbers(
    values: Iterable[Resolved], bindings: Mapping[str, Resolved], mapped: frozenset[tuple[str, str]]
) -> Iterator[Resolved]:
    """What is calculated with, taken apart where no operand is the map of a pair: then all of them are numbers."""
    waiting, opened = list(values)[::-1], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Local) and value.name in bindings:
            if value.name not in opened:
                opened.add(value.name)
                waiting.append(bindings[value.name])
        elif isinstance(value, (Apply, Chain)) and not _is_mapped(value, bindings, mapped):
            waiting += reversed(below(value))
        else:
            yield value


def _is_mapped(value: Resolved, bindings: Mapping[str, Resolved], mapped: frozenset[tuple[str, str]]) -> bool:
    """Whether a map of a pair goes into a value, other than through a reduction to one number."""
    waiting, opened = [value], set()
    while waiting and mapped:
        node = waiting.pop()
        if isinstance(node, Use) and pair_of(node) in mapped:
            return True
        if isinstance(node, Local) and node.name in bindings and node.name not in opened:
            opened.add(node.name)
            waiting.append(bindings[node.name])
        elif not (isinstance(node, Reduction) and node.over is None and node.per is None):
            waiting += below(node)
    return False


def _pairs_in(values: Iterable[Resolved]) -> Iterator[tuple[str, str]]:
    return (pair for node in every(values) if isinstance(node, Use) and (pair := pair_of(node)))


def _bound(bindings: Mapping[str, Resolved], values: Iterable[Resolved]) -> list[Resolved]:
    return [bindings[name] for name in needed(bindings, values)]


def _of_values(objective: Objective, values: Sequence[Resolved]) -> Objective:
    """A loss whose terms are these values."""
    bindings = dict(objective.bindings)
    used = tuple((name, bindings[name]) for name in needed(bindings, values))
    terms = tuple(Term("", Constant(1.0, value.origin), value) for value in values)
    return replace(objective, bindings=used, terms=terms, total=None)


def _layouts(pair: Pair) -> tuple[str, ...]:
    """The tasks that a pair may have on its own, and "" for the layout and task of pred; the likely ones first."""
    own = candidates(True) if pair.raw_only else tuple(task for task in pair.tasks if task_record(task).has_labels)
    return ("", *own) if pair.mapped else (*own, "")


def _of_pair(task: str, simple: Context) -> Context:
    record = task_record(task)
    return Context(task, simple.input, indexed=record.indices, ignoring=simple.ignoring and record.has_labels)


class Graphs:
    """The graphs of a loss. Each is built when it is first asked for, and kept."""

    def __init__(self, objective: Objective, options: Options, facts: Facts | None = None):
        self.objective = objective
        self.options = options
        self.facts = facts or facts_of(objective)
        self._graphs: dict[Context, BuiltLoss | tuple[Diagnostic, ...]] = {}
        self._likely: dict[Task, Iterator[Context]] = {}

    def graph(self, context: Context) -> BuiltLoss:
        """The loss for one kind of call. Raises FormulaError with everything that does not fit the task or the axes."""
        known = self._known(context)
        if isinstance(known, BuiltLoss):
            return known
        raise FormulaError(known)

    def forget(self) -> None:
        """Drop the graphs, which are built again when they are asked for."""
        self._graphs.clear()

    @property
    def candidate_tasks(self) -> tuple[Task, ...]:
        """The tasks that a call may turn out to have."""
        task = self.options.task or self.facts.task
        if task:
            return (task,)
        return candidates(self.facts.raw_only)

    def first_working(self) -> BuiltLoss | None:
        """The graph for the first task that works."""
        return self._first(self._calls())

    def also_working(self, known: str) -> Iterator[BuiltLoss]:
        """The same for each other task that a call may turn out to have and that works."""
        for task in self.candidate_tasks:
            working = None if task == known else self._first(self.likely(task))
            if working:
                yield working

    def working(self) -> dict[Task, BuiltLoss]:
        """The tasks for which the loss can be built, each with the graph of a call for which it can."""
        wanted = (self.options.task,) if self.options.task else TASKS
        tried = {task: self._best(self.likely(task)) for task in wanted}
        return {task: self.graph(context) for task, (faults, context) in tried.items() if not faults}

    def task_faults(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the loss for every task that it may have; nothing when one task works."""
        found, tasks = self._best(self._calls())[0], self.candidate_tasks
        return found if len(tasks) == 1 else tuple(dict.fromkeys(self._for_no_task(fault, tasks) for fault in found))

    def faults_for(self, task: Task) -> tuple[Diagnostic, ...]:
        """What is wrong with the loss for one task."""
        return self._best(self.likely(task))[0]

    def likely(self, task: Task) -> Iterator[Context]:
        """The plainest calls of a task: class indices for multiclass, no mask, tensors by name one number per pixel.

        More than one where there are tensors by name: they may have other axes, and those that stand as prediction and
        target may be laid out as pred is, or on their own.
        """
        if task not in self._likely:
            (self._likely[task],) = tee(self._found_likely(task), 1)
        return copy(self._likely[task])

    def _found_likely(self, task: Task) -> Iterator[Context]:
        """Heads that share no tensor are looked at apart, as their layouts multiply: ten heads that may have four
        layouts each could be called in a million ways.
        """
        facts, simple = self.facts, simplest(task, self.options, self.facts)
        parts = separate_parts(self.objective, facts.pairs)
        calls = contexts(simple, facts)
        if len(parts) < 2:
            yield from islice(calls, MOST_CALLS)
            return
        yield from islice(calls, 1)
        for beside in axes_beside(facts):
            chosen: dict[Pair, str] = {}
            for part, pairs in parts:
                own = Graphs(part, self.options, replace(facts, pairs=pairs))
                tried = list(islice(contexts(simple, own.facts, (beside,)), MOST_CALLS))
                _, best = own._best(tried)
                chosen |= zip(pairs, list(islice(choices(pairs), MOST_CALLS))[tried.index(best)], strict=True)
            yield context_of(simple, facts, beside, [chosen[pair] for pair in facts.pairs])

    def _calls(self) -> Iterator[Context]:
        """The calls that the loss may get, the plainest of each task first."""
        return chain.from_iterable(zip(*map(self.likely, self.candidate_tasks), strict=True))

    def _first(self, calls: Iterable[Context]) -> BuiltLoss | None:
        known = map(self._known, calls)
        return next((found for found in known if isinstance(found, BuiltLoss)), None)

    def _best(self, calls: Iterable[Context]) -> tuple[tuple[Diagnostic, ...], Context]:
        """The call for which the least is wrong, and what that is; the first with nothing wrong.

        Among equals one in which a loss stands in the wrong place, which no other task or layout would mend; then one
        of a task that all losses have.
        """
        tried = []
        for context in calls:
            known = self._known(context)
            if isinstance(known, BuiltLoss):
                return (), context
            tried.append((known, context))
        codes = [{fault.code for fault in found} for found, _ in tried]
        order = [
            (len(found), "LD307" not in said, "LD301" in said) for (found, _), said in zip(tried, codes, strict=True)
        ]
        return tried[order.index(min(order))]

    def _known(self, context: Context) -> BuiltLoss | tuple[Diagnostic, ...]:
        """The graph for a kind of call, or what is wrong with it. Raises TooLarge whatever the call is."""
        known = self._graphs.get(context)
        if known is None:
            try:
                known = build(self.objective, context, self.options.ignore_index)
            except TooLarge:
                raise
            except FormulaError as error:
                known = error.diagnostics
            self._graphs[context] = known
        return known

    def _for_no_task(self, fault: Diagnostic, tasks: Sequence[Task]) -> Diagnostic:
        """That losses want different tasks, where nobody has said which task it is."""
        limited = [loss for loss in self.facts.losses if loss.tasks and not set(tasks) <= set(loss.tasks)]
        if fault.code != "LD301" or any(all(task in loss.tasks for loss in limited) for task in tasks):
            return fault
        wanted = "; ".join(f"`{loss.name}` is for {', '.join(loss.tasks)}" for loss in limited)
        ways = [f"for {task} {instead(loss, task)}" for task in tasks for loss in limited if task not in loss.tasks]
        message = f"no task supports all of these losses: {wanted}"
        return replace(fault, message=message, hint="; ".join(dict.fromkeys(ways)))
