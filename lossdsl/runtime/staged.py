"""A plan run eagerly with its own gradient: graph -> (stages of the values, stages of the gradient) -> one Function.

Stored between the two are the inputs and a few narrow values, whatever the formula: the wide values in between are
computed again, which costs less than storing and reading them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from lossdsl.runtime import sweeps
from lossdsl.runtime.lower import Plan
from lossdsl.runtime.program import Mode, Program, program_of

_PLAIN = (Tensor, nn.Parameter)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, program: Program, plan: Plan, *given: Tensor) -> Any:
        outputs, stored = program.values(given)
        ctx.program, ctx.plan, ctx.given = program, plan, len(given)
        ctx.save_for_backward(*given, *stored)
        fixed = [output for output, moves in zip(outputs, program.moving, strict=True) if not moves]
        ctx.mark_non_differentiable(*fixed)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor) -> Any:
        given, stored = ctx.saved_tensors[: ctx.given], ctx.saved_tensors[ctx.given :]
        if torch.is_grad_enabled():
            return None, None, *_by_autograd(ctx, given, seeds)
        return None, None, *ctx.program.slopes(given, stored, seeds)


def _by_autograd(ctx: Any, given: Sequence[Tensor], seeds: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient in a form that can be differentiated again: computed anew the way torch does it."""
    outputs = ctx.plan.module.forward(*given)
    moving = [index for index, moves in zip(ctx.program.places, ctx.program.moving, strict=True) if moves]
    derivatives = [seed for seed, moves in zip(seeds, ctx.program.moving, strict=True) if moves]
    needed = ctx.needs_input_grad[2:]
    wanted = [tensor for tensor, need in zip(given, needed, strict=True) if need]
    found = iter(
        torch.autograd.grad([outputs[i] for i in moving], wanted, derivatives, create_graph=True, allow_unused=True)
    )
    return [next(found) if need else None for need in needed]


class Staged:
    """Runs a plan. What the stages cannot do, the plan's own module does with torch's autograd."""

    def __init__(self, plan: Plan, piece: int = sweeps.PIECE):
        self.plan = plan
        self.piece = piece
        self.programs: dict[tuple[Any, ...], Program | None] = {}

    def __call__(self, *inputs: Any, terms: bool = True) -> tuple[Any, ...]:
        """The total; with `terms` also value, weight and contribution of each term."""
        program = self._program(inputs, terms)
        if program is None:
            result: tuple[Any, ...] = self.plan.module.forward(*inputs)
            return result
        if program.wanted:
            found = _Function.apply(program, self.plan, *inputs)  # type: ignore[no-untyped-call]
        else:
            found = program.values(inputs)[0]
        if not terms:
            return tuple(found)
        return tuple(node.value if node.is_constant else found[program.order[node]] for node in self.plan.outputs)

    def _program(self, inputs: Sequence[Any], terms: bool) -> Program | None:
        mode = self._mode(inputs)
        if mode is None:
            return None
        learns = torch.is_grad_enabled()
        wanted = tuple([name for name, value in zip(self.plan.inputs, inputs, strict=True) if learns and value.requires_grad])
        key = (mode, terms, wanted)
        if key not in self.programs:
            outputs = self.plan.outputs if terms else self.plan.outputs[:1]
            self.programs[key] = program_of(outputs, self.plan.inputs, wanted, mode, self.piece)
        return self.programs[key]

    def _mode(self, inputs: Sequence[Any]) -> Mode | None:
        """How to run; None where only torch's own autograd will do."""
        if torch._C._are_functorch_transforms_active() or torch.jit.is_tracing() or forward_ad._current_level >= 0:
            return None
        largest = 0
        for value in inputs:
            if type(value) not in _PLAIN:
                return None
            size = value.numel()
            if size == 0:
                return None
            largest = max(largest, size)
        if not inputs or inputs[0].device.type != "cpu":
            return "device" if inputs else None
        return "small" if largest <= self.piece else "pieces"
