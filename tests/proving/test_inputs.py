"""Losses that take the prediction as it is: what the model must return for them, and what is said where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import pytest
import torch
from torch import Tensor

import lossdsl
import lossdsl.testing

Unmarked: TypeAlias = Callable[[str], tuple[str, list[tuple[int, int]]]]

POOLED = "1 - 2*sum(pred*y)/(sum(pred + y) + 1)"
DEFINITIONS = [
    f"# Of probabilities.\n# Input: probs\npooled() -> [0, 1] = {POOLED}",
    "# The part, given what it needs.\ngiven() -> [0, inf) = pooled(p, y) + bce",
    "# The part, given the prediction.\nblind() -> (-inf, inf) = pooled + bce",
    "# The part, through another.\nblinder() -> (-inf, inf) = 0.5*blind",
    """# Of probabilities unless it applies an activation.
    # Input: probs unless act=sigmoid, act=softmax
    switch(act: sigmoid | softmax | off = off) -> (-inf, inf)
    = mean(abs(where(act == sigmoid, sigmoid(z), where(act == softmax, softmax(z), pred)) - y))""",
    """# Passes its word on.
    # Input: probs unless act=sigmoid
    outer(act: sigmoid | off = off) -> (-inf, inf) = switch(act=act)""",
    "# For two tasks of three.\n# Input: probs for multilabel, multiclass\nsome() -> (-inf, inf) = mean(abs(pred - y))",
    """# Two rules.
    # Input: logits for multiclass
    # Input: probs for binary
    either() -> (-inf, inf) = mean(abs(pred - y))""",
    """# Of probabilities only with a word.
    # Input: probs if act=off
    # Input: logits for multiclass if act=sigmoid
    unlike(act: sigmoid | off | on = on) -> (-inf, inf) = mean(abs(where(act == sigmoid, sigmoid(z), pred) - y))""",
    "# Of logits.\n# Input: logits\nraw() -> [0, inf) = mean(relu(1 - (2*y - 1)*pred))",
]  # fmt: skip
B, M, L = ({"task": task} for task in ("binary", "multiclass", "multilabel"))
P: dict[str, Any] = {"input": "probs"}


@pytest.fixture(autouse=True, scope="module")
def defined() -> Iterator[None]:
    with lossdsl.testing.registry():
        for text in DEFINITIONS:
            lossdsl.define(text)

        @lossdsl.loss(range="[0, inf)")
        def kernel(pred: Tensor, y: Tensor, *, act: Literal["sigmoid", "off"] = "off") -> Tensor:
            """Of probabilities.

            Input: probs unless act=sigmoid
            """
            return ((pred.sigmoid() if act == "sigmoid" else pred) - y).abs().mean()

        yield


# the marked input, options, severity, a part of the message, the start of the way out
WRONG: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("«pooled»", {}, "error", "the model returns logits", "pooled(p, y), or input=probs"),
    ("«pooled»", B, "error", "the model returns logits", "pooled(p, y), or input=probs"),
    ("«pooled»", M, "error", "the model returns logits", "pooled(p, y), or input=probs"),
    ("bce + 0.5*«pooled»", B, "error", "the model returns logits", "pooled(p, y)"),
    ("d = «pooled»\nbce + log(1.5 - d)", B, "error", "the model returns logits", "pooled(p, y)"),
    ("multiscale(«pooled»)", B, "error", "the model returns logits", "pooled(p, y)"),
    ("for_class(«pooled», [1])", M, "error", "the model returns logits", "pooled(p, y)"),
    ("pooled(«z», y)", B, "error", "`z` is logits", "p is the prediction as probabilities"),
    ("pooled(«pred», y)", B, "error", "`pred` is logits", "p is the prediction as probabilities"),
    ("bce + pooled(«aux», seg)", B, "error", "`aux` is logits", "sigmoid(aux) of logits, or clamp(aux, min=0"),
    ("ce + pooled(«aux», y)", M, "error", "`aux` is logits", "softmax(aux) of logits, or clamp(aux, min=0"),
    ("pooled(«2*p», y)", B, "warning", "`2*p` is in [0, 2]", "sigmoid(2*p) of logits"),
    ("pooled(«w*p», y)", B, "warning", "`w*p` is in (-inf, inf)", "sigmoid(w*p) of logits, or clamp(w*p, min=0"),
    ("pooled(«z», y)", B | P, "error", "`z` is logits", "p is the prediction as probabilities"),
    ("focal(«z», y)", B | P, "error", "`focal` takes probabilities", "p is the prediction as probabilities"),
    ("bce + dice(«z», y)", P, "error", "`dice` takes probabilities", "p is the prediction as probabilities"),
    ("ce(«z», y)", M | P, "error", "`ce` takes probabilities", "p is the prediction as probabilities"),
    ("hinge(«z», y)", B | P, "error", "`hinge` takes probabilities", "p is the prediction as probabilities"),
    ("«switch»", B, "error", "the model returns logits", "act=sigmoid or act=softmax, or input=probs"),
    ("«switch(act=off)»", M, "error", "the model returns logits", "act=sigmoid or act=softmax, or input=probs"),
    ("«outer»", B, "error", "`outer` takes", "act=sigmoid, or input=probs"),
    ("«some»", M, "error", "the model returns logits", "some(p, y)"),
    ("«some»", L, "error", "the model returns logits", "some(p, y)"),
    ("«either»", B, "error", "needs probabilities; the model returns logits", "either(p, y)"),
    ("«either»", M | P, "error", "needs logits for multiclass", "input=logits if the model returns logits"),
    ("«raw»", B | P, "error", "needs logits for binary", "input=logits if the model returns logits"),
    ("bce + «raw»", P, "error", "needs logits for", "input=logits if the model returns logits"),
    ("raw(«p», y)", B | P, "error", "needs logits for binary", "input=logits if"),
    ("«unlike(act=off)»", B, "error", "the model returns logits", "unlike(p, y)"),
    ("«unlike(act=sigmoid)»", M | P, "error", "needs logits for multiclass", "input=logits if"),
    ("«kernel»", B, "error", "`kernel` takes", "act=sigmoid, or input=probs"),
    ("«blind»", B, "warning", "the part `pooled` of `blind` takes", "input=probs if"),
    ("«blinder»", B, "warning", "the part `pooled` of `blinder` takes", "input=probs if"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "options", "severity", "said", "way"), WRONG)
def test_the_other_kind_is_found(
    marked: str, options: dict[str, Any], severity: str, said: str, way: str, unmarked: Unmarked
) -> None:
    text, ((start, end),) = unmarked(marked)
    (found,) = (one for one in lossdsl.check(text, **options).diagnostics if one.code == "LD724")
    assert found.severity == severity
    assert found.span
    assert (found.span.start, found.span.end) == (start, end)
    assert said in found.message
    assert (found.hint or "").startswith(way)
    if severity == "error":
        with pytest.raises(lossdsl.FormulaError, match="LD724"):
            lossdsl.compile(text, **options)
    else:
        lossdsl.compile(text, **options)


RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("pooled", P),
    ("pooled", B | P),
    ("pooled", M | P),
    ("bce + pooled(p, y)", B),
    ("ce + pooled(p, y)", M),
    ("pooled(1 - p, 1 - y)", B),
    ("pooled(p**2, y)", B),
    ("pooled(0.5*p + 0.5*y, y)", B),
    ("pooled(sigmoid(z/2), y)", B),
    ("pooled(softmax(z/2), y)", M),
    ("pooled(clamp(aux, min=0, max=1), y)", B),
    ("pooled(where(w > 0, p, 0), y)", B),
    ("pooled(stop_gradient(p), y) + bce", B),
    ("pooled(sigmoid(aux), seg) + bce", B),
    ("pooled(aux, seg) + bce", B | P),
    ("multiscale(pooled(p, y))", B),
    ("given", B),
    ("given", B | P),
    ("blind", B | P),
    ("blind(p, y)", B | P),
    ("switch(act=sigmoid)", B),
    ("switch(act=sigmoid)", B | P),
    ("switch(act=softmax)", M),
    ("outer(act=sigmoid)", L),
    ("some", B),
    ("either", L),
    ("either", M),
    ("either", B | P),
    ("raw", B),
    ("unlike", B),
    ("unlike", M | P),
    ("unlike(act=sigmoid)", M),
    ("unlike(act=sigmoid)", B | P),
    ("unlike(act=off)", M | P),
    ("raw", {}),
    ("raw(aux, seg) + bce", B),
    ("kernel(act=sigmoid)", B),
    ("kernel", B | P),
    ("mse + l1", {"task": "regression"}),
    ("focal(p, y) + bce(pred, y)", B | P),
    ("focal(z, y) + bce(z, y)", B),
    ("mse(z, w) + l1(z, w)", B | P),
]


@pytest.mark.parametrize(("text", "options"), RIGHT)
def test_what_is_right_is_not_complained_about(text: str, options: dict[str, Any]) -> None:
    assert "LD724" not in str(lossdsl.check(text, **options))
    lossdsl.compile(text, **options)


# a loss whose task is not known, the options, a call that makes it one for which it is wrong, one for which it is right
UNDECIDED: list[tuple[str, dict[str, Any], str, str]] = [
    ("some", {}, "multiclass", "binary"),
    ("some", {}, "multilabel", "binary"),
    ("either", {}, "binary", "multilabel"),
    ("either", P, "multiclass", "binary"),
]


def a_call(task: str) -> tuple[Tensor, Tensor]:
    p = torch.full((2, 1 if task == "binary" else 3, 2, 2), 0.3)
    return p, torch.ones(2, 2, 2, dtype=torch.long) if task == "multiclass" else torch.ones_like(p)


@pytest.mark.parametrize(("text", "options", "wrong", "right"), UNDECIDED)
def test_the_first_batch_decides(text: str, options: dict[str, Any], wrong: str, right: str) -> None:
    """What depends on the task is told as soon as the task is known, in every call, and other calls work."""
    loss = lossdsl.compile(text, **options)
    for _ in range(2):
        with pytest.raises(lossdsl.FormulaError) as caught:
            loss(*a_call(wrong))
        codes = [found.code for found in caught.value.diagnostics]
        assert codes == ["LD724", "LD508"]
    assert loss(*a_call(right)).isfinite()
    given = lossdsl.compile(text, task=right, **options)  # type: ignore[arg-type]
    assert given(*a_call(right)) == loss(*a_call(right))


def test_a_loss_of_a_regression_takes_numbers() -> None:
    """Neither logits nor probabilities: there the line says nothing."""
    lossdsl.define("# Of anything.\n# Input: probs\nfar() -> [0, inf) = mean(abs(pred - target))")
    assert lossdsl.check("far", task="regression").ok
    assert lossdsl.compile("far", task="regression")(torch.full((2, 3), 7.0), torch.zeros(2, 3)) == 7
    assert not lossdsl.check("far", task="binary").ok
