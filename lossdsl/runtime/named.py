"""A function from its name in the row of an operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from lossdsl.runtime import ops

# Nothing is imported by its name: a row can name only what is here.
_MODULES = {"torch": torch, "torch.nn.functional": functional, "lossdsl.runtime.ops": ops}


def named(text: str) -> Callable[..., Any]:
    """The function that is written `module:name`. Raises LookupError or AttributeError for what there is not."""
    module, _, name = text.partition(":")
    function: Callable[..., Any] = getattr(_MODULES[module], name)
    return function
