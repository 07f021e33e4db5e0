"""Wrong formulas: the code that each gives, and the place that it points at, between the marks."""

from __future__ import annotations

import pytest

from lossdsl.errors import FormulaError
from lossdsl.syntax.parse import parse

FAULTS: dict[tuple[str, str], list[str]] = {
    ("LD101", "nothing"): [
        "«»", "« »  ", "«\n»\n", "«;»", "«#» a", "«\t»# a\n",
    ],
    ("LD102", "implicit products"): [
        "2« a»", "2«a»", "a« b»", "a« 2»", "2«(»a)", "(a)«2»", "(a)«(»b)", "a (b)«(»c)", "f(a)«b»", "f(a)« g»(b)",
        "a**2« b»", "-a« b»", "1« 2»", "a + 2«b»", "0«x1g»", "1«x10»", "[a]«b»", "a «[»b]",
    ],
    ("LD101", "implicit products"): [
        "«1.5.5»",
    ],
    ("LD102", "powers and other operators"): [
        "a«^»b", "a«^»-b",
    ],
    ("LD108", "powers and other operators"): [
        "a**«*»b",
    ],
    ("LD101", "powers and other operators"): [
        "a «%» b", "a «@» b", "a «&» b", "a «&&» b", "a «|» b", "a «||» b", "«!»a", "«~»a", "a «//» b", "a «->» b",
        "a «=>» b", "a «=<» b", "a «<>» b", "a «:=» b", "a«$»b", "a «?» b : c", "a«\\»\n+ b",
    ],
    ("LD101", "words"): [
        "«not» a", "a «and» b", "a «or» b", "a «if» b else c", "a «in» b", "a «is» b", "«lambda» a", "«return» a",
        "«import» a",
    ],
    ("LD101", "numbers"): [
        "1«.»", "1«.» + a", "1«.»e3", "«.».5", "1«.».5", "«2e»", "«2e»+", "«2e»-", "«1__0»", "«1_»", "«1_.5»",
        "«1e1.5»", "«1e999»", "«1e-999»", "-«1e999»", "«0,5»", "«0,5»*a", "(«1,5»)", "«010»", "a + «00.5»", "«000»*a",
        "«0_1»*a", "-«007e3»", "a**«02»", "f(b=«01»)", "f(b=[«1,000», 2])", "f(b=[2, «1,234,056»])",
        "f(b=[«1,000.5»])", "[1, «00», 2]", "«0x10»*a", "a*«0b11»", "«0o17»", "«1.000,5»*a", "«1,000»*a",
        "«1,000,000»", "«1,5.5»",
    ],
    ("LD101", "names and quotes"): [
        "«.»a", "a«.»", "a «.»b", "f()«.»x", "1«.»a", "«'a'»", 'f(«"a"»)', "«`»a`", "«a.b» = 1\na",
        "f(«a.b»=1)",
    ],
    ("LD103", "look-alikes"): [
        "a «\u2212» b", "a «\u2013» b", "a «\u2014» b", "a «\xd7» b", "a «\xb7» b", "a «\u2217» b", "a «\xf7» b",
        "a «\u2215» b", "2«\xa0»a", "a«\u2009»+ b", "a«\u200b»", "«\ufeff»a", "a«\xad»b", "«\u03b1»", "«\u03b2»1",
        "«\u03bb»*a", "«\u03a3»(a)", "«\xb5»", "«\u221a»a", "«\u221e»", "a«\xb2»", "a«\u207b»\xb9", "«\xbd»",
        "«\uff11»", "«\uff41»", "«\uff08»a\uff09", "a«\u0440»b", "«\u0430»", "dic«\u0435»", "«\u2264»",
        "where(a «\u2260» b, 1, 2)", "«\u201c»a\u201d", "a«\u2026»", "a«\u2192»b", "«\xe9»", "e«\u0301»", "«\x00»a",
        "a«\x1b»[1m", "a«\r»b", "a«\r»", "a«\x0c»", "«\U0001d44e»", "«\ud800»",
    ],
    ("LD104", "comparisons"): [
        "a «<» b", "a «==» b", "(a «>» b)", "max(a, «b < c»)", "where(a, «b < c», d)", "where((a «<» b), c, d)",
        "where(a < b «<» c, d, e)", "where(k=a «<» b)", "[a «<» b]", "r = a «<» b\nr", "a «!=» b", "f(«a==1»)",
    ],
    ("LD101", "comparisons"): [
        "a = «=» b",
    ],
    ("LD101", "assignments"): [
        "«=» a", "a = b «=» c", "1 «=» a", "f(a) «=» 1", "(a«=»1)", "[a«=»1]", "f(«=»1)", "f(1«=»2)", "f(a=b«=»c)",
        "a«:» b", "f(a«:» 1)",
    ],
    ("LD102", "assignments"): [
        "dice «smooth»=1", "x = 1 «y» = 2\nx",
    ],
    ("LD105", "arguments"): [
        "f(a=1, «a=2»)",
    ],
    ("LD101", "arguments"): [
        "f(a=1, «b»)", "a«,» b", "a«,»", "(a«,» b)",
    ],
    ("LD108", "arguments"): [
        "f(a=1, «*»b)", "f(«,»)", "f(a,«,»b)", "f(«,»a)", "f(k=«)»", "[«,»]", "[a,«,»]", "(«)»",
    ],
    ("LD102", "arguments"): [
        "f(a« b»)", "f(a« k»=1)", "f(a)«(»)",
    ],
    ("LD106", "lines"): [
        "a\n«b»", "a; «b»", "a\n«+» b", "a\r\n«-» b", "a\n«*»\nb", "r = a\nb\n«c»",
    ],
    ("LD101", "lines"): [
        "a\n«=» b",
    ],
    ("LD108", "lines"): [
        "r = a«»", "r = a«\n»", "r = a; s = b«;»", "r =«»", "r =« »\n", "r = «;» a",
    ],
    ("LD107", "brackets"): [
        "«(»", "«[»", "f«(»", "«(»a", "«(»(a)", "f(a, «[»b", "(a«]»", "[a«)»", "f(a«]»", "a«)»", "a«]»", "«)»",
        "(a)«)»", "f(a«;»)", "(a«;» b", "(a\n # c;\n «;» b)", "r = «(»a\ns = b\nr",
    ],
    ("LD108", "ends"): [
        "a +«»", "a -« » ", "a *« »# b", "a **«\n»", "-«»", "a/«»", "+«»", "a + +« »",
    ],
    ("LD107", "ends"): [
        "f«(»a,", "where«(»a <",
    ],
    ("LD108", "no operand"): [
        "«*»a", "a + «*» b", "a ** «**» b", "(«*»a)", "a*«/»b",
    ],
    ("LD107", "no operand"): [
        "a + «)»",
    ],
    ("LD101", "others"): [
        "loss «f»() -> [0, 1]", "«{»a: 1}", "a«,» b = c", "a«`»",
    ],
    ("LD102", "others"): [
        "#a\n«^»",
    ],
}  # fmt: skip

CASES = [(code, marked) for (code, _), texts in FAULTS.items() for marked in texts]


@pytest.mark.parametrize(("code", "marked"), CASES, ids=[ascii(marked) for _, marked in CASES])
def test_code_and_place(code: str, marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    with pytest.raises(FormulaError) as caught:
        parse(text)
    (fault,) = caught.value.diagnostics
    assert fault.span is not None
    start, end = fault.span.start, fault.span.end
    assert f"{text[:start]}«{text[start:end]}»{text[end:]}" == marked
    assert fault.code == code
    assert start < end <= len(text) + 1


# What is written instead of a character that is not part of the language.
INSTEAD = {
    "\N{MINUS SIGN}": "write `-`",
    "\N{EN DASH}": "write `-`",
    "\N{NON-BREAKING HYPHEN}": "write `-`",
    "\N{FULLWIDTH HYPHEN-MINUS}": "write `-`",
    "\N{MULTIPLICATION SIGN}": "write `*`",
    "\N{MIDDLE DOT}": "write `*`",
    "\N{DIVISION SIGN}": "write `/`",
    "\N{FULLWIDTH LEFT PARENTHESIS}": "write `(`",
    "\N{FULLWIDTH COMMA}": "write `,`",
    "\N{LESS-THAN OR EQUAL TO}": "write `<=`",
    "\N{NOT EQUAL TO}": "write `!=`",
    "\N{RIGHTWARDS ARROW}": "write `->`",
    "\N{GREEK SMALL LETTER ALPHA}": "write `alpha`",
    "\N{GREEK SMALL LETTER LAMDA}": "write `lambda`",
    "\N{GREEK SMALL LETTER FINAL SIGMA}": "write `sigma`",
    "\N{MICRO SIGN}": "write `mu`",
    "\N{CYRILLIC SMALL LETTER ER}": "write `p`",
    "\N{CYRILLIC SMALL LETTER U}": "write `y`",
    "\N{MATHEMATICAL ITALIC SMALL P}": "write `p`",
    "\N{LATIN SMALL LIGATURE FI}": "write `fi`",
    "\N{FULLWIDTH DIGIT ONE}": "write `1`",
    "\N{SUBSCRIPT TWO}": "write `2`",
    "\N{SUPERSCRIPT TWO}": "write `**2`",
    "\N{SUPERSCRIPT NINE}": "write `**9`",
    "\N{SQUARE ROOT}": "write `sqrt`",
    "\N{INFINITY}": "write `inf`",
    "\N{NO-BREAK SPACE}": "write a plain space",
    "\N{IDEOGRAPHIC SPACE}": "write a plain space",
    "\N{ZERO WIDTH SPACE}": "delete it",
    "\N{ZERO WIDTH NO-BREAK SPACE}": "delete it",
    "\N{COMBINING ACUTE ACCENT}": "delete it",
    "\x1b": "delete it",
    "\x00": "delete it",
    "\N{LEFT DOUBLE QUOTATION MARK}": "write the bare word, without quotes",
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}": "write the bare word, without quotes",
    "\N{VULGAR FRACTION ONE HALF}": "write it in ASCII",
    "\N{HORIZONTAL ELLIPSIS}": "write it in ASCII",
    "\N{LATIN SMALL LETTER E WITH ACUTE}": "write it in ASCII",
    "\N{CJK UNIFIED IDEOGRAPH-4E00}": "write it in ASCII",
    "\N{SLIGHTLY SMILING FACE}": "write it in ASCII",
}


@pytest.mark.parametrize(("character", "hint"), INSTEAD.items(), ids=map(ascii, INSTEAD))
def test_a_foreign_character_is_named_and_replaced(character: str, hint: str) -> None:
    for text in (character, f"bce {character}", f"0.5*bce{character}+ 1", f"dice(smooth={character})"):
        with pytest.raises(FormulaError) as caught:
            parse(text)
        (fault,) = caught.value.diagnostics
        assert (fault.code, fault.hint, fault.column) == ("LD103", hint, text.index(character) + 1)
        assert f"U+{ord(character):04X}" in fault.message
