"""The outcome of a check in the format that was asked for. A format is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lossdsl.cli.findings import as_json, as_text, fixed_line, summary
from lossdsl.cli.looking import Looked
from lossdsl.errors import Diagnostic

FORMATS = ("text", "json", "sarif", "github")


def printed(form: str, looked: Sequence[Looked], *, fixing: bool, diff: bool) -> str:
    """All that is printed, with its line ends."""
    findings = [finding for one in looked for finding in one.outcome.findings]
    allowed = [finding for one in looked for finding in one.outcome.allowed]
    if form == "json":
        fixed = [finding for one in looked for finding in one.fixed] if fixing else None
        return as_json(findings, allowed, _tensors(looked), fixed) + "\n"
    if form == "sarif":
        from lossdsl.cli.sarif import as_sarif

        return as_sarif((*findings, *allowed)) + "\n"
    if form == "github":
        from lossdsl.cli.annotations import as_annotation

        return "".join(f"{as_annotation(finding)}\n" for finding in (*findings, *allowed))
    return "".join(f"{line}\n" for line in _text(looked, diff=diff))


def _text(looked: Sequence[Looked], *, diff: bool) -> Iterator[str]:
    for one in looked:
        if diff and one.after != one.before:
            yield _difference(one)
        elif one.fixed:
            yield from (fixed_line(finding) for finding in one.fixed)
            if not one.in_file:
                yield f"{one.name} mended:"
                yield from (f"    {line}" for line in one.after.splitlines())
        yield from (as_text(finding) for finding in one.outcome.findings)
    losses: list[Sequence[Diagnostic]] = [loss for one in looked for loss in one.outcome.losses]
    fixed = sum(len(one.fixed) for one in looked)
    fixable = sum(_is_fixable(finding) for loss in losses for finding in loss)
    skipped = sum(one.outcome.skipped for one in looked)
    allowed = sum(len(one.outcome.allowed) for one in looked)
    yield summary(
        losses,
        fixed=fixed,
        fixable=0 if fixed else fixable,
        skipped=skipped,
        allowed=allowed,
        tensors=_tensors(looked),
        would=diff,
    )


def _tensors(looked: Sequence[Looked]) -> list[str]:
    return sorted({name for one in looked for name in one.outcome.tensors})


def _is_fixable(finding: Diagnostic) -> bool:
    if finding.edit is None or finding.source is None:
        return False
    from lossdsl.cli.edits import replacement

    return replacement(finding.source.page, finding) is not None


def _difference(one: Looked) -> str:
    from difflib import unified_diff

    before, after = one.before.splitlines(keepends=True), one.after.splitlines(keepends=True)
    lines = unified_diff(before, after, f"a/{one.name}", f"b/{one.name}")
    shown = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(shown).removesuffix("\n")
