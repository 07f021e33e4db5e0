"""What is computed when: a loss and its gradient after all passes, cut into stages, before any of it is torch."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.passes import Joint, passed
from lossdsl.graph.products import Unsupported, is_number, wants_a_tensor
from lossdsl.graph.stages import Part, Stage, frontier, in_passing, part, stages
from lossdsl.graph.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Schedule:
    """The stages of the values, and those of the gradients.

    passes: the names of those that it went through. stored: what is kept between values and gradients. with_value: it
    is the gradients themselves, for a derivative of 1, and there are no stages for them. precision: the name of the
    input in whose precision everything is computed.
    """

    loss: Joint
    passes: tuple[str, ...]
    forward: tuple[Stage, ...]
    backward: tuple[Stage, ...]
    stored: tuple[Node, ...]
    with_value: bool
    precision: str


def scheduled(
    outputs: Sequence[Node],
    wanted: tuple[str, ...],
    strategy: Strategy,
    positive: Container[Node] = (),
    with_value: bool = True,
) -> Schedule | None:
    """The schedule of what a plan computes; None where torch's own autograd has to do it.

    wanted: the names of the inputs that need a gradient. positive: as in `Joint`. with_value: the gradient may be
    computed with the value.
    """
    precision = _precision(outputs)
    if outputs[0].is_constant or precision is None or not strategy.passes:
        return None
    passes = strategy.passes
    written = Joint(tuple(dict.fromkeys(node for node in outputs if not node.is_constant)), wanted, positive)
    try:
        differentiated = passed(passes[:-1], written)
    except Unsupported:
        return None
    loss = passed(passes[-1:], differentiated)
    numbers = any(map(is_number, loss.roots)) or any(map(wants_a_tensor, in_order(loss.roots)))
    if numbers or set(loss.gradients) != set(wanted):
        return None
    with_value = with_value and _with_value(loss, strategy)
    if with_value and strategy.together:
        passes = (*passes[:-1], strategy.together)
        loss = passed(passes[-1:], differentiated)
    gradients = tuple(dict.fromkeys(loss.gradients.values()))
    stored = gradients if with_value else _stored(loss, strategy)
    forward = _staged(tuple(dict.fromkeys([*loss.outputs, *stored])), (), strategy)
    backward = () if with_value else _staged(gradients, stored, strategy)
    if forward is None or backward is None:
        return None
    names = (*(one.name for one in passes), "cut into stages" if strategy.cut else "take all at once")
    return Schedule(loss, names, forward, backward, stored, with_value, precision)


def _precision(outputs: Sequence[Node]) -> str | None:
    """The input whose precision all is computed in."""
    like = [node.arguments[-1] for node in in_order(outputs) if node.operation in ("cast", "cast_like", "one_hot")]
    return next((str(node.attributes[0]) for node in like if node.operation == "input"), None)


def _with_value(loss: Joint, strategy: Strategy) -> bool:
    """Whether the gradient is best computed with the value: all there is for few elements, else what takes no sweep."""
    found = list(loss.gradients.values())
    if len(loss.outputs) > 1 or len(set(found)) < len(found) or any(node.operation == "input" for node in found):
        return False
    return strategy.name == "small" or in_passing(loss.outputs, found)


def _stored(loss: Joint, strategy: Strategy) -> tuple[Node, ...]:
    """What the strategy keeps of the values, as far as the gradients are made from it."""
    kept: dict[Node, None] = {}
    for node in in_order(loss.outputs):
        if strategy.keeps(node, kept):
            kept[node] = None
    return frontier(list(loss.gradients.values()), kept)


def _staged(outputs: Sequence[Node], known: Sequence[Node], strategy: Strategy) -> tuple[Stage, ...] | None:
    """None where pieces do not stand alone."""
    if strategy.cut:
        return stages(outputs, known)
    return (Stage(part(outputs, known), Part((), ())),) if outputs else ()
