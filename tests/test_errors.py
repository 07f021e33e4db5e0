"""How a finding is shown: place, message, the line with a caret, the hint."""

from __future__ import annotations

import pickle
import re

import pytest

from lossdsl.errors import (
    ConfigError,
    Diagnostic,
    Edit,
    FormulaError,
    InputError,
    LossError,
    Place,
    PluginError,
    Source,
    Span,
    near_miss,
    nearest,
    respelt,
)

WORDS = "one two three four five six seven eight nine ten " * 8


def shown(marked: str, **where: str) -> str:
    """The rendered finding for the place between the marks."""
    start = marked.index("«")
    source = Source(marked.replace("«", "").replace("»", ""), **where)
    return Diagnostic("LD999", "no", source, Span(start, marked.index("»") - 1), "do this").render()


EXCERPTS = {
    "one character": ("a «+» b", "1:3", "a + b", "  ^"),
    "a word": ("a + «dice»*c", "1:5", "a + dice*c", "    ^~~~"),
    "the whole line": ("«a + b»", "1:1", "a + b", "^~~~~"),
    "the second line": ("a\n  «b»\nc", "2:3", "  b", "  ^"),
    "tabs before": ("\ta\t+ «b c»", "1:6", "\ta\t+ b c", "\t \t  ^~~"),
    "tabs inside": ("a «b\tc»", "1:3", "a b\tc", "  ^~~"),
    "several lines": ("a + «(b\n + c)»", "1:5", "a + (b", "    ^~"),
    "several lines from the end of one": ("a«\n\n»b", "1:2", "a", " ^"),
    "nothing, at the end": ("a +«»", "1:4", "a +", "   ^"),
    "nothing, in an empty string": ("«»", "1:1", "", "^"),
    "nothing, on an empty line": ("a\n«»\nb", "2:1", "", "^"),
    "nothing, on a last empty line": ("a\n«»", "2:1", "", "^"),
    "windows lines": ("a\r\nb «c»\r\nd", "2:3", "b c", "  ^"),
    "windows lines, at the end of one": ("a +«\r»\nb", "1:4", "a +", "   ^"),
    "a surrogate pair is one column": ("\N{SLIGHTLY SMILING FACE} «x»", "1:3", "\N{SLIGHTLY SMILING FACE} x", "  ^"),
}


@pytest.mark.parametrize(("marked", "place", "line", "caret"), EXCERPTS.values(), ids=EXCERPTS)
def test_the_line_and_the_caret(marked: str, place: str, line: str, caret: str) -> None:
    assert shown(marked).split("\n") == [
        f"<formula>:{place}: error LD999: no",
        f"    {line}",
        f"    {caret}",
        "    do this",
    ]


def test_a_place_beyond_the_end_is_shown_at_the_end() -> None:
    found = Diagnostic("LD999", "no", Source("a +"), Span(3, 4))
    assert found.render() == "<formula>:1:4: error LD999: no\n    a +\n       ^"
    assert Diagnostic("LD999", "no", Source("a +\n"), Span(40, 41)).render().startswith("<formula>:2:1: ")


@pytest.mark.parametrize("start", [0, 1, 59, 60, 61, 200, len(WORDS) - 61, len(WORDS) - 3])
def test_of_a_long_line_only_a_window_is_shown(start: int) -> None:
    text = WORDS + "\n" + WORDS
    first, line, caret = Diagnostic("LD999", "no", Source(text), Span(start, start + 3)).render().split("\n")
    assert first == f"<formula>:1:{start + 1}: error LD999: no"
    assert len(line) <= 4 + 120
    assert re.fullmatch(r" {4} *\^~~", caret)
    marked = [character for character, mark in zip(line, caret, strict=False) if mark in "^~"]
    assert "".join(marked) == WORDS[start : start + 3]


def test_a_long_place_ends_with_the_window() -> None:
    lines = Diagnostic("LD999", "no", Source(WORDS), Span(10, 300)).render().split("\n")
    assert len(lines[2]) <= len(lines[1]) + 1 <= 4 + 120 + 1


WHERE = {
    "formula": ({}, "<formula>:1:1: "),
    "path": ({"path": "loss.terms.region"}, "<loss.terms.region>:1:1: "),
    "file": ({"file": "train.yaml"}, "train.yaml:1:1: "),
    "file and path": ({"file": "train.yaml", "path": "loss"}, "train.yaml:1:1: "),
}


@pytest.mark.parametrize(("where", "start"), WHERE.values(), ids=WHERE)
def test_where_it_stands(where: dict[str, str], start: str) -> None:
    assert shown("«a»", **where).startswith(f"{start}error LD999: no\n")


def test_without_a_place_or_a_hint() -> None:
    assert Diagnostic("LD999", "no").render() == "error LD999: no"
    assert Diagnostic("LD999", "no", hint="do this").render() == "error LD999: no\n    do this"
    assert Diagnostic("LD999", "no", Source("a", file="f.yaml")).render() == "f.yaml: error LD999: no"
    assert Diagnostic("LD999", "hm", severity="warning").render() == "warning LD999: hm"
    unplaced = Diagnostic("LD999", "no")
    assert (unplaced.file, unplaced.line, unplaced.column) == (None, None, None)


# A formula in a double-quoted YAML string: `\n` is one character of the formula and two of the file.
DOCUMENT = 'epochs: 3\nloss: "r = dice\\n0.5 bce"\nseed: 1\n'
FORMULA = "r = dice\n0.5 bce"
OFFSETS = tuple(DOCUMENT.index("r = ") + index + (index > 8) for index in range(len(FORMULA) + 1))


def test_a_place_in_a_formula_is_shown_in_the_file() -> None:
    source = Source(FORMULA, file="train.yaml", path="loss", document=DOCUMENT, offsets=OFFSETS)
    start = FORMULA.index("bce")
    found = Diagnostic("LD999", "no", source, Span(start, start + 3))
    assert (found.file, found.line, found.column) == ("train.yaml", 2, 22)
    assert found.render() == (
        'train.yaml:2:22: error LD999: no\n    loss: "r = dice\\n0.5 bce"\n                         ^~~'
    )
    at_end = Diagnostic("LD999", "no", source, Span(len(FORMULA), len(FORMULA) + 1))
    assert DOCUMENT[source.offset(len(FORMULA))] == '"'
    assert (at_end.line, at_end.column) == (2, 25)


def test_a_block_of_a_file_keeps_its_lines() -> None:
    document = "loss: |\n  a = 1\n  a b\n"
    text = "a = 1\na b\n"
    offsets = (*range(10, 16), *range(18, 22), 22)
    source = Source(text, file="t.yaml", document=document, offsets=offsets)
    assert Diagnostic("LD999", "no", source, Span(7, 9)).render() == "t.yaml:3:4: error LD999: no\n      a b\n       ^~"


def test_a_part_of_a_file_without_offsets_begins_where_the_file_does() -> None:
    source = Source("a b", document="a b\nc", file="f")
    assert source.place(2) == (1, 3)
    assert source.line(2) == "c"
    assert source.line(3) == ""


def test_a_finding_gets_its_source_once() -> None:
    first, second = Source("a"), Source("b")
    found = Diagnostic("LD999", "no", span=Span(0, 1)).at(first)
    assert found.source == first
    assert found.at(second).source == first


def test_a_place_says_a_finding_and_mends_it() -> None:
    source = Source("a +  b", "a.loss")
    place = Place(source, Span(0, 6))
    edit = place.replaced("a + b", "safe")
    assert place.text == "a + b"
    assert edit == Edit(Span(0, 6), "a + b", "safe")
    assert place.says("LD101", "wrong", "mend it", edit, "warning") == Diagnostic(
        "LD101", "wrong", source, Span(0, 6), "mend it", "warning", edit
    )


def test_a_place_without_a_span_is_the_whole_text_and_is_shown_without_a_line() -> None:
    place = Place(Source("dice", path="loss"))
    assert (place.text, place.extent) == ("dice", Span(0, 4))
    assert place.says("LD405", "wrong").render() == "<loss>: error LD405: wrong"


def test_spans_join() -> None:
    assert Span(3, 5).to(Span(1, 4)) == Span(1, 4).to(Span(3, 5)) == Span(1, 5)


def test_an_error_lists_all_findings() -> None:
    source = Source("a b\nc d", file="f.loss")
    findings = [
        Diagnostic("LD998", "first", source, Span(0, 1), "do this"),
        Diagnostic("LD999", "second", source, Span(6, 7)),
        Diagnostic("LD997", "third"),
    ]
    error = FormulaError(findings)
    assert error.diagnostics == tuple(findings)
    assert str(error) == (
        "f.loss:1:1: error LD998: first\n    a b\n    ^\n    do this\n"
        "f.loss:2:3: error LD999: second\n    c d\n      ^\n"
        "error LD997: third"
    )


def test_an_error_from_a_sentence() -> None:
    error = LossError("no such file")
    assert [finding.code for finding in error.diagnostics] == ["LD000"]
    assert str(error) == "error LD000: no such file"


@pytest.mark.parametrize("kind", [FormulaError, ConfigError, InputError, PluginError])
def test_there_is_one_family(kind: type[LossError]) -> None:
    assert issubclass(kind, LossError)
    error = kind([Diagnostic("LD999", "no", Source("a"), Span(0, 1))])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_error_has_no_colour() -> None:
    assert "\x1b" not in str(FormulaError([Diagnostic("LD999", "no", Source("a b"), Span(1, 2), "do")]))


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\r", "\x00", "\N{RIGHT-TO-LEFT OVERRIDE}"], ids=ascii)
def test_what_a_terminal_would_obey_is_not_shown_as_it_is(character: str) -> None:
    _, line, caret, _ = shown(f"a{character}[31m «b»").split("\n")
    assert character not in line
    assert line.isprintable()
    assert line[caret.index("^")] == "b"


NEAREST = {
    "dise": "did you mean `dice`?",
    "Dice": "did you mean `dice`?",
    "TVERSKI": "did you mean `tversky`?",
    "smoth": "did you mean `smooth`?",
    "xyz": None,
    "": None,
}


@pytest.mark.parametrize(("word", "hint"), NEAREST.items(), ids=NEAREST)
def test_nearest(word: str, hint: str | None) -> None:
    known = ["tversky", "dice", "smooth", "iou"]
    assert nearest(word, known) == nearest(word, set(known)) == hint


def test_nearest_to_nothing() -> None:
    assert nearest("dice", []) is None


SLIPS = {
    ("bec", "bce ce dice"): "bce",
    ("dcie", "bce dice dice_coef"): "dice",
    ("diceee", "dice"): None,
    ("dice_", "dice"): "dice",
    ("dise", "dice disc"): None,
    ("dics", "dice disc"): None,
    ("cbe", "bce ce"): None,
    ("Lovasz", "lovasz"): "lovasz",
    ("Dice", "dice"): None,  # the name of a score elsewhere
    ("focal_tverksy", "focal tversky focal_tversky"): "focal_tversky",
    ("dice_loss", "dice"): None,
    ("iu", "iou"): None,
    ("gama", "gamma alpha"): "gamma",
    ("smoth", "smooth"): "smooth",
}


@pytest.mark.parametrize(("word", "known"), SLIPS)
def test_a_slip_is_mended_where_one_name_is_near(word: str, known: str) -> None:
    text = f"1 + {word}(x)"
    edit = respelt(Source(text), Span(4, 4 + len(word)), word, known.split(), "parameter")
    assert (edit and text[: edit.span.start] + edit.text + text[edit.span.end :]) == (
        SLIPS[word, known] and f"1 + {SLIPS[word, known]}(x)"
    )


# Of a name that is a slip away from `features`, `features1` or `pred`: what a mended tensor and a mended loss are.
NEAR = {
    ("featrues", "features"): ("features", "safe"),
    ("feautre1", "feature1"): ("feature1", "safe"),
    ("fetures1", "features1"): ("features1", "safe"),
    ("feature12", "feature21"): (None, "suggested"),  # a digit is no slip
    ("features2", "features1"): (None, "suggested"),
    ("wfeatures", "features"): (None, "suggested"),
    ("features_", "features"): (None, "safe"),
    ("featurex", "features"): (None, "suggested"),  # a last letter makes another name
    ("perd", "pred"): ("pred", "safe"),
    ("PRED", "pred"): ("pred", "safe"),
    ("bcd", "bce"): (None, "suggested"),  # everything short is near to a letter or two
}


@pytest.mark.parametrize(("word", "known"), NEAR)
def test_a_first_letter_and_a_digit_tell_names_apart(word: str, known: str) -> None:
    edit = respelt(Source(word), Span(0, len(word)), word, [known], "name")
    assert (near_miss(word, [known]), edit and edit.applicability) == NEAR[word, known]


@pytest.mark.parametrize(
    ("word", "known", "applicability"), [("wgamma", "gamma", "safe"), ("gamma1", "gamma2", "suggested")]
)
def test_a_digit_tells_parameters_apart_too(word: str, known: str, applicability: str) -> None:
    edit = respelt(Source(word), Span(0, len(word)), word, [known], "parameter")
    assert edit == Edit(Span(0, len(word)), known, applicability)
