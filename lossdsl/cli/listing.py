"""`lossdsl list`: the losses that a formula can name, and with --names the names that the field uses for them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from lossdsl.cli.show import Known, known_losses, provider_text, record, signature
from lossdsl.registry.discover import default_registry
from lossdsl.registry.entry_points import BUILT_IN
from lossdsl.registry.model import Formula
from lossdsl.words import Kind, Word, groups

_GAP = "  "
_LEAST = 16  # characters of a column below which the last column goes, to leave room for the others
_DOTS = "..."


def terminal_width() -> int | None:
    """The width of the terminal; None in a pipe or file, where lines are not cut."""
    return shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else None


def aligned(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """One line per row. Lines longer than `width` are cut: the widest columns first, the first column last.

    In a row with fewer cells, the last cell extends over the remaining columns.
    """
    columns = max(map(len, rows), default=0)
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if len(row) == columns), strict=True)]
    if rows:
        widths[0] = max(len(row[0]) for row in rows)
    if width:
        while len(widths) > 1 and _line(min(space, _LEAST) for space in widths) > width:
            widths.pop()
        _narrow(widths, width)
    return [_cut(_row(row, widths, short=len(row) < columns), width) for row in rows]


def _row(row: Sequence[str], widths: Sequence[int], *, short: bool) -> str:
    own = [*widths[: len(row) - 1], len(row[-1])] if short else widths
    return _GAP.join(_cut(cell, space).ljust(space) for cell, space in zip(row, own, strict=False)).rstrip()


def _cut(text: str, space: int | None) -> str:
    return text if space is None or len(text) <= space else text[: max(0, space - len(_DOTS))] + _DOTS[:space]


def _line(widths: Iterable[int]) -> int:
    spaces = list(widths)
    return sum(spaces) + len(_GAP) * (len(spaces) - 1)


def _narrow(widths: list[int], width: int) -> None:
    """Shrink the widest column until the line fits."""
    others = range(1, len(widths))
    while _line(widths) > width and max(widths[1:], default=0) > _LEAST:
        widths[max(others, key=widths.__getitem__)] -= 1


def listed(form: str) -> str:
    """All losses in one of the formats of `lossdsl list`."""
    losses = list(known_losses(default_registry()))
    if form == "json":
        return json.dumps({"losses": [record(known) for known in losses]}, indent=2)
    if form == "markdown":
        return "\n".join(_losses_in_markdown(losses))
    return "\n".join(aligned([_row_of(known) for known in losses], terminal_width()))


def _losses_in_markdown(losses: list[Known]) -> Iterator[str]:
    yield "| loss | parameters | range | tasks | what it is | source |"
    yield "|---|---|---|---|---|---|"
    for known in losses:
        loss = known.loss
        if known.candidate.namespace == BUILT_IN and isinstance(loss, Formula):
            cells = (f"`{known.name}`", f"`{signature(loss)}`" if loss.parameters else "", f"`{loss.range}`")
            texts = (", ".join(known.tasks), loss.documentation.summary, loss.documentation.source)
            yield f"| {' | '.join(_one_line(cell).replace('|', chr(92) + '|') for cell in (*cells, *texts))} |"


def _row_of(known: Known) -> tuple[str, ...]:
    provider = provider_text(known.candidate.provider)
    if known.loss is None:
        return (known.name, _one_line(f"cannot be used: {known.error} (from {provider})"))
    loss = known.loss
    first_sentence = _one_line(loss.documentation.summary).partition(". ")[0].removesuffix(".")
    return (
        known.name,
        signature(loss) or "-",
        str(loss.range),
        ", ".join(known.tasks) or "-",
        first_sentence or "-",
        provider,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


_TITLES: dict[Kind, str] = {
    "loss": "Losses and scores",
    "function": "Functions",
    "value": "Tensors and numbers",
    "parameter": "Parameters of a loss",
    "choice": "Values of parameters and options",
    "key": "Keys of a config",
}
_HEAD = """\
# Names of other libraries, and what to write here

`lossdsl check` gives these hints for names that are not defined. The names of torch, numpy and TensorFlow can be
written with their module: `nn.L1Loss`, `F.l1_loss`, `torch.nn.L1Loss`. **=** marks formulas that compute the same value
for the predictions and targets that lossdsl expects; `lossdsl check --fix --unsafe` writes them. In functions, x, a and
b are the arguments.

This page is the output of `lossdsl list --names --format markdown`."""


def names(form: str) -> str:
    """All names in one of the formats of `lossdsl list`."""
    if form == "json":
        return json.dumps({"names": [_record(word) for group in groups() for word in group]}, indent=2)
    if form == "markdown":
        return "\n".join(_markdown())
    rows = [(word.name, word.kind, word.write or "-", word.note or "-") for group in groups() for word in group]
    return "\n".join(aligned(rows, terminal_width()))


def _record(word: Word) -> dict[str, str | bool | None]:
    return {
        "name": word.name,
        "kind": word.kind,
        "write": word.write or None,
        "same": word.same,
        "context": word.context or None,
        "note": word.note or None,
    }


def _markdown() -> Iterator[str]:
    yield _HEAD
    for kind, title in _TITLES.items():
        yield f"\n## {title}\n"
        yield "| elsewhere | here | | |"
        yield "|---|---|---|---|"
        for group in groups():
            if group[0].kind == kind:
                first = group[0]
                written = f"`{first.write}`" if first.write else ""
                cells = (", ".join(f"`{word.name}`" for word in group), written, "=" * first.same, first.note)
                yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


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
        from lossdsl.cli.listing import names as listed
    else:
        from lossdsl.cli.listing import listed

    text = listed(form)
    if text:
        click.echo(text)
