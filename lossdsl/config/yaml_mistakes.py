"""What YAML made of a formula that it took for its own syntax, and how to write what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import yaml

from lossdsl.config.interpolation import template_at
from lossdsl.config.page import Page
from lossdsl.config.yaml_text import PLAIN
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


Pair = tuple[yaml.Node, yaml.Node]


@dataclass(frozen=True, slots=True)
class Item:
    """A key and its value. end: the real end of a value that was cut, else None."""

    key: yaml.Node
    value: yaml.Node
    end: int | None = None


def items_of(mapping: yaml.MappingNode) -> Iterator[Item]:
    """The pairs of a mapping, with the pieces of cut formulas joined."""
    pairs: Sequence[Pair] = mapping.value
    index = 0
    while index < len(pairs):
        key, value = pairs[index]
        pieces = _pieces(value, pairs[index + 1 :]) if mapping.flow_style else 0
        yield Item(key, value, pairs[index + pieces][0].end_mark.index if pieces else None)
        index += 1 + pieces


def _pieces(value: yaml.Node, rest: Sequence[Pair]) -> int:
    """How many of the following keys are really the rest of `value`; 0 if that does not close its brackets."""
    depth = _open_brackets(value)
    if depth <= 0:
        return 0
    for count, (key, nothing) in enumerate(rest, start=1):
        if not (key.tag == PLAIN and nothing.tag == PLAIN and nothing.value == ""):
            return 0
        depth += _open_brackets(key)
        if depth <= 0:
            return count
    return 0


def _open_brackets(node: yaml.Node) -> int:
    if node.tag != PLAIN:
        return 0
    text: str = node.value
    return text.count("(") - text.count(")")


# Of a line without white space at its end. The dashes of a list are never given back, which would take quadratic time.
_VALUE = re.compile(r"[ \t]*(?:- +)*+(?P<key>[^\s:#'\"{}\[\],][^:#'\"{}\[\],]*):[ \t]+(?P<value>\S.*)")
_QUOTE = "quote the formula"
_HINTS = (
    ("'\\t'", "write spaces instead of tabs, or quote the formula"),
    ("another document", "write one document per file, without a second ---"),
    ("unknown escape", "write it in 'single quotes', which have no escapes"),
    ("end of stream", "a quote or a bracket is never closed"),
    ("<stream end>", "a quote or a bracket is never closed"),
    ("expected ':'", "a key is followed by a colon and a space: `key: value`"),
    ("special characters", "remove the character"),
    ("undefined alias", f"define it first with &name, or {_QUOTE} if it is not an alias"),
    ("or ']'", f"{_QUOTE}: inside {{ }} and [ ] a comma or a bracket ends a value"),
    ("or '}'", f"{_QUOTE}: inside {{ }} and [ ] a comma or a bracket ends a value"),
)


def explain(error: yaml.YAMLError, page: Page) -> Diagnostic:
    """The finding for an error of PyYAML."""
    problem, offset = _facts(error)
    offset = min(offset, len(page.text))
    start, end = page.text.rfind("\n", 0, offset) + 1, page.text.find("\n", offset)
    template = template_at(page, start, end if end >= 0 else len(page.text))
    if template:
        return template
    message = f"the file is not valid YAML: {problem}"
    return page.at(offset).says("LD401", message, _hint(problem, page.text, offset))


def _facts(error: yaml.YAMLError) -> tuple[str, int]:
    if isinstance(error, yaml.MarkedYAMLError):
        marks = (error.problem_mark, error.context_mark)
        mark = next((mark for mark in (marks[::-1] if _began_earlier(error) else marks) if mark), None)
        return _unwrapped(error), mark.index if mark else 0
    if isinstance(error, yaml.reader.ReaderError):
        return f"special characters are not allowed (U+{int(error.character):04X})", error.position
    return str(error), 0


def _began_earlier(error: yaml.MarkedYAMLError) -> bool:
    """Whether PyYAML reports an earlier mistake only at a later line or at the end."""
    return any(words in (error.problem or "") for words in ("end of stream", "<stream end>", "expected ':'"))


def _unwrapped(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "unknown problem"
    return f"{error.context}, {problem}" if error.context and problem.startswith("but ") else problem


def _hint(problem: str, text: str, offset: int) -> str:
    for words, hint in _HINTS:
        if words in problem:
            return hint
    return _quoted(_line(text, offset)) or "check the indentation; write a formula of several lines below `key: |`"


def _line(text: str, offset: int) -> str:
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    return text[start : end if end >= 0 else len(text)]


def _quoted(line: str) -> str | None:
    """The line with its value quoted, if the value caused the error."""
    match = _VALUE.fullmatch(line.rstrip(" \t\r"))
    if not match or not _needs_quotes(match["value"]):
        return None
    value = match["value"]
    if value[0] in "'\"":
        value = value.replace(value[0], "")
    quote = "'" if '"' in value else '"'
    return f"{_QUOTE}: {match['key'].strip()}: {quote}{value.replace(quote, quote * 2)}{quote}"


def _needs_quotes(value: str) -> bool:
    return value[0] in "@`%*&!|>{[,'\"" or value.startswith(("- ", "? ")) or ": " in value or value.endswith(":")
