"""The location of the grammar file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def grammar_text() -> str:
    """The grammar, which is inside the package in a wheel, and next to it in a checkout or editable install."""
    packed = files("lossdsl") / "_grammar" / "loss.lark"
    if packed.is_file():
        return packed.read_text(encoding="ascii")
    return (Path(__file__).parents[2] / "grammar" / "loss.lark").read_text(encoding="ascii")
