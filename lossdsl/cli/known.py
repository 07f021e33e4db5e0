"""The losses that are installed, loaded where they can be, as the shell shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lossdsl.checking.arguments import allowed_values
from lossdsl.errors import LossError
from lossdsl.registry.discover import Candidate, Registry
from lossdsl.registry.model import Kernel, Loss, Provider
from lossdsl.syntax.printing import text


@dataclass(frozen=True, slots=True)
class Known:
    """A loss under the name to write in a formula. Without `loss` it cannot be loaded, for the reason in `error`."""

    name: str
    candidate: Candidate
    loss: Loss | None
    error: str | None = None


def known_losses(registry: Registry) -> Iterator[Known]:
    """All of them, built-ins first. A plugin that fails to load fails alone."""
    for candidate in registry.all():
        name = candidate.name
        if registry.candidates(name) != (candidate,):
            name = f"{candidate.namespace}.{candidate.name}"
        try:
            yield Known(name, candidate, registry.load(candidate))
        except LossError as error:
            yield Known(name, candidate, None, error.diagnostics[0].message)


def signature(loss: Loss) -> str:
    """`fp_weight=0.5, smooth=1`: what a call may write, with the defaults."""
    tensors = loss.inputs if isinstance(loss, Kernel) else ()
    return ", ".join([*tensors, *(f"{parameter.name}={parameter.default}" for parameter in loss.parameters)])


def provider_text(provider: Provider) -> str:
    return str(provider).strip()


def record(known: Known) -> dict[str, Any]:
    """A loss as JSON. Ranges and defaults are text in the language, where `inf` is a number."""
    candidate, loss = known.candidate, known.loss
    provider = candidate.provider
    return {
        "name": known.name,
        "full_name": f"{candidate.namespace}.{candidate.name}",
        "provider": {"distribution": provider.distribution, "version": provider.version},
        "error": known.error,
        "loss": _loss_record(loss) if loss else None,
    }


def _loss_record(loss: Loss) -> dict[str, Any]:
    kernel = isinstance(loss, Kernel)
    documentation = loss.documentation
    return {
        "kind": "kernel" if kernel else "formula",
        "text": None if isinstance(loss, Kernel) else text(loss.declaration),
        "inputs": list(loss.inputs) if isinstance(loss, Kernel) else [],
        "parameters": [
            {"name": parameter.name, "allowed": allowed_values(parameter), "default": str(parameter.default)}
            for parameter in loss.parameters
        ],
        "range": str(loss.range),
        "tasks": list(loss.tasks),
        "summary": documentation.summary,
        "source": documentation.source,
        "notes": list(documentation.notes),
        "refused": [{"word": word, "instead": instead} for word, instead in documentation.refused],
    }
