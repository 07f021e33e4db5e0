"""A plan run eagerly with its own gradient: graph -> (stages of the values, stages of the gradient) -> one Function.

Stored between the two are the inputs and a few narrow values, whatever the formula: the wide values in between are
computed again, which costs less than storing and reading them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from lossdsl.graph.nodes import in_order
from lossdsl.runtime import sweeps
from lossdsl.runtime.lower import Plan
from lossdsl.runtime.owned import copied, repeated
from lossdsl.runtime.program import Mode, Program, Shapes, arranged, program_of
from lossdsl.runtime.readable import is_one_of_several

_THREADS = 8  # of more a piece is not made larger
PLAIN = (Tensor, nn.Parameter)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, program: Program, plan: Plan, shapes: Shapes, *given: Tensor) -> Any:
        outputs, stored = program.values(arranged(given, shapes))
        ctx.program, ctx.plan, ctx.shapes = program, plan, shapes
        if program.at_once:
            ctx.units = stored
            ctx.save_for_backward(*given)
        else:
            ctx.save_for_backward(*given, *stored)
        if not program.all_moving:
            fixed = [output for output, moves in zip(outputs, program.moving, strict=True) if not moves]
            ctx.mark_non_differentiable(*fixed)
        return outputs

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor) -> Any:
        saved, program, shapes = ctx.saved_tensors, ctx.program, ctx.shapes
        given = saved[: len(ctx.plan.inputs)]
        # Several derivatives at once are more than memory made for one can hold.
        several = torch._C._are_functorch_transforms_active() or any(map(is_one_of_several, seeds))
        if several or torch.is_grad_enabled():
            return None, None, None, *_by_autograd(ctx, given, seeds)
        if not program.at_once:
            return None, None, None, *program.slopes(given, shapes, saved[len(given) :], seeds)
        units, ctx.units = ctx.units, None
        if units is not None:
            return None, None, None, *program.scaled(given, shapes, units, *seeds)
        # A second time, through a graph that was retained: the gradient itself was given away.
        program = program.later()
        _, stored = program.values(arranged(given, shapes))
        return None, None, None, *program.slopes(given, shapes, stored, seeds)


def _by_autograd(ctx: Any, given: Sequence[Tensor], seeds: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient computed anew the way torch does it, so in a form that can be differentiated again or batched."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        outputs = ctx.plan.module.forward(*arranged(given, ctx.shapes))
    moving = [index for index, moves in zip(ctx.program.places, ctx.program.moving, strict=True) if moves]
    derivatives = [seed for seed, moves in zip(seeds, ctx.program.moving, strict=True) if moves]
    needed = ctx.needs_input_grad[3:]
    wanted = [tensor for tensor, need in zip(given, needed, strict=True) if need]
    found = iter(
        torch.autograd.grad([outputs[i] for i in moving], wanted, derivatives, create_graph=again, allow_unused=True)
    )
    return [next(found) if need else None for need in needed]


class Staged:
    """Runs a plan. What the stages cannot do, the plan's own module does with torch's autograd."""

    def __init__(self, plan: Plan, through: Any = None):
        self.plan = plan
        self.through = through
        self.whole = through(plan.module) if through else plan.module.forward
        self.piece = sweeps.PIECE
        cast = {node.arguments[0] for node in in_order(plan.outputs) if node.operation == "cast"}
        read = {node.attributes[0] for node in cast if node.operation == "input"}
        self.predictions = tuple(index for index, name in enumerate(plan.inputs) if name in read)
        self.repeated = repeated(plan.outputs)
        self.programs: dict[tuple[Any, ...], Program | None] = {}

    def __call__(self, *inputs: Any, terms: bool = True, shapes: Shapes = None) -> tuple[Any, ...]:
        """The total; with `terms` also value, weight and contribution of each term. shapes: of inputs not laid out."""
        mode = self._mode(inputs, shapes)
        # One compilation serves a call and a breakdown.
        program = None if mode is None else self._program(mode, inputs, terms or self.through is not None)
        if program is None:
            # Transforms and tensors of a kind of their own go through torch's own operations, never through a compiler.
            run = self.plan.module.forward if mode is None else self.whole
            return copied(run(*arranged(inputs, shapes)), self.plan.saved, terms)
        if program.wanted:
            found: tuple[Any, ...] = _Function.apply(program, self.plan, shapes, *inputs)  # type: ignore[no-untyped-call]
        else:
            found, _ = program.values(arranged(inputs, shapes))
        if not terms:
            return found
        values: list[Any] = [
            node.value if node.is_constant else found[program.order[node]] for node in self.plan.outputs
        ]
        for index in self.repeated:
            values[index] = values[index].clone()
        return tuple(values)

    def _program(self, mode: Mode, inputs: Sequence[Any], terms: bool) -> Program | None:
        learns = torch.is_grad_enabled()
        wanted = tuple([learns and value.requires_grad for value in inputs])
        key = (mode, terms, wanted)
        if key not in self.programs:
            outputs = self.plan.outputs if terms else self.plan.outputs[:1]
            names = tuple(itertools.compress(self.plan.inputs, wanted))
            piece = self.piece * min(torch.get_num_threads(), _THREADS)
            self.programs[key] = program_of(
                outputs, self.plan.inputs, names, mode, piece, self.through, self.plan.positive
            )
        return self.programs[key]

    def _mode(self, inputs: Sequence[Any], shapes: Shapes) -> Mode | None:
        """How to run; None where only torch's own autograd will do."""
        transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
        if transformed or torch._C._get_tracing_state() is not None:
            return None
        largest = 0
        for value in inputs:
            if type(value) not in PLAIN:
                return None
            size = value.numel()
            if size == 0:
                return None
            if size > largest:
                largest = size
        if len(self.predictions) > 1 and len({inputs[index].dtype for index in self.predictions}) > 1:
            return None  # each is computed in its own precision
        if not inputs:
            return None
        if self.through is not None or inputs[0].device.type != "cpu":
            return "device"
        if largest <= self.piece:
            return "small"
        return "pieces" if _alike(arranged(inputs, shapes)) else "device"


def _alike(inputs: Sequence[Tensor]) -> bool:
    """Whether all inputs can be cut into the same pieces."""
    wide = [value.shape for value in inputs if value.ndim == 3]
    return all(len({shape[axis] for shape in wide} - {1}) <= 1 for axis in (0, 2))
