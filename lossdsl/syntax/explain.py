"""Why a text does not parse, in the user's words: one rule per common slip, the first that applies speaks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from lark import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from lossdsl.errors import Diagnostic, Source, Span

_PAIRS = {"(": ")", "[": "]"}
_OPERATORS = ("+", "-", "*", "/", "**")
_TOKEN = re.compile(
    r"(?P<skip>[ \t]+|#[^\n]*)|(?P<newline>\r?\n|;)"
    r"|(?P<operand>(?:[0-9][0-9_]*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[A-Za-z_][\w.]*|[)\]])|(?P<other>\*\*|->|[<>=!]=|.)",
    re.ASCII,
)
_LOOK_ALIKES = {
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{HYPHEN}": "-", "\N{MULTIPLICATION SIGN}": "*",
    "\N{DOT OPERATOR}": "*", "\N{MIDDLE DOT}": "*", "\N{DIVISION SIGN}": "/", "\N{FRACTION SLASH}": "/",
    "\N{GREEK SMALL LETTER ALPHA}": "alpha", "\N{GREEK SMALL LETTER BETA}": "beta",
    "\N{GREEK SMALL LETTER GAMMA}": "gamma", "\N{GREEK SMALL LETTER DELTA}": "delta",
    "\N{CYRILLIC SMALL LETTER A}": "a", "\N{CYRILLIC SMALL LETTER IE}": "e", "\N{CYRILLIC SMALL LETTER O}": "o",
    "\N{CYRILLIC SMALL LETTER ER}": "p", "\N{CYRILLIC SMALL LETTER ES}": "c", "\N{CYRILLIC SMALL LETTER HA}": "x",
    "\N{SQUARE ROOT}": "sqrt", "\N{INFINITY}": "inf", "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{NOT EQUAL TO}": "!=", "\N{NO-BREAK SPACE}": "a plain space",
    "\N{SUPERSCRIPT TWO}": "**2", "\N{SUPERSCRIPT THREE}": "**3",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Failure:
    """What stood where the parser stopped, and what came before it."""

    source: Source
    span: Span
    found: str
    at_end: bool
    previous: str
    previous_span: Span
    previous_is_operand: bool
    after_newline: bool
    open_brackets: tuple[tuple[str, int], ...]
    expected: frozenset[str]

    def says(self, code: str, message: str, hint: str | None = None, span: Span | None = None) -> Diagnostic:
        return Diagnostic(code, message, self.source, span or self.span, hint)


def explain_failure(source: Source, start: str, failure: UnexpectedInput) -> Diagnostic:
    """The diagnostic for a failed parse."""
    context = _failure(source, failure)
    for rule in _RULES:
        diagnostic = rule(context)
        if diagnostic:
            return diagnostic
    wanted = _wanted(context.expected)
    return context.says("LD101", f"unexpected `{context.found}`", f"expected {wanted}" if wanted else None)


def _failure(source: Source, failure: UnexpectedInput) -> _Failure:
    text = source.text
    end = len(text.rstrip())
    at_end = isinstance(failure, UnexpectedToken) and failure.token.type == "$END"
    start = end if at_end else max(0, failure.pos_in_stream or 0)
    if not at_end and not text[start:].strip(" \t\r\n;"):
        start, at_end = end, True
    here = _TOKEN.match(text, start)
    found = "" if at_end or not here else here.group()
    expected: set[str] = set()
    if isinstance(failure, UnexpectedToken):
        expected = set(failure.accepts or failure.expected)
    elif isinstance(failure, UnexpectedCharacters):
        expected = set(failure.allowed or ())
    span = Span(start, start + max(1, len(found)))
    return _Failure(source, span, found, at_end, *_before(text, start), frozenset(expected))


def _before(text: str, stop: int) -> tuple[str, Span, bool, bool, tuple[tuple[str, int], ...]]:
    """The token before `stop`, whether it ends an operand, whether a newline lies between, and the open brackets."""
    previous, span, is_operand, after_newline = "", Span(0, 0), False, False
    brackets: list[tuple[str, int]] = []
    for match in _TOKEN.finditer(text, 0, stop):
        if match.lastgroup == "skip":
            continue
        if match.lastgroup == "newline":
            after_newline = True
            continue
        previous, span, after_newline = match.group(), Span(match.start(), match.end()), False
        is_operand = match.lastgroup == "operand"
        if previous in _PAIRS:
            brackets.append((previous, match.start()))
        elif previous in _PAIRS.values() and brackets:
            brackets.pop()
    return previous, span, is_operand, after_newline, tuple(brackets)


def _empty(context: _Failure) -> Diagnostic | None:
    if context.previous or not context.at_end:
        return None
    return context.says("LD101", "the formula is empty", "write for example 0.5*bce + 0.5*dice")


def _not_ascii(context: _Failure) -> Diagnostic | None:
    character = context.found[:1]
    if character.isascii():
        return None
    plain = _LOOK_ALIKES.get(character) or unicodedata.normalize("NFKC", character)
    hint = f"write {plain if ' ' in plain else f'`{plain}`'}" if plain.isascii() and plain.strip() else "write it in ASCII"
    name = unicodedata.name(character, "unnamed character")
    shown = f"`{character}` " if character.isprintable() and not character.isspace() else ""
    return context.says("LD103", f"{shown}(U+{ord(character):04X} {name}) is not part of the language", hint)


def _foreign_character(context: _Failure) -> Diagnostic | None:
    found = context.found
    if found == "^":
        return context.says("LD102", "`^` is not an operator", "write ** for a power: a**b")
    if found in ("'", '"'):
        return context.says("LD101", "quotes are not part of the language", "write the bare word, as in reduction=none")
    if found == "." and context.previous_is_operand and context.previous_span.end == context.span.start:
        if context.previous[0].isdigit():
            return context.says("LD101", f"`{context.previous}.` is not a number", f"write {context.previous}.0")
        return context.says("LD101", "there is no attribute access in the language", "names are `loss` or `plugin.loss`")
    if found and found in "%@&|!~$?{}\\`":
        return context.says("LD101", f"`{found}` is not an operator", f"operators are {' '.join(_OPERATORS)}")
    return None


def _equals(context: _Failure) -> Diagnostic | None:
    if context.found == "=":
        hint = "name = value stands at the start of a line or inside the brackets of a call; to compare write =="
        return context.says("LD101", "`=` cannot stand here", hint)
    if context.found in ("<", ">", "<=", ">=", "==", "!="):
        hint = "write where(condition, value_if_true, value_if_false)"
        return context.says("LD104", "a comparison stands only as the first argument of where", hint)
    return None


def _second_statement(context: _Failure) -> Diagnostic | None:
    if not context.after_newline or context.open_brackets or context.at_end:
        return None
    if context.found in _OPERATORS:
        return context.says("LD106", "the formula ended on the line before", "put it in brackets to go on over several lines")
    if context.previous_is_operand and "$END" in context.expected:
        message = "there is already an expression above; it must be the last line"
        return context.says("LD106", message, "give the lines above a name: region = ...")
    return None


def _bracket(context: _Failure) -> Diagnostic | None:
    found, brackets = context.found, context.open_brackets
    if context.at_end and brackets:
        bracket, place = brackets[-1]
        hint = f"add `{_PAIRS[bracket]}`"
        return context.says("LD107", f"`{bracket}` is never closed", hint, Span(place, place + 1))
    if found in _PAIRS.values() and not brackets:
        return context.says("LD107", f"`{found}` closes nothing", "remove it, or open the bracket before")
    if found in _PAIRS.values() and _PAIRS[brackets[-1][0]] != found:
        opening = brackets[-1][0]
        return context.says("LD107", f"`{found}` cannot close `{opening}`", f"write `{_PAIRS[opening]}`")
    return None


def _missing_operator(context: _Failure) -> Diagnostic | None:
    starts_operand = bool(context.found) and (context.found[0].isalnum() or context.found[0] in "_.([")
    if not (context.previous_is_operand and starts_operand):
        return None
    left, right = context.previous, context.found
    if context.previous_span.end == context.span.start and left[0].isdigit() and re.fullmatch(r"[eE]\d*|_\w*", right):
        return context.says("LD101", f"`{left}{right}` is not a number", span=context.previous_span.to(context.span))
    message = f"missing operator between `{left}` and `{right}`"
    shown = f"{left}*{right}" if right not in _PAIRS else f"{left}*{right}...{_PAIRS[right]}"
    hint = f"did you mean `{shown}`?" if left not in (")", "]") else "did you mean `*`?"
    return context.says("LD102", message, hint, Span(context.previous_span.end, context.span.end))


def _missing_value(context: _Failure) -> Diagnostic | None:
    missing = "a value is missing: a number, a loss, a tensor or a bracket"
    if context.at_end and context.previous_is_operand and "EQUAL" not in context.expected:
        message = "the formula has no expression: it must be the last line, after the names"
        return context.says("LD108", message, "write for example region = dice, and on the next line bce + region")
    if context.at_end and context.previous:
        return context.says("LD108", f"the formula ends after `{context.previous}`", missing)
    if context.found and not context.previous_is_operand and context.found in (*_OPERATORS, ")", "]", ","):
        before = f" after `{context.previous}`" if context.previous else ""
        return context.says("LD108", f"unexpected `{context.found}`{before}", missing)
    return None


_RULES: tuple[Callable[[_Failure], Diagnostic | None], ...] = (
    _empty,
    _not_ascii,
    _foreign_character,
    _second_statement,
    _equals,
    _bracket,
    _missing_operator,
    _missing_value,
)

_WORDS = {
    "NAME": "a name", "NUMBER": "a number", "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`",
    "COMMA": "`,`", "EQUAL": "`=`", "PLUS": "an operator", "MINUS": "an operator", "STAR": "an operator",
    "SLASH": "an operator", "POWER": "an operator", "COLON": "`:`", "VBAR": "`|`", "LOSS": "`loss`", "FOR": "`for`",
    "_NEWLINE": "the end of the line", "$END": "the end", "__ANON_0": "`->`",
}  # fmt: skip


def _wanted(expected: frozenset[str]) -> str:
    return " or ".join(sorted({_WORDS[terminal] for terminal in expected if terminal in _WORDS}))
