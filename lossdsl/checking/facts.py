"""What an objective needs from a call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lossdsl.checking.heads import (
    Pair,
    Stand,
    head_inputs,
    is_raw,
    main_reads,
    pair_of,
    pairs_of,
    said,
    stands_of,
    takes_head,
)
from lossdsl.checking.resolved import Learned, MultiScale, Objective, Resolved, ScalarOf, TensorOf, Use, every
from lossdsl.checking.vocabulary import TENSORS
from lossdsl.registry.model import Kernel, Loss, full_name
from lossdsl.syntax.tree import Range
from lossdsl.tasks import Task


@dataclass(frozen=True, slots=True)
class Facts:
    """tensors: names that the caller passes; predictions, targets: those of them that stand as one.
    scalars: `epoch`, `step`. learned: initial values by name. raw_only: only the raw prediction and target are read,
    no logits, probabilities or labels. losses: what is used, by first use.
    pairs: predictions with targets that are both passed by name. beside: the tensors that stand outside of pairs.
    stands: predictions with targets of which at least one is passed by name.
    scales: each `multiscale` of the formula.
    ranges: the declared ranges of tensors that the caller passes.
    task: what a parameter such as `mode: task` says about pred, None where none does.
    """

    tensors: frozenset[str]
    predictions: frozenset[str]
    targets: frozenset[str]
    scalars: frozenset[str]
    learned: dict[str, float]
    raw_only: bool
    losses: tuple[Loss, ...]
    pairs: tuple[Pair, ...]
    beside: frozenset[str]
    stands: tuple[Stand, ...]
    scales: tuple[MultiScale, ...]
    task: Task | None
    ranges: tuple[tuple[str, Range], ...]


def facts_of(objective: Objective) -> Facts:
    """The facts of all expressions that the objective uses."""
    nodes = list(_all(objective))
    names = {node.name for node in nodes if isinstance(node, TensorOf)}
    losses = tuple({full_name(node.loss): node.loss for node in nodes if isinstance(node, Use)}.values())
    read = names | {name for loss in losses if isinstance(loss, Kernel) for name in head_inputs(loss)}
    pairs = pairs_of(objective, nodes)
    beside = _beside_pairs(nodes) if pairs else frozenset(names - set(TENSORS))
    main = main_reads(objective, _roots(objective), pairs) if pairs else read
    return Facts(
        tensors=frozenset(names - set(TENSORS)),
        predictions=_standing(nodes, 0),
        targets=_standing(nodes, 1),
        scalars=frozenset(node.name for node in nodes if isinstance(node, ScalarOf)) & {"epoch", "step"},
        learned={node.name: node.initial for node in nodes if isinstance(node, Learned)},
        raw_only=is_raw(main or read),
        losses=losses,
        pairs=pairs,
        beside=beside,
        stands=stands_of(objective, nodes),
        scales=tuple(node for node in nodes if isinstance(node, MultiScale)),
        task=next((task for node in nodes if isinstance(node, Use) and not node.tensors for task in said(node)), None),
        ranges=tuple((name, interval) for name, interval in objective.ranges if name in names),
    )


def _beside_pairs(nodes: list[Resolved]) -> frozenset[str]:
    """The tensors of the caller that are used outside of pairs."""
    paired = {id(tensor) for node in nodes if isinstance(node, Use) and pair_of(node) for tensor in node.tensors}
    return frozenset(n.name for n in nodes if isinstance(n, TensorOf) and id(n) not in paired) - set(TENSORS)


def _roots(objective: Objective) -> list[Resolved]:
    roots = [value for _, value in objective.bindings]
    for term in objective.terms:
        roots += [term.weight, term.value]
    return [*roots, objective.total] if objective.total else roots


def _all(objective: Objective) -> Iterator[Resolved]:
    yield from every(_roots(objective))
    for _, body in objective.bodies:
        yield from body.parts


def _standing(nodes: list[Resolved], place: int) -> frozenset[str]:
    """The tensors of the caller at a position of the arguments of a loss."""
    uses = (node for node in nodes if isinstance(node, Use) and takes_head(node.loss))
    tensors = (use.tensors[place] for use in uses if len(use.tensors) > place)
    return frozenset(tensor.name for tensor in tensors if isinstance(tensor, TensorOf)) - set(TENSORS)
