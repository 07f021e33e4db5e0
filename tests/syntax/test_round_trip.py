"""The canonical text of a tree, and that it reads back as the same tree."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse
from lossdsl.syntax.printing import number

CANONICAL = {
    "a+b": "a + b",
    "a -b+ c": "a - b + c",
    "a * b / c": "a*b/c",
    "0.5 * bce+0.5 * ( -log( 1-dice ) )": "0.5*bce + 0.5*(-log(1 - dice))",
    "a ** - b": "a**-b",
    "-(a)**2": "-a**2",
    "(-a)**2": "(-a)**2",
    "(a**b)**c": "(a**b)**c",
    "a**(b**c)": "a**b**c",
    "a**(b*c)": "a**(b*c)",
    "a-(b-c)": "a - (b - c)",
    "(a-b)-c": "(a - b) - c",
    "a+(b*c)": "a + b*c",
    "a/(b/c)": "a/(b/c)",
    "(a*b)*c": "(a*b)*c",
    "a+-b": "a + (-b)",
    "a--b": "a - (-b)",
    "a*-b": "a*(-b)",
    "-a*b": "-a*b",
    "-(a*b)": "-(a*b)",
    "--a": "--a",
    "+a": "a",
    "((a))": "a",
    "1.50": "1.5",
    "1_000.0": "1000",
    "1E-6": "1e-06",
    ".5": "0.5",
    "1e15": "1000000000000000",
    "1e16": "1e+16",
    "f( a,k = 1, )": "f(a, k=1)",
    "f(k=(a+b))": "f(k=a + b)",
    "f([1,.5 , ])": "f([1, 0.5])",
    "where(a+1<b,c,d)": "where(a + 1 < b, c, d)",
    "r=dice;bce+r": "r = dice\nbce + r",
    "(a\n  +b) # why": "a + b",
}


@pytest.mark.parametrize(("text", "canonical"), CANONICAL.items(), ids=map(ascii, CANONICAL))
def test_canonical_text(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert str(parse(canonical)) == canonical
    assert parse(canonical) == parse(text)


def test_every_node_prints() -> None:
    program = parse("r = f(a, -b**2, k=[1])\nwhere(r < 1, r + 2, r*3)")
    printed = [str(node) for node, _ in tree.walk(program)]
    expected = [
        "r = f(a, -b**2, k=[1])",
        "k=[1]",
        "[1]",
        "-b**2",
        "b**2",
        "where(r < 1, r + 2, r*3)",
        "r < 1",
        "+ 2",
        "* 3",
    ]
    assert set(expected) <= set(printed)


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_a_number_reads_back_exactly(value: float) -> None:
    assert parse(number(value)).expression == tree.Number(value)


words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,4}", fullmatch=True) | st.sampled_from(["loss", "for", "inf", "where"])
qualified = words | st.builds("{}.{}".format, words, words)
leaves = st.builds(
    tree.Number, st.floats(min_value=0, allow_infinity=False) | st.integers(0, 20).map(float)
) | st.builds(tree.Name, qualified)


def chains(
    kind: type, first: str, other: str, operands: st.SearchStrategy[tree.Expression]
) -> st.SearchStrategy[object]:
    parts = st.builds(tree.Part, st.sampled_from([first, other]), operands)
    return st.builds(
        lambda operand, rest: kind((tree.Part(first, operand), *rest)),
        operands,
        st.lists(parts, min_size=1, max_size=3),
    )


def compounds(inner: st.SearchStrategy[tree.Expression]) -> st.SearchStrategy[tree.Expression]:
    operands = st.lists(inner, max_size=3).map(tuple)
    keywords = st.lists(st.builds(tree.Keyword, words, inner), max_size=2).map(
        lambda found: tuple({keyword.name: keyword for keyword in found}.values())
    )
    comparisons = st.builds(tree.Comparison, st.sampled_from(["<", ">", "<=", ">=", "==", "!="]), inner, inner)
    return st.one_of(
        st.builds(tree.Negative, inner),
        chains(tree.Sum, "+", "-", inner),
        chains(tree.Product, "*", "/", inner),
        st.builds(tree.Power, inner, inner),
        st.builds(tree.Listing, operands),
        st.builds(tree.Call, st.builds(tree.Name, qualified), operands, keywords),
        st.builds(
            lambda comparison, others: tree.Call(tree.Name("where"), (comparison, *others), ()), comparisons, operands
        ),
    )


expressions = st.recursive(leaves, compounds, max_leaves=25)
programs = st.builds(
    tree.Program, st.lists(st.builds(tree.Binding, words, expressions), max_size=3).map(tuple), expressions
)


@given(programs)
def test_a_printed_tree_reads_back_equal(program: tree.Program) -> None:
    assert parse(str(program)) == program


@given(programs, st.data())
def test_white_space_and_comments_mean_nothing(program: tree.Program, data: st.DataObject) -> None:
    tokens = re.findall(r"\*\*|[<>=!]=|[\w.]+(?:(?<=\de)[+-]\d+)?|\S|\n", str(program))
    spaces = data.draw(
        st.lists(st.sampled_from(["", "", " ", "\t ", "  "]), min_size=len(tokens), max_size=len(tokens))
    )
    ends = data.draw(st.sampled_from(["\n", ";", "\r\n", " # a; b (\n\n", "\n# c\n"]))
    noisy = "".join(token.replace("\n", ends) + space for token, space in zip(tokens, spaces, strict=True))
    assert parse(noisy) == program


def test_a_tree_can_be_copied_and_pickled() -> None:
    program = parse("r = f(a, -b**2, k=[1])\nwhere(r < 1, r + 2, r*3)")
    assert copy.deepcopy(program) == copy.copy(program) == pickle.loads(pickle.dumps(program)) == program
