"""Heads of the model beside `pred`: losses that are called with tensors of the caller."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from lossdsl.checking.resolved import Objective, Resolved, TensorOf, Use, Word, every
from lossdsl.checking.vocabulary import TENSORS
from lossdsl.registry.model import Formula, Kernel, Loss, full_name
from lossdsl.syntax.tree import Name
from lossdsl.tasks import TASKS, Task

_DERIVED = frozenset({"z", "p", "y"})
_VALUES = frozenset(TENSORS) - {"pred", "target"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction and a target that are both passed by name, as in `bce(empty, has_mask)`.

    tasks: the tasks that all losses of the pair support. raw_only: they use it as it is. mapped: one is a map.
    """

    prediction: str
    target: str
    tasks: tuple[str, ...]
    raw_only: bool
    mapped: bool

    @property
    def names(self) -> tuple[str, str]:
        return self.prediction, self.target


@dataclass(frozen=True, slots=True)
class Stand:
    """Tensors of the caller that are the prediction or target of a loss, as in `ce(aux)` or `dice(p, seg)`.

    prediction, target: the name of a tensor of the caller, `pred` or `target`; None for the value of an expression.
    raw_only: the losses use them without activation, so they need not be labels or probabilities.
    """

    prediction: str | None
    target: str | None
    raw_only: bool


def takes_head(loss: Loss) -> bool:
    """Whether its tensors are a prediction and a target; a kernel can have other arguments."""
    return isinstance(loss, Formula) or set(loss.inputs) <= {*_DERIVED, "pred", "target"}


def is_named(tensor: Resolved) -> bool:
    """Whether it is a tensor that the caller passes by name."""
    return isinstance(tensor, TensorOf) and tensor.name not in TENSORS


def pair_of(use: Use) -> tuple[str, str] | None:
    """The names of prediction and target when a loss is called with two tensors of the caller."""
    if len(use.tensors) != 2 or not takes_head(use.loss):
        return None
    first, second = use.tensors
    if not (isinstance(first, TensorOf) and isinstance(second, TensorOf) and is_named(first) and is_named(second)):
        return None
    return first.name, second.name


def said(use: Use) -> tuple[Task, ...]:
    """The tasks that a parameter of a call decides, such as `mode: task`."""
    given = {name: value.text for name, value in use.parameters if isinstance(value, Word)}
    defaults = {p.name: p.default.text for p in use.loss.parameters if isinstance(p.default, Name)}
    words = (defaults | given).items()
    decisive = {p.name for p in use.loss.parameters if p.decides_task}
    return tuple(task for name, word in words if name in decisive for task in TASKS if task == word)


def pairs_of(objective: Objective, nodes: Iterable[Resolved]) -> tuple[Pair, ...]:
    """Every pair that the expressions of an objective name, in reading order."""
    uses: dict[tuple[str, str], list[Use]] = {}
    for node in nodes:
        pair = pair_of(node) if isinstance(node, Use) and node.tensors else None
        if pair and isinstance(node, Use):
            uses.setdefault(pair, []).append(node)
    return tuple(
        Pair(
            *names,
            tasks=tuple(task for task in TASKS if all(task in (said(use) or use.loss.tasks or TASKS) for use in found)),
            raw_only=is_raw(set().union(*(reads_of_loss(objective, use.loss) for use in found))),
            mapped=any(isinstance(use.reduction, Word) and use.reduction.text == "none" for use in found),
        )
        for names, found in uses.items()
    )


def stands_of(objective: Objective, nodes: Iterable[Resolved]) -> tuple[Stand, ...]:
    """Every prediction with its target of which the caller passes one by name, in reading order."""
    reads: dict[tuple[str | None, str | None], set[str]] = {}
    for node in nodes:
        if not isinstance(node, Use) or not takes_head(node.loss) or not any(map(is_named, node.tensors)):
            continue
        prediction, target = [*node.tensors, TensorOf("target", node.origin)][:2]
        reads.setdefault((_raw_name(prediction), _raw_name(target)), set()).update(reads_of_loss(objective, node.loss))
    return tuple(Stand(*names, raw_only=is_raw(read)) for names, read in reads.items())


def _raw_name(tensor: Resolved) -> str | None:
    """The name of a tensor that is taken as it was passed."""
    return tensor.name if isinstance(tensor, TensorOf) and tensor.name not in _VALUES else None


def main_reads(objective: Objective, roots: Iterable[Resolved], pairs: Iterable[Pair]) -> set[str]:
    """How pred and target are used outside of pairs. A pair whose loss is a map has their layout."""
    apart = {pair.names for pair in pairs if not pair.mapped}
    return _reads(objective, roots, apart) & {*_DERIVED, "pred", "target"}


def head_inputs(kernel: Kernel) -> set[str]:
    """The tensors of the prediction and the target that a kernel uses."""
    return {*kernel.inputs} & {*_DERIVED, "pred", "target"}


def is_raw(names: set[str]) -> bool:
    """Whether only the raw prediction and target are read, no logits, probabilities or labels."""
    return bool(names) and not names & _DERIVED


def _texts(objective: Objective, loss: Formula) -> list[Resolved]:
    body = objective.body(full_name(loss))
    return [value for _, value in body.bindings] + [case.value for case in body.cases]


def reads_of_loss(objective: Objective, loss: Loss) -> set[str]:
    """The names of the tensors that a loss uses if the call has none."""
    return head_inputs(loss) if isinstance(loss, Kernel) else _reads(objective, _texts(objective, loss))


def _reads(objective: Objective, roots: Iterable[Resolved], apart: Container[Any] = ()) -> set[str]:
    """The names of all tensors in expressions and in the losses that they use, without those of the given pairs."""
    names: set[str] = set()
    opened: set[str] = set()
    waiting = list(roots)
    while waiting:
        for node in every([waiting.pop()]):
            if isinstance(node, TensorOf):
                names.add(node.name)
            if not isinstance(node, Use) or pair_of(node) in apart or full_name(node.loss) in opened:
                continue
            opened.add(full_name(node.loss))
            if isinstance(node.loss, Kernel):
                names |= head_inputs(node.loss)
            else:
                waiting += _texts(objective, node.loss)
    return names
