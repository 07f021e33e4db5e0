"""The output of a check in the requested format. A format is only imported if it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lossdsl.cli.findings import as_json, as_text, fixed_line, summary
from lossdsl.cli.run_check import Looked
from lossdsl.errors import Diagnostic

FORMATS = ("text", "json", "sarif", "github")


def printed(form: str, looked: Sequence[Looked], *, fixing: bool, diff: bool) -> str:
    """The complete output, with line ends."""
    findings = [finding for one in looked for finding in one.outcome.findings]
    allowed = [finding for one in looked for finding in one.outcome.allowed]
    if form == "json":
        fixed = [finding for one in looked for finding in one.fixed] if fixing or diff else None
        difference = "".join(f"{_difference(one)}\n" for one in looked if one.after != one.before) if diff else None
        return as_json(findings, allowed, _tensors(looked), fixed, difference) + "\n"
    if form == "sarif":
        from lossdsl.cli.code_hosts import as_sarif

        return as_sarif((*findings, *allowed)) + "\n"
    if form == "github":
        from lossdsl.cli.code_hosts import as_annotation

        return "".join(f"{as_annotation(finding)}\n" for finding in (*findings, *allowed))
    return "".join(f"{line}\n" for line in _text(looked, diff=diff))


def _text(looked: Sequence[Looked], *, diff: bool) -> Iterator[str]:
    for one in looked:
        if diff and one.after != one.before:
            yield _difference(one)
        elif one.fixed:
            yield from (fixed_line(finding) for finding in one.fixed)
            if not one.in_file:
                yield f"{one.name} fixed:"
                yield from (f"    {line}" for line in one.after.splitlines())
        yield from (as_text(finding) for finding in one.outcome.findings)
    losses: list[Sequence[Diagnostic]] = [loss for one in looked for loss in one.outcome.losses]
    fixed = sum(len(one.fixed) for one in looked)
    fixable, suggested = _fixable(losses)
    skipped = sum(one.outcome.skipped for one in looked)
    allowed = sum(len(one.outcome.allowed) for one in looked)
    yield summary(
        losses,
        fixed=fixed,
        fixable=0 if fixed else fixable,
        suggested=suggested,
        skipped=skipped,
        allowed=allowed,
        tensors=_tensors(looked),
        would=diff,
    )


def _tensors(looked: Sequence[Looked]) -> list[str]:
    return sorted({name for one in looked for name in one.outcome.tensors})


def _fixable(losses: Sequence[Sequence[Diagnostic]]) -> tuple[int, int]:
    """The numbers of safe and suggested edits. An edit that several losses share through an anchor counts once."""
    findings = {finding for loss in losses for finding in loss if finding.edit and finding.source}
    if not findings:
        return 0, 0
    from lossdsl.cli.fixes import replacement

    made = [f.edit.is_safe for f in findings if f.edit and f.source and replacement(f.source.page, f)]
    return sum(made), len(made) - sum(made)


def _difference(one: Looked) -> str:
    from difflib import unified_diff

    before, after = one.before.splitlines(keepends=True), one.after.splitlines(keepends=True)
    lines = unified_diff(before, after, f"a/{one.name}", f"b/{one.name}")
    shown = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(shown).removesuffix("\n")
