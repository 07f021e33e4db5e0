"""Findings point into the formula, whatever the YAML style, line ends and encoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import assume, example, given

from lossdsl.config.page import Page
from lossdsl.config.values import Scalar
from lossdsl.config.yaml_nodes import locate, value_of
from lossdsl.config.yaml_text import compose
from lossdsl.errors import Source
from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse

STYLES = {
    "plain": "loss: 0.5*bce + «^» 2",
    "plain after an anchor": "loss: &a   0.5*bce + «^» 2",
    "plain after an anchor and a comment": "loss: &a # half\n  0.5*bce + «^» 2",
    "plain folded": "loss: (0.5*bce\n  + dice\n\n\n     + «^» 2)\n  + iou",
    "plain that starts on the next line": "loss:\n\n    0.5*bce\n    + «^» 2 # half",
    "single": "loss: '0.5*bce + «^» 2'",
    "single with quotes": "loss: '0.5*bce # it''s ''half''\n\n\n  «^» 2'",
    "single folded": "loss: '(0.5*bce\n  + dice   \n\n     + «^» 2\n'",
    "single that starts with white space": "loss: '\n   0.5*bce + «^» 2'",
    "double": 'loss: "0.5*bce + «^» 2"',
    "double with escapes": 'loss: "\\x61 = 0.5*\\u0062ce\\n\\ta +\\x20\\U00000061 «^» 2"',
    "double with an escaped fault": 'loss: "0.5*bce + «\\x5e» 2"',
    "double with continuations": 'loss: "0.5*b\\\n    c\\\n  e\\ + \\\n\n    «^» 2"',
    "double with quotes": 'loss: "# \\"half\\"\\\\ \\/\\n 0.5*bce + «^» 2"',
    "double folded": 'loss: "(0.5*bce\n\n\n   + dice  \n   + «^» 2\n\n"',
    "double with other white space": 'loss: "# \\N\\_\\L\\P\\t\\e\\0\\n bce + «^» 2"',
    "literal": "loss: |\n  0.5*bce +\n  «^» 2\n",
    "literal after an anchor": "loss: &a |\n  0.5*bce +\n  «^» 2\n",
    "literal stripped": "loss: |-\n\n\n  0.5*bce +\n    «^» 2\n\n",
    "literal kept": "loss: |+ # as it is\n  0.5*bce +\n\n      # note\n  «^» 2\n\n",
    "literal with an indentation indicator": "loss: |2-\n     a = 1\n   bce +\n  «^» 2\n",
    "literal in a mapping": "loss:\n   terms:\n      a:\n         expr: |\n           bce +\n            «^» 2\n",
    "folded": "loss: >\n  0.5*bce +\n  dice + (\n     iou\n  ) + «^» 2\n",
    "folded stripped": "loss: >-\n  0.5*bce +\n\n   \n  («^» 2\n",
    "folded kept": "loss: >+\n\n\n  0.5*bce +\n\n\n  «^» 2\n\n\n",
    "folded with an indentation indicator": "loss: >1\n   a = (1)\n   \n   bce +\n «^» 2\n",
    "flow mapping": "loss: {terms: {a: dice, b: {weight: 2, expr: bce + «^» 2}}}",
    "json": '{"loss":\n\t{"terms": {"a": "bce +\\n«^» 2"}}}',
    "after other text": "π: 'α\tβ' # 𝔸\nloss: {expr: bce + «^» 2}",
    "json after tabs": """# not JSON
{"o	": "		", "loss": '0.5*bce	+	«^»	2'}""",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("end", ["", "\n", "\nother: 1\n"], ids=["open end", "end", "more"])
@pytest.mark.parametrize("style", STYLES)
def test_place_of_a_fault(read_marked: Callable[..., Any], style: str, end: str, newline: str, encoding: str) -> None:
    text = STYLES[style] + ("" if "json" in style else end)
    marked = read_marked(text, encoding=encoding, newline=newline)
    assert marked.found_places == marked.places
    assert [start for start, _ in marked.found_marks] == [start for start, _ in marked.marks]


@pytest.mark.parametrize(
    "text",
    [
        "loss: bce + dice«»",
        "loss: 'bce + dice«»'",
        'loss: "bce + dice«»"',
        "loss: |\n  bce +\n  dice«»\n\n\nx: 1\n",
        "loss: >-\n  bce +\n  dice«»\n\n\nx: 1\n",
        "loss: bce +\n   dice«»  # the sum\n",
        "loss: |\n  bce +\n  dice«»",
    ],
)
def test_end_of_a_formula(read_marked: Callable[..., Any], text: str) -> None:
    marked = read_marked(text)
    source = marked.spec.total.source
    assert [source.place(len(source.text.rstrip()))] == marked.places


def scalars_of(document: str) -> tuple[str, Source]:
    """The text of `loss` in a document as PyYAML reads it, and as we do."""
    page = Page(document, "experiment.yaml")
    root = compose(page).value
    assert root is not None
    located = locate(page, root, "a.loss").value
    assert located is not None
    value = value_of(page, located.node, located.place).value
    assert isinstance(value, Scalar)
    return located.node.value, value.source


dumps = st.fixed_dictionaries(
    {
        "default_style": st.sampled_from([None, '"', "'", "|", ">"]),
        "width": st.integers(5, 100),
        "indent": st.integers(2, 9),
        "allow_unicode": st.booleans(),
        "line_break": st.sampled_from(["\n", "\r\n"]),
        "default_flow_style": st.booleans(),
    }
)
characters = st.one_of(
    st.sampled_from("  \t\n\n'\"\\#:,[]{}&*!|>%@`-?abc()=+*\x85\u2028\u2029\xa0\x00\x07\x1bé€😀"),
    st.characters(exclude_categories=["Cs"]),
)


@given(st.text(characters), dumps)
@example("a' \"b\n\n  c\\", {"default_style": '"', "width": 5})
@example("a\u2028b", {"default_style": ">", "allow_unicode": True})
def test_every_character_of_any_text_is_found_again(text: str, how: dict[str, Any]) -> None:
    document = yaml.dump({"a": {"loss": text, "z": 1}}, **how)
    value, source = scalars_of(document)
    assert len(source.offsets) == len(value) + 1
    assert list(source.offsets) == sorted(source.offsets)
    for position, character in enumerate(value):
        there = document[source.offset(position)]
        assert character == there or character.isspace() or there == "\\"


names = st.sampled_from(["bce", "dice", "region", "p", "y_1", "plugin.loss", "a"])
numbers = st.sampled_from(["1", "0.5", "1e-3", ".25"])
formulas = st.recursive(
    names | numbers,
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["+", "-", "*", "/", "+\n", "*\n\n  "]), inner),
        st.builds("({})".format, inner),
        st.builds("-{}".format, inner),
        st.builds(
            "f({},{}{},\n  k={})".format, inner, st.sampled_from(["", " ", "\n", " # it's: [\"]\n"]), inner, names
        ),
        st.builds("where({} > {}, {}, [{}])".format, inner, inner, inner, inner),
    ),
    max_leaves=12,
)


@given(formulas, dumps)
def test_every_node_of_a_formula_is_found_again(formula: str, how: dict[str, Any]) -> None:
    document = yaml.dump({"a": {"loss": formula, "z": 1}}, **how)
    value, source = scalars_of(document)
    assume(value == formula)  # with tiny widths PyYAML writes some texts in a way that it reads differently
    for node, _ in tree.walk(parse(source)):
        if isinstance(node, tree.Name | tree.Number):
            written = formula[node.span.start : node.span.end]
            assert document[source.offset(node.span.start) :].startswith(written[0])
            assert document[source.offset(node.span.end - 1)] == written[-1]
