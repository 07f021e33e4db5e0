"""lossdsl: a loss is a formula.

>>> import lossdsl
>>> loss = lossdsl.compile("0.5*bce + 0.5*(-log(1 - dice))")

Then call `loss(pred, target)` in the training loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossdsl.api import Report, check, compile, define, explain, load, parse
from lossdsl.errors import ConfigError, Diagnostic, FormulaError, InputError, LossError, LossWarning, PluginError
from lossdsl.registry.adapt import EMBEDDINGS, Input, adapt
from lossdsl.registry.discover import rediscover
from lossdsl.registry.kernels import loss

if TYPE_CHECKING:
    from lossdsl.runtime.breakdown import Breakdown, TermValue
    from lossdsl.runtime.loss import Loss

__all__ = [
    "EMBEDDINGS",
    "Breakdown",
    "ConfigError",
    "Diagnostic",
    "FormulaError",
    "Input",
    "InputError",
    "Loss",
    "LossError",
    "LossWarning",
    "PluginError",
    "Report",
    "TermValue",
    "adapt",
    "check",
    "compile",
    "define",
    "explain",
    "load",
    "loss",
    "parse",
    "rediscover",
]


def __dir__() -> list[str]:
    """What is public: completion at a prompt shows neither the inner packages nor what they are imported with."""
    return sorted([*__all__, "testing"])


def __getattr__(name: str) -> Any:
    """The classes that need torch, and the module `testing`. They are imported at the first use."""
    if name == "testing":
        import lossdsl.testing as kit

        return kit
    if name in ("Breakdown", "Loss", "TermValue"):
        from lossdsl.runtime import breakdown
        from lossdsl.runtime import loss as module

        return getattr(module if name == "Loss" else breakdown, name)
    raise AttributeError(f"module 'lossdsl' has no attribute {name!r}")
