"""Which tasks a formula can serve, found by building its graph for each, without torch and without tensors."""

from __future__ import annotations

from lossdsl.checking.facts import Facts
from lossdsl.checking.resolved import Objective
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context
from lossdsl.graph.nodes import AXES
from lossdsl.spec.model import TASKS, Options, Task


def likely_context(task: Task, facts: Facts, options: Options) -> Context:
    """The plainest call of a task: class indices for multiclass, no mask, tensors by name one number per pixel."""
    tensors = tuple(
        (name, AXES if name in facts.predictions | facts.targets else ("batch", "pixel"))
        for name in sorted(facts.tensors)
    )
    return Context(
        task=task,
        input=options.input or "logits",
        indexed=task == "multiclass",
        ignoring=options.ignore_index is not None,
        weighted=options.class_weight is not None,
        tensors=tensors,
    )


def candidate_tasks(facts: Facts, options: Options) -> tuple[Task, ...]:
    """The tasks that a call may turn out to have."""
    task = options.task or facts.task
    if task:
        return (task,)
    return ("regression",) if facts.raw_only else ("binary", "multiclass", "multilabel")


def task_faults(objective: Objective, facts: Facts, options: Options) -> tuple[Diagnostic, ...]:
    """What is wrong with a formula for every task that it may have; nothing when one task works."""
    fewest: tuple[Diagnostic, ...] | None = None
    for task in candidate_tasks(facts, options):
        found = faults_for(objective, likely_context(task, facts, options), options)
        if not found:
            return ()
        fewest = found if fewest is None or len(found) < len(fewest) else fewest
    return fewest or ()


def first_working(objective: Objective, facts: Facts, options: Options) -> tuple[BuiltLoss, Context] | None:
    """The graph for the first task that works, with what it was built for."""
    for task in candidate_tasks(facts, options):
        context = likely_context(task, facts, options)
        try:
            return build(objective, context, options.ignore_index), context
        except FormulaError:
            continue
    return None


def working_tasks(objective: Objective, facts: Facts, options: Options) -> tuple[Task, ...]:
    """The tasks for which a formula can be built."""
    wanted = (options.task,) if options.task else TASKS
    return tuple(task for task in wanted if not faults_for(objective, likely_context(task, facts, options), options))


def faults_for(objective: Objective, context: Context, options: Options) -> tuple[Diagnostic, ...]:
    try:
        build(objective, context, options.ignore_index)
    except FormulaError as error:
        return error.diagnostics
    return ()
