"""Findings of the proofs as users read them: the place, the line, what is wrong, and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import lossdsl
import lossdsl.testing

MESSAGES: list[tuple[Any, dict[str, Any], str]] = [
    (
        "-log(1 - dice(smooth=0))",
        {},
        """
        <formula>:1:6: warning LD701: the logarithm of a number that can be 0; `1 - dice(smooth=0)` is in [0, 1]
            -log(1 - dice(smooth=0))
                 ^~~~~~~~~~~~~~~~~~
            keep it above 0: add a small number, or smooth=1 if the loss has it
        """,
    ),
    (
        "bce + sqrt(dice - 0.5)",
        {},
        """
        <formula>:1:12: warning LD702: the square root of a number that can be below 0; `dice - 0.5` is in [-0.5, 0.5)
            bce + sqrt(dice - 0.5)
                       ^~~~~~~~~~
            it counts as 0 there
        """,
    ),
    (
        "sum(w*abs(p - y))/sum(w)",
        {"task": "binary"},
        """
        <formula>:1:19: warning LD703: a division by a number that can be 0 and changes its sign there; `sum(w)` is in (-inf, inf)
            sum(w*abs(p - y))/sum(w)
                              ^~~~~~
            add a positive number to it, as smooth does; for a mean weighted by w, write mean(x, weight=w)
        """,  # noqa: E501
    ),
    (
        "mean((p - y)**1.5)",
        {"task": "binary"},
        """
        <formula>:1:6: warning LD704: a number that can be below 0 to the power 1.5 counts as 0 there; `(p - y)` is in [-1, 1]
            mean((p - y)**1.5)
                 ^~~~~~~
            use abs(x), or a whole number as the power
        """,  # noqa: E501
    ),
    (
        "sqrt(mse)",
        {},
        """
        <formula>:1:6: warning LD705: the square root of a number that can be 0 has an infinite slope there; `mse` is in [0, inf)
            sqrt(mse)
                 ^~~
            add a small number under the root: sqrt(x + 1e-6)
        """,  # noqa: E501
    ),
    (
        "mean(exp(z))",
        {"task": "binary"},
        """
        <formula>:1:10: warning LD706: `exp` overflows float32 for large logits, late epochs or many elements
            mean(exp(z))
                     ^
            bound it with min(x, 50), or use a function that grows more slowly
        """,
    ),
    (
        "bce - 2*dice",
        {},
        """
        <formula>:1:9: warning LD710: the total falls as `dice` grows, which is a loss: lower is better
            bce - 2*dice
                    ^~~~
            add it: `dice` is best at 0; the score is 1 - dice
        """,
    ),
    (
        "ce + dice_coef",
        {},
        """
        <formula>:1:6: warning LD710: a lower total means a lower `dice_coef`, which is a score: higher is better
            ce + dice_coef
                 ^~~~~~~~~
            subtract it: 1 - dice_coef
        """,
    ),
    (
        "(1 - epoch/100)*bce + dice",
        {},
        """
        <formula>:1:1: warning LD711: the weight of `bce` can change its sign: it is in (-inf, 1]
            (1 - epoch/100)*bce + dice
            ^~~~~~~~~~~~~~~
            at epoch 200 it is -1; max(0, ...) keeps it at least 0
        """,
    ),
    (
        "mean(y*log(p))",
        {"task": "binary"},
        """
        <formula>:1:1: warning LD712: the total is not bounded below: it is in (-inf, 0]
            mean(y*log(p))
            ^~~~~~~~~~~~~~
            a loss needs a lower bound; is a minus missing?
        """,
    ),
    (
        "s = learn(0)\nbce + s",
        {},
        """
        <formula>:1:5: warning LD713: the learned `s` is unbounded: training drives it down forever
            s = learn(0)
                ^~~~~~~~
            add a term that grows in the other direction, as in exp(-s)*bce + s
        """,
    ),
    (
        "mean(abs(sigmoid(p) - y))",
        {"task": "binary"},
        """
        <formula>:1:18: error LD720: `sigmoid` of `p`, which is already a probability
            mean(abs(sigmoid(p) - y))
                             ^
            z is the prediction before it
        """,
    ),
    (
        "bce(p, y)",
        {"task": "binary"},
        """
        <formula>:1:5: error LD720: `bce` takes logits, but `p` is already a probability: this is a second sigmoid or softmax
            bce(p, y)
                ^
            bce(z, ...) or bce alone; or input=probs if the model returns probabilities
        """,  # noqa: E501
    ),
    (
        "bce(z, 2*y - 1)",
        {"task": "binary"},
        """
        <formula>:1:8: warning LD721: the labels of `bce` must be in [0, 1], but `2*y - 1` is in [-1, 1]
            bce(z, 2*y - 1)
                   ^~~~~~~
            y is 0 or 1
        """,
    ),
    (
        "focal(gamma=2 - epoch)",
        {},
        """
        <formula>:1:13: warning LD722: `gamma` of `focal` can be outside [0, inf): it is in (-inf, 2]
            focal(gamma=2 - epoch)
                        ^~~~~~~~~
            at epoch 3 it is -1; clamp(2 - epoch, min=0) keeps it inside
        """,
    ),
    (
        "focal(gamma=-1 - epoch)",
        {},
        """
        <formula>:1:13: error LD722: `gamma` of `focal` is always outside [0, inf): it is in (-inf, -1]
            focal(gamma=-1 - epoch)
                        ^~~~~~~~~~
            at epoch 0 it is -1
        """,
    ),
    (
        "ce + for_class(dice, [1, 3])",
        {"task": "multiclass", "class_weight": [1, 1, 1]},
        """
        <formula>:1:6: error LD723: there is no class 3: the class weights are for 3 classes
            ce + for_class(dice, [1, 3])
                 ^~~~~~~~~~~~~~~~~~~~~~~
            classes are counted from 0
        """,
    ),
    (
        "ce",
        {"task": "multiclass", "class_weight": [1.0]},
        """
        <formula>:1:1: error LD730: the class weights are for 1 class, and a softmax over one class is always 1
            ce
            ^~
            for one channel use the task binary
        """,
    ),
    (
        "bce + 3",
        {},
        """
        <formula>:1:7: warning LD731: `3` does not depend on the prediction: it trains nothing
            bce + 3
                  ^
            remove the term, or make it the weight of another
        """,
    ),
    (
        "bce + 0*dice",
        {},
        """
        <formula>:1:7: warning LD732: the weight of `dice` is always 0
            bce + 0*dice
                  ^
            remove the term
        """,
    ),
    (
        "bce + focal(gamma=0)",
        {"task": "binary"},
        """
        <formula>:1:7: warning LD733: `focal(gamma=0)` is the same as `bce`: use one term with the sum of the weights
            bce + focal(gamma=0)
                  ^~~~~~~~~~~~~~
            remove one of them
        """,
    ),
    (
        "bce + pooled",
        {"task": "binary"},
        """
        <formula>:1:7: error LD724: `pooled` takes the prediction as it is and needs probabilities; the model returns logits
            bce + pooled
                  ^~~~~~
            pooled(p, y), or input=probs if the model returns probabilities
        """,  # noqa: E501
    ),
    (
        "a = dice\nbce",
        {},
        """
        <formula>:1:1: warning LD734: `a` is defined and never used
            a = dice
            ^
            remove it
        """,
    ),
    (
        {"terms": {"dice": "1 - dice_coef", "bce": "bce"}},
        {},
        """
        <loss.terms.dice>: warning LD735: the term `dice` has the name of a loss, but is not that loss
            give the term another name
        """,
    ),
    (
        "huber(pred - target)",
        {},
        """
        <formula>:1:7: error LD725: `huber` compares its tensor with the target, but `pred - target` already contains the target
            huber(pred - target)
                  ^~~~~~~~~~~~~
            write huber or huber(pred, target)
        """,  # noqa: E501
    ),
    (
        "2*(l1(pred - 2*target)) + mse(w*(pred - target))",
        {},
        """
        <formula>:1:7: error LD725: `l1` compares its tensor with the target, but `pred - 2*target` already contains the target
            2*(l1(pred - 2*target)) + mse(w*(pred - target))
                  ^~~~~~~~~~~~~~~
            write l1(pred, 2*target)
        <formula>:1:31: error LD725: `mse` compares its tensor with the target, but `w*(pred - target)` already contains the target
            2*(l1(pred - 2*target)) + mse(w*(pred - target))
                                          ^~~~~~~~~~~~~~~~~
            pass the two sides of the difference, mse(prediction, target), with a factor in front
        """,  # noqa: E501
    ),
    (
        "bce(z - y) + mse",
        {"task": "binary"},
        """
        <formula>:1:5: warning LD725: `bce` compares its tensor with the target, but `z - y` already contains the target
            bce(z - y) + mse
                ^~~~~
            write bce: it compares the prediction with the target
        <formula>:1:14: warning LD726: `mse` compares the logits with the labels
            bce(z - y) + mse
                         ^~~
            mse(p, y) compares the probabilities; if you mean the logits, write mse(z, y)
        """,
    ),
    (
        {"terms": {"pixel": "bce"}, "tensors": ["edge"]},
        {},
        """
        <loss.tensors[0]>:1:1: warning LD736: the tensor `edge` is passed and never used
            edge
            ^~~~
            use it, or remove it from `tensors:`
        """,
    ),
    (
        "bce(y_pred, y_true)",
        {},
        """
        <formula>:1:1: warning LD737: `bce(y_pred, y_true)` needs the tensors `y_pred` and `y_true` by name in every call
            bce(y_pred, y_true)
            ^~~~~~~~~~~~~~~~~~~
            a call passes `pred` and `target` by position: bce(pred, target)
        """,  # noqa: E501
    ),
    (
        "kl(teacher, p)",
        {},
        """
        <formula>:1:13: warning LD721: `kl` takes the target here, not the prediction `p`
            kl(teacher, p)
                        ^
            the prediction comes first: kl(z, teacher); to train `teacher`, write stop_gradient(p)
        """,
    ),
    (
        "mean((z - y)**2)",
        {"task": "binary"},
        """
        <formula>:1:6: warning LD726: `(z - y)` compares the logits with the labels
            mean((z - y)**2)
                 ^~~~~~~
            p - y compares the probabilities; if you mean the logits, write mse(z, y) or l1(z, y)
        """,
    ),
    (
        "mean(exp(min(z, 85)))",
        {"task": "binary"},
        """
        <formula>:1:1: warning LD706: `mean` overflows float32 for large logits, late epochs or many elements
            mean(exp(min(z, 85)))
            ^~~~~~~~~~~~~~~~~~~~~
            bound the terms of the sum: min(x, 1e6)
        """,
    ),
    (
        "min(bce, -1)",
        {},
        """
        <formula>:1:1: warning LD731: `min(bce, -1)` is always -1: it trains nothing
            min(bce, -1)
            ^~~~~~~~~~~~
            remove the term
        """,
    ),
    (
        "bce + bce",
        {},
        """
        <formula>:1:7: warning LD733: `bce` is added twice: use one term with the sum of the weights
            bce + bce
                  ^~~
            remove one of them
        """,
    ),
    (
        "for_class(dice, [1, 1]) + ce",
        {"task": "multiclass"},
        """
        <formula>:1:21: error LD205: the class 1 is listed twice
            for_class(dice, [1, 1]) + ce
                                ^
            each class counts once
        """,
    ),
]


@pytest.fixture(autouse=True)
def of_probabilities() -> Iterator[None]:
    """A loss that takes the prediction as it is."""
    with lossdsl.testing.registry():
        lossdsl.define(
            "# Of probabilities.\n# Input: probs\npooled() -> [0, 1] = 1 - 2*sum(pred*y)/(sum(pred + y) + 1)"
        )
        yield


def key(source: Any) -> str:
    return source if isinstance(source, str) else " ".join(source["terms"])


@pytest.mark.parametrize(("source", "options", "message"), MESSAGES, ids=[key(source) for source, _, _ in MESSAGES])
def test_message(source: Any, options: dict[str, Any], message: str) -> None:
    assert str(lossdsl.check(source, **options)) == dedent(message).strip()


def test_every_code_has_a_message() -> None:
    """The codes that the package can say, and those above."""
    root = Path(lossdsl.__file__).parent / "proving"
    said = {code for path in root.glob("*.py") for code in re.findall(r"LD7\d\d", path.read_text(encoding="utf-8"))}
    assert said == {code for _, _, message in MESSAGES for code in re.findall(r"LD7\d\d", message)}
