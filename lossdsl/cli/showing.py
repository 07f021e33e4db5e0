"""`lossdsl show`: what one name stands for."""

from __future__ import annotations

import json
from dataclasses import replace

import click

from lossdsl.api.explaining import show_loss
from lossdsl.checking.vocabulary import COMBINATORS, FUNCTIONS, REDUCTIONS
from lossdsl.cli.findings import as_text
from lossdsl.cli.known import Known, know, record
from lossdsl.cli.status import FINDINGS
from lossdsl.errors import Diagnostic, LossError, PluginError, nearest
from lossdsl.registry.discover import Registry, default_registry


@click.command(short_help="Show the formula, parameters, range and source of a loss.")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def show(ctx: click.Context, name: str, form: str) -> None:
    """Show what a name stands for: the formula, its parameters with ranges and defaults, output range and source.

    \b
    lossdsl show dice
    lossdsl show lossdsl.dice --format json

    A name that is not known, or cannot be loaded, gives exit status 1 and the reason on stderr.
    """
    try:
        known = _find(name, default_registry())
    except LossError as error:
        click.echo("\n".join(map(as_text, error.diagnostics)), err=True)
        ctx.exit(FINDINGS)
    assert known.loss
    click.echo(json.dumps(record(known), indent=2) if form == "json" else show_loss(known.loss))


def _find(name: str, registry: Registry) -> Known:
    """The one loss of this name. Raises LossError when there is none, when there are several, or when it is broken."""
    found = registry.candidates(name) or registry.namesakes(name)
    if not found:
        raise LossError([_unknown(name, registry)])
    if len(found) > 1:
        owners = " and ".join(dict.fromkeys(str(candidate.provider) for candidate in found))
        choices = " or ".join(f"{candidate.namespace}.{candidate.name}" for candidate in found)
        raise LossError([Diagnostic("LD601", f"`{name}` comes from {owners}", hint=f"write {choices}")])
    try:
        return know(f"{found[0].namespace}.{found[0].name}" if found[0].qualified else name, found[0], registry)
    except PluginError as error:
        raise LossError([replace(diagnostic, code="LD602") for diagnostic in error.diagnostics]) from error


def _unknown(name: str, registry: Registry) -> Diagnostic:
    if name in FUNCTIONS or name in REDUCTIONS or name in COMBINATORS:
        return Diagnostic("LD201", f"`{name}` is a function of the language, not a loss")
    absence = registry.absence(name)
    if absence:
        return Diagnostic("LD201", f"there is no `{name}`: {absence.reason}", hint=absence.instead)
    hint = nearest(name, registry.names()) or "lossdsl list shows all losses"
    return Diagnostic("LD201", f"unknown loss `{name}`", hint=hint)
