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
HARMLESS = dict.fromkeys(_ACTING, "\N{REPLACEMENT CHARACTER}")


def as_text(diagnostic: Diagnostic) -> str:
    """The finding as `Diagnostic.render` gives it, with colour. `click.echo` removes the colour in a pipe."""
    text = diagnostic.render().translate(HARMLESS)
    hint = (diagnostic.hint or "").translate(HARMLESS)
    head, *below = text.removesuffix(hint).split("\n")
    colour = _COLOURS[diagnostic.severity]
    title = f"{diagnostic.severity} {diagnostic.code}:"
    place, found, message = head.partition(title)
    styled = [click.style(place, bold=True) + click.style(found, fg=colour, bold=True) + message]
    styled += [click.style(line, fg=colour) if _is_caret(line) else line for line in below]
    return "\n".join(styled) + click.style(hint, fg="cyan")


def _is_caret(line: str) -> bool:
    return line.strip(" \t").rstrip("~") == "^"


def fixed_line(diagnostic: Diagnostic) -> str:
    """The line for a finding that `--fix` resolved."""
    head, *_ = diagnostic.render().translate(HARMLESS).split("\n")
    return click.style("fixed ", fg="green") + head


def summary(
    findings: Sequence[Sequence[Diagnostic]],
    *,
    fixed: int = 0,
    fixable: int = 0,
    suggested: int = 0,
    skipped: int = 0,
    allowed: int = 0,
    tensors: Sequence[str] = (),
    would: bool = False,
) -> str:
    """`2 errors in 1 of 3 losses`: one entry of `findings` for each loss. fixed, or `would` be fixed: by --fix.

    fixable, suggested: how many safe and suggested edits there are left to make."""
    parts = [_found(findings, fixed)]
    if fixed:
        parts.append(f"{_plural(fixed, 'finding', 'findings')} {'to be ' * would}fixed")
    if fixable:
        parts.append(f"{fixable:,} fixable with --fix")
    if suggested:
        parts.append(f"{suggested:,}{' more' * bool(fixable or fixed)} fixable with --fix --unsafe")
    if allowed:
        parts.append(f"{_plural(allowed, 'warning', 'warnings')} allowed")
    if tensors:
        parts.append(f"tensors to pass by name: {', '.join(tensors)}")
    if skipped:
        parts.append(f"{_plural(skipped, 'file', 'files')} without a loss")
    return click.style("; ".join(parts), **({"bold": True} if any(findings) else {"fg": "green"}))


def _found(findings: Sequence[Sequence[Diagnostic]], fixed: int) -> str:
    losses = _plural(len(findings), "loss", "losses")
    counts = Counter(diagnostic.severity for found in findings for diagnostic in found)
    if not counts:
        return f"{losses}, nothing {'left' if fixed else 'found'}"
    told = ", ".join(_plural(counts[word], word, f"{word}s") for word in _COLOURS if counts[word])
    share = "" if len(findings) == 1 else f"{sum(map(bool, findings))} of "
    return f"{told} {'left ' if fixed else ''}in {share}{losses}"


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def as_json(
    findings: Sequence[Diagnostic],
    allowed: Sequence[Diagnostic] = (),
    tensors: Sequence[str] = (),
    fixed: Sequence[Diagnostic] | None = None,
    diff: str | None = None,
) -> str:
    """`{"ok": ..., "diagnostics": [...], "allowed": [...], "tensors": [...]}`. `ok`: there is no error.

    After --fix the findings that are gone stand under `fixed`, as they were. With a `diff` they would be gone: as
    nothing was written, it is not ok where there is one.
    """
    ok = not diff and all(diagnostic.severity != "error" for diagnostic in findings)
    document: dict[str, Any] = {"ok": ok, "diagnostics": [_record(diagnostic) for diagnostic in findings]}
    document["allowed"] = [{**_record(diagnostic), "reason": diagnostic.allowed} for diagnostic in allowed]
    document["tensors"] = list(tensors)
    if fixed is not None:
        document["fixed"] = [_record(diagnostic) for diagnostic in fixed]
    if diff is not None:
        document["diff"] = diff
    return json.dumps(document, indent=2)


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
        "edit": _edit_record(diagnostic),
    }


def _edit_record(diagnostic: Diagnostic) -> dict[str, Any] | None:
    """The characters to replace, places as those of the finding, the text to write there, and whether it is safe."""
    from lossdsl.cli.fixes import replacement

    source = diagnostic.source
    made = replacement(source.page, diagnostic) if source else None
    if source is None or made is None or diagnostic.edit is None:
        return None
    line, column = source.place_in_page(made.start)
    end_line, end_column = source.place_in_page(made.end)
    return {
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "text": made.text,
        "applicability": diagnostic.edit.applicability,
    }
