"""The progress of a long check, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import click

from lossdsl.cli.places import InputFile

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
