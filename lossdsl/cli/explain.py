"""`lossdsl explain`: explain a loss, or the code of a finding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lossdsl.api import explain as explain_loss
from lossdsl.cli.exit_status import FINDINGS, WRONG_USE
from lossdsl.cli.findings import as_text
from lossdsl.cli.inputs import gather, input_options, unopened
from lossdsl.errors import LossError

_KEY = click.option("--key", default="loss", show_default=True, help="The path of the loss in a FILE: train.loss")
_CODE = re.compile(r"LD\d+", re.IGNORECASE | re.ASCII)


@click.command(short_help="Explain a loss, or the code of a finding.")
@input_options(_KEY)
@click.option(
    "--open", "opened", multiple=True, metavar="NAME", help="Expand a loss to its formula; `all` expands every loss."
)
@click.option("--latex", is_flag=True, help="Print only the formula, as LaTeX for math mode.")
@click.option("--cost", is_flag=True, help="Also count the passes over memory.")
@click.pass_context
def explain(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    formulas: tuple[str, ...],
    key: str,
    opened: tuple[str, ...],
    latex: bool,
    cost: bool,
    **options: Any,
) -> None:
    """Explain a loss: its terms and weights, the formula of each loss that it uses, and the rewrites applied.

    FILE is a config file with the loss at --key, or - for a formula on stdin. With --open, losses are expanded with the
    parameters of their call.

    \b
    lossdsl explain -e "0.5*bce + 0.5*(-log(1 - dice))"
    lossdsl explain experiment.yaml --key train.loss --task multiclass
    lossdsl explain -e "bce + dice(smooth=0)" --open dice --latex
    lossdsl explain -e "bce + dice + focal + tversky" --cost

    With a code instead of FILE, explain what it means, with a wrong and a right example:

    \b
    lossdsl explain LD204

    If the loss has errors, they are printed to stderr as by `lossdsl check`, and the exit status is 1.
    """
    if _is_code(files, formulas):
        click.echo(_documentation(files[0].upper()))
        return
    inputs = gather(files, formulas)
    if len(inputs) > 1:
        raise click.UsageError("explain takes one loss: one FILE or one -e EXPR")
    (given,) = inputs
    try:
        shown: dict[str, Any] = {"open": opened, "latex": latex, "cost": cost, "files": given.in_file}
        click.echo(explain_loss(given.source, key, **shown, **options))
    except LossError as error:
        found = [given.named(diagnostic) for diagnostic in error.diagnostics]
        click.echo("\n".join(map(as_text, found)), err=True)
        ctx.exit(WRONG_USE if unopened(found) else FINDINGS)


def _is_code(files: Sequence[str], formulas: Sequence[str]) -> bool:
    return len(files) == 1 and not formulas and bool(_CODE.fullmatch(files[0])) and not Path(files[0]).exists()


def _documentation(code: str) -> str:
    from lossdsl.cli.code_pages import as_plain_text, codes, explained

    documentation = explained(code)
    if documentation:
        return as_plain_text(documentation)
    family = [known for known in codes() if known[:3] == code[:3]] or codes()
    raise click.UsageError(f"there is no code {code}: the nearest are {', '.join(_nearest(code, family))}")


def _nearest(code: str, family: Sequence[str]) -> list[str]:
    number = int(code[2:])
    return sorted(sorted(family, key=lambda known: abs(int(known[2:]) - number))[:5])
