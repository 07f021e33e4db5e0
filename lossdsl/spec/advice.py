"""Hints for formulas that YAML changed before they were parsed."""

from __future__ import annotations

import re
from dataclasses import replace

from lossdsl.errors import Diagnostic, Place, Source, Span

_COMMENT = re.compile(r"#[^\n]*")
_YAML_COMMENT = re.compile(r"[ \t]+#")
_FOLDED = "YAML folds line breaks into spaces here: write the formula below `key: |` to keep its lines"
_CUT_OFF = "YAML reads the rest of the line as a comment; quote the formula if it is part of it"
_CUT_IN_FLOW = "in YAML, a comma inside { } or [ ] ends the value; quote the formula"
_UNFINISHED = ("LD107", "LD108")


def with_advice(finding: Diagnostic) -> Diagnostic:
    """The finding of the parser, with a hint about YAML if YAML caused it."""
    source, span = finding.source, finding.span
    if source is None or span is None or not source.offsets:
        return finding
    if finding.code == "LD102" and _spans_folded_lines(source, span):
        return replace(finding, hint=_FOLDED, edit=None)
    if finding.code in _UNFINISHED and _ends_at_a_comma(source):
        return replace(finding, hint=_CUT_IN_FLOW, edit=None)
    if finding.code in _UNFINISHED and _YAML_COMMENT.match(source.page, source.offset(len(source.text.rstrip()))):
        return replace(finding, hint=f"{finding.hint}; {_CUT_OFF}" if finding.hint else _CUT_OFF, edit=None)
    return finding


def _ends_at_a_comma(source: Source) -> bool:
    """Whether YAML ended an unquoted value at a comma, as it does inside { } and [ ]."""
    return re.match(r"\s*,", source.page[source.offset(len(source.text.rstrip())) :]) is not None


def swallowed_lines(source: Source) -> tuple[Diagnostic, ...]:
    """A finding for each `#` whose comment includes the lines below it, because YAML folded them into one line.

    Otherwise part of the loss would be dropped silently.
    """
    comments = (match.span() for match in _COMMENT.finditer(source.text)) if source.offsets else ()
    message = "the comment hides the lines below it: YAML folds line breaks into spaces here"
    return tuple(
        Place(source, Span(start, end)).says("LD405", message, "write the formula below `key: |` to keep its lines")
        for start, end in comments
        if _holds_more_than_comments(_below(source, start, end))
    )


def _spans_folded_lines(source: Source, span: Span) -> bool:
    """Whether YAML folded the line of `span` and the line before it into one."""
    before = max(0, len(source.text[: span.start].rstrip()) - 1)
    return bool(_below(source, before, span.end)) and "\n" not in source.text[before : span.end]


def _below(source: Source, start: int, end: int) -> list[str]:
    """The lines of the document, from the second on, for a piece of text."""
    last = max(start, start + len(source.text[start:end].rstrip()) - 1)
    return source.page[source.offset(start) : source.offset(last) + 1].split("\n")[1:]


def _holds_more_than_comments(lines: list[str]) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)
