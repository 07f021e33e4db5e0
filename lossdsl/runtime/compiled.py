"""How a plan is run: as it is, or through torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lossdsl.errors import Diagnostic, LossError
from lossdsl.runtime.lower import Plan

Runner: TypeAlias = Callable[..., tuple[Any, ...]]


def compiled(plan: Plan, backend: str) -> Runner:
    """The function that runs a plan with a backend, `eager` or `inductor`."""
    if backend == "eager":
        run: Runner = plan.module.forward
        return run
    fused = torch.compile(plan.module, fullgraph=True, backend=backend)

    def run_fused(*inputs: Tensor) -> tuple[Any, ...]:
        try:
            result: tuple[Any, ...] = fused(*inputs)
        except Exception as cause:
            if "InvalidCxxCompiler" not in repr(cause):
                raise
            hint = 'install g++ or clang, or use backend="eager"'
            raise LossError([Diagnostic("LD507", 'backend="inductor" needs a C++ compiler', hint=hint)]) from None
        return result

    return run_fused
