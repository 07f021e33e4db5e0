"""Formulas as LaTeX."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossdsl.syntax.latex import aligned, latex, name_latex
from lossdsl.syntax.parse import parse

GOLDEN = {
    "0.5*bce + 0.5*(-log(1 - dice))": (
        r"0.5\,\mathrm{bce} + 0.5\,\left(-\log\left(1 - \mathrm{dice}\right)\right)"
    ),
    "a/b*c": r"\frac{a}{b} \cdot c",
    "a*b/(c + d)": r"\frac{a \cdot b}{c + d}",
    "a/b/c": r"\frac{\frac{a}{b}}{c}",
    "(a + b)*(c - d)": r"\left(a + b\right) \cdot \left(c - d\right)",
    "a - (b - c) - (-d)": r"a - \left(b - c\right) - \left(-d\right)",
    "-a**2": "-a^{2}",
    "(-a)**2": r"\left(-a\right)^{2}",
    "(a + b)**-c": r"\left(a + b\right)^{-c}",
    "a**b**c": "a^{b^{c}}",
    "(a**b)**c": r"\left(a^{b}\right)^{c}",
    "(a/b)**2": r"\left(\frac{a}{b}\right)^{2}",
    "log(x)**2": r"\left(\log\left(x\right)\right)^{2}",
    "2*3*x*4": r"2 \cdot 3\,x \cdot 4",
    "x + 1e-6": "x + 10^{-6}",
    "2.5e-7*x": r"2.5 \cdot 10^{-7}\,x",
    "1e20/x": r"\frac{10^{20}}{x}",
    "sqrt(x**2 + 1) - 1": r"\sqrt{x^{2} + 1} - 1",
    "abs(z)**alpha": r"\left|z\right|^{\alpha}",
    "sigmoid(z) + exp(-s)*tanh(x)": r"\sigma\left(z\right) + \exp\left(-s\right) \cdot \tanh\left(x\right)",
    "mean(p*y, over=[batch, pixel])": r"\operatorname*{mean}_{\text{batch},\, \text{pixel}} \left(p \cdot y\right)",
    "2*sum(p*y, per=image)/sum(p, per=per)": (
        r"\frac{2\,\sum_{\text{per image}} \left(p \cdot y\right)}{\sum_{\mathrm{per}} \left(p\right)}"
    ),
    "mean(a + b, per=image, weight=1 - w)": (
        r"\frac{\sum_{\text{per image}} \left(\left(1 - w\right) \cdot \left(a + b\right)\right)}"
        r"{\sum_{\text{per image}} \left(1 - w\right)}"
    ),
    "mean(x, count=w)": r"\frac{\sum \left(x\right)}{\sum \left(w\right)}",
    "max(y, over=pixel) - max(a, b)": r"\max_{\text{pixel}} \left(y\right) - \max\left(a, b\right)",
    "mean(logsumexp(z, over=class))": (
        r"\operatorname*{mean} \left(\operatorname*{logsumexp}_{\text{class}} \left(z\right)\right)"
    ),
    "softmax(z, over=[batch, pixel])*softmax(z)": (
        r"\operatorname*{softmax}_{\text{batch},\, \text{pixel}} \left(z\right) \cdot \mathrm{softmax}\left(z\right)"
    ),
    "topk(bce(reduction=none), share=0.1)": (
        r"\operatorname*{topk}_{\text{share} = 0.1} "
        r"\left(\mathrm{bce}\left(\mathrm{reduction} = \mathrm{none}\right)\right)"
    ),
    "where(y >= 0.5, p, 1 - p)": (
        r"\begin{cases} p & \text{if } y \ge 0.5 \\ 1 - p & \text{otherwise} \end{cases}"
    ),
    "for_class(dice(aux, seg), [1, 3])": (
        r"\mathrm{for\_class}\left(\mathrm{dice}\left(\mathrm{aux}, \mathrm{seg}\right), \left[1, 3\right]\right)"
    ),
    "boundary.log_hausdorff(alpha=inf)": r"\mathrm{boundary.log\_hausdorff}\left(\alpha = \infty\right)",
    "clamp(fn_weight, min=0)": r"\mathrm{clamp}\left(\mathrm{fn\_weight}, \mathrm{min} = 0\right)",
}  # fmt: skip


@pytest.mark.parametrize("formula", GOLDEN)
def test_formula(formula: str) -> None:
    assert latex(parse(formula).expression) == GOLDEN[formula]


def test_equations() -> None:
    assert aligned([("", "a + b")]) == "a + b"
    lines = [("", "a"), (name_latex("in_b"), "2")]
    assert aligned(lines) == "\\begin{aligned}\n  & a \\\\\n  \\mathrm{in\\_b} &= 2\n\\end{aligned}"


_LEAVES = st.sampled_from(["a", "beta", "fp_weight", "2", "0.5", "1e-9", "dice", "epoch", "smp.dice_loss"])
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner),
        st.builds("-({})".format, inner),
        st.builds("{}({})".format, st.sampled_from(["log", "sqrt", "abs", "mean", "sum", "relu", "dice"]), inner),
        st.builds("mean({}, per=image)".format, inner),
        st.builds("where({} < {}, {}, 0)".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
    ),
    max_leaves=12,
)


@given(_TREES)
def test_any_formula_is_balanced(formula: str) -> None:
    text = latex(parse(formula).expression)
    assert_balanced(text)


def assert_balanced(text: str) -> None:
    """Braces, \\left and \\right, environments; no underscore of a name is a subscript."""
    depth = 0
    for previous, sign in zip(" " + text, text, strict=False):
        if previous != "\\":
            depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert text.count(r"\left") == text.count(r"\right")
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert "__" not in text
