"""Rows of text in aligned columns."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

_GAP = "  "
_LEAST = 16  # characters of a column below which the last column goes, to leave room for the others
_CUT = "..."


def terminal_width() -> int | None:
    """The columns of the terminal that is printed to, None in a pipe or file, where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else None


def aligned(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """One line for each row. Lines longer than `width` are cut: the widest columns first, the first column last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width:
        while len(widths) > 1 and _line(min(space, _LEAST) for space in widths) > width:
            widths.pop()
        _narrow(widths, width)
    lines = (_GAP.join(_cell(cell, space) for cell, space in zip(row, widths, strict=False)) for row in rows)
    return [line.rstrip()[:width] for line in lines]


def _line(widths: Iterable[int]) -> int:
    spaces = list(widths)
    return sum(spaces) + len(_GAP) * (len(spaces) - 1)


def _narrow(widths: list[int], width: int) -> None:
    """Take from the widest column, again and again."""
    others = range(1, len(widths))
    while _line(widths) > width and max(widths[1:], default=0) > _LEAST:
        widths[max(others, key=widths.__getitem__)] -= 1


def _cell(text: str, space: int) -> str:
    shown = text if len(text) <= space else text[: space - len(_CUT)] + _CUT
    return shown.ljust(space)
