"""Explain why a text does not parse: one rule per common mistake; the first that applies gives the message."""

from __future__ import annotations

import re
from collections.abc import Callable

from lark import UnexpectedInput

from lossdsl import words
from lossdsl.errors import Diagnostic, Edit, Place, Source, Span
from lossdsl.syntax import syntax_fixes as edits
from lossdsl.syntax.parser_state import PAIRS, Failure, find_failure
from lossdsl.syntax.syntax_fixes import describe, instead

_OPERATORS = ("+", "-", "*", "/", "**")
_COMPARISONS = ("<", ">", "<=", ">=", "==", "!=")
_CHOICE = "for a choice, write where(condition, value_if_true, value_if_false)"
_ONLY = f"the operators are {' '.join(_OPERATORS)}"
_NO_OPERATOR = {
    "=>": "write >=", "=<": "write <=", "<>": "write !=", "|": "for the absolute value, write abs(a)", "?": _CHOICE,
} | dict.fromkeys(("%", "@", "&", "&&", "||", "!", "~", "//", "->"), _ONLY)  # fmt: skip
_NO_PART = {
    "$": "names consist of letters, digits and _", "\\": "a line continues inside brackets and after an operator",
} | dict.fromkeys("{}", "the brackets are ( ) and [ ]")  # fmt: skip
_NUMBERS = "write numbers as 2, 0.5, .5, 1_000 or 2e-3"
_QUOTES = ("'", '"', "`")
_FOREIGN_WORDS = {"and", "or", "not", "if", "else", "in", "is", "for", "lambda", "return", "def", "import"}


def explain_failure(source: Source, start: str, failure: UnexpectedInput) -> Diagnostic:
    """The diagnostic for a failed parse."""
    context = find_failure(source, start == "library", failure)
    for rule in _RULES:
        diagnostic = rule(context)
        if diagnostic:
            return diagnostic
    return _unexpected(context)


def explain_zeros(source: Source, span: Span) -> Diagnostic:
    """The diagnostic for a number with leading zeros; `1,000` in a list is two numbers."""
    text = source.text[span.start : span.end]
    before = re.search(r"(?<![\w.])[0-9]{1,3}(?:,[0-9]{3})*,$", source.text[: span.start], re.ASCII)
    if before and re.match(r"[0-9]{3}(?![0-9_])", text, re.ASCII):
        whole = Span(before.start(), span.end)
        grouped = source.text[whole.start : whole.end]
        hint = f"write {grouped.replace(',', '')}, without a comma"
        return Place(source, whole).says("LD101", f"`{grouped}` is {grouped.count(',') + 1} numbers", hint)
    plain = re.sub(r"^[0_]+(?=[0-9])", "", text)
    return Place(source, span).says("LD101", f"`{text}` is not a number: it has leading zeros", f"write {plain}")


def _empty(context: Failure) -> Diagnostic | None:
    if context.previous or not context.at_end:
        return None
    return context.says("LD101", "the formula is empty", "for example 0.5*bce + 0.5*dice")


def _foreign_character(context: Failure) -> Diagnostic | None:
    character = context.found[:1]
    if not character or character == "\n" or (character.isascii() and character.isprintable()):
        return None
    return context.says(
        "LD103",
        f"{describe(character)} is not part of the language",
        instead(character),
        edit=edits.plain_character(context),
    )


def _foreign_sign(context: Failure) -> Diagnostic | None:
    found = context.found
    if found == "^":
        return context.says(
            "LD102", "`^` is not an operator", "write ** for a power: a**b", edit=context.replaced("**", "safe")
        )
    if found == ".":
        if context.adjacent and context.previous[0].isdigit() and "." not in context.previous:
            return context.says(
                "LD101",
                f"`{context.previous}.` is not a number",
                f"write {context.previous}.0",
                edit=_whole_number(context),
            )
        foreign = _dotted(context)
        if foreign:
            return foreign
        message = "attribute access is not supported" if context.previous_is_operand else "`.` is not allowed here"
        return context.says("LD101", message, "a dot is only allowed in numbers, 0.5, and in names, plugin.loss")
    if found.startswith(_QUOTES):
        hint = "write the bare word, without quotes"
        return context.says("LD101", "quotes are not part of the language", hint, edit=edits.bare_word(context))
    if found in _NO_OPERATOR and not (context.library and found == "->"):
        hint = _NO_OPERATOR[found]
        edit = context.replaced(hint.removeprefix("write "), "safe") if hint.startswith("write ") else None
        return context.says("LD101", f"`{found}` is not an operator", hint, edit=edit)
    if found == ":=" or (found == ":" and not context.library):
        return context.says("LD101", f"`{found}` is not allowed here", "write name = value")
    if found in _NO_PART:
        return context.says("LD101", f"`{found}` is not part of the language", _NO_PART[found])
    return None


def _dotted(context: Failure) -> Diagnostic | None:
    """`torch.nn.BCELoss` and `p.detach()`: the hint for the name at the end."""
    text, dot = context.source.text, context.span.start
    before = re.search(r"[A-Za-z_][\w.]*$", text[:dot], re.ASCII)
    behind = re.match(r"\.(?:\w+\.)*([A-Za-z_]\w*)", text[dot:], re.ASCII)
    if behind is None or not context.previous_is_operand:
        return None
    start, end = before.start() if before else dot, dot + behind.end()
    path = text[start:end]
    is_module = words.bare(path) == behind[1]
    meant = words.word(behind[1], "loss", "function") if is_module else words.word(behind[1], "function")
    if meant is None and not is_module:
        return None
    hint = meant.hint if meant else f"write the name without its module: {behind[1]}"
    is_name = is_module and (meant is None or (meant.same and meant.write.isidentifier()))
    edit = Edit(Span(start, end), meant.write if meant else behind[1]) if is_name else None
    return context.says("LD101", "attribute access is not supported", hint, edit=edit)


def _whole_number(context: Failure) -> Edit | None:
    """`2.` as `2.0`, unless more of a number follows."""
    follows = re.match(r"[\w.]|\s+[0-9]", context.rest, re.ASCII)
    return None if follows else Edit(context.previous_span.to(context.span), f"{context.previous}.0", "safe")


def _definition(context: Failure) -> Diagnostic | None:
    """Mistakes in a .loss file outside of the formulas."""
    if not context.library or (context.at_end and context.open_brackets):
        return None
    found, expected = context.found, context.expected
    if not context.previous and "LOSS" in expected:
        hint = "a definition starts with loss: loss name(parameter: [0, inf) = 1) -> [0, 1]"
        return context.says("LD101", f"unexpected `{found}`", hint)
    if "COLON" in expected and not context.at_end:
        hint = "for example a: [0, inf) = 1 or a: image | batch = image"
        return context.says("LD101", "a parameter must declare its allowed values", hint, context.previous_span)
    if found in ("=", "for", "loss") and "_NEWLINE" in expected and not context.after_newline:
        return context.says("LD101", f"`{found}` must be on a line of its own")
    if context.at_end or not found.strip():
        wanted = "`= expression` on a line of its own" if "FOR" in expected else _wanted(expected)
        return context.says("LD108", f"the definition ends after `{context.previous}`", f"expected {wanted}")
    if context.previous == "loss" and found[0].isalpha():
        hint = "write `= expression` on a line of its own"
        return context.says("LD108", "the definition above has no formula", hint, context.previous_span)
    if not (context.after_newline and "LOSS" in expected) or found in _OPERATORS:
        return None
    if context.is_assigned:
        return context.says("LD106", f"`{found}` is defined too late", "define names above the line that starts with =")
    return _unexpected(context)


def _second_statement(context: Failure) -> Diagnostic | None:
    if not (context.after_newline and context.previous_is_operand) or context.open_brackets or context.at_end:
        return None
    if context.found in _OPERATORS:
        hint = "end the previous line with the operator, or put the whole expression in brackets"
        return context.says("LD106", f"the expression already ended before this `{context.found}`", hint)
    if "$END" in context.expected and context.found != "=" and not context.library:
        hint = "give the previous one a name: region = ..."
        return context.says("LD106", "only one expression is allowed, and there is one before this", hint)
    return None


def _comparison(context: Failure) -> Diagnostic | None:
    if context.found == "=" and context.library and not context.expected & {"RPAR", "COMMA", "_NEWLINE"}:
        return _unexpected(context)
    if context.found == "=":
        hint = "write name = value at the start of a line or inside the brackets of a call; to compare, write =="
        return context.says("LD101", "`=` is not allowed here", hint, edit=edits.equality(context))
    if context.found not in _COMPARISONS:
        return None
    if context.inside == "call" and re.search(r"[<>]|[=!]=", context.since(context.open_brackets[-1].start)):
        hint = "nest them: where(a < b, where(b < c, yes, no), no)"
        return context.says("LD104", "comparisons cannot be chained", hint)
    hint = "write where(condition, value_if_true, value_if_false)"
    return context.says("LD104", "a comparison is only allowed as the first argument of where", hint)


def _bracket(context: Failure) -> Diagnostic | None:
    found, brackets = context.found, context.open_brackets
    if not brackets:
        if found in PAIRS.values():
            hint = "remove it, or add the opening bracket before it"
            return context.says("LD107", f"`{found}` has no opening bracket", hint)
        return None
    innermost = brackets[-1]
    closing = PAIRS[innermost.sign]
    new_line = context.after_newline and (context.is_assigned or found == "=")
    if context.at_end or (new_line and context.ends_open):
        place = Span(innermost.start, innermost.start + 1)
        return context.says(
            "LD107", f"`{innermost.sign}` is never closed", f"add `{closing}`", place, edits.closing(context)
        )
    if found in PAIRS.values() and found != closing and context.expected != {"COMMA"}:
        return context.says("LD107", f"`{found}` cannot close `{innermost.sign}`", f"write `{closing}`")
    if found == ";":
        hint = f"close it with `{closing}` first, or separate arguments with `,`"
        return context.says("LD107", f"`;` ends a line, but `{innermost.sign}` is still open", hint)
    return None


def _missing_operator(context: Failure) -> Diagnostic | None:
    left, right = context.previous, context.found
    starts_operand = re.match(r"\w|[(\[]|\.\d", right, re.ASCII)
    wants_a_word = "VBAR" in context.expected or context.expected == {"NAME"}
    if wants_a_word or not (context.previous_is_operand and starts_operand):
        return None
    place = Span(context.previous_span.end, context.span.end)
    if context.adjacent and left[0].isdigit() and re.fullmatch(r"[eE]\d*|[_.][\w.]*", right):
        whole = context.previous_span.to(context.span)
        return context.says("LD101", f"`{left}{right}` is not a number", _NUMBERS, whole)
    if context.adjacent and left == "0" and re.fullmatch(r"[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+", right):
        whole, value = context.previous_span.to(context.span), int(f"{left}{right}", 0)
        return context.says("LD101", f"`{left}{right}` is not a number", f"write a decimal number: {value}", whole)
    if not context.library and left == "loss" and right[0].isalpha():
        return context.says(
            "LD101",
            "a definition is not allowed in a formula",
            "write it in a .loss file; in a formula, name a part with region = dice",
        )
    for word, span in ((left, context.previous_span), (right, context.span)):
        if word in _FOREIGN_WORDS:
            return context.says("LD101", f"`{word}` is not part of the language", f"{_ONLY}; {_CHOICE}", span)
    if right == "[":
        hint = "a list is only allowed as an argument: weights=[1, 0.5]"
        return context.says("LD102", f"`[` cannot follow `{left}`: indexing is not supported", hint)
    if context.is_assigned and context.inside != "call":
        hint = "write name = value on a line of its own, or in the brackets of a call: dice(smooth=1)"
        return context.says("LD102", f"`{right} = ...` cannot follow `{left}`", hint)
    torn = edits.whole_number(context)
    if torn:
        number, edit = torn
        message = f"missing operator between `{left}` and `{right}`"
        return context.says("LD102", message, f"write a number without spaces: {number}", place, edit)
    missing, hint = _between(context)
    return context.says(
        "LD102", f"missing {missing} between `{left}` and `{right}`", hint, place, edits.product(context)
    )


def _between(context: Failure) -> tuple[str, str]:
    """What may be missing between two values side by side, and what the user may have meant."""
    left = context.previous
    right = "(...)" if context.found == "(" and left not in PAIRS.values() else context.found
    if context.is_assigned:
        return "comma", f"write `{left}, {right}=...`"
    if context.expected == {"COMMA"}:
        return "comma", f"write `{left}, {right}`"
    if context.inside not in ("call", "list"):
        return "operator", f"did you mean `{left}*{right}`?"
    starts_argument = context.inside == "call" and re.search(r"[(,]\s*\w+\s*$", context.since(0), re.ASCII)
    keyword = f"`{left}={right}`, " if starts_argument and not left[0].isdigit() else ""
    return "operator or comma", f"did you mean {keyword}`{left}*{right}` or `{left}, {right}`?"


def _comma(context: Failure) -> Diagnostic | None:
    if context.found != "," or not context.previous_is_operand or context.expected & {"VBAR", "RSQB"}:
        return None
    listing = edits.listing(context)
    if listing:
        written, edit = listing
        inside, hint = Span(edit.span.start + 1, edit.span.end - 1), f"write a list as {written}"
        return context.says("LD101", "`,` is only allowed in a call or a list", hint, inside, edit)
    digits = re.match(r"[0-9]+(?:[.,][0-9]+)*", context.rest)
    if digits and context.adjacent and context.previous[0].isdigit():
        return _with_a_comma(context, digits.group())
    return context.says("LD101", "`,` is only allowed in a call or a list", "to add two losses, write a + b")


def _with_a_comma(context: Failure, digits: str) -> Diagnostic:
    """`0,5` is a half. `1,000` may be a thousand or 1, and `1.000,5` is written in other ways in other countries."""
    number = f"{context.previous},{digits}"
    whole = Span(context.previous_span.start, context.span.end + len(digits))
    if not (context.previous.isdigit() and digits.isdigit()):
        return context.says("LD101", f"`{number}` is not a number", _NUMBERS, whole)
    point = f"{context.previous}.{digits}"
    if len(digits) == 3 and context.previous != "0":
        hint = f"write {context.previous}{digits}, or {point} if the comma is a decimal point"
        return context.says("LD101", f"`{number}` is not a number", hint, whole)
    return context.says("LD101", f"`{number}` is not a number", f"write {point}", whole, Edit(whole, point, "safe"))


def _missing_value(context: Failure) -> Diagnostic | None:
    missing = f"expected {_wanted(context.expected)}"
    if context.at_end and context.previous_is_operand:
        message = "the formula has no expression; write it on the last line, after the names"
        return context.says("LD108", message, "for example region = dice and, on the next line, bce + region")
    if context.at_end and context.previous:
        return context.says("LD108", f"the formula ends after `{context.previous}`", missing)
    if not context.previous_is_operand and context.found in (*_OPERATORS, ")", "]", ",", ";"):
        before = f" after `{context.previous}`" if context.previous else ""
        return context.says("LD108", f"unexpected `{context.found}`{before}", missing)
    return None


_RULES: tuple[Callable[[Failure], Diagnostic | None], ...] = (
    _empty,
    _foreign_character,
    _foreign_sign,
    _definition,
    _second_statement,
    _bracket,
    _comparison,
    _missing_operator,
    _comma,
    _missing_value,
)

_WORDS = {
    "NAME": "a name", "NUMBER": "a number", "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`",
    "COMMA": "`,`", "EQUAL": "`=`", "PLUS": "an operator", "MINUS": "an operator", "STAR": "an operator",
    "SLASH": "an operator", "POWER": "an operator", "COLON": "`:`", "VBAR": "`|`", "LOSS": "`loss`", "FOR": "`for`",
    "_NEWLINE": "the end of the line", "$END": "the end", "__ANON_0": "`->`",
}  # fmt: skip


def _unexpected(context: Failure) -> Diagnostic:
    wanted = _wanted(context.expected)
    return context.says("LD101", f"unexpected `{context.found}`", f"expected {wanted}" if wanted else None)


def _wanted(expected: frozenset[str]) -> str:
    if {"NAME", "NUMBER", "LPAR"} <= expected:
        return "a value: a number, a loss, a tensor or a bracket"
    if {"NAME", "NUMBER"} <= expected:
        return "a number or inf"
    return " or ".join(sorted({_WORDS[terminal] for terminal in expected if terminal in _WORDS}))
