"""What of a call is looked at: the labels and probabilities of each head, and which of their elements count."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from lossdsl.checking.facts import Facts
from lossdsl.checking.heads import Stand
from lossdsl.graph.context import Context
from lossdsl.graph.spaces import of_pair, of_scale
from lossdsl.runtime import ops
from lossdsl.tasks import task_record


class Sight(NamedTuple):
    """The inputs of a plan that hold the labels and the prediction of one head.

    target, prediction: "" where there is nothing to look at, as in logits, and where another sight has it.
    classes: an input with all classes. ignoring: the target whose ignored labels say what does not count, "" without.
    names: as the caller passed them.
    """

    task: str
    indexed: bool
    target: str
    prediction: str
    classes: str
    ignoring: str
    mask: str
    names: tuple[str, str]


def sights_of(context: Context, facts: Facts, inputs: Container[str]) -> tuple[Sight, ...]:
    """Those of a kind of call, for what a plan reads. A regression has no labels and no probabilities."""
    found = [
        sight._replace(
            target=sight.target if sight.target in inputs else "",
            prediction=sight.prediction if sight.prediction in inputs else "",
        )
        for sight in _all(context, facts)
        if task_record(sight.task).has_labels
    ]
    return tuple(dict.fromkeys(sight for sight in found if sight.target or sight.prediction))


def counted(sight: Sight, tensors: Mapping[str, Tensor], ignore_index: int | None) -> Tensor | None:
    """Which elements count; None when all do."""
    counts = tensors[sight.mask] if sight.mask else None
    if sight.ignoring and ignore_index is not None:
        kept = ops.differs(tensors[sight.ignoring], ignore_index)
        counts = kept if counts is None else counts & kept
    return counts


def _all(context: Context, facts: Facts) -> Iterator[Sight]:
    for scale in range(max(context.scales, 1)):
        index = f"[{scale}]" if context.scales else ""
        yield _of_space(context, of_scale(scale), (f"pred{index}", f"target{index}"))
    for prediction, target, own_context in context.heads:
        yield _of_space(own_context, of_pair(prediction, target), (prediction, target))
    own = {(head.prediction, head.target) for head in context.heads}
    for stand in facts.stands:
        if not stand.raw_only and (stand.prediction, stand.target) not in own:
            yield _beside(stand, context)


def _of_space(context: Context, suffix: str, names: tuple[str, str]) -> Sight:
    """A prediction with its target in their own layout."""
    target, prediction = f"target{suffix}", f"pred{suffix}"
    return Sight(
        task=context.task,
        indexed=context.indexed,
        target=target,
        prediction=prediction if context.input == "probs" else "",
        classes=prediction,
        ignoring=target if context.ignoring else "",
        mask=f"mask{suffix}" if context.mask else "",
        names=names,
    )


def _beside(stand: Stand, context: Context) -> Sight:
    """Tensors by name that are laid out as `pred` is. Beside an expression they count where `target` does."""
    axes = dict(context.tensors)
    target = f"tensor:{stand.target}" if stand.target in axes else ""
    prediction = f"tensor:{stand.prediction}" if stand.prediction in axes else stand.prediction or ""
    own = target and prediction
    return Sight(
        task=context.task,
        indexed=task_record(context.task).indices and "class" not in axes.get(stand.target or "", ()),
        target=target,
        prediction=prediction if context.input == "probs" else "",
        classes="pred",
        ignoring=(target if own else "target") if context.ignoring else "",
        mask="mask" if context.mask else "",
        names=(stand.prediction or "pred", stand.target or "target"),
    )
