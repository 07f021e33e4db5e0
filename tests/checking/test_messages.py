"""Findings as users read them: the place, the line, what is wrong, and the way out."""

from __future__ import annotations

from textwrap import dedent

import pytest

import lossdsl

MESSAGES: list[tuple[str, str]] = [
    (
        "bce + 0.5*diec",
        """
        <formula>:1:11: error LD201: unknown loss `diec`
            bce + 0.5*diec
                      ^~~~
            did you mean `dice`?
        """,
    ),
    (
        "weight_map*bce",
        """
        <formula>:1:1: error LD201: unknown loss `weight_map`
            weight_map*bce
            ^~~~~~~~~~
            lossdsl list shows the losses; define numbers first, w = 0.5; use tensors inside mean(...) or sum(...)
        """,
    ),
    (
        "a = log\na(bce)",
        """
        <formula>:1:5: error LD202: `log` is a function
            a = log
                ^~~
            write log(...)
        <formula>:2:1: error LD202: `a` is a value and cannot be called
            a(bce)
            ^~~~~~
            write a
        """,
    ),
    (
        "focal(gama=2)",
        """
        <formula>:1:7: error LD203: `focal` has no parameter `gama`
            focal(gama=2)
                  ^~~~~~
            did you mean `gamma`? parameters: gamma, alpha, reduction
        """,
    ),
    (
        "tversky(alpha=0.7)",
        """
        <formula>:1:9: error LD203: `tversky` does not take `alpha`
            tversky(alpha=0.7)
                    ^~~~~~~~~
            write fp_weight (weight of false positives) or fn_weight (of false negatives): libraries disagree which of them is alpha
        """,  # noqa: E501
    ),
    (
        "dice(\n    smooth=-1,\n    per=imag,\n)",
        """
        <formula>:2:12: error LD204: `smooth` of `dice` is -1, outside [0, inf)
                smooth=-1,
                       ^~
            the default is 1
        <formula>:3:9: error LD205: `per` takes image or batch
                per=imag,
                    ^~~~
            did you mean `image`?
        """,
    ),
    (
        "mean(p, over=[batch, pixels])",
        """
        <formula>:1:22: error LD205: `pixels` is not an axis
            mean(p, over=[batch, pixels])
                                 ^~~~~~
            axes are batch, class, pixel, or a list of them
        """,
    ),
    (
        "a = b\nb = c\nc = a\na*bce",
        """
        <formula>:1:5: error LD210: circular definition: a -> b -> c -> a
            a = b
                ^
            define one of them without using the others
        """,
    ),
    (
        "exp(-s)*bce + learn(0)",
        """
        <formula>:1:6: error LD201: unknown loss `s`
            exp(-s)*bce + learn(0)
                 ^
            lossdsl list shows the losses; define numbers first, w = 0.5; use tensors inside mean(...) or sum(...)
        <formula>:1:15: error LD207: learn must be given a name
            exp(-s)*bce + learn(0)
                          ^~~~~~~~
            write s = learn(0) on a line before
        """,
    ),
    (
        "d = dice + multiscale(bce)\nmultiscale(d, weights=[1, 3])",
        """
        <formula>:1:12: error LD307: multiscale cannot be nested
            d = dice + multiscale(bce)
                       ^~~~~~~~~~~~~~~
            use one multiscale
        """,
    ),
    (
        "bce(reduction=none)",
        """
        <formula>:1:1: error LD303: a loss must be a scalar; this has the axes batch, class and pixel
            bce(reduction=none)
            ^~~~~~~~~~~~~~~~~~~
            reduce it: mean(...), or mean(..., over=[batch, class, pixel])
        """,
    ),
    (
        "mean(w*bce)*mean(dice)",
        """
        <formula>:1:13: error LD302: `mean` of a scalar
            mean(w*bce)*mean(dice)
                        ^~~~~~~~~~
            a named loss is already averaged; reduction=none gives its map, as in bce(reduction=none)
        """,
    ),
    (
        "bce + 1/0",
        """
        <formula>:1:7: error LD213: division by zero
            bce + 1/0
                  ^~~
            divide by a number that is not 0
        """,
    ),
    (
        "bce(reduction=none) + mean(dice)",
        """
        <formula>:1:1: error LD303: a loss must be a scalar; this has the axes batch, class and pixel
            bce(reduction=none) + mean(dice)
            ^~~~~~~~~~~~~~~~~~~
            reduce it: mean(...), or mean(..., over=[batch, class, pixel])
        <formula>:1:23: error LD302: `mean` of a scalar
            bce(reduction=none) + mean(dice)
                                  ^~~~~~~~~~
            a named loss is already averaged; reduction=none gives its map, as in bce(reduction=none)
        """,
    ),
    (
        "topk(bce(reduction=none), share=10)",
        """
        <formula>:1:33: error LD204: `share` of `topk` must be a number in (0, 1]
            topk(bce(reduction=none), share=10)
                                            ^~
            0.1 keeps one tenth
        """,
    ),
]

# formula, task: the finding
OF_TASKS: list[tuple[str, str, str]] = [
    (
        "bce + dice",
        "multiclass",
        """
        <formula>:1:1: error LD301: `bce` is for binary, multilabel; the task is multiclass
            bce + dice
            ^~~
            use ce, or task=multilabel for one independent outcome per class
        """,
    ),
    (
        "mean((p - y)**2)",
        "regression",
        """
        <formula>:1:7: error LD301: a regression has no probabilities `p`
            mean((p - y)**2)
                  ^
            use pred and target
        """,
    ),
    (
        "mean(pred - target)",
        "multiclass",
        """
        <formula>:1:13: error LD301: `target` cannot be compared element by element: it holds class indices
            mean(pred - target)
                        ^~~~~~
            for multiclass use p and y: mean((p - y)**2)
        """,
    ),
    (
        "focal(gamma=1, alpha=0.25)",
        "multiclass",
        """
        <formula>:1:22: error LD305: `alpha` of `focal` has no effect for multiclass
            focal(gamma=1, alpha=0.25)
                                 ^~~~
            lossdsl show focal prints its formula
        """,
    ),
]


@pytest.mark.parametrize(("formula", "message"), MESSAGES, ids=[formula for formula, _ in MESSAGES])
def test_message(formula: str, message: str) -> None:
    assert str(lossdsl.check(formula)) == dedent(message).strip()


@pytest.mark.parametrize(("formula", "task", "message"), OF_TASKS, ids=[f"{f}-{t}" for f, t, _ in OF_TASKS])
def test_message_of_a_task(formula: str, task: str, message: str) -> None:
    assert str(lossdsl.check(formula, task=task)) == dedent(message).strip()
    with pytest.raises(lossdsl.FormulaError) as caught:
        lossdsl.compile(formula, task=task)  # type: ignore[arg-type]
    assert str(caught.value) == dedent(message).strip()


def test_a_formula_without_findings() -> None:
    assert str(lossdsl.check("bce + dice")) == "ok"
