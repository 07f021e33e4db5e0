"""`lossdsl explain`: one loss told in full."""

from __future__ import annotations

import click

from lossdsl.api import explain as explain_loss
from lossdsl.cli.findings import as_text
from lossdsl.cli.inputs import gather, input_options, unopened
from lossdsl.cli.status import FINDINGS, WRONG_USE
from lossdsl.errors import LossError


@click.command(short_help="Tell one loss in full: terms, formulas, ranges, rewrites.")
@input_options
@click.option("--cost", is_flag=True, help="Also tell how often the loss goes over memory.")
@click.pass_context
def explain(
    ctx: click.Context,
    files: tuple[str, ...],
    formulas: tuple[str, ...],
    key: str,
    task: str | None,
    input: str | None,
    cost: bool,
) -> None:
    """Tell one loss in full: its terms and weights, the formula of each loss that it names, the rewrites applied.

    FILE is a config file whose loss stands under --key, or - for a formula on stdin.

    \b
    lossdsl explain -e "0.5*bce + 0.5*(-log(1 - dice))"
    lossdsl explain experiment.yaml --key train.loss --task multiclass
    lossdsl explain -e "bce + dice + focal + tversky" --cost

    What is wrong with the loss goes to stderr, as `lossdsl check` shows it, with exit status 1.
    """
    inputs = gather(files, formulas)
    if len(inputs) > 1:
        raise click.UsageError("explain takes one loss: one FILE or one -e EXPR")
    (given,) = inputs
    try:
        click.echo(explain_loss(given.source, key, cost=cost, task=task, input=input))
    except LossError as error:
        found = [given.named(diagnostic) for diagnostic in error.diagnostics]
        click.echo("\n".join(map(as_text, found)), err=True)
        ctx.exit(WRONG_USE if unopened(found) else FINDINGS)
