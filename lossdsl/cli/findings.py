"""Findings as the shell prints them: text, coloured on a terminal, and JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from lossdsl.errors import Diagnostic, Severity

_COLOURS: dict[Severity, str] = {"error": "red", "warning": "yellow"}
# Escape sequences, carriage returns and marks of writing direction in a user's text would act on the terminal.
_ACTING = (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_HARMLESS = dict.fromkeys(_ACTING, "\N{REPLACEMENT CHARACTER}")


def as_text(diagnostic: Diagnostic) -> str:
    """The finding as `Diagnostic.render` gives it, with colour. `click.echo` removes the colour in a pipe."""
    text = diagnostic.render().translate(_HARMLESS)
    hint = (diagnostic.hint or "").translate(_HARMLESS)
    head, *below = text.removesuffix(hint).split("\n")
    colour = _COLOURS[diagnostic.severity]
    title = f"{diagnostic.severity} {diagnostic.code}:"
    place, found, message = head.partition(title)
    styled = [click.style(place, bold=True) + click.style(found, fg=colour, bold=True) + message]
    styled += [click.style(line, fg=colour) if _is_caret(line) else line for line in below]
    return "\n".join(styled) + click.style(hint, fg="cyan")


def _is_caret(line: str) -> bool:
    return line.strip(" \t").rstrip("~") == "^"


def summary(findings: Sequence[Sequence[Diagnostic]]) -> str:
    """`2 errors in 1 of 3 losses`: one entry of `findings` for each loss."""
    losses = _plural(len(findings), "loss", "losses")
    counts = Counter(diagnostic.severity for found in findings for diagnostic in found)
    if not counts:
        return click.style(f"{losses}, nothing found", fg="green")
    told = ", ".join(_plural(counts[word], word, f"{word}s") for word in _COLOURS if counts[word])
    share = "" if len(findings) == 1 else f"{sum(map(bool, findings))} of "
    return click.style(f"{told} in {share}{losses}", bold=True)


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def as_json(findings: Sequence[Sequence[Diagnostic]]) -> str:
    """`{"ok": ..., "diagnostics": [...]}`. `ok` is that of `lossdsl.check`: no error, whatever else was found."""
    flat = [diagnostic for found in findings for diagnostic in found]
    ok = all(diagnostic.severity != "error" for diagnostic in flat)
    return json.dumps({"ok": ok, "diagnostics": [_record(diagnostic) for diagnostic in flat]}, indent=2)


def _record(diagnostic: Diagnostic) -> dict[str, Any]:
    """Lines and columns count from 1, columns in characters; the end is the first character behind."""
    end_line, end_column = None, None
    if diagnostic.source and diagnostic.span:
        end_line, end_column = diagnostic.source.place(diagnostic.span.end)
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "end_line": end_line,
        "end_column": end_column,
        "hint": diagnostic.hint,
    }
