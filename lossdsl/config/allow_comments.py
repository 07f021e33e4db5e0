"""Comments that answer a warning: `# lossdsl: allow LD703 -- depth is at least 1 in this data set`.

A comment at the end of a line answers the warnings of that line; alone on a line, those of the next one. A warning in a
formula that takes several lines of a config is also answered where the formula begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from lossdsl.errors import Diagnostic, Place, Source, Span

_COMMENT = re.compile(r"#[ \t]*lossdsl(?P<colon>[ \t]*:|(?=[ \t]+allow\b))[ \t]*(?P<body>[^\r\n]*)")
_BODY = re.compile(r"allow[ \t]+(?P<codes>LD\d{3}(?:[ \t]*,[ \t]*LD\d{3})*)(?P<dashes>[ \t]+--[ \t]*)?(?P<reason>.*)")
_COMMENT_LINE = re.compile(r"[ \t]*#")
_BETWEEN = re.compile(r"[ \t\r]*(?:#.*)?$")
_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*[ \t]*(?:#.*)?\r?$")
_FORM = "write # lossdsl: allow LD703 -- the reason"
UNUSED, UNREADABLE = "LD801", "LD802"


@dataclass(frozen=True, slots=True)
class Answer:
    """One comment. line: the line that it answers. fault: why it is invalid; empty if it is valid.

    shared: it is at a part with an anchor, which other losses can use too.
    """

    codes: tuple[str, ...]
    reason: str
    source: Source
    span: Span
    line: int
    fault: str = ""
    shared: bool = False


def answerable(text: str) -> bool:
    """Whether a text has such a comment."""
    return _COMMENT.search(text) is not None


def answers_in(source: Source, within: range | None = None) -> tuple[Answer, ...]:
    """The comments of a whole page that answer warnings; within: only those that begin in this range of offsets."""
    if "lossdsl" not in source.text:
        return ()
    matches = (match for match in _COMMENT.finditer(source.text) if within is None or match.start() in within)
    return tuple(_answer(source, match) for match in matches)


def extent(text: str, start: int, end: int) -> range:
    """The offsets at which comments belong to what stands from `start` to `end`: whole lines, and comments above."""
    first = line = text.rfind("\n", 0, start) + 1
    while line and _BETWEEN.match(text, above := text.rfind("\n", 0, line - 1) + 1, line - 1):
        line = above
        if _COMMENT_LINE.match(text, line):
            first = line
    last = text.find("\n", start + len(text[start:end].rstrip()))
    return range(first, len(text) if last < 0 else last)


def _answer(source: Source, match: re.Match[str]) -> Answer:
    text = source.text
    line = text.count("\n", 0, match.start()) + 1
    if not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip(" \t"):
        line += 1
        at = text.find("\n", match.end()) + 1
        while at and _COMMENT_LINE.match(text, at):
            line, at = line + 1, text.find("\n", at) + 1
    body = _BODY.fullmatch(match["body"].rstrip())
    codes = tuple(code.strip(" \t") for code in body["codes"].split(",")) if body else ()
    reason = body["reason"].strip() if body and body["dashes"] else ""
    span = Span(match.start(), match.end())
    return Answer(codes, reason, source, span, line, _fault(match, body, reason))


def _fault(match: re.Match[str], body: re.Match[str] | None, reason: str) -> str:
    if body is None or (body["reason"] and not body["dashes"]) or not match["colon"]:
        return "this lossdsl comment is not valid"
    return "" if reason else f"the reason for allowing {body['codes']} is missing"


def answered(findings: Iterable[Diagnostic], answers: Iterable[Answer]) -> tuple[Diagnostic, ...]:
    """The findings, with the reason in `allowed` if a comment answers them, and a finding for each unused comment."""
    known = tuple(answers)
    if not known:
        return tuple(findings)
    told, used = [], set[tuple[Answer, str]]()
    for finding in findings:
        answer = next((answer for answer in known if _holds_for(answer, finding)), None)
        if answer:
            used |= {(one, finding.code) for one in known if _holds_for(one, finding)}
        told.append(replace(finding, allowed=answer.reason) if answer else finding)
    return (*told, *(finding for answer in known for finding in _in_vain(answer, used, told)))


def _holds_for(answer: Answer, finding: Diagnostic) -> bool:
    if answer.fault or finding.severity != "warning" or finding.code not in answer.codes:
        return False
    return (
        answer.line in _lines(finding) and finding.source is not None and _page(answer.source) == _page(finding.source)
    )


def _page(source: Source) -> tuple[str, str | None, str]:
    return source.page, source.file, source.path


def _lines(finding: Diagnostic) -> Iterator[int]:
    """The lines at which a finding can be answered."""
    source, span = finding.source, finding.span
    if source is None or span is None:
        return
    yield source.place(span.start)[0]
    yield source.place(max(span.start, span.end - 1))[0]
    if source.document is not None:
        first = source.place(0)[0]
        yield first
        if _BLOCK_HEADER.search(source.line(first - 1)):
            yield first - 1


def _in_vain(answer: Answer, used: set[tuple[Answer, str]], findings: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    if answer.shared:
        return
    if answer.fault:
        yield Place(answer.source, answer.span).says(UNREADABLE, answer.fault, _FORM, severity="warning")
        return
    stopped = any(finding.severity == "error" for finding in findings)
    for code in answer.codes:
        severities = {finding.severity for finding in findings if finding.code == code}
        if (answer, code) in used or (stopped and not severities):  # an error hides the warnings behind it
            continue
        hint = "remove it"
        if severities == {"error"}:
            hint = f"{code} is an error here; only warnings can be allowed"
        elif severities:
            hint = "move it to the end of the line with the warning, or to a line of its own above it"
        place = Place(answer.source, answer.span)
        yield place.says(UNUSED, f"there is no {code} warning to allow here", hint, severity="warning")
