"""What is run for one plan and one choice of inputs that need a gradient: the steps of the values and of the slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from lossdsl.graph.differentiated import Differentiated, differentiated
from lossdsl.graph.gradient import SEED
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.products import Unsupported, is_number, is_wide
from lossdsl.graph.stages import frontier, part, stages
from lossdsl.runtime import sweeps
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

    def values(self, given: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The outputs, and what is stored."""
        known = dict(zip(self.inputs, given, strict=True))
        sweeps.run(self.forward, known, {}, self.piece)
        outputs: list[Any] = []
        for node in self.outputs:
            value = known[node]
            outputs.append(value.clone() if any(value is other for other in (*outputs, *given)) else value)
        return outputs, [known[node] for node in self.stored]

    def slopes(self, given: Sequence[Tensor], stored: Sequence[Tensor], seeds: Sequence[Tensor]) -> list[Tensor | None]:
        """The gradient of each input, None for one that needs none."""
        known = dict(zip((*self.inputs, *self.stored, *self.seeds), (*given, *stored, *seeds), strict=True))
        swept = {node for step in self.backward if step.sweep for node in step.outputs if is_wide(node)}
        pairs = zip(self.gradients, given, strict=True)
        destinations = {node: torch.empty_like(value) for node, value in pairs if node in swept}
        sweeps.run(self.backward, known, destinations, self.piece)
        return [
            None if node is None else _fitted(destinations[node] if node in swept else known[node], value)
            for node, value in zip(self.gradients, given, strict=True)
        ]


def _fitted(gradient: Tensor, value: Tensor) -> Tensor:
    return gradient.to(value.dtype).expand(value.shape)


def program_of(
    outputs: Sequence[Node], names: Sequence[str], wanted: tuple[str, ...], mode: Mode, piece: int
) -> Program | None:
    """The program of a plan's outputs; None where torch's own autograd has to do it."""
    unique = tuple(dict.fromkeys(node for node in outputs if not node.is_constant))
    if outputs[0].is_constant:
        return None
    try:
        both = differentiated(unique, wanted, large=mode != "small")
    except Unsupported:
        return None
    if any(is_number(node) for node in both.outputs) or set(both.gradients) != set(wanted):
        return None
    stored = _stored(both, mode)
    slopes = list(dict.fromkeys(both.gradients.values()))
    values = [*both.outputs, *stored]
    if mode == "pieces":
        staged, of_slopes = stages(values), stages(slopes, stored)
        if staged is None or of_slopes is None:
            return None
        forward, backward = sweeps.steps(staged), sweeps.steps(of_slopes)
    else:
        forward, backward = sweeps.whole(part(values, ())), sweeps.whole(part(slopes, stored))
    leaves = {str(n.attributes[0]): n for n in in_order([*values, *slopes]) if n.operation == "input"}
    return Program(
        wanted=wanted,
        order={node: index for index, node in enumerate(unique)},
        places=tuple(outputs.index(node) for node in unique),
        outputs=both.outputs,
        moving=both.moving,
        stored=stored,
        gradients=tuple(both.gradients.get(name) for name in names),
        inputs=tuple(leaves.get(name) for name in names),
        seeds=tuple(leaves.get(f"{SEED}{index}") for index in range(len(unique))),
        forward=forward,
        backward=backward,
        piece=piece,
    )


def _stored(both: Differentiated, mode: Mode) -> tuple[Node, ...]:
    computed = in_order(both.outputs)
    kept = computed if mode == "small" else [node for node in computed if not is_wide(node)]
    return frontier(list(both.gradients.values()), kept)
