"""`lossdsl show`: what one name stands for, and the installed losses, loaded where they can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import click

from lossdsl import words
from lossdsl.api.explain import show_loss
from lossdsl.api.loss_file import required_words
from lossdsl.checking.resolve import resolve
from lossdsl.checking.unknown_names import written_elsewhere
from lossdsl.checking.vocabulary import COMBINATORS, FUNCTIONS, REDUCTIONS, TENSORS
from lossdsl.cli.exit_status import FINDINGS
from lossdsl.cli.findings import as_text
from lossdsl.config import read_formula
from lossdsl.errors import Diagnostic, LossError, PluginError, nearest
from lossdsl.graph.graphs import Graphs
from lossdsl.registry.candidates import ANY, Candidate
from lossdsl.registry.discover import Registry, clash, default_registry
from lossdsl.registry.model import Kernel, Loss, Parameter, Provider, allowed_values
from lossdsl.syntax.printing import text
from lossdsl.tasks import Task


@dataclass(frozen=True, slots=True)
class Known:
    """A loss with the name to write in a formula. If it cannot be used, `loss` is None and `error` is the reason.

    tasks: the tasks for which it works on its own.
    """

    name: str
    candidate: Candidate
    loss: Loss | None = None
    tasks: tuple[str, ...] = ()
    error: str | None = None


def known_losses(registry: Registry) -> Iterator[Known]:
    """All losses, built-ins first. A broken loss does not affect the others."""
    for candidate in registry.all():
        name = candidate.name
        if name == ANY or len(registry.candidates(name)) != 1 or registry.candidates(name)[0] is not candidate:
            name = candidate.full_name
        try:
            yield know(name, candidate, registry)
        except LossError as error:
            yield Known(name, candidate, error=error.diagnostics[0].message)


def find(name: str, registry: Registry | None = None) -> Known:
    """The loss of this name. Raises LossError if there is none, if there are several, or if it is broken."""
    registry = registry or default_registry()
    found = registry.candidates(name) or registry.namesakes(name)
    if not found:
        raise LossError([_unknown(name, registry)])
    if len(found) > 1:
        owners, way_out = clash(found)
        raise LossError([Diagnostic("LD601", f"`{name}` may be {owners}", hint=way_out)])
    try:
        return know(f"{found[0].namespace}.{found[0].name}" if found[0].qualified else name, found[0], registry)
    except PluginError as error:
        raise LossError([replace(diagnostic, code="LD602") for diagnostic in error.diagnostics]) from error


def _unknown(name: str, registry: Registry) -> Diagnostic:
    if name in FUNCTIONS or name in REDUCTIONS or name in COMBINATORS:
        return Diagnostic("LD201", f"`{name}` is a function of the language, not a loss")
    word = words.word(name, *words.NAMES)
    told = None if word else written_elsewhere(name, "loss", registry, registry.names())
    if told:
        return Diagnostic("LD201", told[0], hint=told[1])
    hint = (
        (word.hint if word else None)
        or registry.advice(name)
        or nearest(name, registry.names())
        or "lossdsl list shows all losses"
    )
    return Diagnostic("LD201", f"unknown loss `{name}`", hint=hint)


def know(name: str, candidate: Candidate, registry: Registry) -> Known:
    """Load a loss and try it. Raises LossError if it, or a loss that its formula uses, is broken."""
    loss = registry.load(candidate)
    tasks = [
        task for words in required_words(loss) for task in _working(f"{name}({words})" if words else name, registry)
    ]
    return Known(name, candidate, loss, tuple(dict.fromkeys(tasks)))


def _working(formula: str, registry: Registry) -> tuple[Task, ...]:
    reading = read_formula(formula)
    spec = reading.spec
    if spec is None:  # a distribution can give an entry point any name
        raise LossError(reading.diagnostics)
    resolution = resolve(spec, registry)
    if resolution.objective is None:
        raise LossError(resolution.diagnostics)
    return tuple(Graphs(resolution.objective, spec.options).working())


def signature(loss: Loss) -> str:
    """`fp_weight=0.5, smooth=1`: the parameters of a call with their defaults, and the required tensors."""
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
        "full_name": candidate.full_name,
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
        "accepted": [{"word": word, "reason": reason} for word, reason in documentation.accepted],
    }


def shown(known: Known, form: str) -> str:
    """A loss as text, as JSON, or its formula as LaTeX."""
    assert known.loss
    if form == "json":
        return json.dumps(record(known), indent=2)
    if form == "latex":
        from lossdsl.api.explain import loss_latex

        return loss_latex(known.loss)
    return show_loss(known.loss)


@click.command(short_help="Show the formula, parameters, range and source of a loss.")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--latex", is_flag=True, help="Print only the formula, as LaTeX for math mode.")
@click.pass_context
def show(ctx: click.Context, name: str, form: str, latex: bool) -> None:
    """Show the formula of a loss, its parameters with ranges and defaults, its output range and source.

    \b
    lossdsl show dice
    lossdsl show lossdsl.dice --format json
    lossdsl show dice --latex

    If the loss is unknown or cannot be loaded, the reason is printed to stderr and the exit status is 1.
    """
    from lossdsl.cli.show import find, shown

    try:
        click.echo(shown(find(name), form="latex" if latex else form))
    except LossError as error:
        click.echo("\n".join(map(as_text, error.diagnostics)), err=True)
        ctx.exit(FINDINGS)
