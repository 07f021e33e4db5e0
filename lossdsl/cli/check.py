"""`lossdsl check`: check losses and report every problem."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from lossdsl.cli.exit_status import CLEAN, FINDINGS, WRONG_USE
from lossdsl.cli.formats import FORMATS, printed
from lossdsl.cli.inputs import InputFile, files_and_formulas, input_options, places, unopened
from lossdsl.cli.run_check import (
    Looked,
    Outcome,
    Wanted,
    look_at_file,
    look_at_formula,
    nothing_checked,
    nowhere,
    write,
)

_KEY = click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="The path of the losses in a FILE: train.loss, runs.*.loss  [default: loss]",
)


@click.command(short_help="Check losses in files or formulas and report every problem.")
@input_options(_KEY)
@click.option(
    "--marked-only",
    is_flag=True,
    help="Check only losses that are marked # lossdsl or call lossdsl; accept a FILE without any.",
)
@click.option("--fix", is_flag=True, help="Apply safe fixes to the FILEs.")
@click.option("--unsafe", is_flag=True, help="With --fix or --diff, also apply suggested fixes.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, without changing a FILE.")
@click.option("--strict", is_flag=True, help="Exit with status 1 on warnings too.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.pass_context
def check(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    formulas: tuple[str, ...],
    keys: tuple[str, ...],
    marked_only: bool,
    fix: bool,
    unsafe: bool,
    diff: bool,
    strict: bool,
    form: str,
    **options: Any,
) -> None:
    """Check the losses in config files, .loss files or formulas, and report every problem.

    FILE is a YAML or JSON file, a .loss file with definitions, a folder to search for such files, a pattern such as
    "conf/**/*.yaml", or - for a formula on stdin. In a config, a loss is the value of each --key, where * matches any
    key or list item; the value of a key with the comment # lossdsl at the end of its line or alone on the line above;
    and the source of _target_ or class_path: lossdsl.compile, for Hydra and Lightning. A FILE that you name must
    contain a loss; files of a folder without one are skipped.

    \b
    lossdsl check -e "0.5*bce + 0.5*dice"
    lossdsl check a.yaml b.yaml --key train.loss --task multiclass
    lossdsl check . --key "*.loss" --key loss --fix
    echo "bce + dice" | lossdsl check - --format json

    A fix is safe if it cannot change the meaning of a correct reading: punctuation, ^, a typing error. A suggested fix
    is a guess and may change the loss.

    A comment allows the warnings on its line, or on the next line if it is on a line of its own; a reason is required:

    
    loss: mean(error/depth)  # lossdsl: allow LD703 -- depth is at least 1 in this data set

    --format json prints {"ok": true or false, "diagnostics": [...], "allowed": [...], "tensors": [...]}. Each
    diagnostic has code, severity, message, file, line, column, end_line, end_column, hint and edit; missing values are
    null. "allowed" lists the warnings that a comment allows, with the reason; "tensors" lists the names that a call
    passes. With --fix or --diff, "fixed" lists the findings that are fixed; with --diff, "diff" has the changes. Lines
    and columns start at 1. sarif is SARIF 2.1.0, github prints annotations for GitHub Actions. lossdsl explain CODE
    explains a finding.

    Exit status: 0 if there is no error, or none left after --fix; 1 for an error, and with --strict for a warning; 2
    for wrong usage or a FILE that cannot be opened.
    """
    if unsafe and not (fix or diff):
        raise click.UsageError("--unsafe needs --fix or --diff")
    wanted = Wanted(keys, marked_only, options)
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


_PATIENCE = 1.0  # seconds after which people want to know
_PAUSE = 0.1  # between two lines
_ERASE = "\r\x1b[K"


def watched(places: Sequence[InputFile]) -> Iterator[InputFile]:
    """Yield the places and print the number of the current one to stderr, if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield from places
        return
    next_line, shown = time.monotonic() + _PATIENCE, False
    try:
        for index, place in enumerate(places):
            now = time.monotonic()
            if now >= next_line:
                click.echo(f"{_ERASE}checking file {index + 1:,} of {len(places):,}", nl=False, err=True)
                next_line, shown = now + _PAUSE, True
            yield place
    finally:
        if shown:
            click.echo(_ERASE, nl=False, err=True)
