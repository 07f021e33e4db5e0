"""Inductor as a loss needs it: every pass over the pixels in one loop, nothing in between in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, fx

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
