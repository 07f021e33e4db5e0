"""The edits that fix a text which does not parse. Each is given only where it has one meaning; else None."""

from __future__ import annotations

import re
import unicodedata

from lossdsl.errors import Applicability, Edit, Span
from lossdsl.syntax.parser_state import PAIRS, Failure

_LOOK_ALIKES = {
    "\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "*", "\N{DOT OPERATOR}": "*", "\N{MIDDLE DOT}": "*",
    "\N{ASTERISK OPERATOR}": "*", "\N{DIVISION SIGN}": "/", "\N{DIVISION SLASH}": "/", "\N{FRACTION SLASH}": "/",
    "\N{CYRILLIC SMALL LETTER A}": "a", "\N{CYRILLIC SMALL LETTER IE}": "e", "\N{CYRILLIC SMALL LETTER O}": "o",
    "\N{CYRILLIC SMALL LETTER ER}": "p", "\N{CYRILLIC SMALL LETTER ES}": "c", "\N{CYRILLIC SMALL LETTER U}": "y",
    "\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}": "i", "\N{CYRILLIC SMALL LETTER HA}": "x",
    "\N{SQUARE ROOT}": "sqrt", "\N{N-ARY SUMMATION}": "sum",
    "\N{INFINITY}": "inf", "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{NOT EQUAL TO}": "!=", "\N{RIGHTWARDS ARROW}": "->",
}  # fmt: skip
_SIGNS = "+-*/()[]<>=,.;:|#_"


def describe(character: str) -> str:
    """`x` (U+0445 CYRILLIC SMALL LETTER HA); without the first part if nobody can see it."""
    unnamed = "control character" if unicodedata.category(character) == "Cc" else "unnamed character"
    named = f"U+{ord(character):04X} {unicodedata.name(character, unnamed)}"
    seen = character.isprintable() and not unicodedata.combining(character)
    return f"`{character}` ({named})" if seen else named


def instead(character: str) -> str:
    """The hint: what this character most likely stands for."""
    if "QUOTATION MARK" in unicodedata.name(unicodedata.normalize("NFKC", character)[0], ""):
        return "write the bare word, without quotes"
    if unicodedata.category(character)[0] in "CM":
        return "delete it"
    plain = stand_in(character)
    if plain == " ":
        return "write a plain space"
    return f"write `{plain}`" if plain else "write it in ASCII"


def stand_in(character: str) -> str | None:
    """The ASCII text for this character; empty for an invisible one, None if it is not certain."""
    if not character:
        return None
    plain = unicodedata.normalize("NFKC", character)
    name = unicodedata.name(plain[0], "")
    category = unicodedata.category(character)
    is_raised = unicodedata.decomposition(character).startswith("<super>")
    if is_raised and not plain.isdigit():  # of a raised sign nobody knows what it stands before
        return None
    if category == "Cf":
        return ""
    if "QUOTATION MARK" in name or category[0] in "CM":
        return None
    if category[0] == "Z":
        return " "
    if category == "Pd":
        return "-"
    if plain in _LOOK_ALIKES:
        return _LOOK_ALIKES[plain]
    greek = re.fullmatch(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)", name)
    if greek:
        return greek.group(1).lower().replace("lamda", "lambda")
    if plain.isascii() and plain.isdigit() and is_raised:
        return f"**{plain}"
    return plain if plain.isascii() and (plain.isalnum() or plain in _SIGNS) else None


_QUOTED_WORD = re.compile(r"\"([A-Za-z_]\w*)\"|'([A-Za-z_]\w*)'", re.ASCII)
_WORD = re.compile(r"\w", re.ASCII)
_BINARY = re.compile(r"[\w)\]][ \t\r\n]*[-+*/<>=!^]|[-+*/][ \t\r\n]*[-+*/]", re.ASCII)
_TORN_EXPONENT = re.compile(r"[eE](?:[0-9]+|[ \t]*[+-][ \t]*[0-9]+)(?![\w.])", re.ASCII)
_SIGNED = r"\s*[-+]?[0-9.][0-9._eE]*(?:(?<=[eE])[-+][0-9]+)?\s*"
_NUMBERS = re.compile(rf"\({_SIGNED}(?:,{_SIGNED})+,?\s*\)|\({_SIGNED},\s*\)", re.ASCII)
_EXPONENT = re.compile(r"(?<=[eE])[-+](?=\d)")


def plain_character(context: Failure) -> Edit | None:
    """The ASCII for a character that is not part of the language, unless it would run into its neighbours."""
    character, text = context.found[:1], context.source.text
    plain = stand_in(character)
    if plain is None:
        return None
    before, after = text[context.span.start - 1 : context.span.start], text[context.span.end : context.span.end + 1]
    spelt_out = len(plain) > 1 and plain.isalpha()
    if spelt_out and (_joins(before) or _joins(after)):
        return None
    if plain.startswith("**") and (stand_in(after) or "").startswith("**"):
        return None  # of two raised digits each would become a power
    if plain in ("sqrt", "sum") and after != "(":
        return None
    is_decimal_point = character in "\N{MIDDLE DOT}\N{DOT OPERATOR}" and before.isdigit() and after.isdigit()
    return context.replaced(plain, "suggested" if is_decimal_point else "safe")


def _joins(neighbour: str) -> bool:
    return bool(neighbour) and (_WORD.match(neighbour) is not None or unicodedata.category(neighbour)[0] in "LNM")


def bare_word(context: Failure) -> Edit | None:
    """`"dice"` without the quotes."""
    quoted = _QUOTED_WORD.fullmatch(context.found)
    return context.replaced(quoted[1] or quoted[2], "safe") if quoted else None


_TIMES = ("x", "X")
"""Signs that are used for products elsewhere."""


def product(context: Failure) -> Edit | None:
    """`0.5 bce`: a number before a name or a bracket is a factor, except in a call, where a comma may be missing."""
    gap = context.source.text[context.previous_span.end : context.span.start]
    if context.inside in ("call", "list") or context.after_newline or gap.strip(" \t"):
        return None
    before = context.source.text[: context.previous_span.start].rstrip()
    is_factor = context.previous[0].isdigit() and not before.endswith(("/", "**", "^"))
    starts_value = context.found == "(" or context.found[0].isalpha()
    if not (is_factor and starts_value):
        return None
    if _TORN_EXPONENT.match(context.source.text, context.span.start) or context.found in _TIMES:
        return None
    is_factor_already = before.endswith("*")  # `bce*2 dice` may be `bce*2 + dice`
    is_unit = context.adjacent and len(context.found) == 1 and context.found.isalpha() and context.found not in "zpy"
    applicability: Applicability = "suggested" if is_unit or is_factor_already else "safe"
    return Edit(Span(context.previous_span.end, context.span.start), "*", applicability)


def whole_number(context: Failure) -> tuple[str, Edit] | None:
    """`3.5e-2` for `3.5 e-2`, which is probably one number with a space in it; but e can be a name."""
    exponent = _TORN_EXPONENT.match(context.source.text, context.span.start)
    if exponent is None or context.adjacent or context.after_newline or not context.previous[0].isdigit():
        return None
    number = context.previous + re.sub(r"[ \t]", "", exponent.group())
    return number, Edit(Span(context.previous_span.start, exponent.end()), number)


def listing(context: Failure) -> tuple[str, Edit] | None:
    """`[1, 2]` for `(1, 2)`: brackets with numbers alone, and commas between them."""
    if context.inside != "group":
        return None
    start = context.open_brackets[-1].start
    group = _NUMBERS.match(context.source.text, start)
    if group is None:
        return None
    numbers = re.findall(r"[^\s,()]+", group.group())
    written = f"[{', '.join(numbers)}]"
    return written, Edit(Span(start, group.end()), written)


def equality(context: Failure) -> Edit | None:
    """`where(a = b, ...)`: `==`."""
    if context.inside != "call":
        return None
    opening = context.open_brackets[-1].start
    is_where = re.search(r"(?<![\w.])where$", context.source.text[:opening], re.ASCII)
    is_first = "," not in re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", context.since(opening + 1))
    return context.replaced("==", "safe") if is_where and is_first else None


def closing(context: Failure) -> Edit | None:
    """The missing brackets at the end, if they can only be at the end: there is no operator inside."""
    if not (context.at_end and context.previous_is_operand):
        return None
    inside = _EXPONENT.sub("", _without_comments(context.since(context.open_brackets[0].start + 1)))
    while (shorter := re.sub(r"\([^()\[\]]*\)|\[[^()\[\]]*\]", "a", inside)) != inside:
        inside = shorter
    if _BINARY.search(re.sub(r"(?<![=!<>])=(?!=)", "(", inside)):
        return None
    end = context.previous_span.end
    missing = "".join(PAIRS[bracket.sign] for bracket in reversed(context.open_brackets))
    return Edit(Span(end, end), missing, "safe")


def _without_comments(text: str) -> str:
    return re.sub(r"#[^\n]*", "", text)
