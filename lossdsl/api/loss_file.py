"""Check a .loss file: every definition in it, called with a value for each parameter that is required."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lossdsl.api import check_reading
from lossdsl.api.reports import Report, report_of
from lossdsl.config import read_formula
from lossdsl.config.allow_comments import answers_in
from lossdsl.errors import Diagnostic, LossError, Place, Source
from lossdsl.registry.discover import Registry, default_registry
from lossdsl.registry.loss_files import Entry, entries_of, parse_entry
from lossdsl.registry.model import Formula, Loss, Parameter, Provider
from lossdsl.syntax.parse import parse_library
from lossdsl.syntax.printing import number
from lossdsl.syntax.tree import Range
from lossdsl.tasks import TASKS


def required_words(loss: Loss) -> Iterator[str]:
    """The required parameters with valid values; one example per task if a parameter decides the task."""
    required = [parameter for parameter in loss.parameters if parameter.default is None]
    for task in loss.tasks or TASKS if any(parameter.decides_task for parameter in required) else TASKS[:1]:
        yield ", ".join(f"{p.name}={task if p.decides_task else _example(p, loss)}" for p in required)


def _example(parameter: Parameter, loss: Loss) -> str:
    """A valid value of a parameter; a list of one, or of two if it is about the classes."""
    if parameter.interval is None:
        return parameter.words[0]
    inside = next(value for value in (1.0, *_ends(parameter.interval)) if value in parameter.interval)
    text, items = number(inside), 2 if parameter.name in loss.documentation.classes else 1
    for _ in range(parameter.lists):
        text = f"[{', '.join([text] * items)}]"
    return text


def _ends(interval: Range) -> Iterator[float]:
    """Numbers, at least one of which is in the range."""
    yield from (interval.low, interval.high, (interval.low + interval.high) / 2, interval.low + 1, interval.high - 1)


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
