"""What an objective needs from a call, read off its expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lossdsl.checking.resolved import Apply, Learned, Objective, Reduction, Resolved, ScalarOf, TensorOf, Use, Where
from lossdsl.checking.vocabulary import TENSORS
from lossdsl.registry.model import Kernel, Loss

_DERIVED = frozenset({"z", "p", "y"})


@dataclass(frozen=True, slots=True)
class Facts:
    """tensors: names that the caller passes; heads: those of them that stand as a prediction or target. scalars: `epoch`, `step`. learned: initial values by name. raw_only: only
    the raw prediction and target are read, no logits, probabilities or labels. losses: what is used, by first use.
    """

    tensors: frozenset[str]
    heads: frozenset[str]
    scalars: frozenset[str]
    learned: dict[str, float]
    raw_only: bool
    losses: tuple[Loss, ...]


def facts_of(objective: Objective) -> Facts:
    """The facts of everything that the objective can reach."""
    nodes = list(_all(objective))
    names = {node.name for node in nodes if isinstance(node, TensorOf)}
    losses = tuple(dict.fromkeys(node.loss for node in nodes if isinstance(node, Use)))
    derived = names | {name for loss in losses if isinstance(loss, Kernel) for name in loss.inputs}
    return Facts(
        tensors=frozenset(names - set(TENSORS)),
        heads=frozenset(
            tensor.name for node in nodes if isinstance(node, Use) for tensor in node.tensors if isinstance(tensor, TensorOf)
        ),
        scalars=frozenset(node.name for node in nodes if isinstance(node, ScalarOf)) & {"epoch", "step"},
        learned={node.name: node.initial for node in nodes if isinstance(node, Learned)},
        raw_only=bool(names) and not derived & _DERIVED,
        losses=losses,
    )


def _all(objective: Objective) -> Iterator[Resolved]:
    stack: list[Resolved] = [value for _, value in objective.bindings]
    for term in objective.terms:
        stack += [term.weight, term.value]
    stack += [objective.total] if objective.total else []
    for _, body in objective.bodies:
        stack += [value for _, value in body.bindings] + [case.value for case in body.cases]
    stack.reverse()
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(_below(node)))


def _below(node: Resolved) -> tuple[Resolved, ...]:
    match node:
        case Apply():
            return node.arguments
        case Where():
            return (node.left, node.right, node.chosen, node.otherwise)
        case Reduction():
            return tuple(part for part in (node.value, node.per, node.count, node.share) if part is not None)
        case Use():
            reduction = (node.reduction,) if node.reduction else ()
            return (*node.tensors, *(value for _, value in node.parameters), *reduction)
        case _:
            return ()
