"""How a formula is run: the few ways that there are, and the one place that chooses between them.

Here nothing is known of torch, so that `explain` asks the same question as a call and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Literal

from lossdsl.graph.nodes import Node
from lossdsl.graph.passes import (
    CHEAPEST_OPERATIONS,
    CHEAPEST_TOGETHER,
    DIFFERENTIATE,
    EXPAND,
    FEWEST_LOOPS,
    FEWEST_OPERATIONS,
    Pass,
)
from lossdsl.graph.products import is_wide
from lossdsl.graph.stages import MERGING


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
