"""Any text is read, or it is a FormulaError with a place in the text; and the grammar has no hidden collisions."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lark import Lark

from lossdsl.errors import FormulaError
from lossdsl.syntax import tree
from lossdsl.syntax.parse import Layout, grammar_text, parse, parse_library

FORMULAS = [
    "0.5*bce + 0.5*(-log(1 - dice))",
    "region = dice(smooth=1, per=batch)\nmin(1, epoch/10)*bce + region",
    "s = learn(0)\nexp(-s)*bce(aux, reduction=none) + s # Kendall",
    "where(abs(y - p) <= 1e-3, 0.5*(y - p)**2, .5)",
    "multiscale(bce + seg.dice,\n  weights=[1, .5, 1_000],\n)",
]
DEFINITIONS = [
    "loss f(s: [0, inf) = 1, per: image | batch = image) -> [0, 1]\n    t = sum(p*y, per=per)\n    = 1 - t/(t + s)\n",
    "# hinge\nloss h(m: (0, 1] | none = none) -> [-1, inf)\n    for binary | multilabel = m - z; for regression = m\n",
]
# What the language is made of, and what people put into it by mistake.
PIECES = [
    *"+-*/()[]<>=,;.:|#_^%'\"{}\\ \t\n\r\0", "**", "==", "<=", "->", "//", "=<", "\r\n", "0.5", "1e-3",
    "2e", "bce", "a.b", "where(", "loss ", "for ", "inf", "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}",
    "\N{GREEK SMALL LETTER ALPHA}",
    "\N{ZERO WIDTH SPACE}", "\N{SUPERSCRIPT TWO}", "\ud800", "\N{SLIGHTLY SMILING FACE}",
]  # fmt: skip


def check(text: str) -> None:
    """Both languages answer, and an error can be shown."""
    for read in (parse, parse_library):
        try:
            result = read(text)
        except FormulaError as error:
            check_error(error, len(text))
        else:
            printed = str(result) if isinstance(result, tree.Program) else "\n".join(map(str, result))
            assert read(printed) == result


def check_error(error: FormulaError, length: int) -> None:
    (fault,) = error.diagnostics
    assert fault.span is not None
    assert 0 <= fault.span.start < fault.span.end <= length + 1
    assert fault.message.strip()
    assert fault.code.startswith("LD1")
    assert "\n" not in fault.message + (fault.hint or "")
    assert fault.message in str(error)


@given(st.text())
@example("\r")
@example("a\r")
@example("=")
@example("(;")
@example("(a)\n;")
@example("(a\n;")
@example("loss")
def test_any_text(text: str) -> None:
    check(text)


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_any_pieces_of_the_language(text: str) -> None:
    check(text)


@given(st.text(st.characters(min_codepoint=9, max_codepoint=126), max_size=40))
def test_any_ascii(text: str) -> None:
    check(text)


@pytest.mark.parametrize("good", [*FORMULAS, *DEFINITIONS])
@given(st.data())
def test_a_formula_with_mistakes(good: str, data: st.DataObject) -> None:
    text = good
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 4)))
        text = text[:start] + data.draw(st.sampled_from(["", *PIECES])) + text[end:]
    check(text)


@pytest.mark.parametrize("good", [*FORMULAS, *DEFINITIONS])
def test_every_single_slip(good: str) -> None:
    """Each character left out, doubled, and replaced; each place cut off."""
    for index, piece in zip(range(len(good)), cycle(PIECES)):
        before, after = good[:index], good[index + 1 :]
        for text in (before, before + after, before + good[index] * 2 + after, before + piece + after):
            check(text)


@pytest.mark.parametrize("start", ["program", "library", ["program", "library"]], ids=str)
def test_the_grammar_has_no_collisions(start: str | list[str]) -> None:
    Lark(grammar_text(), start=start, parser="lalr", maybe_placeholders=False, postlex=Layout(), strict=True)


def test_a_collision_would_be_found() -> None:
    colliding = grammar_text().replace("NAME: /", "WORD: /[a-z]+/\nNAME: /").replace("-> name", "-> name | WORD")
    with pytest.raises(Exception, match="Collision"):
        Lark(colliding, start="program", parser="lalr", postlex=Layout(), strict=True)


def test_the_grammar_is_ascii_and_each_terminal_has_a_name() -> None:
    assert grammar_text().isascii()
    parser = Lark(grammar_text(), start=["program", "library"], parser="lalr", postlex=Layout())
    unnamed = [terminal.name for terminal in parser.terminals if terminal.name.startswith("__ANON")]
    assert unnamed == ["__ANON_0"]  # `->`
