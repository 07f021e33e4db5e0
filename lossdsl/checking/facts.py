"""What an objective needs from a call, read off its expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lossdsl.checking.resolved import ForClass, Learned, Objective, Resolved, ScalarOf, TensorOf, Use, Word, every
from lossdsl.checking.vocabulary import TENSORS
from lossdsl.registry.model import Formula, Kernel, Loss
from lossdsl.syntax.tree import TASKS, Name, Task

_DERIVED = frozenset({"z", "p", "y"})


@dataclass(frozen=True, slots=True)
class Facts:
    """tensors: names that the caller passes; predictions, targets: those of them that stand as one.
    scalars: `epoch`, `step`. learned: initial values by name. raw_only: only the raw prediction and target are read,
    no logits, probabilities or labels. losses: what is used, by first use. classes: how many classes the formula names.
    task: what a parameter such as `mode: task` says about pred, None where none does.
    """

    tensors: frozenset[str]
    predictions: frozenset[str]
    targets: frozenset[str]
    scalars: frozenset[str]
    learned: dict[str, float]
    raw_only: bool
    losses: tuple[Loss, ...]
    classes: int
    task: Task | None


def facts_of(objective: Objective) -> Facts:
    """The facts of everything that the objective can reach."""
    nodes = list(_all(objective))
    names = {node.name for node in nodes if isinstance(node, TensorOf)}
    losses = tuple(dict.fromkeys(node.loss for node in nodes if isinstance(node, Use)))
    derived = names | {name for loss in losses if isinstance(loss, Kernel) for name in loss.inputs}
    return Facts(
        tensors=frozenset(names - set(TENSORS)),
        predictions=_standing(nodes, 0),
        targets=_standing(nodes, 1),
        scalars=frozenset(node.name for node in nodes if isinstance(node, ScalarOf)) & {"epoch", "step"},
        learned={node.name: node.initial for node in nodes if isinstance(node, Learned)},
        raw_only=bool(derived) and not derived & _DERIVED,
        losses=losses,
        classes=max((1 + max(node.classes) for node in nodes if isinstance(node, ForClass)), default=0),
        task=next(iter(_tasks(nodes)), None),
    )


def _all(objective: Objective) -> Iterator[Resolved]:
    roots = [value for _, value in objective.bindings]
    for term in objective.terms:
        roots += [term.weight, term.value]
    roots += [objective.total] if objective.total else []
    for _, body in objective.bodies:
        roots += [value for _, value in body.bindings] + [case.value for case in body.cases]
    return every(roots)


def _tasks(nodes: list[Resolved]) -> Iterator[Task]:
    """The tasks that parameters decide, of the losses that read pred and target."""
    for use in nodes:
        if isinstance(use, Use) and not use.tensors:
            given = {name: value.text for name, value in use.parameters if isinstance(value, Word)}
            defaults = {p.name: p.default.text for p in use.loss.parameters if isinstance(p.default, Name)}
            words = (defaults | given).items()
            decisive = {p.name for p in use.loss.parameters if p.decides_task}
            yield from (task for name, word in words if name in decisive for task in TASKS if task == word)


def _standing(nodes: list[Resolved], place: int) -> frozenset[str]:
    """The tensors of the caller that stand at a place in the brackets of a loss."""
    uses = (node for node in nodes if isinstance(node, Use) and isinstance(node.loss, Formula))
    tensors = (use.tensors[place] for use in uses if len(use.tensors) > place)
    return frozenset(tensor.name for tensor in tensors if isinstance(tensor, TensorOf)) - set(TENSORS)
