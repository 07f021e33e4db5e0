"""`lossdsl show`: the formula and documentation of one loss."""

from __future__ import annotations

import click

from lossdsl.cli.findings import as_text
from lossdsl.cli.status import FINDINGS
from lossdsl.errors import LossError


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
    from lossdsl.cli.known import find, shown

    try:
        click.echo(shown(find(name), form="latex" if latex else form))
    except LossError as error:
        click.echo("\n".join(map(as_text, error.diagnostics)), err=True)
        ctx.exit(FINDINGS)
