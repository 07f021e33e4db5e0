"""Names that other libraries use and what to write for them, as `lossdsl list --names` prints them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lossdsl.cli.table import aligned, terminal_width
from lossdsl.words import Kind, Word, groups

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
