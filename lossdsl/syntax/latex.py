"""Convert a tree to LaTeX for math mode, with fractions, powers, and sums with their axes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lossdsl.operations.functions import FUNCTIONS
from lossdsl.syntax import tree
from lossdsl.syntax.printing import number

_GREEK = frozenset(
    {
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
        *("nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
    }
)
# What stands before or, with `{}`, around an argument.
_FUNCTIONS = {name: row.latex for name, row in FUNCTIONS.items() if row.latex is not None}
_FUNCTIONS |= {"log": r"\log", "sqrt": r"\sqrt{{}}"}
_COMPARISONS = {"<": "<", ">": ">", "<=": r"\le", ">=": r"\ge", "==": "=", "!=": r"\ne"}
_EXTREMES = {"min": r"\min", "max": r"\max"}
_REDUCTIONS = {"sum": r"\sum", **_EXTREMES} | {
    name: rf"\operatorname*{{{name}}}" for name in ("mean", "topk", "logsumexp", "softmax")
}
_COMMA = r",\, "
# How tightly a piece of LaTeX holds together.
_COMPARISON, _SUM, _PRODUCT, _UNARY, _POWER, _CALL, _ATOM = range(7)
_SCIENTIFIC = re.compile(r"(.+)e([+-])0*(\d+)")


def latex(node: tree.Expression) -> str:
    """An expression, without the dollars around it."""
    return _piece(node)[0]


def name_latex(text: str) -> str:
    """A name: one letter in italics, a Greek letter as itself, a word upright."""
    if len(text) == 1:
        return text
    if text in _GREEK:
        return rf"\{text}"
    return rf"\mathrm{{{_escaped(text)}}}"


def aligned(lines: Sequence[tuple[str, str]]) -> str:
    """Equations below each other, aligned at the sign; an expression without a left side begins there."""
    if len(lines) == 1 and not lines[0][0]:
        return lines[0][1]
    rows = [rf"  {left} &= {right}" if left else rf"  & {right}" for left, right in lines]
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(rows), r"\end{aligned}"])


def cases(rows: Sequence[tuple[str, str]]) -> str:
    """One value for each condition."""
    inside = r" \\ ".join(rf"{value} & {condition}" for value, condition in rows)
    return rf"\begin{{cases}} {inside} \end{{cases}}"


def text_latex(text: str) -> str:
    return rf"\text{{{_escaped(text)}}}"


def _escaped(text: str) -> str:
    return text.replace("_", r"\_")


def _piece(node: tree.Expression) -> tuple[str, int]:
    """LaTeX, and its binding strength."""
    match node:
        case tree.Number():
            return _number(node.value)
        case tree.Name():
            return (r"\infty" if node.text == "inf" else name_latex(node.text)), _ATOM
        case tree.Negative():
            return f"-{_held(node.operand, _UNARY)}", _UNARY
        case tree.Sum():
            first, *rest = node.parts
            later = "".join(f" {part.operator} {_later(part.operand, _PRODUCT)}" for part in rest)
            return _held(first.operand, _PRODUCT) + later, _SUM
        case tree.Product():
            return _product(node)
        case tree.Power():
            return f"{_held(node.base, _ATOM)}^{{{latex(node.exponent)}}}", _POWER
        case tree.Comparison():
            sign = _COMPARISONS[node.operator]
            return f"{_held(node.left, _SUM)} {sign} {_held(node.right, _SUM)}", _COMPARISON
        case tree.Listing():
            return rf"\left[{', '.join(map(latex, node.items))}\right]", _ATOM
        case tree.Call():
            return _call(node)


def _held(node: tree.Expression, needed: int) -> str:
    piece, strength = _piece(node)
    return piece if strength >= needed else _bracketed(piece)


def _later(node: tree.Expression, needed: int) -> str:
    """An operand after the first: a negative one is in brackets."""
    return _bracketed(latex(node)) if isinstance(node, tree.Negative) else _held(node, needed)


def _bracketed(piece: str) -> str:
    return rf"\left({piece}\right)"


def _number(value: float) -> tuple[str, int]:
    written = number(value)
    scientific = _SCIENTIFIC.fullmatch(written)
    if not scientific:
        return written.replace("inf", r"\infty"), _ATOM
    factor, sign, exponent = scientific.groups()
    power = f"10^{{{sign.strip('+')}{exponent}}}"
    return (power, _POWER) if factor == "1" else (rf"{factor} \cdot {power}", _PRODUCT)


def _product(node: tree.Product) -> tuple[str, int]:
    """Factors from left to right; at a division, everything before it becomes the numerator."""
    first, *rest = node.parts
    done, strength, last = *_piece(first.operand), first.operand
    for part in rest:
        if part.operator == "/":
            done, strength = rf"\frac{{{done}}}{{{latex(part.operand)}}}", _CALL
        else:
            left = done if strength >= _UNARY or strength == _PRODUCT else _bracketed(done)
            done, strength = f"{left}{_times(last, part.operand)}{_later(part.operand, _UNARY)}", _PRODUCT
        last = part.operand
    return done, strength


def _times(left: tree.Expression, right: tree.Expression) -> str:
    """A thin space after a number, a dot between all others."""
    digits = isinstance(right, tree.Number) or (isinstance(right, tree.Power) and isinstance(right.base, tree.Number))
    return r"\," if isinstance(left, tree.Number) and not digits else r" \cdot "


def _call(node: tree.Call) -> tuple[str, int]:
    name, arguments = node.function.text, node.arguments
    keywords = {keyword.name: keyword.value for keyword in node.keywords}
    if name == "where" and len(arguments) == 3:
        both = [
            (latex(arguments[1]), rf"\text{{if }} {latex(arguments[0])}"),
            (latex(arguments[2]), r"\text{otherwise}"),
        ]
        return cases(both), _CALL
    written_as = _FUNCTIONS.get(name, "{}")
    if len(arguments) == 1 and not keywords and name in _FUNCTIONS and "{}" in written_as:
        return written_as.replace("{}", latex(arguments[0])), _ATOM
    if len(arguments) == 1 and name in _REDUCTIONS and (keywords or name != "softmax"):
        return _reduction(name, arguments[0], keywords), _CALL
    head = _EXTREMES.get(name) or (written_as if "{}" not in written_as else rf"\mathrm{{{_escaped(name)}}}")
    written = [*map(latex, arguments), *(f"{name_latex(word)} = {latex(value)}" for word, value in keywords.items())]
    return head + _bracketed(", ".join(written)), _CALL


def _reduction(name: str, value: tree.Expression, keywords: dict[str, tree.Expression]) -> str:
    below = _subscript(keywords)
    if "weight" in keywords:
        weight = keywords["weight"]
        value = tree.Product((tree.Part("*", weight), tree.Part("*", value)))
        keywords = {**keywords, "count": weight}
    body = _bracketed(latex(value))
    if "count" in keywords:
        return rf"\frac{{\sum{below} {body}}}{{\sum{below} {_bracketed(latex(keywords['count']))}}}"
    return f"{_REDUCTIONS[name]}{below} {body}"


def _subscript(keywords: dict[str, tree.Expression]) -> str:
    """The axes that a reduction runs over, by name; `per image` where the formula says so."""
    parts = []
    if "over" in keywords:
        axes = keywords["over"]
        items = axes.items if isinstance(axes, tree.Listing) else (axes,)
        parts.append(_COMMA.join(text_latex(str(item)) for item in items))
    if "per" in keywords:
        share = str(keywords["per"])
        parts.append(text_latex(f"per {share}") if share in ("image", "batch") else name_latex(share))
    if "share" in keywords:
        parts.append(rf"\text{{share}} = {latex(keywords['share'])}")
    listed = _COMMA.join(parts)
    return f"_{{{listed}}}" if parts else ""
