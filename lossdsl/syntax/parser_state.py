"""The place where the parser stopped, and its context."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lark import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from lossdsl.errors import Applicability, Diagnostic, Edit, Place, Source, Span

PAIRS = {"(": ")", "[": "]"}
_TOKEN = re.compile(
    r"(?P<skip>[ \t]+|#[^\n]*)|(?P<newline>\r?\n|;)"
    r"|(?P<operand>(?:[0-9][0-9_]*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[A-Za-z_][\w.]*|[)\]]"
    r"|\"\w+\"|'\w+')"
    r"|(?P<other>\*\*|->|=[<>]|<>|//|&&|\|\||:=|[<>=!]=|.)",
    re.ASCII,
)
# Newlines that alone would mean nothing, up to the `;` that does.
_TO_SEMICOLON = re.compile(r"\r?\n(?:[ \t\r\n]|#[^\n]*)*;")
# Two signs in a row that the grammar reads as two tokens, so that the parser stops at the second.
_DOUBLES = ("==", "->", "=>", "=<", "<>", "//")


@dataclass(frozen=True, slots=True)
class Bracket:
    """An open bracket. kind: `call`, `group` or `list`."""

    sign: str
    start: int
    kind: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The token at which the parser stopped, and its context."""

    source: Source
    library: bool
    span: Span
    found: str
    at_end: bool
    previous: str
    previous_span: Span
    previous_is_operand: bool
    after_newline: bool
    open_brackets: tuple[Bracket, ...]
    expected: frozenset[str]

    def says(
        self, code: str, message: str, hint: str | None = None, span: Span | None = None, edit: Edit | None = None
    ) -> Diagnostic:
        return Place(self.source, span or self.span).says(code, message, hint, edit)

    def replaced(self, text: str, applicability: Applicability) -> Edit:
        """The edit that writes `text` instead of what was found."""
        return Edit(self.span, text, applicability)

    @property
    def inside(self) -> str:
        """The kind of the innermost open bracket, or nothing."""
        return self.open_brackets[-1].kind if self.open_brackets else ""

    def since(self, start: int) -> str:
        return self.source.text[start : self.span.start]

    @property
    def adjacent(self) -> bool:
        return self.previous_span.end == self.span.start > 0

    @property
    def rest(self) -> str:
        return self.source.text[self.span.end :]

    @property
    def ends_open(self) -> bool:
        """Whether the whole text leaves a bracket open."""
        return bool(_before(self.source.text, len(self.source.text))[-1])

    @property
    def is_assigned(self) -> bool:
        """Whether `=` follows."""
        return re.match(r"[ \t]*=(?![=<>])", self.rest) is not None


def find_failure(source: Source, library: bool, failure: UnexpectedInput) -> Failure:
    text = source.text
    start = max(0, failure.pos_in_stream or 0)
    expected: set[str] = set()
    at_end = False
    if isinstance(failure, UnexpectedToken):
        expected = set(failure.accepts or failure.expected)
        at_end = failure.token.type == "$END" or not text[start:].strip(" \t\r\n;")
    elif isinstance(failure, UnexpectedCharacters):
        expected = set(failure.allowed or ()) - {"_NEWLINE"}
    semicolon = _TO_SEMICOLON.match(text, start)
    if semicolon and not at_end:
        start = semicolon.end() - 1
    elif text[start - 1 : start + 1] in _DOUBLES:
        start -= 1
    before = _before(text, len(text) if at_end else start)
    if at_end:
        start = before[1].end
    here = _TOKEN.match(text, start)
    found = "" if at_end or not here else here.group()
    span = Span(start, start + max(1, len(found)))
    return Failure(source, library, span, found, at_end, *before, frozenset(expected))


def _before(text: str, stop: int) -> tuple[str, Span, bool, bool, tuple[Bracket, ...]]:
    """The token before `stop`, whether it ends an operand, whether a newline lies between, and the open brackets."""
    previous, span, is_operand, after_newline = "", Span(0, 0), False, False
    brackets: list[Bracket] = []
    for match in _TOKEN.finditer(text, 0, stop):
        if match.lastgroup == "skip":
            continue
        if match.lastgroup == "newline":
            after_newline = True
            continue
        sign = match.group()
        if sign in PAIRS:
            called = is_operand and (previous[0].isalpha() or previous[0] == "_")
            brackets.append(Bracket(sign, match.start(), "list" if sign == "[" else "call" if called else "group"))
        elif sign in PAIRS.values() and brackets:
            brackets.pop()
        previous, span, after_newline = sign, Span(match.start(), match.end()), False
        is_operand = match.lastgroup == "operand"
    return previous, span, is_operand, after_newline, tuple(brackets)
