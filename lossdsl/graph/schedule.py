"""How a graph is run: the strategy, decided in one place, its passes in order, and the stages that result."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

from lossdsl.graph import verify
from lossdsl.graph.factored_form import Unsupported, is_number, is_wide, wants_a_tensor
from lossdsl.graph.forms import cheapest_operations, cheapest_operations_together, fewest_operations, for_a_compiler
from lossdsl.graph.gradient import dependent, expanded, gradients
from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.rewrites import COMPUTED
from lossdsl.graph.signatures import Phase
from lossdsl.graph.stages import MERGING, Part, Stage, frontier, in_passing, part, stages


@dataclass(frozen=True, slots=True)
class Joint:
    """A loss with its gradient, in one graph.

    outputs: in the order of the originals. wanted: the names of the inputs that need a gradient. positive: nodes of the
    loss as it was built that are well above 0. differentiable: whether each output depends on what is wanted.
    gradients: by the names of inputs, made from the outputs' own derivatives, the inputs `seed:0`, `seed:1`, ...
    graph: where the nodes are made, so that a part that the value and the gradient share is one node.
    """

    outputs: tuple[Node, ...]
    wanted: tuple[str, ...]
    positive: Container[Node] = ()
    differentiable: tuple[bool, ...] = ()
    gradients: Mapping[str, Node] = field(default_factory=dict)
    graph: Graph = field(default_factory=partial(Graph, COMPUTED))

    @property
    def roots(self) -> tuple[Node, ...]:
        return (*self.outputs, *self.gradients.values())


class Pass(NamedTuple):
    """A named step from a graph to a graph of the phase that it makes."""

    name: str
    makes: Phase
    run: Callable[[Joint], Joint]


Form: TypeAlias = Callable[[Graph, Sequence[Node]], list[Node]]


def passed(passes: Iterable[Pass], loss: Joint) -> Joint:
    """The loss after these passes.

    Raises Unsupported where an operation between the inputs and the outputs has no derivative rule.
    """
    for one in passes:
        loss = one.run(loss)
        verify.checked(loss.roots, one.makes)
    return loss


def _expand(loss: Joint) -> Joint:
    """In operations that have simple derivatives; from here on `positive` is part of the graph."""
    graph = Graph(COMPUTED)
    return replace(loss, graph=graph, outputs=tuple(expanded(graph, loss.outputs, loss.positive)), positive=())


def _differentiate(loss: Joint) -> Joint:
    depends = dependent(in_order(loss.outputs), loss.wanted)
    return replace(
        loss,
        differentiable=tuple(output in depends for output in loss.outputs),
        gradients=gradients(loss.graph, loss.outputs, loss.wanted),
    )


def _choose(form: Form, loss: Joint) -> Joint:
    graph, count = Graph(COMPUTED), len(loss.outputs)
    chosen = form(graph, loss.roots)
    return replace(
        loss,
        graph=graph,
        outputs=tuple(chosen[:count]),
        gradients=dict(zip(loss.gradients, chosen[count:], strict=True)),
    )


EXPAND = Pass("expand", Phase.EXPANDED, _expand)
DIFFERENTIATE = Pass("differentiate", Phase.DIFFERENTIATED, _differentiate)
FEWEST_OPERATIONS = Pass("choose the fewest operations", Phase.CHOSEN, partial(_choose, fewest_operations))
CHEAPEST_OPERATIONS = Pass("choose the cheapest operations", Phase.CHOSEN, partial(_choose, cheapest_operations))
CHEAPEST_TOGETHER = Pass(
    "choose the cheapest operations of value and gradient together",
    Phase.CHOSEN,
    partial(_choose, cheapest_operations_together),
)
FEWEST_LOOPS = Pass("choose the fewest loops", Phase.CHOSEN, partial(_choose, for_a_compiler))


@dataclass(frozen=True, slots=True, eq=False)
class Strategy:
    """A way to run a formula, and why it is chosen.

    passes: what makes the graph that is run, none where torch's own autograd does everything. together: the pass that
    takes the place of the last one where the gradient is computed with the value. keeps: whether a node of the value is
    stored for the gradient, from the node and what is stored already. cut: into pieces, and else all at once.
    """

    name: Literal["small", "pieces", "device", "compiled", "autograd"]
    why: str
    passes: tuple[Pass, ...] = ()
    together: Pass | None = None
    keeps: Callable[[Node, Container[Node]], bool] = lambda *_: False
    cut: bool = False


def _everything(_node: Node, _kept: Container[Node]) -> bool:
    return True


def _narrow(node: Node, _kept: Container[Node]) -> bool:
    return not is_wide(node)


def _narrow_or_of_sums_over_classes(node: Node, kept: Container[Node]) -> bool:
    """Also a value for each pixel that is found by going through its classes, or made of such values alone."""
    if not is_wide(node):
        return True
    if node.operation in MERGING:
        return node.attributes == (("class",),)
    return node.operation != "input" and all(argument in kept for argument in node.arguments)


SMALL = Strategy(
    "small",
    "few elements, so that the number of operations counts: all that the gradient can use is stored",
    (EXPAND, DIFFERENTIATE, FEWEST_OPERATIONS),
    keeps=_everything,
)
PIECES = Strategy(
    "pieces",
    "many elements on a CPU: what is between the inputs and the sums stays in the cache",
    (EXPAND, DIFFERENTIATE, CHEAPEST_OPERATIONS),
    together=CHEAPEST_TOGETHER,
    keeps=_narrow,
    cut=True,
)
DEVICE = Strategy(
    "device",
    "another device, or inputs that cannot be cut into the same pieces: everything at once",
    (EXPAND, DIFFERENTIATE, CHEAPEST_OPERATIONS),
    keeps=_narrow,
)
COMPILED = Strategy(
    "compiled",
    "a compiler makes loops of the operations, and stores what is found by going through the classes",
    (EXPAND, DIFFERENTIATE, FEWEST_LOOPS),
    keeps=_narrow_or_of_sums_over_classes,
)
TRANSFORMED = Strategy("autograd", "a transform or a trace of torch reads the call")
UNUSUAL = Strategy("autograd", "a tensor is of a kind of its own")
EMPTY = Strategy("autograd", "a tensor has no elements, or there is none")
SEVERAL_PRECISIONS = Strategy("autograd", "each prediction is computed in its own precision")
STRATEGIES = (SMALL, PIECES, DEVICE, COMPILED, TRANSFORMED, UNUSUAL, EMPTY, SEVERAL_PRECISIONS)


def _always() -> bool:
    return True


def decided(
    *,
    transformed: bool = False,
    unusual: bool = False,
    empty: bool = False,
    one_precision: bool = True,
    compiled: bool = False,
    on_cpu: bool = True,
    small: bool = False,
    alike: Callable[[], bool] = _always,
) -> Strategy:
    """The strategy for a call of which this is known; without arguments that for a large batch on a CPU.

    transformed: a transform of functions or a trace reads it. unusual: not all tensors are plain ones. one_precision:
    of all predictions. compiled: by the backend. small: all tensors fit into one piece. alike: whether all can be cut
    into the same pieces, which is asked last because it takes longest to answer.
    """
    if transformed:
        return TRANSFORMED
    if unusual:
        return UNUSUAL
    if empty:
        return EMPTY
    if not one_precision:
        return SEVERAL_PRECISIONS
    if compiled:
        return COMPILED
    if not on_cpu:
        return DEVICE
    if small:
        return SMALL
    return PIECES if alike() else DEVICE


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
    at_once = (Stage(part(outputs, known), Part((), ())),) if outputs else ()
    found = stages(outputs, known) if strategy.cut else at_once
    if found is not None:
        verify.checked_stages(found, known, outputs)
    return found
