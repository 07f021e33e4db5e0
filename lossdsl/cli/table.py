"""Rows of text in aligned columns."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

_GAP = "  "
_LEAST = 8
_CUT = "..."


def terminal_width() -> int | None:
    """The columns of the terminal that is printed to, None in a pipe or file, where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else None


def aligned(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """One line for each row. Lines wider than `width` are cut: first the widest columns, never the first column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width:
        _narrow(widths, width - len(_GAP) * (len(widths) - 1))
    lines = (_GAP.join(_cell(cell, space) for cell, space in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip()[:width] for line in lines]


def _narrow(widths: list[int], total: int) -> None:
    while sum(widths) > total and max(widths[1:]) > _LEAST:
        widest = max(range(1, len(widths)), key=widths.__getitem__)
        widths[widest] -= 1


def _cell(text: str, space: int) -> str:
    shown = text if len(text) <= space else text[: space - len(_CUT)] + _CUT
    return shown.ljust(space)
