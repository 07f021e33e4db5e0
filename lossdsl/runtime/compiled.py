"""How a plan is run: as it is, or through torch.compile."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lossdsl.errors import Diagnostic, LossError, LossWarning
from lossdsl.graph.nodes import in_order
from lossdsl.registry.passing import is_passing
from lossdsl.runtime.inductor import one_pass
from lossdsl.runtime.lower import Plan
from lossdsl.runtime.program import Shapes
from lossdsl.runtime.staged import Staged

Runner: TypeAlias = Callable[..., tuple[Any, ...]]

_LAID_OUT = 3  # axes: batch, class, pixel; the axes of an image are apart only where something reads windows
# What reads a value at many other pixels. To compute it anew for each of them, and for theirs, would never end.
_OF_WINDOWS = frozenset({"kernel", "local_mean", "local_min", "local_max"})


def compiled(plan: Plan, backend: str) -> Runner:
    """The function that runs a plan with a backend, `eager` or `inductor`."""
    return Staged(plan) if backend == "eager" else _Fused(plan)


class _Fused(Staged):
    """Runs a plan through torch.compile; from the time on that this fails, as `Staged` does without it."""

    def __init__(self, plan: Plan):
        self.compiler = _Compiler(plan)
        super().__init__(plan, through=self.compiler)

    def __call__(self, *inputs: Any, terms: bool = True, shapes: Shapes = None) -> tuple[Any, ...]:
        if self.compiler.failed and self.through is not None:
            self.through, self.whole, self.programs = None, self.plan.module.forward, {}
        return super().__call__(*inputs, terms=terms, shapes=shapes)


class _Compiler:
    """Puts modules of one plan through torch.compile. failed: it could not, which was told."""

    def __init__(self, plan: Plan):
        self.failed = False
        windows = any(node.operation in _OF_WINDOWS for node in in_order(plan.outputs))
        self._backend: Any = "inductor" if windows else one_pass
        self._windows = windows

    def __call__(self, module: Any) -> Runner:
        """A module through torch.compile, for any number of images."""
        fused: Runner = torch.compile(module, fullgraph=True, backend=self._backend)
        mark: Callable[[Tensor, int], None] = torch._dynamo.maybe_mark_dynamic

        def run(*inputs: Tensor) -> tuple[Any, ...]:
            images = self._windows and any(value.ndim > _LAID_OUT for value in inputs)
            for value in inputs:
                if value.ndim >= _LAID_OUT and value.shape[0] > 1:
                    mark(value, 0)
                    if images:  # inductor's code for windows of any size takes a minute to compile, or does not
                        torch._dynamo.mark_static(value, list(range(1, value.ndim)))
            try:
                return fused(*inputs)
            except Exception as cause:
                # Kinds of torch's that are no compiler's say that memory ran out or stop a checkpoint.
                if is_passing(cause) and not isinstance(cause, torch._dynamo.exc.TorchDynamoException):
                    raise
                if "InvalidCxxCompiler" in repr(cause):
                    hint = 'install g++ or clang, or use backend="eager"'
                    raise LossError(
                        [Diagnostic("LD507", 'backend="inductor" needs a C++ compiler', hint=hint)]
                    ) from None
                # What is wrong with the call itself is raised here, as without a compiler.
                result: tuple[Any, ...] = module.forward(*inputs)
                self._tell(cause)
                return result

        return run

    def _tell(self, cause: Exception) -> None:
        if self.failed:
            return
        self.failed = True
        inner = getattr(cause, "inner_exception", cause)
        said = next((line.strip() for line in str(inner).splitlines() if line.strip()), "")
        message = 'torch cannot compile the loss, which now runs with backend="eager": '
        message += f"{type(inner).__name__}: {said}".rstrip(": ")
        told = Diagnostic("LD507", message, severity="warning")
        warnings.warn(LossWarning(told.render()), stacklevel=2)
