"""Rows of text in aligned columns."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

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
