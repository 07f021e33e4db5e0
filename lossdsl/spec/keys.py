"""Keys that the long form does not have."""

from __future__ import annotations

from collections.abc import Sequence

from lossdsl import words
from lossdsl.errors import Diagnostic, nearest
from lossdsl.spec.values import Table, shown


def unknown_keys(table: Table, allowed: Sequence[str]) -> tuple[Diagnostic, ...]:
    """A finding for each key that is not allowed, with the nearest one that is, and all of them."""
    return tuple(
        entry.place.says(
            "LD402",
            f"unknown key {shown(entry.name)}",
            _hint(entry.name, allowed),
            entry.place.respelt(entry.name, allowed, "key"),
        )
        for entry in table.entries
        if entry.name not in allowed
    )


def _hint(name: str, allowed: Sequence[str]) -> str:
    keys = f"the keys are {', '.join(allowed)}"
    word = words.word(name, "key")
    near = f"{word.hint};" if word else nearest(name, allowed)
    return f"{near} {keys}" if near else keys
