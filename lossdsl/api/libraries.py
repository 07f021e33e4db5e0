"""Check a .loss file: every definition can use the others of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lossdsl.api import check_reading
from lossdsl.api.reports import Report, report_of
from lossdsl.api.samples import required_words
from lossdsl.errors import Diagnostic, LossError, Place, Source
from lossdsl.registry.discover import Registry, default_registry
from lossdsl.registry.library import Entry, entries_of, parse_entry
from lossdsl.registry.model import Formula, Provider
from lossdsl.spec import read_formula
from lossdsl.spec.answers import answers_in
from lossdsl.syntax.parse import parse_library

# What a total must be and a definition need not: it may be a score, or a part that only others use.
_OF_TOTALS = "LD71"


def check_library(text: str, path: Path) -> tuple[Report, ...]:
    """A report for each definition of a .loss file, or one for the file if it cannot be read."""
    source = Source(text, str(path))
    entries = entries_of(source)
    first = {entry.name: entry for entry in reversed(entries)}
    registry, namespace = default_registry().with_library(path, first.values())
    found = [tuple(_findings(entry, entries[:index], namespace, registry)) for index, entry in enumerate(entries)]
    if not any(found):
        try:
            parse_library(source)
        except LossError as error:
            return (Report(error.diagnostics),)
    starts = [entry.source.offset(0) - len(entry.comment) for entry in entries]
    ends = [*starts[1:], len(text)]
    inside = [range(start, end) for start, end in zip([0, *starts[1:]], ends, strict=bool(starts))]
    return tuple(report_of(findings, answers_in(source, lines)) for findings, lines in zip(found, inside, strict=False))


def _findings(entry: Entry, before: tuple[Entry, ...], namespace: str, registry: Registry) -> Iterator[Diagnostic]:
    try:
        loss = parse_entry(entry, namespace, Provider("", "", ""))
    except LossError as error:
        yield from error.diagnostics
        return
    if any(entry.name == other.name for other in before):
        hint = "remove one of the two, or give it another name"
        place = Place(entry.source, loss.declaration.span)
        yield place.says("LD105", f"`{entry.name}` is defined twice", hint)
        return
    for words in required_words(loss):
        name = f"{namespace}.{entry.name}"
        report = check_reading(read_formula(f"{name}({words})" if words else name), registry)
        found = (diagnostic for diagnostic in report.diagnostics if not diagnostic.code.startswith(_OF_TOTALS))
        yield from (_placed(diagnostic, loss) for diagnostic in found)


def _placed(diagnostic: Diagnostic, loss: Formula) -> Diagnostic:
    """Report the problems of an example call as problems of the definition."""
    if diagnostic.source and diagnostic.source.file:
        return diagnostic
    return replace(diagnostic, source=loss.source, span=loss.declaration.span, edit=None)
