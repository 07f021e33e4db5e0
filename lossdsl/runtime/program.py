"""What is run for one plan and one choice of inputs that need a gradient: the steps of the values and of the slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from lossdsl.graph.differentiated import Differentiated, differentiated
from lossdsl.graph.gradient import SEED
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.products import Unsupported, is_number, is_wide
from lossdsl.graph.stages import frontier, part, stages
from lossdsl.runtime import sweeps
from lossdsl.runtime.ops import border
from lossdsl.runtime.sweeps import Step

# small: everything at once, and all that the gradient can use is stored. pieces: in sweeps. device: everything at once.
Mode: TypeAlias = Literal["small", "pieces", "device"]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """names: the inputs in order. wanted: those that need a gradient. order: what each output of the plan is here.

    places: where the outputs stand in the plan. moving: whether they depend on what is wanted. stored: what is kept
    between values and slopes. slots: the inputs, then what is stored, then the seeds, as the graph names them.
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
    distinct: bool
    written: tuple[tuple[int, Node], ...]
    trusted: tuple[Node, ...]
    prediction: int
    careful: Callable[[], Program | None]

    @property
    def all_moving(self) -> bool:
        return all(self.moving)

    def values(self, given: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
        """The outputs, and what is stored; None where a denominator is not to be trusted."""
        known = self._given(given)
        sweeps.run(self.forward, known, {}, self.piece, self._dtype(given))
        for node in self.trusted:
            value = known[node]
            # Not < : what is not a number is not trusted either.
            if not float(value.amin()) >= border(value.dtype):
                return None
        stored = tuple([known[node] for node in self.stored])
        if self.distinct:
            return tuple([known[node] for node in self.outputs]), stored
        outputs: list[Any] = []
        for node in self.outputs:
            value = known[node]
            outputs.append(value.clone() if any(value is other for other in (*outputs, *given)) else value)
        return tuple(outputs), stored

    def slopes(
        self,
        given: Sequence[Tensor],
        shapes: Sequence[tuple[int, ...] | None] | None,
        stored: Sequence[Tensor],
        seeds: Sequence[Tensor],
    ) -> list[Tensor | None]:
        """The gradient of each input in its own shape, None for one that needs none."""
        known = self._given(arranged(given, shapes))
        known.update(zip(self.stored, stored, strict=True))
        known.update((node, seed) for node, seed in zip(self.seeds, seeds, strict=True) if node is not None)
        destinations = {node: _memory(given[index], shapes, index) for index, node in self.written}
        sweeps.run(self.backward, known, destinations, self.piece, self._dtype(given))
        found: list[Tensor | None] = []
        for index, node in enumerate(self.gradients):
            if node is None:
                found.append(None)
                continue
            result = destinations[node] if node in destinations else known[node]
            value = given[index]
            if result.dtype != value.dtype:
                result = result.to(value.dtype)
            found.append(result if result.shape == value.shape else _expanded(result, value, shapes, index))
        return found

    def _dtype(self, given: Sequence[Tensor]) -> torch.dtype:
        return torch.promote_types(given[self.prediction].dtype, torch.float32)

    def _given(self, given: Sequence[Any]) -> dict[Node, Any]:
        return {node: value for node, value in zip(self.inputs, given, strict=True) if node is not None}


def arranged(given: Sequence[Tensor], shapes: Sequence[tuple[int, ...] | None] | None) -> Sequence[Tensor]:
    """Tensors as the caller passed them in the layout of a plan; they are there already without shapes."""
    if shapes is None:
        return given
    return [tensor if shape is None else tensor.reshape(shape) for tensor, shape in zip(given, shapes, strict=True)]


def _expanded(result: Tensor, value: Tensor, shapes: Sequence[tuple[int, ...] | None] | None, index: int) -> Tensor:
    """A gradient in the layout in the shape of its input; one that is the same for all elements is repeated."""
    shape = None if shapes is None else shapes[index]
    return result.expand(value.shape if shape is None else shape).reshape(value.shape)


def _memory(value: Tensor, shapes: Sequence[tuple[int, ...] | None] | None, index: int) -> Tensor:
    """Memory for the gradient of an input, in the layout and with the strides that the input has there."""
    shape = None if shapes is None else shapes[index]
    return torch.empty_like(value if shape is None else value.reshape(shape))


def program_of(
    outputs: Sequence[Node],
    names: Sequence[str],
    wanted: tuple[str, ...],
    mode: Mode,
    piece: int,
    through: Any = None,
    trusting: bool = True,
) -> Program | None:
    """The program of a plan's outputs; None where torch's own autograd has to do it."""
    unique = tuple(dict.fromkeys(node for node in outputs if not node.is_constant))
    prediction = _prediction(outputs, names)
    if outputs[0].is_constant or prediction is None:
        return None
    try:
        both = differentiated(unique, wanted, small=mode == "small" and trusting, apart=through is not None)
    except Unsupported:
        return None
    if any(is_number(node) for node in both.outputs) or set(both.gradients) != set(wanted):
        return None
    stored = _stored(both, mode)
    slopes = list(dict.fromkeys(both.gradients.values()))
    values = [*dict.fromkeys([*both.outputs, *stored, *both.trusted])]
    if mode == "pieces":
        staged, of_slopes = stages(values), stages(slopes, stored)
        if staged is None or of_slopes is None:
            return None
        forward, backward = sweeps.steps(staged), sweeps.steps(of_slopes)
    else:
        forward, backward = (sweeps.whole(p, through) for p in (part(values, ()), part(slopes, stored)))
    leaves = {str(n.attributes[0]): n for n in in_order([*values, *slopes]) if n.operation == "input"}
    swept = {node for step in backward if step.sweep for node in step.outputs if is_wide(node)}
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
        trusted=both.trusted,
        prediction=prediction,
        careful=cache(lambda: program_of(outputs, names, wanted, mode, piece, through, trusting=False)),
        distinct=len(set(both.outputs)) == len(both.outputs) and not set(both.outputs) & set(leaves.values()),
        written=tuple((index, node) for index, node in enumerate(gradients) if node is not None and node in swept),
    )


def _prediction(outputs: Sequence[Node], names: Sequence[str]) -> int | None:
    """Which input has the precision that all is computed in."""
    like = [node.arguments[-1] for node in in_order(outputs) if node.operation in ("cast", "cast_like", "one_hot")]
    found = [node.attributes[0] for node in like if node.operation == "input"]
    return names.index(str(found[0])) if found else None


def _stored(both: Differentiated, mode: Mode) -> tuple[Node, ...]:
    computed = in_order(both.outputs)
    kept = computed if mode == "small" else [node for node in computed if not is_wide(node)]
    return frontier(list(both.gradients.values()), kept)
