"""The graphs of a loss, one for each kind of call, and the tasks that it serves, which they show without tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import chain, islice, tee

from lossdsl.checking.facts import Facts, facts_of
from lossdsl.checking.heads import Pair
from lossdsl.checking.resolved import Objective
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context
from lossdsl.graph.evaluate import TooLarge
from lossdsl.graph.likely_calls import MOST_CALLS, axes_beside, choices, context_of, contexts, separate_parts, simplest
from lossdsl.graph.uses import instead
from lossdsl.spec.model import TASKS, Options, Task
from lossdsl.tasks import candidates


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
