"""`lossdsl list`: every loss that a formula can name."""

from __future__ import annotations

import click


@click.command("list", short_help="List every loss that a formula can name.")
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option("--names", is_flag=True, help="Instead: the names of other libraries, and what to write for them.")
def list_losses(form: str, names: bool) -> None:
    """List every loss that a formula can name, one line each: name, parameters with their defaults, output range,
    tasks, summary, provider. On a terminal, lines are cut to its width.

    \b
    lossdsl list
    lossdsl list | grep multiclass
    lossdsl list --format json
    lossdsl list --names | grep -i jaccard

    With --format markdown: a table of the losses of lossdsl itself, as in its README.

    A plugin that cannot be loaded is listed with the reason.
    """
    if names:
        from lossdsl.cli.naming import names as listed
    else:
        from lossdsl.cli.rows import listed

    text = listed(form)
    if text:
        click.echo(text)
