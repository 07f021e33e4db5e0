"""The calls that a loss may get: their task, the layouts of pairs of tensors, the axes of tensors by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
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
from lossdsl.graph.context import Context, OwnHead
from lossdsl.graph.nodes import AXES
from lossdsl.spec.model import Options, Task
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
