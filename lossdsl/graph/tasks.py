"""Which tasks a formula can serve, found by building its graph for each, without torch and without tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, product
from math import prod

from lossdsl.checking.bindings import needed
from lossdsl.checking.facts import Facts
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
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context, OwnHead
from lossdsl.graph.evaluate import TooLarge
from lossdsl.graph.nodes import AXES
from lossdsl.graph.uses import instead
from lossdsl.spec.model import TASKS, Options, Task

_MOST_CALLS = 32
# What a tensor by name may be, the likely ones first.
_BESIDE = (("batch", "pixel"), AXES, ("batch",), ("batch", "class"))


def likely_contexts(objective: Objective, task: Task, facts: Facts, options: Options) -> Iterator[Context]:
    """The plainest calls of a task: class indices for multiclass, no mask, tensors by name one number per pixel.

    More than one where there are tensors by name: they may have other axes, and those that stand as prediction and
    target may be laid out as pred is, or on their own. Heads that share no tensor are looked at apart, as their
    layouts multiply: ten heads that may have four layouts each could be called in a million ways.
    """
    parts = _parts(objective, facts.pairs)
    if len(parts) < 2:
        yield from islice(_contexts(task, facts, options), _MOST_CALLS)
        return
    yield from islice(_contexts(task, facts, options), 1)
    for beside in _axes_beside(facts):
        chosen: dict[Pair, str] = {}
        for part, pairs in parts:
            own = replace(facts, pairs=pairs)
            contexts = list(islice(_contexts(task, own, options, (beside,)), _MOST_CALLS))
            _, best = _best(part, contexts, options)
            chosen |= zip(pairs, list(islice(_choices(pairs), _MOST_CALLS))[contexts.index(best)], strict=True)
        yield _context(task, facts, options, beside, [chosen[pair] for pair in facts.pairs])


def _contexts(
    task: Task, facts: Facts, options: Options, axes: Sequence[tuple[str, ...]] | None = None
) -> Iterator[Context]:
    """Every call, the likely ones first, made when it is asked for."""
    for beside in axes or _axes_beside(facts):
        for chosen in _choices(facts.pairs):
            yield _context(task, facts, options, beside, chosen)


def _axes_beside(facts: Facts) -> Sequence[tuple[str, ...]]:
    return _BESIDE if facts.beside else (AXES,)


def _choices(pairs: Sequence[Pair]) -> Iterator[tuple[str, ...]]:
    """A layout for each pair, in all ways; where these are many, first those in which all have the same."""
    layouts = [_layouts(pair) for pair in pairs]
    if prod(map(len, layouts)) > _MOST_CALLS:
        for place in range(max(map(len, layouts))):
            yield tuple(own[min(place, len(own) - 1)] for own in layouts)
    yield from product(*layouts)


def _context(task: Task, facts: Facts, options: Options, beside: tuple[str, ...], chosen: Sequence[str]) -> Context:
    """The call in which the tensors by name have these axes, and the pairs these layouts."""
    plain = Context(
        task=task,
        input=options.input or "logits",
        indexed=task == "multiclass",
        ignoring=options.ignore_index is not None,
        weighted=options.class_weight is not None,
        scales=next((len(scale.weights) or 2 for scale in facts.scales), 0),
    )
    layouts = list(zip(facts.pairs, chosen, strict=True))
    alike = {name for pair, own in layouts if not own for name in pair.names}
    tensors = tuple(
        (name, AXES if name in facts.predictions | facts.targets else beside) for name in sorted(facts.beside | alike)
    )
    heads = tuple(OwnHead(pair.prediction, pair.target, _of_pair(own, plain)) for pair, own in layouts if own)
    return plain._replace(tensors=tensors, heads=heads)


def _parts(objective: Objective, pairs: Sequence[Pair]) -> list[tuple[Objective, tuple[Pair, ...]]]:
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
    found = _best(objective, _calls(objective, facts, options), options)[0]
    tasks = candidate_tasks(facts, options)
    return found if len(tasks) == 1 else tuple(dict.fromkeys(_for_no_task(fault, facts, tasks) for fault in found))


def _for_no_task(fault: Diagnostic, facts: Facts, tasks: Sequence[Task]) -> Diagnostic:
    """That losses want different tasks, where nobody has said which task it is."""
    limited = [loss for loss in facts.losses if loss.tasks and not set(tasks) <= set(loss.tasks)]
    if fault.code != "LD301" or any(all(task in loss.tasks for loss in limited) for task in tasks):
        return fault
    wanted = "; ".join(f"`{loss.name}` is for {', '.join(loss.tasks)}" for loss in limited)
    ways = [f"for {task} {instead(loss, task)}" for task in tasks for loss in limited if task not in loss.tasks]
    return replace(fault, message=f"no task has all of these losses: {wanted}", hint="; ".join(dict.fromkeys(ways)))


def _calls(objective: Objective, facts: Facts, options: Options) -> Iterator[Context]:
    """The calls that a formula may get, the plainest of each task first."""
    tasks = candidate_tasks(facts, options)
    calls = zip(*(likely_contexts(objective, task, facts, options) for task in tasks), strict=True)
    return chain.from_iterable(calls)


def first_working(objective: Objective, facts: Facts, options: Options) -> tuple[BuiltLoss, Context] | None:
    """The graph for the first task that works, with what it was built for."""
    return _first(objective, _calls(objective, facts, options), options)


def also_working(
    objective: Objective, facts: Facts, options: Options, known: str
) -> Iterator[tuple[BuiltLoss, Context]]:
    """The same for each other task that a call may turn out to have and that works."""
    for task in candidate_tasks(facts, options):
        working = (
            None if task == known else _first(objective, likely_contexts(objective, task, facts, options), options)
        )
        if working:
            yield working


def _first(objective: Objective, contexts: Iterable[Context], options: Options) -> tuple[BuiltLoss, Context] | None:
    for context in contexts:
        try:
            return build(objective, context, options.ignore_index), context
        except TooLarge:
            raise
        except FormulaError:
            continue
    return None


def working_contexts(objective: Objective, facts: Facts, options: Options) -> dict[Task, Context]:
    """The tasks for which a formula can be built, each with a call for which it can."""
    wanted = (options.task,) if options.task else TASKS
    tried = {task: _best(objective, likely_contexts(objective, task, facts, options), options) for task in wanted}
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
    except TooLarge:
        raise
    except FormulaError as error:
        return error.diagnostics
    return ()
