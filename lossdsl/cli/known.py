"""The losses that are installed, loaded where they can be, as the shell shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lossdsl.checking.arguments import allowed_values
from lossdsl.checking.facts import facts_of
from lossdsl.checking.resolve import resolve
from lossdsl.checking.vocabulary import TENSORS
from lossdsl.errors import LossError
from lossdsl.graph.tasks import working_contexts
from lossdsl.registry.discover import Candidate, Registry
from lossdsl.registry.model import Kernel, Loss, Parameter, Provider
from lossdsl.spec import read_formula
from lossdsl.syntax.printing import number, text
from lossdsl.syntax.tree import TASKS, Interval, Task


@dataclass(frozen=True, slots=True)
class Known:
    """A loss under the name to write in a formula. Without `loss` it cannot be used, for the reason in `error`.

    tasks: those that it works for when it stands alone.
    """

    name: str
    candidate: Candidate
    loss: Loss | None = None
    tasks: tuple[str, ...] = ()
    error: str | None = None


def known_losses(registry: Registry) -> Iterator[Known]:
    """All of them, built-ins first. What is broken fails alone."""
    for candidate in registry.all():
        name = candidate.name
        if registry.candidates(name) != (candidate,):
            name = f"{candidate.namespace}.{candidate.name}"
        try:
            yield know(name, candidate, registry)
        except LossError as error:
            yield Known(name, candidate, error=error.diagnostics[0].message)


def know(name: str, candidate: Candidate, registry: Registry) -> Known:
    """Load a loss and try it. Raises LossError when it, or a loss that its text names, is broken."""
    loss = registry.load(candidate)
    tasks = [task for words in _required(loss) for task in _working(f"{name}({words})" if words else name, registry)]
    return Known(name, candidate, loss, tuple(dict.fromkeys(tasks)))


def _required(loss: Loss) -> Iterator[str]:
    """The parameters that must be given, written with values that they take: with each task where one decides it."""
    required = [parameter for parameter in loss.parameters if parameter.default is None]
    for task in TASKS if any(parameter.decides_task for parameter in required) else TASKS[:1]:
        yield ", ".join(f"{p.name}={task if p.decides_task else _example(p)}" for p in required)


def _example(parameter: Parameter) -> str:
    if parameter.interval is None:
        return parameter.words[0]
    inside = next(value for value in (1.0, *_ends(parameter.interval)) if value in parameter.interval)
    return f"{'[' * parameter.lists}{number(inside)}{']' * parameter.lists}"


def _ends(interval: Interval) -> Iterator[float]:
    """Numbers of which one is inside."""
    yield from (interval.low, interval.high, (interval.low + interval.high) / 2, interval.low + 1, interval.high - 1)


def _working(formula: str, registry: Registry) -> tuple[Task, ...]:
    reading = read_formula(formula)
    spec = reading.spec
    if spec is None:  # a distribution can give an entry point any name
        raise LossError(reading.diagnostics)
    resolution = resolve(spec, registry)
    if resolution.objective is None:
        raise LossError(resolution.diagnostics)
    return tuple(working_contexts(resolution.objective, facts_of(resolution.objective), spec.options))


def signature(loss: Loss) -> str:
    """`fp_weight=0.5, smooth=1`: what a call may write, with the defaults, and the tensors that it must write."""
    tensors = loss.inputs if isinstance(loss, Kernel) and not set(loss.inputs) <= set(TENSORS) else ()
    return ", ".join([*tensors, *(_written(parameter) for parameter in loss.parameters)])


def _written(parameter: Parameter) -> str:
    return f"{parameter.name}={parameter.default}" if parameter.default else parameter.name


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
        "tasks": list(known.tasks),
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
            {
                "name": parameter.name,
                "allowed": allowed_values(parameter),
                "default": str(parameter.default) if parameter.default else None,
            }
            for parameter in loss.parameters
        ],
        "range": str(loss.range),
        "summary": documentation.summary,
        "source": documentation.source,
        "notes": list(documentation.notes),
        "refused": [{"word": word, "instead": instead} for word, instead in documentation.refused],
    }
