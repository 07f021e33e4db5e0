"""What is wrong in a config, where, and that everything is said at once. «...» marks what a finding points at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lossdsl.config import read_mapping

# YAML text: (code, part of the message, part of the hint)
FINDINGS = {
    # keys
    "loss: {expr: bce, «taks»: binary}": (
        "LD402",
        "unknown key `taks`",
        "did you mean `task`? the keys are task, input",
    ),
    "loss: {terms: {a: {expr: bce, «wieght»: 1}}}": ("LD402", "`wieght`", "did you mean `weight`? the keys are expr"),
    "loss:\n  expr: bce\n  «no»: 1\n": ("LD402", "unknown key `no`", "the keys are"),
    "loss:\n  expr: bce\n  «1»: 1\n": ("LD405", "the key `1` must be a string; YAML reads it as a number", ""),
    "loss:\n  expr: bce\n  «True»: 1\n": ("LD405", "the key `True` must be a string; YAML reads it as a bool", ""),
    "loss:\n  expr: bce\n  «~»: 1\n": ("LD405", "the key `~` must be a string; YAML reads it as a null", ""),
    "loss:\n  expr: bce\n  ? «[»a, b]\n  : 1\n": ("LD405", "a key must be a string, not a list", ""),
    "loss:\n  expr: bce\n  «expr»: dice\n": (
        "LD403",
        "the key `expr` is given twice; the first is in line 2",
        "remove",
    ),
    "loss:\n  expr: bce\n  «'expr'»: dice\n": ("LD403", "the first is in line 2", ""),
    "loss:\n  terms:\n    a: bce\n    b: dice\n    «a»: l1\n": (
        "LD403",
        "`a` is given twice; the first is in line 3",
        "",
    ),
    "loss:\n  terms:\n    a: {expr: bce, «expr»: dice}\n": ("LD403", "the first is in line 3", ""),
    "loss:\n  expr: a\n  define:\n    a: 1\n    «a»: 2\n": ("LD403", "the first is in line 4", ""),
    "loss: bce\nx: 1\n«loss»: dice\n": ("LD403", "the key `loss` is given twice; the first is in line 1", ""),
    # names
    "loss: {terms: {«my-term»: bce}}": ("LD405", "`my-term` cannot be a name", "a letter or _, followed by"),
    "loss: {terms: {«a.b»: bce}}": ("LD405", "`a.b` cannot be a name", ""),
    "loss: {expr: bce, define: {«größe»: bce}}": ("LD405", "`größe` cannot be a name", ""),
    "loss: {expr: bce, define: {«''»: bce}}": ("LD405", "`` cannot be a name", ""),
    f"loss: {{terms: {{«{'a' * 65}»: bce}}}}": ("LD405", "is longer than 64 characters", ""),
    # options
    "loss: {expr: bce, task: «segmentation»}": (
        "LD405",
        "task must be one of binary, multilabel, multiclass, regression, got `segmentation`",
        "",
    ),
    "loss: {expr: bce, task: «Binary»}": ("LD405", "got `Binary`", "did you mean `binary`?"),
    "loss: {expr: bce, task: «1»}": ("LD405", "got `1`", ""),
    "loss: {expr: bce, input: «logit»}": ("LD405", "one of logits, probs, got `logit`", "did you mean `logits`?"),
    "loss: {expr: bce, backend: «[»eager]}": ("LD405", "one of eager, inductor, got a list", ""),
    "loss: {expr: bce, backend: «{»a: b}}": ("LD405", "got a mapping", ""),
    "loss: {expr: bce, ignore_index: «1.0»}": ("LD405", "must be a whole number, got `1.0`", ""),
    "loss: {expr: bce, ignore_index: '«255»'}": ("LD405", "whole number, got `255`", "write it without quotes"),
    "loss: {expr: bce, ignore_index: «1:30»}": ("LD405", "whole number, got `1:30`", ""),
    "loss: {expr: bce, ignore_index: «true»}": ("LD405", "whole number, got `true`", ""),
    "loss: {expr: bce, ignore_index: «9999999999999999999»}": ("LD405", "whole number, got", ""),
    "loss: {expr: bce, class_weight: «1»}": ("LD405", "list of numbers, one for each class, got `1`", "[1, 2.5, 1]"),
    "loss: {expr: bce, class_weight: «[»]}": ("LD405", "got an empty list", ""),
    "loss: {expr: bce, class_weight: [1, «-2»]}": ("LD405", "at least 0, got `-2`", ""),
    "loss: {expr: bce, class_weight: [1, «.inf»]}": ("LD405", "got `.inf`", ""),
    "loss: {expr: bce, class_weight: [1, «[»2]]}": ("LD405", "got a list", ""),
    "loss: {expr: bce, class_weight: [1, «»~]}": ("LD405", "got nothing", ""),
    # missing and doubled parts
    "«loss»:": ("LD406", "the loss is missing", "for example"),
    "«loss»: {}": ("LD406", "the loss has neither terms nor expr", "add expr:"),
    "a:\n  «loss»: {task: binary}": ("LD406", "the loss has neither terms nor expr", ""),
    "loss: {«terms»: {}}": ("LD406", "terms is empty", "add a term"),
    "loss: {«terms»: }": ("LD406", "neither terms nor expr", ""),
    "loss: {terms: {a: bce}, «expr»: bce}": ("LD405", "either terms or expr, not both", ""),
    "loss: {expr: bce, «total»: bce}": ("LD405", "total can be used with terms, not with expr", ""),
    "loss: {terms: {«a»: {weight: 1}}}": ("LD406", "the term `a` has no expr", "add expr"),
    # wrong types
    "loss: «[»a, dice]": ("LD405", "a loss must be a formula or a mapping, got a list", "quote"),
    "loss:\n  «-» log(1 - dice)": ("LD405", "got a list", "quote a formula that starts with -"),
    "loss: «true»": ("LD405", "a loss must be a formula, got `true`", ""),
    "loss: «.inf»": ("LD405", "a loss must be finite, got `.inf`", ""),
    "loss: {«terms»: [bce]}": ("LD405", "terms must map names to terms, got a list", "terms: {region: dice}"),
    "loss: {terms: «bce»}": ("LD405", "terms must map names to terms, got `bce`", ""),
    "loss: {expr: bce, define: «bce»}": ("LD405", "define must map names to expressions, got `bce`", "define: {region"),
    "loss: {terms: {a: «[»bce]}}": ("LD405", "the term `a` must be a formula, got a list", ""),
    "loss: {terms: {«a»: }}": ("LD405", "the term `a` must be a formula, got nothing", ""),
    "loss: {terms: {a: {expr: bce, «weight»: }}}": ("LD405", "the weight of `a` must be a formula, got nothing", ""),
    "loss: {terms: {a: {expr: bce, weight: «.nan»}}}": ("LD405", "the weight of `a` must be finite", ""),
    "loss: {terms: {a: bce}, total: «[»a]}": ("LD405", "total must be a formula, got a list", ""),
    "loss: {expr: «{»a: b}}": ("LD405", "expr must be a formula, got a mapping", ""),
    # one expression, no definitions
    'loss: {terms: {a: "«b» = dice; b"}}': ("LD405", "the term `a` must be one expression; `b` cannot be", "`define:`"),
    'loss: {terms: {a: {expr: bce, weight: "«b» = 1; b"}}}': ("LD405", "the weight of `a` must be one expression", ""),
    'loss: {expr: bce, define: {a: "«b» = dice; b"}}': ("LD405", "the definition of `a` must be one expression", ""),
    'loss: {terms: {a: bce}, total: "«b» = a; b"}': ("LD405", "total must be one expression", ""),
    # formulas
    "loss: {terms: {a: {expr: bce, weight: 1 «^» 2}}}": ("LD102", "`^` is not an operator", "**"),
    "loss: {expr: '«»'}": ("LD101", "the formula is empty", ""),
    # what YAML does to formulas
    "loss: {terms: {a: focal(gamma=2«,» alpha=0.25), b: bce}}": (
        "LD405",
        "in YAML, a comma inside { } ends the value; here it splits a formula",
        'quote the formula: a: "focal(gamma=2, alpha=0.25)"',
    ),
    "loss: {expr: where(y > 0.5«,» bce,\n  dice) + f(a, b), task: binary}": (
        "LD405",
        "here it splits a formula",
        'expr: "where(y > 0.5, bce, dice) + f(a, b)"',
    ),
    "loss: a = dice«\n  b» + bce": ("LD102", "missing operator", "write the formula below `key: |`"),
    "loss: a = dice\n  «b» = bce": ("LD102", "", "write the formula below `key: |`"),
    "loss: >\n  bce «# half\n  + dice»\n": ("LD405", "the comment hides the lines below it", "below `key: |`"),
    "loss: '«(»bce + ' # dice)": ("LD107", "never closed", "add `)`"),
    "loss: «(»bce + # dice)": ("LD107", "never closed", "YAML reads the rest of the line as a comment"),
    # YAML that is not read
    "loss: «!»include other.yaml": ("LD408", "the tag `!include` is not supported", "remove the tag"),
    "loss: «!»!python/object:os.system ls": ("LD408", "`!!python/object:os.system`", ""),
    "loss: {expr: «!»!str bce}": ("LD408", "`!!str`", ""),
    "loss: {expr: bce, «!x task»: binary}": ("LD408", "the tag `!x`", ""),
    "a: &a {expr: bce}\nloss: {«<<»: *a, expr: bce}": ("LD408", "merge keys (<<) are not supported", "write out"),
    "«loss»: &a {expr: bce, define: {x: *a}}": ("LD408", "this cannot be read: it contains itself", ""),
    # YAML that is none
    "loss: a«:» b": ("LD401", "mapping values are not allowed here", 'quote the formula: loss: "a: b"'),
    "loss: «@»a": ("LD401", "cannot start any token", 'quote the formula: loss: "@a"'),
    "loss: «`»a`": ("LD401", "cannot start any token", "quote the formula"),
    "loss: «%»a": ("LD401", "cannot start any token", "quote the formula"),
    "loss: «*»bce": ("LD401", "found undefined alias 'bce'", "quote the formula"),
    "loss: |«b»ce": ("LD401", "expected chomping", "quote the formula"),
    "loss: «-» log(dice)": ("LD401", "sequence entries are not allowed", 'quote the formula: loss: "- log(dice)"'),
    "loss: {expr: f(weights=«[»1, 2])}": ("LD401", "expected ',' or '}'", "quote the formula: inside { } and [ ]"),
    "loss: 'a' «+» b": ("LD401", "expected <block end>", 'quote the formula: loss: "a + b"'),
    "loss: (a # b\n  «+» c)": ("LD401", "expected <block end>", "below `key: |`"),
    "loss:\n«\t»expr: a": ("LD401", "found character '\\t'", "write spaces instead of tabs"),
    'loss: «"»bce\nx: 1\n': ("LD401", "end of stream", "never closed"),
    "x: 1\nloss: «[»a\n": ("LD401", "expected ',' or ']'", "never closed"),
    'loss: "a\\«q»"': ("LD401", "unknown escape character", "'single quotes'"),
    "loss: a«\x07»": ("LD401", "special characters are not allowed (U+0007)", "remove"),
    "loss: a\n«-»--\nloss: b\n": ("LD401", "but found another document", "one document"),
    "x: 1\n«l»oss:bce\n": ("LD401", "could not find expected ':'", "a colon and a space"),
    "loss:\n  expr: bce\n   task«:» binary\n": ("LD401", "mapping values are not allowed here", "indentation"),
    "x: " + "[" * 99 + "«[»" + "[" * 50: ("LD408", "nested too deep", ""),
}


@pytest.mark.parametrize("text", FINDINGS)
def test_finding(read_marked: Callable[..., Any], text: str) -> None:
    code, message, hint = FINDINGS[text]
    marked = read_marked(text, key="a.loss" if text.startswith("a:\n") else "loss")
    (finding,) = marked.findings
    assert finding.code == code
    assert message in finding.message
    assert hint in (finding.hint or "")
    assert marked.found_places == marked.places
    ((start, end),) = marked.marks
    if end > start + 1:
        assert marked.found_marks == [(start, end)]


ALL_AT_ONCE = """
loss:
  «taks»: multiclass
  task: «segmentation»
  input: «logit»
  define:
    overlap: dice«(»smooth=1
    nested: overlap + 1
    fine: iou
  terms:
    pixel:  {expr: ce, «weigth»: 0.5}
    region: {expr: -log(1 - nested), weight: "1 «^» 2"}
    edge:   {expr: fine, weight: 2 «^» 3}
    «my-term»: bce
    «pixel»: bce
  total: pixel + region
«loss»: bce
"""


def test_all_findings_at_once_in_the_order_of_the_file(read_marked: Callable[..., Any]) -> None:
    marked = read_marked(ALL_AT_ONCE)
    assert marked.found_places == marked.places


def test_what_could_be_read_is_kept_and_nothing_that_refers_to_what_could_not(read_marked: Callable[..., Any]) -> None:
    spec = read_marked(ALL_AT_ONCE).spec
    assert [item.name for item in spec.definitions] == ["fine"]
    assert [(term.name, str(term.value.expression), str(term.weight.expression)) for term in spec.terms] == [
        ("pixel", "ce", "1"),
        ("edge", "fine", "1"),
    ]
    assert spec.total is None
    assert spec.options.task is None


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("loss: {terms: {a: bce, b: dice +}, total: a}", "a"),
        ("loss: {terms: {a: bce, b: dice +}, total: a + b}", None),
        ("loss: {terms: {a: bce, my-b: dice}, total: a + my - b}", None),
        ("loss: {define: {d: dice +}, terms: {a: bce, b: d}, total: 2*b + a}", None),
        ("loss: {define: {d: dice +}, terms: {a: bce, b: {expr: 1, weight: d}}, total: a}", "a"),
        ("loss: {terms: {a: bce, dice: dice +, c: dice}, total: c}", "c"),
    ],
)
def test_a_total_of_lost_terms_is_lost(read_marked: Callable[..., Any], text: str, total: str | None) -> None:
    marked = read_marked(text)
    assert len(marked.findings) == 1
    assert (marked.spec.total and str(marked.spec.total.expression)) == total


@pytest.mark.parametrize(
    "text", ["loss: {task: binary}", "loss: bce +", "loss: {terms: {a: bce +}}", "loss: {expr: +}"]
)
def test_no_spec_when_nothing_could_be_read(read_marked: Callable[..., Any], text: str) -> None:
    assert read_marked(text).reading.spec is None


def test_a_cut_formula_is_read_as_it_was_meant(read_marked: Callable[..., Any]) -> None:
    marked = read_marked("loss: {terms: {a: {expr: where(y > 0.5, f(1,2),\n  -z), weight: 2}, b: iou}}")
    read = [(term.name, str(term.value.expression), str(term.weight.expression)) for term in marked.spec.terms]
    assert read == [("a", "where(y > 0.5, f(1, 2), -z)", "2"), ("b", "iou", "1")]


@pytest.mark.parametrize(
    "text",
    [
        "loss: |\n  bce + # half\n  dice\n",
        "loss: >\n  bce + dice\n  # both\n  # halves\n",
        "loss: >\n  bce + dice # both\n\n  # halves\n",
        'loss: "bce + # half\\n dice"\n',
        "loss: bce + dice # both\n",
        "loss: 'bce # both\n\n  '\n",
    ],
)
def test_comments_that_swallow_nothing(read_marked: Callable[..., Any], text: str) -> None:
    assert not read_marked(text).findings


# mapping: (key path of the finding, code, part of the message)
MAPPINGS: list[tuple[dict[Any, Any], str, str, str]] = [
    ({"expr": "bce", "taks": "binary"}, "loss.taks", "LD402", "unknown key `taks`"),
    ({"expr": "bce", False: 1}, "loss.False", "LD405", "the key `False` must be a string, not bool"),
    ({"expr": "bce", 1: 1}, "loss.1", "LD405", "the key `1` must be a string, not int"),
    ({"expr": "bce", "task": "x"}, "loss.task", "LD405", "task must be one of"),
    ({"expr": "bce", "task": True}, "loss.task", "LD405", "got `true`"),
    ({"expr": "bce", "ignore_index": 2.0}, "loss.ignore_index", "LD405", "got `2.0`"),
    ({"expr": "bce", "ignore_index": 10**5000}, "loss.ignore_index", "LD405", "got `inf`"),
    ({"expr": "bce", "class_weight": [1, float("nan")]}, "loss.class_weight[1]", "LD405", "got `nan`"),
    ({"expr": "bce", "class_weight": {1}}, "loss.class_weight", "LD405", "got a set"),
    ({"expr": "bce", "class_weight": b"12"}, "loss.class_weight", "LD405", "got a bytes"),
    ({"terms": {"pixel": {"expr": "bce +"}}}, "loss.terms.pixel.expr", "LD108", "ends after `+`"),
    ({"terms": {"pixel": "bce +"}}, "loss.terms.pixel", "LD108", "ends after `+`"),
    ({"terms": {"a": {"expr": "bce", "weight": float("inf")}}}, "loss.terms.a.weight", "LD405", "must be finite"),
    ({"terms": {"a": {"expr": "bce", "weight": None}}}, "loss.terms.a.weight", "LD405", "got nothing"),
    ({"terms": {}}, "loss.terms", "LD406", "terms is empty"),
    ({"terms": ["bce"]}, "loss.terms", "LD405", "got a list"),
    ({"terms": {"a": {}}}, "loss.terms.a", "LD406", "has no expr"),
    ({}, "loss", "LD406", "neither terms nor expr"),
]


@pytest.mark.parametrize(("mapping", "path", "code", "message"), MAPPINGS)
def test_finding_in_a_mapping(mapping: dict[Any, Any], path: str, code: str, message: str) -> None:
    (finding,) = read_mapping(mapping).diagnostics
    assert finding.source
    assert (finding.source.path, finding.file, finding.code) == (path, None, code)
    assert message in finding.message


def test_path_of_a_mapping() -> None:
    (finding,) = read_mapping({"expr": "bce"}, "train.loss").diagnostics or read_mapping({}, "train.loss").diagnostics
    assert finding.render().startswith("<train.loss>: error LD406")
