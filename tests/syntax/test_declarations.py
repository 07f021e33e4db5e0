"""The text of a .loss file: signatures, ranges, choices, cases, and what is refused."""

from __future__ import annotations

from math import inf

import pytest

from lossdsl.errors import FormulaError
from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse, parse_library
from lossdsl.tasks import TASKS

# Text as written, and as printed.
CANONICAL = {
    "": [],
    "\n# nothing\n\n": [],
    "loss f() -> [0, 1]\n = a": ["loss f() -> [0, 1]\n    = a"],
    "# Why\nloss f( ) -> [0,1] # so\n # and\n\n   =a # end": ["loss f() -> [0, 1]\n    = a"],
    "loss f() -> [0, 1]\r\n    = a\r\n": ["loss f() -> [0, 1]\n    = a"],
    "loss f() -> [0, 1]; = a;": ["loss f() -> [0, 1]\n    = a"],
    "loss f(s: [0, inf) = 1) -> [0, 1]\n = s": ["loss f(s: [0, inf) = 1) -> [0, 1]\n    = s"],
    "loss f(\n  s: (0,1] = .5,\n  t: a|b = a,\n) -> [0,1]\n = s": [
        "loss f(s: (0, 1] = 0.5, t: a | b = a) -> [0, 1]\n    = s",
    ],
    "loss f(s:[(0, inf)]=1, t: [ [[0, 1]] ] = [[0,1],[1,0]]) -> [0, 1]\n = a": [
        "loss f(s: [(0, inf)] = 1, t: [[[0, 1]]] = [[0, 1], [1, 0]]) -> [0, 1]\n    = a",
    ],
    "loss f(s: [0, 1], t: a | b, mode: task|none=none) -> [0, 1]\n = a": [
        "loss f(s: [0, 1], t: a | b, mode: task | none = none) -> [0, 1]\n    = a",
    ],
    "loss f(s: [0, 1] | none = none) -> [-inf, inf]\n = s": ["loss f(s: [0, 1] | none = none) -> [-inf, inf]\n    = s"],
    "loss f(s: [-1, 1] = -(1/2)) -> (-1.5, 1e3)\n = s": ["loss f(s: [-1, 1] = -(1/2)) -> (-1.5, 1000)\n    = s"],
    "loss f() -> [0, 1]\n t = sum(p*y)\n u = t +\n 1\n = (t\n + u)": [
        "loss f() -> [0, 1]\n    t = sum(p*y)\n    u = t + 1\n    = t + u",
    ],
    "loss f() -> [0, inf)\n for binary|multilabel=a\n for multiclass = b\n for regression = c": [
        "loss f() -> [0, inf)\n    for binary | multilabel = a\n    for multiclass = b\n    for regression = c",
    ],
    "loss f() -> [0, 1]\n for binary = a\n = b": ["loss f() -> [0, 1]\n    for binary = a\n    = b"],
    "loss f() -> [0, 1]\n = a\nloss g() -> [0, 1]\n = b\n\n\n# end": [
        "loss f() -> [0, 1]\n    = a", "loss g() -> [0, 1]\n    = b",
    ],
    "loss loss() -> [0, 1]\n = for + loss": ["loss loss() -> [0, 1]\n    = for + loss"],
    "loss for() -> [0, 1]\n lossy = a\n format = b\n = lossy": [
        "loss for() -> [0, 1]\n    lossy = a\n    format = b\n    = lossy",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("text", "canonical"), CANONICAL.items(), ids=map(ascii, CANONICAL))
def test_canonical_text(text: str, canonical: list[str]) -> None:
    declarations = parse_library(text)
    assert [str(declaration) for declaration in declarations] == canonical
    assert parse_library("\n".join(canonical)) == declarations


def test_the_tree_of_a_declaration() -> None:
    (found,) = parse_library(
        "loss f(s: [0, inf) = 1, per: image | batch = image) -> [0, 1]\n t = a\n for binary = t\n = b"
    )
    a, b, t, image = (tree.Name(word) for word in ("a", "b", "t", "image"))
    assert found == tree.Declaration(
        name="f",
        parameters=(
            tree.ParameterSyntax("s", tree.Range(0, inf, high_open=True), (), tree.Number(1)),
            tree.ParameterSyntax("per", None, ("image", "batch"), image),
        ),
        range=tree.Range(0, 1),
        bindings=(tree.Binding("t", a),),
        cases=(tree.Case(("binary",), t), tree.Case((), b)),
    )


def test_the_tree_of_lists_tasks_and_required_parameters() -> None:
    (found,) = parse_library("loss f(a: [0, 1], b: [[0, 1]] = [1], c: [[[0, 1]]], mode: task) -> [0, 1]\n = a")
    unit, one = tree.Range(0, 1), tree.Listing((tree.Number(1),))
    assert found.parameters == (
        tree.ParameterSyntax("a", unit, (), None),
        tree.ParameterSyntax("b", unit, (), one, lists=1),
        tree.ParameterSyntax("c", unit, (), None, lists=2),
        tree.ParameterSyntax("mode", None, TASKS, None, decides_task=True),
    )


def test_whole_numbers() -> None:
    text = "loss f(a: whole [1, inf) | none = 3, b: [whole (0, 9]] = 1) -> [0, 1]\n    = a"
    (found,) = parse_library(text)
    assert str(found) == text
    counts, few = (parameter.interval for parameter in found.parameters)
    assert (counts, few) == (
        tree.Range(1, inf, high_open=True, whole=True),
        tree.Range(0, 9, low_open=True, whole=True),
    )
    assert [value for value in (1.0, 1.5, 9, inf, float("nan")) if value in counts] == [1, 9]
    with pytest.raises(FormulaError):
        parse_library("loss f(a: even [0, 4] = 2) -> [0, 1]\n    = a")
    assert parse_library("loss whole(whole: [0, 4] = 2) -> [0, 1]\n    = mean(whole*whole_map)")


def test_a_body_is_read_as_a_formula_is() -> None:
    formula = "0.5*bce(aux, reduction=none) + where(z < -1, -z**2, [1, 2])"
    (declaration,) = parse_library(f"loss f() -> [0, 1]\n    = {formula}")
    assert declaration.cases[0].expression == parse(formula).expression


INTERVALS = {
    "[0, 1]": ([0, 0.5, 1], [-0.1, 1.1]),
    "(0, 1)": ([0.5], [0, 1]),
    "[0, 1)": ([0], [1]),
    "(0, 1]": ([1], [0]),
    "[0, inf)": ([0, 1e308], [-1, inf]),
    "[0, inf]": ([inf], [-inf]),
    "(-inf, inf)": ([-1e308, 0], [inf, -inf]),
    "[-2.5, -0.001]": ([-2.5, -1], [0, -3]),
    "[3, 3]": ([3], [2, 4]),
}


@pytest.mark.parametrize(("text", "inside", "outside"), [(key, *value) for key, value in INTERVALS.items()])
def test_intervals(text: str, inside: list[float], outside: list[float]) -> None:
    (declaration,) = parse_library(f"loss f() -> {text}\n = a")
    assert str(declaration.range) == text
    assert all(value in declaration.range for value in inside)
    assert not any(value in declaration.range for value in outside)


PLACES = [
    (tree.Declaration, "# c\n«loss f(a: b = b) -> [0, 1]\n  = (a)» # end\n"),
    (tree.Range, "loss f(a: «[0, inf )» | none = 1) -> [0, 1]\n = a"),
    (tree.ParameterSyntax, "loss f(«a»: [0, 1] = 1) -> [0, 1]\n = a"),
    (tree.Binding, "loss f() -> [0, 1]\n «r» = a\n = r"),
    (tree.Case, "loss f() -> [0, 1]\n «for binary = a»\n = b"),
    (tree.Case, "loss f() -> [0, 1]\n = «a + b»\n"),
]


@pytest.mark.parametrize(("kind", "marked"), PLACES)
def test_the_place_of_a_node(kind: type[tree.Node], marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    (declaration,) = parse_library(text)
    span = next(node.span for node, _ in tree.walk(declaration) if isinstance(node, kind))
    assert f"{text[: span.start]}«{text[span.start : span.end]}»{text[span.end :]}" == marked


FAULTS: dict[tuple[str, str], list[str]] = {
    ("LD101", "the beginning"): [
        "«a» + b", "«lossy»() -> [0, 1]\n = a", "«def» f():", "«=» a", " «f»() -> [0,1]\n = a",
    ],
    ("LD108", "signature"): [
        "loss«»", "loss f«»", "loss f()«\n» = a", "loss f() ->«\n» = a",
    ],
    ("LD107", "signature"): [
        "loss f«(»", "loss f() -> «[»0, 1\n = a",
    ],
    ("LD101", "signature"): [
        "loss f() «=» a", "loss f() -> «0»\n = a", "loss f() «-» > [0, 1]\n = a", "loss f() -> [0, 1«,» 2]\n = a",
        "loss f() -> «[1, 0]»\n = a", "loss f() -> «(0, 0]»\n = a", "loss f() -> [0, «1e999»]\n = a",
        "loss f() -> [0, «high»]\n = a", "loss «1»f() -> [0, 1]\n = a", "loss «a.b»() -> [0, 1]\n = a",
        "loss f() «=>» [0, 1]\n = a",
    ],
    ("LD102", "signature"): [
        "loss f() -> [0« 1»]\n = a",
    ],
    ("LD103", "signature"): [
        "loss f() -> [0, «\u221e»)\n = a", "loss f() «\u2192» [0, 1]\n = a",
    ],
    ("LD101", "parameters"): [
        "loss f(«a») -> [0, 1]\n = a", "loss f(«a»=1) -> [0, 1]\n = a",
        "loss f(a: «=» 1) -> [0, 1]\n = a", "loss f(a: [0, 1] | «=» 1) -> [0, 1]\n = a",
        "loss f(a: none | «[»0, 1] = 1) -> [0, 1]\n = a", "loss f(a: «1» = 1) -> [0, 1]\n = a",
        "loss f(«a.b»: c = c) -> [0, 1]\n = a", "loss f(a: c = «'c'») -> [0, 1]\n = a",
        "loss f(a: [«c»]) -> [0, 1]\n = a",
        "loss f(«a»; b) -> [0, 1]\n = a",
    ],
    ("LD105", "parameters"): [
        "loss f(a: c = c, «a»: d = d) -> [0, 1]\n = a",
    ],
    ("LD102", "parameters"): [
        "loss f(a: c = c« b»: d = d) -> [0, 1]\n = a",
    ],
    ("LD108", "parameters"): [
        "loss f(a: c = c,«,» b: c = c) -> [0, 1]\n = a",
    ],
    ("LD108", "body"): [
        "loss f() -> [0, 1]«»", "loss f() -> [0, 1]«\n»", "loss f() -> [0, 1]\n =«»", "loss f() -> [0, 1]\n a«»",
        "loss f() -> [0, 1]\n r = a«»",
    ],
    ("LD101", "body"): [
        "loss f() -> [0, 1] «=» a", "loss f() -> [0, 1]\n = a\n «b»", "loss f() -> [0, 1]\n «r.s» = a\n = a",
        "loss f() -> [0, 1]\n = a«,» b", "loss f() -> [0, 1]\n = a «=» b", "loss f() -> [0, 1]\n = 1«.»",
    ],
    ("LD105", "body"): [
        "loss f() -> [0, 1]\n = a\n = «b»", "loss f() -> [0, 1]\n = f(a=1, «a=2»)",
    ],
    ("LD106", "body"): [
        "loss f() -> [0, 1]\n = a\n «r» = b", "loss f() -> [0, 1]\n = a\n «+» b",
    ],
    ("LD102", "body"): [
        "loss f() -> [0, 1]\n = a« b»", "loss f() -> [0, 1]\n = a«^»2",
    ],
    ("LD107", "body"): [
        "loss f() -> [0, 1]\n = «(»a",
    ],
    ("LD104", "body"): [
        "loss f() -> [0, 1]\n = a «<» b",
    ],
    ("LD101", "cases"): [
        "loss f() -> [0, 1]\n for «=» a", "loss f() -> [0, 1]\n for «segmentation» = a",
        "loss f() -> [0, 1]\n for binary«,» multilabel = a", "loss f() -> [0, 1]\n for binary «a»",
        "loss f() -> [0, 1]\n for binary |«=» a", "loss f() -> [0, 1]\n for binary = a «for» multilabel = b",
        "loss f() -> [0, 1]\n for «=» 3\n = a",
    ],
    ("LD108", "cases"): [
        "loss f() -> [0, 1]\n for binary«»", "loss f() -> [0, 1]\n forbinary = a«»",
    ],
    ("LD105", "cases"): [
        "loss f() -> [0, 1]\n for binary = a\n «for binary = b»", "loss f() -> [0, 1]\n «for binary | binary = a»",
    ],
    ("LD101", "several definitions"): [
        "loss f() -> [0, 1]\n = a «loss» g() -> [0, 1]\n = b", "loss f() -> [0, 1]\n = a\n«lossy»\n",
        "loss f() -> [0, 1]\n = a\n«g»() -> [0, 1]\n = b",
    ],
    ("LD108", "several definitions"): [
        "loss f() -> [0, 1]\n«loss» g() -> [0, 1]\n = b",
    ],
}  # fmt: skip

CASES = [(code, marked) for (code, _), texts in FAULTS.items() for marked in texts]


@pytest.mark.parametrize(("code", "marked"), CASES, ids=[ascii(marked) for _, marked in CASES])
def test_code_and_place(code: str, marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    with pytest.raises(FormulaError) as caught:
        parse_library(text)
    (fault,) = caught.value.diagnostics
    assert fault.span is not None
    start, end = fault.span.start, fault.span.end
    assert f"{text[:start]}«{text[start:end]}»{text[end:]}" == marked
    assert fault.code == code


MESSAGES = {
    "bce + dice": """\
<formula>:1:1: error LD101: unexpected `bce`
    bce + dice
    ^~~
    a definition starts with loss: loss name(parameter: [0, inf) = 1) -> [0, 1]""",
    "loss f(a=1) -> [0, 1]\n = a": """\
<formula>:1:8: error LD101: a parameter must declare its allowed values
    loss f(a=1) -> [0, 1]
           ^
    for example a: [0, inf) = 1 or a: image | batch = image""",
    "loss f() -> [0, 1]": """\
<formula>:1:19: error LD108: the definition ends after `]`
    loss f() -> [0, 1]
                      ^
    expected `= expression` on a line of its own""",
    "loss f()\n    = a": """\
<formula>:1:9: error LD108: the definition ends after `)`
    loss f()
            ^
    expected `->`""",
    "loss f() -> [0, ]\n = a": """\
<formula>:1:17: error LD108: unexpected `]` after `,`
    loss f() -> [0, ]
                    ^
    expected a number or inf""",
    "loss f() -> [0, 1] = a": """\
<formula>:1:20: error LD101: `=` must be on a line of its own
    loss f() -> [0, 1] = a
                       ^""",
    "loss f() -> [0, 1]\n    for seg = a": """\
<formula>:2:9: error LD101: `seg` is not a task
        for seg = a
            ^~~
    tasks: binary, multilabel, multiclass, regression""",
    "loss f() -> [0, 1]\n    = a\n    r = b": """\
<formula>:3:5: error LD106: `r` is defined too late
        r = b
        ^
    define names above the line that starts with =""",
}


@pytest.mark.parametrize(("text", "message"), MESSAGES.items(), ids=map(ascii, MESSAGES))
def test_the_complete_message(text: str, message: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_library(text)
    assert str(caught.value) == message
