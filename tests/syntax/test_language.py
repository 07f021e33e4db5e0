"""What a formula means: how texts become trees, and where in the text each node stands."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse


def flat(node: tree.Node) -> Any:
    """A tree as nested lists: `a - b*c` is ["+", "a", ["-", ["*", "b", "c"]]]."""
    match node:
        case tree.Number() | tree.Name():
            return str(node)
        case tree.Negative():
            return ["neg", flat(node.operand)]
        case tree.Sum() | tree.Product():
            plain = "+" if isinstance(node, tree.Sum) else "*"
            return [
                plain,
                *(flat(p.operand) if p.operator == plain else [p.operator, flat(p.operand)] for p in node.parts),
            ]
        case tree.Power():
            return ["**", flat(node.base), flat(node.exponent)]
        case tree.Comparison():
            return [node.operator, flat(node.left), flat(node.right)]
        case tree.Listing():
            return ["[]", *map(flat, node.items)]
        case tree.Call():
            keywords = {keyword.name: flat(keyword.value) for keyword in node.keywords}
            return [f"{flat(node.function)}()", *map(flat, node.arguments), *([keywords] if keywords else [])]
        case tree.Program():
            bindings = [{binding.name: flat(binding.value)} for binding in node.bindings]
            return [*bindings, flat(node.expression)] if bindings else flat(node.expression)


TREES = {
    # one operator
    "a + b": ["+", "a", "b"],
    "a - b": ["+", "a", ["-", "b"]],
    "a * b": ["*", "a", "b"],
    "a / b": ["*", "a", ["/", "b"]],
    "a ** b": ["**", "a", "b"],
    "-a": ["neg", "a"],
    "+a": "a",
    # precedence is Python's
    "-a**2": ["neg", ["**", "a", "2"]],
    "(-a)**2": ["**", ["neg", "a"], "2"],
    "a**-b": ["**", "a", ["neg", "b"]],
    "a**-b*c": ["*", ["**", "a", ["neg", "b"]], "c"],
    "2**3**2": ["**", "2", ["**", "3", "2"]],
    "(2**3)**2": ["**", ["**", "2", "3"], "2"],
    "-2**-2": ["neg", ["**", "2", ["neg", "2"]]],
    "a**+b": ["**", "a", "b"],
    "-a*b": ["*", ["neg", "a"], "b"],
    "-(a*b)": ["neg", ["*", "a", "b"]],
    "-a + b": ["+", ["neg", "a"], "b"],
    "a + b*c": ["+", "a", ["*", "b", "c"]],
    "a*b + c": ["+", ["*", "a", "b"], "c"],
    "(a + b)*c": ["*", ["+", "a", "b"], "c"],
    "a*b**c": ["*", "a", ["**", "b", "c"]],
    "0.5*bce + 0.5*(-log(1 - dice))": [
        "+", ["*", "0.5", "bce"], ["*", "0.5", ["neg", ["log()", ["+", "1", ["-", "dice"]]]]],
    ],
    # from left to right; brackets that change the order stay
    "a - b - c": ["+", "a", ["-", "b"], ["-", "c"]],
    "a - b + c": ["+", "a", ["-", "b"], "c"],
    "a - (b - c)": ["+", "a", ["-", ["+", "b", ["-", "c"]]]],
    "(a - b) - c": ["+", ["+", "a", ["-", "b"]], ["-", "c"]],
    "a/b*c": ["*", "a", ["/", "b"], "c"],
    "a/b/c": ["*", "a", ["/", "b"], ["/", "c"]],
    "a/(b*c)": ["*", "a", ["/", ["*", "b", "c"]]],
    "((a))": "a",
    # chains of signs
    "--a": ["neg", ["neg", "a"]],
    "-+-a": ["neg", ["neg", "a"]],
    "a - -b": ["+", "a", ["-", ["neg", "b"]]],
    "a + +b": ["+", "a", "b"],
    "a*-b": ["*", "a", ["neg", "b"]],
    "a-1": ["+", "a", ["-", "1"]],
    "a -1": ["+", "a", ["-", "1"]],
    # numbers
    "0": "0",
    "0.05": "0.05",
    "1e-05": "1e-05",
    "0e3": "0",
    "1.0": "1",
    "1e-3": "0.001",
    "1E+3": "1000",
    ".5": "0.5",
    ".5e1": "5",
    "1_000": "1000",
    "1_000.25": "1000.25",
    "1e16": "1e+16",
    "1e308": "1e+308",
    "5e-324": "5e-324",
    "0e999": "0",
    # names
    "a_1": "a_1",
    "_": "_",
    "A": "A",
    "inf": "inf",
    "seg.boundary": "seg.boundary",
    "seg.boundary(smooth=1)": ["seg.boundary()", {"smooth": "1"}],
    "loss": "loss",
    "for + lossy": ["+", "for", "lossy"],
    "a = 1; b = 2; for = 3; loss = 4; for": [{"a": "1"}, {"b": "2"}, {"for": "3"}, {"loss": "4"}, "for"],
    "e5": "e5",
    # calls and lists
    "dice()": ["dice()"],
    "dice(smooth=1)": ["dice()", {"smooth": "1"}],
    "dice(smooth=1,)": ["dice()", {"smooth": "1"}],
    "bce(aux, mask)": ["bce()", "aux", "mask"],
    "bce(aux, mask,)": ["bce()", "aux", "mask"],
    "bce(aux, reduction=none)": ["bce()", "aux", {"reduction": "none"}],
    "sum(p*y, over=[batch, pixel])": ["sum()", ["*", "p", "y"], {"over": ["[]", "batch", "pixel"]}],
    "multiscale(bce + dice, weights=[1, .5, -2])": [
        "multiscale()", ["+", "bce", "dice"], {"weights": ["[]", "1", "0.5", ["neg", "2"]]},
    ],
    "f([])": ["f()", ["[]"]],
    "f([a,])": ["f()", ["[]", "a"]],
    "f([[a], [b]])": ["f()", ["[]", ["[]", "a"], ["[]", "b"]]],
    "f(g(h()))": ["f()", ["g()", ["h()"]]],
    "f (a)": ["f()", "a"],
    "f(a=b)*c": ["*", ["f()", {"a": "b"}], "c"],
    # comparisons
    "where(a < b, c, d)": ["where()", ["<", "a", "b"], "c", "d"],
    "where(a > b, c, d)": ["where()", [">", "a", "b"], "c", "d"],
    "where(a <= b, c, d)": ["where()", ["<=", "a", "b"], "c", "d"],
    "where(a >= b, c, d)": ["where()", [">=", "a", "b"], "c", "d"],
    "where(a == b, c, d)": ["where()", ["==", "a", "b"], "c", "d"],
    "where(a != b, c, d)": ["where()", ["!=", "a", "b"], "c", "d"],
    "where(a + 1 < -b, c, d)": ["where()", ["<", ["+", "a", "1"], ["neg", "b"]], "c", "d"],
    "where(a<-b, c, d)": ["where()", ["<", "a", ["neg", "b"]], "c", "d"],
    # several lines
    "r = dice\nbce + r": [{"r": "dice"}, ["+", "bce", "r"]],
    "r = dice; bce + r": [{"r": "dice"}, ["+", "bce", "r"]],
    "r = dice\n\n\n  s = bce  \n r + s": [{"r": "dice"}, {"s": "bce"}, ["+", "r", "s"]],
    "r = dice;; \n; r;": [{"r": "dice"}, "r"],
    "\n\n a \n\n": "a",
    "r = dice\r\nbce + r\r\n": [{"r": "dice"}, ["+", "bce", "r"]],
    "r = dice\n-r": [{"r": "dice"}, ["neg", "r"]],
    # a newline is white space inside brackets and after an operator
    "(a\n+ b)": ["+", "a", "b"],
    "(a\r\n+ b)": ["+", "a", "b"],
    "f(\n  a,\n  k=1,\n)": ["f()", "a", {"k": "1"}],
    "f(a\n, k\n=\n1)": ["f()", "a", {"k": "1"}],
    "[1,\n2]": ["[]", "1", "2"],
    "a +\n\n b": ["+", "a", "b"],
    "a *\n# why\n b": ["*", "a", "b"],
    "a +\r\n b": ["+", "a", "b"],
    "r =\n a\nr": [{"r": "a"}, "r"],
    "where(a <\nb, c, d)": ["where()", ["<", "a", "b"], "c", "d"],
    # comments; anything may stand in them
    "a # b": "a",
    "# one\n# two\na": "a",
    "(a # )\n + b)": ["+", "a", "b"],
    "(a\n# first; then α − β (\n + b)": ["+", "a", "b"],
    "r = a # x;y\n# z\nr # end": [{"r": "a"}, "r"],
    "a +\n# x; y\nb": ["+", "a", "b"],
    # white space
    "\ta\t+\tb ": ["+", "a", "b"],
    "a+b*c-d": ["+", "a", ["*", "b", "c"], ["-", "d"]],
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TREES.items(), ids=map(ascii, TREES))
def test_the_tree_of_a_formula(text: str, expected: object) -> None:
    assert flat(parse(text)) == expected


# The first node of the kind stands at the place between the marks.
PLACES = [
    (tree.Number, "a + «0.50»"),
    (tree.Number, "a + «(2)»"),
    (tree.Name, "2*«seg.dice»"),
    (tree.Negative, "a - «-b**2»*c"),
    (tree.Sum, "«a + b - c»"),
    (tree.Sum, "2*«(a + b)»"),
    (tree.Call, "2*«( ( f(a) ) )» + c"),
    (tree.Sum, "«+a - (b)»"),
    (tree.Part, "«a*b» + c"),
    (tree.Product, "1 - «2*a/b»"),
    (tree.Product, "«(a + b)*(c + d)» - 1"),
    (tree.Power, "-«(a + b)**-c»*d"),
    (tree.Comparison, "where(«a + 1 <= b», c, d)"),
    (tree.Comparison, "where(«(a) > (b)», c, d)"),
    (tree.Keyword, "dice(aux, «smooth = 1 + 2», per=batch)"),
    (tree.Call, "2*«dice(\n smooth=1,\n)» + 1"),
    (tree.Listing, "f(w=«[1, 2, ]»)"),
    (tree.Binding, "  «r» = dice\nbce + r"),
    (tree.Program, "  «a = 1\n b = 2\r\n a + b»  # end"),
    (tree.Program, "# first\n «(a)» \n"),
]


@pytest.mark.parametrize(("kind", "marked"), PLACES)
def test_the_place_of_a_node(kind: type[tree.Node], marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    node = next(node for node, _ in tree.walk(parse(text)) if isinstance(node, kind))
    assert text[: node.span.start] + "«" + text[node.span.start : node.span.end] + "»" + text[node.span.end :] == marked


def test_the_place_of_every_operand_with_its_operator() -> None:
    text = "a - 2*b + (c)"
    total = parse(text).expression
    assert isinstance(total, tree.Sum)
    assert [text[part.span.start : part.span.end] for part in total.parts] == ["a", "- 2*b", "+ (c)"]


def test_children_lie_within_their_parents_and_in_order() -> None:
    text = "r = f(a, -b**2, k=[1, (2)])\n(r + 1)*where(r < 2*(s), r/3, +s) - 4"
    for node, _ in tree.walk(parse(text)):
        spans = [child.span for child in tree.children(node) if not isinstance(child, tree.Binding)]
        assert spans == sorted(spans, key=lambda span: span.start)
        if not isinstance(node, tree.Binding):
            assert all(node.span.start <= span.start and span.end <= node.span.end for span in spans)


def test_equality_ignores_places() -> None:
    assert parse("a+(b)  # same") == parse("a + b")
    assert hash(parse("a+(b)")) == hash(parse("a + b"))
    assert parse("a + b + c") != parse("a + (b + c)")
