"""Hints for characters that are not part of the language."""

from __future__ import annotations

import re
import unicodedata

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
