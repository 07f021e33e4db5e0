"""The losses that are installed as rows: for a terminal, for the README, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lossdsl.cli.known import Known, known_losses, provider_text, record, signature
from lossdsl.cli.table import aligned, terminal_width
from lossdsl.registry.contract import BUILT_IN
from lossdsl.registry.discover import default_registry
from lossdsl.registry.model import Formula


def listed(form: str) -> str:
    """All losses in one of the formats of `lossdsl list`."""
    losses = list(known_losses(default_registry()))
    if form == "json":
        return json.dumps({"losses": [record(known) for known in losses]}, indent=2)
    if form == "markdown":
        return "\n".join(_markdown(losses))
    return "\n".join(aligned([_row(known) for known in losses], terminal_width()))


def _markdown(losses: list[Known]) -> Iterator[str]:
    yield "| loss | parameters | range | tasks | what it is | source |"
    yield "|---|---|---|---|---|---|"
    for known in losses:
        loss = known.loss
        if known.candidate.namespace == BUILT_IN and isinstance(loss, Formula):
            cells = (f"`{known.name}`", f"`{signature(loss)}`" if loss.parameters else "", f"`{loss.range}`")
            texts = (", ".join(known.tasks), loss.documentation.summary, loss.documentation.source)
            yield f"| {' | '.join(_one_line(cell).replace('|', chr(92) + '|') for cell in (*cells, *texts))} |"


def _row(known: Known) -> tuple[str, ...]:
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
