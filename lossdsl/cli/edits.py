"""The edit of a finding at its place in the user's file."""

from __future__ import annotations

from dataclasses import dataclass

from lossdsl.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Replacement:
    """Replace the characters of the document from `start` to before `end`."""

    start: int
    end: int
    text: str
    finding: Diagnostic


def replacement(document: str, finding: Diagnostic) -> Replacement | None:
    """The place of an edit in the document. None if its characters are not contiguous there, or are escaped."""
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
