"""Stable forms and gathers: where they are applied, and that each is recorded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lossdsl.errors import FormulaError
from lossdsl.graph.nodes import in_order
from lossdsl.graph.printing import node_text
from lossdsl.graph.stable_form import stable

LOG_P = "log of a probability from logits"
LOG_REST = "log of one minus a probability from logits"
NEAR_ONE = "log(1 + x) exact for small x"
COMPLEMENT = "mean(1 - x) -> 1 - mean(x)"
CHOSEN = "log of a chosen probability -> the chosen logarithm"
EXPONENTIALS = "log of exponentials without overflow"
QUOTIENT = "quotient of exponentials -> exponential of a difference"
PROBABILITY = "exp of a log-probability -> the probability"
GATHER = "sum over classes of a one-hot target -> gather"

# formula, task, rules that were applied, operations that must be there, operations that must not
RECORDED: list[tuple[str, str, set[str], str, str]] = [
    ("bce", "binary", {LOG_P, LOG_REST}, "log_sigmoid", "log sigmoid"),
    ("bce", "multilabel", {LOG_P, LOG_REST}, "log_sigmoid", "log sigmoid"),
    ("focal", "binary", {LOG_P, LOG_REST}, "log_sigmoid sigmoid", "log"),
    ("ce", "multiclass", {LOG_P, GATHER}, "log_softmax pick", "log softmax one_hot"),
    ("ce(label_smoothing=0.1)", "multiclass", {LOG_P, GATHER}, "log_softmax pick", "log softmax one_hot"),
    ("focal", "multiclass", {LOG_P, GATHER}, "log_softmax softmax pick", "log one_hot"),
    ("dice", "binary", set(), "sigmoid", "log"),
    ("dice", "multiclass", set(), "softmax one_hot", "log pick"),
    ("-log(1 - dice)", "binary", {NEAR_ONE}, "sigmoid log1p", "log_sigmoid log"),
    ("-log(dice_coef)", "binary", {NEAR_ONE, COMPLEMENT}, "sigmoid log1p", "log_sigmoid log"),
    ("mean(log(1 - 2*w + w**2))", "binary", {NEAR_ONE}, "log1p", "log"),
    ("mean(log(2 - p))", "binary", set(), "log", "log1p"),
    ("mean(log(exp(z)))", "binary", {"log(exp(x)) -> x"}, "", "log exp"),
    ("mean(log(1 - p))", "multiclass", {LOG_REST}, "log_one_minus_softmax", "softmax log"),
    ("mean(-log(p)*y)", "binary", {LOG_P}, "log_sigmoid", "log sigmoid"),
    ("mean(sum(-y*log(p), over=class))", "multiclass", {LOG_P, GATHER}, "pick", "one_hot log"),
    ("mean(sum(y*(1 - p)**2, over=class))", "multiclass", {GATHER}, "pick", "one_hot"),
    ("mean(sum(y*abs(p - y), over=class))", "multiclass", {GATHER}, "pick", "one_hot"),
    ("mean(sum(w*y*log(p), over=class))", "multiclass", {LOG_P, GATHER}, "pick", "one_hot"),
    ("mean(sum(y*log(p), over=class))", "multilabel", {LOG_P}, "log_sigmoid", "pick"),
    ("mean(sum(p, over=class))", "multiclass", set(), "softmax", "pick one_hot"),
    ("mean(sum(p*p, over=class))", "multiclass", set(), "softmax", "pick one_hot"),
    ("mean(log(sum(y*p, over=class)))", "multiclass", {LOG_P, GATHER, CHOSEN}, "log_softmax pick", "softmax log"),
    ("mean(log(max(p, over=class)))", "multiclass", {LOG_P, CHOSEN}, "log_softmax reduce_max", "softmax log"),
    ("mean(log(sum(exp(z), over=class)))", "multiclass", {EXPONENTIALS}, "logsumexp", "exp log"),
    ("mean(log(1 + exp(z)))", "binary", {EXPONENTIALS}, "softplus", "exp log log1p"),
    ("mean(exp(z)/sum(exp(z), over=class))", "multiclass", {QUOTIENT, PROBABILITY}, "softmax", "exp divide"),
    ("mean(1/(1 + exp(-z)))", "binary", {QUOTIENT, PROBABILITY}, "sigmoid", "exp divide"),
    ("mean(z/(1 + w))", "binary", set(), "divide", "exp"),
]

# What is computed of a graph: the probability of the target's class comes from its logarithm, unless it is compared.
COMPUTED = [
    ("focal", "log_softmax pick exp", "softmax one_hot"),
    ("mean(sum(y*(1 - p)**2, over=class))", "log_softmax pick exp", "softmax one_hot"),
    ("mean(where(sum(y*p, over=class) > 0.5, 1, 0)*w)", "softmax pick", "log_softmax one_hot"),
    ("mean(logsumexp(z, over=class))", "reduce_max exp sum log", "logsumexp"),
    ("ce", "log_softmax finite pick", "softmax one_hot"),
]


@pytest.mark.parametrize(
    ("formula", "task", "rules", "there", "gone"), RECORDED, ids=[f"{r[0]}-{r[1]}" for r in RECORDED]
)
def test_recorded(formula: str, task: str, rules: set[str], there: str, gone: str, built: Any, count: Any) -> None:
    loss = built(formula, task, tensors=(("w", ("batch", "pixel")),))
    counted = count(loss)
    assert {rewrite.rule for rewrite in loss.rewrites} == rules
    assert all(counted[operation] for operation in there.split())
    assert not any(counted[operation] for operation in gone.split())


@pytest.mark.parametrize(("formula", "there", "gone"), COMPUTED, ids=[row[0] for row in COMPUTED])
def test_computed(formula: str, there: str, gone: str, built: Any) -> None:
    loss = built(formula, "multiclass", tensors=(("w", ("batch", "pixel")),))
    counted = Counter(node.operation for node in in_order([stable([loss.total])[loss.total]]))
    assert all(counted[operation] for operation in there.split())
    assert not any(counted[operation] for operation in gone.split())


@pytest.mark.parametrize("formula", ["mean(sum(y*p/2, over=class))", "mean(sum(y/2*p, over=class))"])
def test_a_quotient_is_gathered_too(formula: str, built: Any, count: Any) -> None:
    assert not count(built(formula, "multiclass"))["one_hot"]


def test_a_soft_target_is_no_gather(built: Any, count: Any) -> None:
    counted = count(built("ce", "multiclass", indexed=False))
    assert not counted["pick"]
    assert not counted["one_hot"]
    assert counted["log_softmax"] == 1


def test_probabilities_have_no_stable_form(built: Any, count: Any) -> None:
    for formula, task in {"bce": "binary", "ce": "multiclass"}.items():
        loss = built(formula, task, input="probs")
        assert LOG_P not in {rewrite.rule for rewrite in loss.rewrites}
        assert count(loss)["log"]


def test_each_rewrite_is_recorded_once(built: Any) -> None:
    loss = built("bce + 2*bce + focal + mean(log(p))")
    assert len(loss.rewrites) == len(set(loss.rewrites)) == 2


def test_a_rewrite_says_what_became_of_what(built: Any) -> None:
    loss = built("mean(log(p)) + mean(log(1 - p))")
    assert [(node_text(r.before), node_text(r.after)) for r in loss.rewrites] == [
        ("log(sigmoid(pred))", "log_sigmoid(pred)"),
        ("log((1 - sigmoid(pred)))", "log_sigmoid(-pred)"),
    ]


# formula: what is left of it
FOLDED = {
    "1*bce": "bce",
    "bce*1": "bce",
    "bce/1": "bce",
    "bce**1": "bce",
    "bce + 0": "bce",
    "bce - 0": "bce",
    "0 + bce": "bce",
    "--bce": "bce",
    "-(-bce)": "bce",
    "bce**(2 - 1)": "bce",
    "-1*(-bce)": "bce",
    "max(1, 2)*bce": "2*bce",
    "exp(0)*bce": "bce",
    "sqrt(4)*bce": "2*bce",
    "where(1 < 2, bce, dice)": "bce",
    "where(2 < 1, bce, dice)": "dice",
    "focal(gamma=0)": "bce",
    "bce(pos_weight=1)": "bce",
    "mean(bce(reduction=none))": "bce",
    "tversky": "tversky(fp_weight=1/2, fn_weight=0.5)",
}


@pytest.mark.parametrize("formula", FOLDED)
def test_folded(formula: str, built: Any) -> None:
    """Numbers are computed once, and what changes nothing is gone."""
    assert node_text(built(formula).total, 99) == node_text(built(FOLDED[formula]).total, 99)


@pytest.mark.parametrize(
    "formula", ["1/0*bce", "log(0)*bce", "log(-1)*bce", "sqrt(-1)*bce", "bce*(-1)**0.5", "bce*0**-1", "bce/0"]
)
def test_numbers_that_are_none(formula: str, built: Any) -> None:
    with pytest.raises(FormulaError, match="LD213"):
        built(formula)
