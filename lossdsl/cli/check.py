"""`lossdsl check`: everything that is wrong with any number of losses."""

from __future__ import annotations

from collections.abc import Sequence

import click

from lossdsl.cli.formats import FORMATS, printed
from lossdsl.cli.inputs import files_and_formulas, input_options, unopened
from lossdsl.cli.looking import Looked, look_at_file, look_at_formula, nothing_checked, nowhere, write
from lossdsl.cli.outcome import Outcome, Wanted
from lossdsl.cli.places import places
from lossdsl.cli.progress import watched
from lossdsl.cli.status import CLEAN, FINDINGS, WRONG_USE

_KEY = click.option(
    "--key", "keys", multiple=True, metavar="KEY", help="Where losses stand: train.loss, runs.*.loss  [default: loss]"
)


@click.command(short_help="Say everything that is wrong with losses in files or formulas.")
@input_options(_KEY)
@click.option(
    "--marked-only",
    is_flag=True,
    help="Only losses marked # lossdsl, or made by it; a FILE without is no finding.",
)
@click.option("--fix", is_flag=True, help="Make the safe edits, in the FILEs themselves.")
@click.option("--unsafe", is_flag=True, help="With --fix or --diff: make the suggested edits too.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and change nothing.")
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.pass_context
def check(
    ctx: click.Context,
    files: tuple[str, ...],
    formulas: tuple[str, ...],
    keys: tuple[str, ...],
    marked_only: bool,
    fix: bool,
    unsafe: bool,
    diff: bool,
    strict: bool,
    form: str,
    task: str | None,
    input: str | None,
) -> None:
    """Say everything that is wrong with the losses in config files, in .loss files, or in formulas.

    FILE is a YAML or JSON file, a .loss file of definitions, a folder that is searched for them, a pattern such as
    "conf/**/*.yaml", or - for a formula on stdin. In a config, losses stand under --key, which may be repeated and
    where * is any key or list item, where a comment # lossdsl stands, at the end of the key's line or alone on the
    line above, and where Hydra or Lightning calls lossdsl: _target_ or class_path: lossdsl.compile. A FILE that is
    named must have a loss; files of a folder that have none are passed over.

    \b
    lossdsl check -e "0.5*bce + 0.5*dice"
    lossdsl check a.yaml b.yaml --key train.loss --task multiclass
    lossdsl check . --key "*.loss" --key loss --fix
    echo "bce + dice" | lossdsl check - --format json

    An edit is safe where a right reading of the text computes the same after it: punctuation, ^, a slip of the fingers.
    One that is suggested may be meant, and may change the loss.

    A comment answers the warnings of its line, or of the next line if it stands alone; the reason is required:

    
    loss: mean(error/depth)  # lossdsl: allow LD703 -- depth is at least 1 in this data set

    With --format json: {"ok": true or false, "diagnostics": [...], "allowed": [...], "tensors": [...]}, each
    diagnostic with code, severity, message, file, line, column, end_line, end_column, hint and edit, null where there
    is none. Under allowed stand those that a comment answers, with the reason; under tensors the names that a call
    passes; with --fix or --diff, under fixed the findings that an edit mends, and with --diff, under diff the edits.
    Lines and columns count from 1. sarif is SARIF 2.1.0, github the annotations of GitHub Actions. lossdsl explain CODE
    tells more of a finding.

    Exit status: 0 no error, or none left after --fix; 1 an error, with --strict a warning too; 2 wrong use or a FILE
    that cannot be opened.
    """
    if unsafe and not (fix or diff):
        raise click.UsageError("--unsafe goes with --fix or --diff")
    wanted = Wanted(keys, marked_only, {"task": task, "input": input})
    looked = _look(files, formulas, wanted, mending=fix or diff, unsafe=unsafe)
    if fix and not diff:
        looked = [write(one) for one in looked]
    extra = (*nowhere(looked, wanted), *(nothing_checked(looked, wanted) if not formulas else ()))
    if extra:
        looked.append(Looked(Outcome((extra,))))
    click.echo(printed(form, looked, fixing=fix, diff=diff), nl=False)
    ctx.exit(_status(looked, diff=diff, strict=strict))


def _look(
    files: Sequence[str], formulas: Sequence[str], wanted: Wanted, *, mending: bool, unsafe: bool
) -> list[Looked]:
    names, typed = files_and_formulas(files, formulas)
    looked = [look_at_file(place, wanted, mending=mending, unsafe=unsafe) for place in watched(list(places(names)))]
    return looked + [look_at_formula(text, label, wanted, mending=mending, unsafe=unsafe) for text, label in typed]


def _status(looked: Sequence[Looked], *, diff: bool, strict: bool) -> int:
    findings = [finding for one in looked for finding in one.outcome.findings]
    if unopened(findings):
        return WRONG_USE
    pending = diff and any(one.fixed for one in looked)
    counted = any(strict or finding.severity == "error" for finding in findings)
    return FINDINGS if counted or pending else CLEAN
