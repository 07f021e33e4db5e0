"""What is run for one plan and one choice of inputs that need a gradient: the steps of the values and of the slopes."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lossdsl.graph.factored_form import is_wide
from lossdsl.graph.gradient import SEED
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.schedule import Schedule, Strategy, scheduled
from lossdsl.runtime import sweeps
from lossdsl.runtime.no_aliases import to_copy
from lossdsl.runtime.ops import saturated
from lossdsl.runtime.sweeps import Compiler, Step
from lossdsl.stack import with_room

# The layout of each input where it is not laid out.
Shapes: TypeAlias = tuple[tuple[int, ...] | None, ...] | None


@dataclass(frozen=True, slots=True)
class Request:
    """What a program is made for.

    outputs: of a plan. inputs: the names of all that the plan reads, and wanted: of those that need a gradient.
    positive: as in `Plan`. piece: elements of a piece. compiler: of what is computed at once.
    """

    outputs: tuple[Node, ...]
    inputs: tuple[str, ...]
    wanted: tuple[str, ...]
    positive: Container[Node]
    piece: int
    compiler: Compiler | None


@dataclass(frozen=True, slots=True)
class Leaves:
    """The nodes that a call gives values to: for each input, and for the derivative of each output; None where unread.

    precision: which input has the precision that all is computed in.
    """

    inputs: tuple[Node | None, ...]
    seeds: tuple[Node | None, ...]
    precision: int


@dataclass(frozen=True, slots=True)
class Results:
    """What a program returns.

    order: where each output of the plan is among those of the program. places: where those stand in the plan.
    differentiable: whether each depends on what is wanted, and all_differentiable: all do. gradients: for each input.
    """

    order: Mapping[Node, int]
    places: tuple[int, ...]
    outputs: tuple[Node, ...]
    differentiable: tuple[bool, ...]
    all_differentiable: bool
    gradients: tuple[Node | None, ...]


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose memory results have. outputs, gradients: which are copied because their memory is not theirs alone.

    written: gradients that a sweep writes where they belong.
    """

    outputs: tuple[int, ...]
    gradients: tuple[int, ...]
    written: tuple[tuple[int, Node], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A schedule in torch. recompute_program: the one that computes gradients from the inputs, where this one stores
    them for a derivative of 1."""

    request: Request
    schedule: Schedule
    leaves: Leaves
    results: Results
    ownership: Ownership
    forward: tuple[Step, ...]
    backward: tuple[Step, ...]
    recompute_program: Callable[[], Program | None]

    def values(self, given: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The outputs, and what is stored."""
        known, dtype = self._given(given), self._dtype(given)
        schedule, destinations = self.schedule, {}
        if schedule.with_value:
            known.update((node, _one(dtype, given[0].device)) for node in self.leaves.seeds if node is not None)
            # In half precision only when scaled: what is too small for it may be scaled for that reason.
            destinations = {node: torch.empty_like(given[index], dtype=dtype) for index, node in self.ownership.written}
        sweeps.run(self.forward, known, destinations, self.request.piece, dtype)
        known.update(destinations)
        stored = tuple([known[node] for node in schedule.stored])
        outputs = [known[node] for node in self.results.outputs]
        for index in self.ownership.outputs:
            outputs[index] = outputs[index].clone()
        return tuple(outputs), stored

    def slopes(
        self, given: Sequence[Tensor], shapes: Shapes, stored: Sequence[Tensor], seeds: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """The gradient of each input in its own shape, None for one that needs none."""
        known = self._given(arranged(given, shapes))
        known.update(zip(self.schedule.stored, stored, strict=True))
        known.update((node, seed) for node, seed in zip(self.leaves.seeds, seeds, strict=True) if node is not None)
        dtype = self._dtype(given)
        # In half precision only at the end: there what is too large for it becomes its largest number.
        destinations = {node: _memory(given[index], dtype, shapes, index) for index, node in self.ownership.written}
        sweeps.run(self.backward, known, destinations, self.request.piece, dtype)
        known.update(destinations)
        return self._as_inputs(known, given, shapes)

    def scaled(
        self, given: Sequence[Tensor], shapes: Shapes, units: Sequence[Tensor], seed: Tensor
    ) -> list[Tensor | None]:
        """The gradients from those for a derivative of 1, which are written over."""
        one = seed.device.type == "cpu" and float(seed) == 1
        found = dict(zip(self.schedule.stored, units, strict=True))
        own = {node for _, node in self.ownership.written}
        if not one:
            found = {node: unit.mul_(seed) if node in own else unit * seed for node, unit in found.items()}
        return self._as_inputs(found, given, shapes)

    def _as_inputs(self, found: Mapping[Node, Tensor], given: Sequence[Tensor], shapes: Shapes) -> list[Tensor | None]:
        result = [
            None if node is None else _as_input(found[node], given[index], shapes, index)
            for index, node in enumerate(self.results.gradients)
        ]
        for index in self.ownership.gradients:
            slope = result[index]
            result[index] = None if slope is None else slope.clone()
        return result

    def _dtype(self, given: Sequence[Tensor]) -> torch.dtype:
        return torch.promote_types(given[self.leaves.precision].dtype, torch.float32)

    def _given(self, given: Sequence[Any]) -> dict[Node, Any]:
        return {node: value for node, value in zip(self.leaves.inputs, given, strict=True) if node is not None}


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
def program_of(request: Request, strategy: Strategy, with_value: bool = True) -> Program | None:
    """The program for a request; None where torch's own autograd has to do it. with_value: as in `scheduled`."""
    schedule = scheduled(request.outputs, request.wanted, strategy, request.positive, with_value)
    if schedule is None:
        return None
    results = _results(request, schedule)
    forward, backward = (sweeps.steps(stages, request.compiler) for stages in (schedule.forward, schedule.backward))
    swept = {node for step in (*forward, *backward) if step.sweep for node in step.outputs if is_wide(node)}
    return Program(
        request=request,
        schedule=schedule,
        leaves=_leaves(request, schedule),
        results=results,
        ownership=Ownership(
            outputs=to_copy(results.outputs, schedule.stored),
            gradients=to_copy(results.gradients),
            written=tuple((i, node) for i, node in enumerate(results.gradients) if node is not None and node in swept),
        ),
        forward=forward,
        backward=backward,
        recompute_program=cache(partial(program_of, request, strategy, with_value=False)),
    )


def _leaves(request: Request, schedule: Schedule) -> Leaves:
    nodes = in_order([*schedule.loss.roots, *schedule.stored])
    found = {str(node.attributes[0]): node for node in nodes if node.operation == "input"}
    return Leaves(
        inputs=tuple(found.get(name) for name in request.inputs),
        seeds=tuple(found.get(f"{SEED}{index}") for index in range(len(schedule.loss.outputs))),
        precision=request.inputs.index(schedule.precision),
    )


def _results(request: Request, schedule: Schedule) -> Results:
    unique = tuple(dict.fromkeys(node for node in request.outputs if not node.is_constant))
    loss = schedule.loss
    return Results(
        order={node: index for index, node in enumerate(unique)},
        places=tuple(request.outputs.index(node) for node in unique),
        outputs=loss.outputs,
        differentiable=loss.differentiable,
        all_differentiable=all(loss.differentiable),
        gradients=tuple(loss.gradients.get(name) for name in request.inputs),
    )
