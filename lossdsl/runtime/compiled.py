"""How a plan is run: as it is, or through torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lossdsl.errors import Diagnostic, LossError
from lossdsl.runtime.inductor import one_pass
from lossdsl.runtime.lower import Plan
from lossdsl.runtime.staged import Staged

Runner: TypeAlias = Callable[..., tuple[Any, ...]]


def compiled(plan: Plan, backend: str) -> Runner:
    """The function that runs a plan with a backend, `eager` or `inductor`."""
    if backend == "eager":
        return Staged(plan)
    return Staged(plan, through=_fused)


def _fused(module: Any) -> Runner:
    """A module through torch.compile, for any number of images."""
    fused: Runner = torch.compile(module, fullgraph=True, backend=one_pass)

    mark: Callable[[Tensor, int], None] = torch._dynamo.maybe_mark_dynamic

    def run(*inputs: Tensor) -> tuple[Any, ...]:
        for value in inputs:
            if value.ndim == 3 and value.shape[0] > 1:
                mark(value, 0)
        try:
            result: tuple[Any, ...] = fused(*inputs)
        except Exception as cause:
            if "InvalidCxxCompiler" not in repr(cause):
                raise
            hint = 'install g++ or clang, or use backend="eager"'
            raise LossError([Diagnostic("LD507", 'backend="inductor" needs a C++ compiler', hint=hint)]) from None
        return result

    return run
