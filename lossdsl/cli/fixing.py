"""`--fix`: apply the edits of findings to a document, as long as they change nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lossdsl.cli.edits import Replacement, replacement
from lossdsl.errors import Diagnostic, Edit, Source, Span

Look: TypeAlias = Callable[[str], Sequence[Diagnostic]]
# The texts that differ between two documents, as they were and as they are; None when more than texts differs.
Changes: TypeAlias = Callable[[str, str], Sequence[tuple[str, str]] | None]


@dataclass(frozen=True, slots=True)
class Mended:
    """A document after its edits. fixed: the findings that are resolved; left: the findings that remain."""

    text: str
    fixed: tuple[Diagnostic, ...]
    left: tuple[Diagnostic, ...]


def mend(document: str, look: Look, changes: Changes | None = None, *, unsafe: bool = False) -> Mended:
    """Apply edits and check again, until no edit is left that resolves its finding.

    look: returns the findings of a document. changes: returns how two documents differ; None if the whole document is
    one formula. unsafe: also apply suggested edits.
    """
    fixed: list[Diagnostic] = []
    found = tuple(look(document))
    seen = {document}
    while True:
        step = _step(document, found, look, changes, unsafe)
        if step is None or step.text in seen:
            return Mended(document, tuple(fixed), found)
        document, found = step.text, step.left
        seen.add(document)
        fixed += step.fixed


def _step(
    document: str, found: Sequence[Diagnostic], look: Look, changes: Changes | None, unsafe: bool
) -> Mended | None:
    """Apply all edits at once if that succeeds, else the first one that succeeds."""
    wanted = [finding for finding in found if finding.edit and (unsafe or finding.edit.is_safe)]
    replacements = _apart(filter(None, (replacement(document, finding) for finding in wanted)))
    tries = [replacements, *([one] for one in replacements)] if len(replacements) > 1 else [replacements]
    for attempt in tries if replacements else ():
        text = _replaced(document, [(r.start, r.end, r.text) for r in attempt])
        if changes and not _only_as_said(changes(document, text), attempt):
            continue
        left = tuple(look(text))
        if not any(_is_still_there(made, attempt, left) for made in attempt):
            return Mended(text, tuple(made.finding for made in attempt), left)
    return None


def _apart(replacements: Iterable[Replacement]) -> list[Replacement]:
    """The edits that do not overlap; of overlapping ones the first."""
    chosen: list[Replacement] = []
    for one in sorted(replacements, key=lambda r: (r.start, r.end)):
        if not chosen or one.start > chosen[-1].end:
            chosen.append(one)
    return chosen


def _replaced(text: str, pieces: Iterable[tuple[int, int, str]]) -> str:
    for start, end, new in sorted(pieces, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _only_as_said(changed: Sequence[tuple[str, str]] | None, attempt: Sequence[Replacement]) -> bool:
    """Whether the texts differ only by the edits of the findings."""
    edits: dict[Source, list[Edit]] = {}
    expected: list[tuple[str, str]] = []
    for finding in (made.finding for made in attempt):
        if finding.source is None or finding.edit is None:
            return False
        if finding.source.offsets:
            edits.setdefault(finding.source, []).append(finding.edit)
        else:
            expected.append((_cut(finding.source, finding.edit.span), finding.edit.text))
    for source, own in edits.items():
        expected.append((source.text, _replaced(source.text, [(e.span.start, e.span.end, e.text) for e in own])))
    return changed is not None and sorted(changed) == sorted(expected)


def _cut(source: Source, span: Span) -> str:
    return source.text[span.start : span.end]


def _is_still_there(made: Replacement, attempt: Sequence[Replacement], left: Sequence[Diagnostic]) -> bool:
    """Whether the finding is still at its place, shifted by the edits before it."""
    finding = made.finding
    start = _start(finding)
    moved = start + sum(len(r.text) - (r.end - r.start) for r in attempt if r.end <= start)
    return any((d.code, d.message, _start(d)) == (finding.code, finding.message, moved) for d in left)


def _start(finding: Diagnostic) -> int:
    return finding.source.offset(finding.span.start) if finding.source and finding.span else -1
