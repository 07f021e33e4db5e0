"""What is run for one plan and one choice of inputs that need a gradient: the steps of the values and of the slopes."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from lossdsl.graph.differentiated import Differentiated, differentiated
from lossdsl.graph.gradient import SEED
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.products import Unsupported, is_number, is_wide, wants_a_tensor
from lossdsl.graph.stages import MERGING, frontier, in_passing, part, stages
from lossdsl.runtime import sweeps
from lossdsl.runtime.ops import saturated
from lossdsl.runtime.owned import to_copy
from lossdsl.runtime.sweeps import Step
from lossdsl.stack import with_room

# small: everything at once, and all that the gradient can use is stored. pieces: in sweeps. device: everything at once.
Mode: TypeAlias = Literal["small", "pieces", "device"]
# The layout of each input where it is not laid out.
Shapes: TypeAlias = tuple[tuple[int, ...] | None, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """wanted: the inputs that need a gradient. order: what each output of the plan is here.

    places: where the outputs stand in the plan. moving: whether they depend on what is wanted. copied: outputs, and
    shared: gradients, whose memory is not theirs alone. stored: what is kept between values and slopes. at_once: it is
    the gradients for a derivative of 1. later: the program that computes them from the inputs.
    """

    wanted: tuple[str, ...]
    order: dict[Node, int]
    places: tuple[int, ...]
    outputs: tuple[Node, ...]
    moving: tuple[bool, ...]
    stored: tuple[Node, ...]
    gradients: tuple[Node | None, ...]
    inputs: tuple[Node | None, ...]
    seeds: tuple[Node | None, ...]
    forward: tuple[Step, ...]
    backward: tuple[Step, ...]
    piece: int
    copied: tuple[int, ...]
    shared: tuple[int, ...]
    written: tuple[tuple[int, Node], ...]
    prediction: int
    at_once: bool
    later: Callable[[], Program | None]

    @property
    def all_moving(self) -> bool:
        return all(self.moving)

    def values(self, given: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The outputs, and what is stored."""
        known, dtype = self._given(given), self._dtype(given)
        destinations = {}
        if self.at_once:
            known.update((node, _one(dtype, given[0].device)) for node in self.seeds if node is not None)
            # In half precision only when scaled: what is too small for it may be scaled for that reason.
            destinations = {node: torch.empty_like(given[index], dtype=dtype) for index, node in self.written}
        sweeps.run(self.forward, known, destinations, self.piece, dtype)
        known.update(destinations)
        stored = tuple([known[node] for node in self.stored])
        outputs = [known[node] for node in self.outputs]
        for index in self.copied:
            outputs[index] = outputs[index].clone()
        return tuple(outputs), stored

    def slopes(
        self, given: Sequence[Tensor], shapes: Shapes, stored: Sequence[Tensor], seeds: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """The gradient of each input in its own shape, None for one that needs none."""
        known = self._given(arranged(given, shapes))
        known.update(zip(self.stored, stored, strict=True))
        known.update((node, seed) for node, seed in zip(self.seeds, seeds, strict=True) if node is not None)
        dtype = self._dtype(given)
        # In half precision only at the end: there what is too large for it becomes its largest number.
        destinations = {node: _memory(given[index], dtype, shapes, index) for index, node in self.written}
        sweeps.run(self.backward, known, destinations, self.piece, dtype)
        known.update(destinations)
        return self._as_inputs(known, given, shapes)

    def scaled(
        self, given: Sequence[Tensor], shapes: Shapes, units: Sequence[Tensor], seed: Tensor
    ) -> list[Tensor | None]:
        """The gradients from those for a derivative of 1, which are written over."""
        one = seed.device.type == "cpu" and float(seed) == 1
        found = dict(zip(self.stored, units, strict=True))
        own = {node for _, node in self.written}
        if not one:
            found = {node: unit.mul_(seed) if node in own else unit * seed for node, unit in found.items()}
        return self._as_inputs(found, given, shapes)

    def _as_inputs(self, found: Mapping[Node, Tensor], given: Sequence[Tensor], shapes: Shapes) -> list[Tensor | None]:
        result = [
            None if node is None else _as_input(found[node], given[index], shapes, index)
            for index, node in enumerate(self.gradients)
        ]
        for index in self.shared:
            slope = result[index]
            result[index] = None if slope is None else slope.clone()
        return result

    def _dtype(self, given: Sequence[Tensor]) -> torch.dtype:
        return torch.promote_types(given[self.prediction].dtype, torch.float32)

    def _given(self, given: Sequence[Any]) -> dict[Node, Any]:
        return {node: value for node, value in zip(self.inputs, given, strict=True) if node is not None}


@cache
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # it outlives the call
        return torch.ones((), dtype=dtype, device=device)


def arranged(given: Sequence[Tensor], shapes: Shapes) -> Sequence[Tensor]:
    """Tensors as the caller passed them in the layout of a plan; they are there already without shapes."""
    if shapes is None:
        return given
    return [tensor if shape is None else tensor.reshape(shape) for tensor, shape in zip(given, shapes, strict=True)]


def _as_input(result: Tensor, value: Tensor, shapes: Shapes, index: int) -> Tensor:
    """A gradient in the layout as one of its input; where it is the same for all elements it is repeated."""
    if result.dtype != value.dtype:
        result = saturated(result, value.dtype)
    if result.shape == value.shape:
        return result
    laid_out = None if shapes is None else shapes[index]
    shape = value.shape if laid_out is None else laid_out
    return (result if result.shape == shape else result.expand(shape)).reshape(value.shape)


def _memory(value: Tensor, dtype: torch.dtype, shapes: Shapes, index: int) -> Tensor:
    """Memory for the gradient of an input, in the layout and with the strides that the input has there."""
    shape = None if shapes is None else shapes[index]
    return torch.empty_like(value if shape is None else value.reshape(shape), dtype=dtype)


@with_room
def program_of(
    outputs: Sequence[Node],
    names: Sequence[str],
    wanted: tuple[str, ...],
    mode: Mode,
    piece: int,
    through: Any = None,
    positive: Container[Node] = (),
    at_once: bool = True,
) -> Program | None:
    """The program of a plan's outputs; None where torch's own autograd has to do it. positive: as in `Plan`."""
    unique = tuple(dict.fromkeys(node for node in outputs if not node.is_constant))
    prediction = _prediction(outputs, names)
    if outputs[0].is_constant or prediction is None:
        return None
    try:
        both = differentiated(unique, wanted, positive, small=mode == "small", fused=through is not None)
    except Unsupported:
        return None
    made = (*both.outputs, *both.gradients.values())
    numbers = any(map(is_number, made)) or any(map(wants_a_tensor, in_order(made)))
    if numbers or set(both.gradients) != set(wanted):
        return None
    at_once = at_once and _in_passing(both, mode)
    if at_once and mode == "pieces":
        both = differentiated(unique, wanted, positive, together=True)
    slopes = tuple(dict.fromkeys(both.gradients.values()))
    stored = slopes if at_once else _stored(both, mode, through is not None)
    values = [*dict.fromkeys([*both.outputs, *stored])]
    steps = _steps(values, () if at_once else slopes, stored, mode, through)
    if steps is None:
        return None
    forward, backward = steps
    leaves = {str(n.attributes[0]): n for n in in_order([*values, *slopes]) if n.operation == "input"}
    swept = {node for step in (*forward, *backward) if step.sweep for node in step.outputs if is_wide(node)}
    gradients = tuple(both.gradients.get(name) for name in names)
    return Program(
        wanted=wanted,
        order={node: index for index, node in enumerate(unique)},
        places=tuple(outputs.index(node) for node in unique),
        outputs=both.outputs,
        moving=both.moving,
        stored=stored,
        gradients=gradients,
        inputs=tuple(leaves.get(name) for name in names),
        seeds=tuple(leaves.get(f"{SEED}{index}") for index in range(len(unique))),
        forward=forward,
        backward=backward,
        piece=piece,
        prediction=prediction,
        at_once=at_once,
        later=cache(partial(program_of, outputs, names, wanted, mode, piece, through, positive, at_once=False)),
        copied=to_copy(both.outputs, stored),
        shared=to_copy(gradients),
        written=tuple((index, node) for index, node in enumerate(gradients) if node is not None and node in swept),
    )


def _in_passing(both: Differentiated, mode: Mode) -> bool:
    """Whether the gradient is best computed with the value: all there is for few elements, else what takes no sweep."""
    found = list(both.gradients.values())
    if len(both.outputs) > 1 or len(set(found)) < len(found) or any(node.operation == "input" for node in found):
        return False
    return mode == "small" or in_passing(both.outputs, found)


def _steps(
    values: Sequence[Node], slopes: Sequence[Node], stored: Sequence[Node], mode: Mode, through: Any
) -> tuple[tuple[Step, ...], tuple[Step, ...]] | None:
    """Those of the values and those of the slopes; None where pieces do not stand alone."""
    if mode != "pieces":
        return sweeps.whole(part(values, ()), through), sweeps.whole(part(slopes, stored), through) if slopes else ()
    staged, of_slopes = stages(values), stages(slopes, stored)
    return None if staged is None or of_slopes is None else (sweeps.steps(staged), sweeps.steps(of_slopes))


def _prediction(outputs: Sequence[Node], names: Sequence[str]) -> int | None:
    """Which input has the precision that all is computed in."""
    like = [node.arguments[-1] for node in in_order(outputs) if node.operation in ("cast", "cast_like", "one_hot")]
    found = [node.attributes[0] for node in like if node.operation == "input"]
    return names.index(str(found[0])) if found else None


def _stored(both: Differentiated, mode: Mode, fused: bool) -> tuple[Node, ...]:
    """Of few elements all that the gradient can use; else what has no pixels, and what a compiler stores anyway."""
    kept: dict[Node, None] = {}
    for node in in_order(both.outputs):
        if mode == "small" or not is_wide(node) or (fused and _of_a_sum_over_classes(node, kept)):
            kept[node] = None
    return frontier(list(both.gradients.values()), kept)


def _of_a_sum_over_classes(node: Node, kept: Container[Node]) -> bool:
    """A value for each pixel that is found by going through its classes, or made of such values alone."""
    if node.operation in MERGING:
        return node.attributes == (("class",),)
    return node.operation != "input" and all(argument in kept for argument in node.arguments)
