"""Which tasks a formula can serve, found by building its graph for each, without torch and without tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, product

from lossdsl.checking.facts import Facts
from lossdsl.checking.heads import Pair
from lossdsl.checking.resolved import Objective
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context
from lossdsl.graph.nodes import AXES
from lossdsl.spec.model import TASKS, Options, Task

_MOST_CALLS = 32
# What a tensor by name may be, the likely ones first.
_BESIDE = (("batch", "pixel"), AXES, ("batch",), ("batch", "class"))


def likely_contexts(task: Task, facts: Facts, options: Options) -> Iterator[Context]:
    """The plainest calls of a task: class indices for multiclass, no mask, tensors by name one number per pixel.

    More than one where there are tensors by name: they may have other axes, and those that stand as prediction and
    target may be laid out as pred is, or on their own.
    """
    plain = Context(
        task=task,
        input=options.input or "logits",
        indexed=task == "multiclass",
        ignoring=options.ignore_index is not None,
        weighted=options.class_weight is not None,
        scales=next((len(scale.weights) or 2 for scale in facts.scales), 0),
    )
    axes = _BESIDE if facts.beside else (AXES,)
    choices = product(axes, product(*map(_layouts, facts.pairs)))
    for beside, chosen in islice(choices, _MOST_CALLS):
        layouts = list(zip(facts.pairs, chosen, strict=True))
        alike = {name for pair, own in layouts if not own for name in pair.names}
        tensors = tuple(
            (name, AXES if name in facts.predictions | facts.targets else beside)
            for name in sorted(facts.beside | alike)
        )
        heads = tuple((*pair.names, tuple(_of_pair(own, plain))) for pair, own in layouts if own)
        yield plain._replace(tensors=tensors, heads=heads)


def _layouts(pair: Pair) -> tuple[str, ...]:
    """The tasks that a pair may have on its own, and "" for the layout and task of pred; the likely ones first."""
    own = ("regression",) if pair.raw_only else tuple(task for task in pair.tasks if task != "regression")
    return ("", *own) if pair.mapped else (*own, "")


def _of_pair(task: str, plain: Context) -> Context:
    return Context(task, plain.input, indexed=task == "multiclass", ignoring=plain.ignoring and task != "regression")


def candidate_tasks(facts: Facts, options: Options) -> tuple[Task, ...]:
    """The tasks that a call may turn out to have."""
    task = options.task or facts.task
    if task:
        return (task,)
    return ("regression",) if facts.raw_only else ("binary", "multiclass", "multilabel")


def task_faults(objective: Objective, facts: Facts, options: Options) -> tuple[Diagnostic, ...]:
    """What is wrong with a formula for every task that it may have; nothing when one task works."""
    return _best(objective, _calls(facts, options), options)[0]


def _calls(facts: Facts, options: Options) -> Iterator[Context]:
    """The calls that a formula may get, the plainest of each task first."""
    calls = zip(*(likely_contexts(task, facts, options) for task in candidate_tasks(facts, options)), strict=True)
    return chain.from_iterable(calls)


def first_working(objective: Objective, facts: Facts, options: Options) -> tuple[BuiltLoss, Context] | None:
    """The graph for the first task that works, with what it was built for."""
    return _first(objective, _calls(facts, options), options)


def also_working(
    objective: Objective, facts: Facts, options: Options, known: str
) -> Iterator[tuple[BuiltLoss, Context]]:
    """The same for each other task that a call may turn out to have and that works."""
    for task in candidate_tasks(facts, options):
        working = None if task == known else _first(objective, likely_contexts(task, facts, options), options)
        if working:
            yield working


def _first(objective: Objective, contexts: Iterable[Context], options: Options) -> tuple[BuiltLoss, Context] | None:
    for context in contexts:
        try:
            return build(objective, context, options.ignore_index), context
        except FormulaError:
            continue
    return None


def working_contexts(objective: Objective, facts: Facts, options: Options) -> dict[Task, Context]:
    """The tasks for which a formula can be built, each with a call for which it can."""
    wanted = (options.task,) if options.task else TASKS
    tried = {task: _best(objective, likely_contexts(task, facts, options), options) for task in wanted}
    return {task: context for task, (faults, context) in tried.items() if not faults}


def _best(
    objective: Objective, contexts: Iterable[Context], options: Options
) -> tuple[tuple[Diagnostic, ...], Context]:
    """The call for which the least is wrong, and what that is; the first with nothing wrong.

    Among equals one in which a loss stands in the wrong place, which no other task or layout would mend; then one of a
    task that all losses have.
    """
    tried = []
    for context in contexts:
        tried.append((_faults(objective, context, options), context))
        if not tried[-1][0]:
            return tried[-1]
    codes = [{fault.code for fault in found} for found, _ in tried]
    order = [(len(found), "LD307" not in said, "LD301" in said) for (found, _), said in zip(tried, codes, strict=True)]
    return tried[order.index(min(order))]


def _faults(objective: Objective, context: Context, options: Options) -> tuple[Diagnostic, ...]:
    try:
        build(objective, context, options.ignore_index)
    except FormulaError as error:
        return error.diagnostics
    return ()
