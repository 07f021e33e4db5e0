"""Run a plan through torch.compile, with inductor in one loop a pass, or as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from lossdsl.errors import Diagnostic, LossError, LossWarning
from lossdsl.graph.nodes import in_order
from lossdsl.registry.passing import is_passing
from lossdsl.runtime.lower import Plan
from lossdsl.runtime.program import Shapes
from lossdsl.runtime.staged import Staged

# Inductor stores a value that is long to compute or read often. Here nothing that has a value per pixel is worth that.
_ONE_PASS = {"realize_opcount_threshold": 100_000, "realize_reads_threshold": 100_000}


def one_pass(module: fx.GraphModule, inputs: list[Tensor]) -> Any:
    """A backend of torch.compile."""
    # Imported here: it takes seconds, and not every loss is compiled.
    from torch._inductor.compile_fx import compile_fx

    with _nothing_stored():
        return compile_fx(module, inputs, config_patches=dict(_ONE_PASS))


@contextmanager
def _nothing_stored() -> Iterator[None]:
    """On a CPU inductor also stores every exponential that is read twice, and has no option for it.

    Dynamo compiles one graph at a time, so nobody else's is compiled meanwhile. Where a version of torch has no such
    method a loss only takes more memory and time.
    """
    from torch._inductor.ir import StorageBox

    name = "should_realize_on_reuse"
    usual = getattr(StorageBox, name, None)
    if usual is None:
        yield
        return
    setattr(StorageBox, name, lambda *_, **__: False)
    try:
        yield
    finally:
        setattr(StorageBox, name, usual)


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
        self.torch_compiler = _Compiler(plan)
        super().__init__(plan, self.torch_compiler)

    def __call__(self, *inputs: Any, terms: bool = True, shapes: Shapes = None) -> tuple[Any, ...]:
        if self.torch_compiler.failed and self.compiler is not None:
            self.compiler, self.whole, self.programs = None, self.plan.module.forward, {}
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
