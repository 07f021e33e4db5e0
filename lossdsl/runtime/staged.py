"""A plan run eagerly with its own gradient: graph -> (stages of the values, stages of the gradient) -> one Function.

Stored between the two are the inputs and a few narrow values, whatever the formula: the wide values in between are
computed again, which costs less than storing and reading them.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from lossdsl.graph.nodes import in_order
from lossdsl.graph.schedule import Strategy, decided
from lossdsl.runtime import sweeps
from lossdsl.runtime.accepted_tensors import is_one_of_several
from lossdsl.runtime.lower import Plan
from lossdsl.runtime.no_aliases import copied, repeated
from lossdsl.runtime.program import Program, Request, Shapes, arranged, program_of
from lossdsl.runtime.sweeps import Compiler

_THREADS = 8  # of more a piece is not made larger
PLAIN = (Tensor, nn.Parameter)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, program: Program, plan: Plan, shapes: Shapes, *given: Tensor) -> Any:
        outputs, stored = program.values(arranged(given, shapes))
        ctx.program, ctx.plan, ctx.shapes = program, plan, shapes
        if program.schedule.with_value:
            ctx.units = stored
            ctx.save_for_backward(*given)
        else:
            ctx.save_for_backward(*given, *stored)
        if not program.results.all_differentiable:
            differentiable = program.results.differentiable
            ctx.mark_non_differentiable(*itertools.compress(outputs, map(operator.not_, differentiable)))
        return outputs

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor) -> Any:
        saved, program, shapes = ctx.saved_tensors, ctx.program, ctx.shapes
        given = saved[: len(ctx.plan.inputs)]
        # Several derivatives at once are more than memory made for one can hold.
        several = torch._C._are_functorch_transforms_active() or any(map(is_one_of_several, seeds))
        if several or torch.is_grad_enabled():
            return None, None, None, *_by_autograd(ctx, given, seeds)
        if not program.schedule.with_value:
            return None, None, None, *program.slopes(given, shapes, saved[len(given) :], seeds)
        units, ctx.units = ctx.units, None
        if units is not None:
            return None, None, None, *program.scaled(given, shapes, units, *seeds)
        # A second time, through a graph that was retained: the gradient itself was given away.
        program = program.recompute_program()
        _, stored = program.values(arranged(given, shapes))
        return None, None, None, *program.slopes(given, shapes, stored, seeds)


def _by_autograd(ctx: Any, given: Sequence[Tensor], seeds: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient computed anew the way torch does it, so in a form that can be differentiated again or batched."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        outputs = ctx.plan.module.forward(*arranged(given, ctx.shapes))
    results = ctx.program.results
    places = itertools.compress(results.places, results.differentiable)
    derivatives = [*itertools.compress(seeds, results.differentiable)]
    needed = ctx.needs_input_grad[3:]
    wanted = [tensor for tensor, need in zip(given, needed, strict=True) if need]
    found = iter(
        torch.autograd.grad([outputs[i] for i in places], wanted, derivatives, create_graph=again, allow_unused=True)
    )
    return [next(found) if need else None for need in needed]


class Staged:
    """Runs a plan. What the stages cannot do, the plan's own module does with torch's autograd."""

    def __init__(self, plan: Plan, compiler: Compiler | None = None):
        self.plan = plan
        self.compiler = compiler
        self.whole = compiler(plan.module) if compiler else plan.module.forward
        self.piece = sweeps.PIECE
        cast = {node.arguments[0] for node in in_order(plan.outputs) if node.operation == "cast"}
        read = {node.attributes[0] for node in cast if node.operation == "input"}
        self.predictions = tuple(index for index, name in enumerate(plan.inputs) if name in read)
        self.repeated = repeated(plan.outputs)
        self.programs: dict[tuple[Any, ...], Program | None] = {}

    def __call__(self, *inputs: Any, terms: bool = True, shapes: Shapes = None) -> tuple[Any, ...]:
        """The total; with `terms` also value, weight and contribution of each term. shapes: of inputs not laid out."""
        strategy = self._strategy(inputs, shapes)
        # One compilation serves a call and a breakdown.
        program = self._program(strategy, inputs, terms or self.compiler is not None) if strategy.passes else None
        if program is None:
            # Transforms and tensors of a kind of their own go through torch's own operations, never through a compiler.
            run = self.whole if strategy.passes else self.plan.module.forward
            return copied(run(*arranged(inputs, shapes)), self.plan.saved, terms)
        if program.request.wanted:
            found: tuple[Any, ...] = _Function.apply(program, self.plan, shapes, *inputs)  # type: ignore[no-untyped-call]
        else:
            found, _ = program.values(arranged(inputs, shapes))
        if not terms:
            return found
        values: list[Any] = [
            node.value if node.is_constant else found[program.results.order[node]] for node in self.plan.outputs
        ]
        for index in self.repeated:
            values[index] = values[index].clone()
        return tuple(values)

    def _program(self, strategy: Strategy, inputs: Sequence[Any], terms: bool) -> Program | None:
        learns = torch.is_grad_enabled()
        wanted = tuple([learns and value.requires_grad for value in inputs])
        key = (strategy, terms, wanted)
        if key not in self.programs:
            outputs = self.plan.outputs if terms else self.plan.outputs[:1]
            names = tuple(itertools.compress(self.plan.inputs, wanted))
            piece = self.piece * min(torch.get_num_threads(), _THREADS)
            request = Request(outputs, self.plan.inputs, names, self.plan.positive, piece, self.compiler)
            self.programs[key] = program_of(request, strategy)
        return self.programs[key]

    def _strategy(self, inputs: Sequence[Any], shapes: Shapes) -> Strategy:
        """What is known of a call, for `decided`. Sizes and types of unusual tensors are not asked for."""
        transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
        if transformed or torch._C._get_tracing_state() is not None:
            return decided(transformed=True)
        largest, empty = 0, not inputs
        for value in inputs:
            if type(value) not in PLAIN:
                return decided(unusual=True)
            size = value.numel()
            if size > largest:
                largest = size
            elif size == 0:
                empty = True
        several = len(self.predictions) > 1 and len({inputs[index].dtype for index in self.predictions}) > 1
        return decided(
            empty=empty,
            one_precision=not several,
            compiled=self.compiler is not None,
            on_cpu=empty or inputs[0].device.type == "cpu",
            small=largest <= self.piece,
            alike=lambda: _alike(arranged(inputs, shapes)),
        )


def _alike(inputs: Sequence[Tensor]) -> bool:
    """Whether all inputs can be cut into the same pieces."""
    wide = [value.shape for value in inputs if value.ndim == 3]
    return all(len({shape[axis] for shape in wide} - {1}) <= 1 for axis in (0, 2))
