"""Explain why a file is not valid YAML. Usually YAML read a formula as its own syntax."""

from __future__ import annotations

import re

import yaml

from lossdsl.errors import Diagnostic
from lossdsl.spec.interpolation import template_at
from lossdsl.spec.page import Page

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
