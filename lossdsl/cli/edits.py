"""The edit of a finding where it falls in the user's file."""

from __future__ import annotations

from dataclasses import dataclass

from lossdsl.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Replacement:
    """Characters of the document from `start` to before `end`, and what to write instead."""

    start: int
    end: int
    text: str
    finding: Diagnostic


def replacement(document: str, finding: Diagnostic) -> Replacement | None:
    """Where an edit falls in the document. None where its characters are written apart or with escapes there."""
    source, edit = finding.source, finding.edit
    if source is None or edit is None or source.page != document:
        return None
    if not source.offsets:
        return Replacement(edit.span.start, edit.span.end, edit.text, finding)
    first = max(0, edit.span.start - 1) if edit.span.start == edit.span.end else edit.span.start
    places = [(source.offsets[index], source.text[index]) for index in range(first, edit.span.end)]
    if not places:
        return Replacement(source.offsets[0], source.offsets[0], edit.text, finding)
    start, end = places[0][0], places[-1][0] + 1
    if document[start:end] != source.text[first : edit.span.end]:
        return None
    return Replacement(end if edit.span.start == edit.span.end else start, end, edit.text, finding)
