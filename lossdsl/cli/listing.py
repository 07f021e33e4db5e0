"""`lossdsl list`: every loss that a formula can use."""

from __future__ import annotations

import click


@click.command("list", short_help="List every loss that a formula can use.")
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option("--names", is_flag=True, help="List names of other libraries instead, and what to write for them.")
def list_losses(form: str, names: bool) -> None:
    """List every loss that a formula can use, one per line: name, parameters with defaults, output range, tasks,
    summary, provider. On a terminal, lines are cut to its width.

    \b
    lossdsl list
    lossdsl list | grep multiclass
    lossdsl list --format json
    lossdsl list --names | grep -i jaccard

    --format markdown prints a table of the built-in losses, as in the README.

    A plugin that cannot be loaded is listed with the reason.
    """
    if names:
        from lossdsl.cli.naming import names as listed
    else:
        from lossdsl.cli.rows import listed

    text = listed(form)
    if text:
        click.echo(text)
