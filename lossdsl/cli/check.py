"""`lossdsl check`: everything that is wrong with any number of losses."""

from __future__ import annotations

from collections.abc import Sequence

import click

from lossdsl.api import check as check_loss
from lossdsl.cli.findings import as_json, as_text, summary
from lossdsl.cli.inputs import Input, gather, input_options, unopened
from lossdsl.cli.status import CLEAN, FINDINGS, WRONG_USE
from lossdsl.errors import Diagnostic


@click.command(short_help="Say everything that is wrong with losses in files or formulas.")
@input_options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def check(
    ctx: click.Context,
    files: tuple[str, ...],
    formulas: tuple[str, ...],
    key: str,
    task: str | None,
    input: str | None,
    form: str,
) -> None:
    """Say everything that is wrong with the losses in YAML or JSON files, or in formulas.

    FILE is a config file whose loss stands under --key, or - for a formula on stdin.

    \b
    lossdsl check -e "0.5*bce + 0.5*dice"
    lossdsl check a.yaml b.yaml --key train.loss --task multiclass
    echo "bce + dice" | lossdsl check - --format json

    With --format json: {"ok": true or false, "diagnostics": [...]}, each diagnostic with code, severity, message,
    file, line, column, end_line, end_column and hint, null where there is none. Lines and columns count from 1.

    Exit status: 0 nothing found, 1 something found, 2 wrong use or a FILE that cannot be opened.
    """
    findings = [_findings(given, key, task, input) for given in gather(files, formulas)]
    if form == "json":
        click.echo(as_json(findings))
    else:
        lines = [as_text(diagnostic) for found in findings for diagnostic in found]
        click.echo("\n".join([*lines, summary(findings)]))
    ctx.exit(_status([diagnostic for found in findings for diagnostic in found]))


def _findings(given: Input, key: str, task: str | None, input: str | None) -> tuple[Diagnostic, ...]:
    report = check_loss(given.source, key, task=task, input=input)
    return tuple(given.named(diagnostic) for diagnostic in report.diagnostics)


def _status(diagnostics: Sequence[Diagnostic]) -> int:
    if unopened(diagnostics):
        return WRONG_USE
    return FINDINGS if diagnostics else CLEAN
