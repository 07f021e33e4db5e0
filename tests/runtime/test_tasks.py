"""How the task of a call is decided from shapes and dtypes, and what the first batch is looked at for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import lossdsl
from lossdsl.tasks import decide_task

F, L, B, U = torch.float32, torch.int64, torch.bool, torch.uint8

# shape of pred, shape of target, its dtype: the task of a formula that reads labels
DECIDED = [
    ((4,), (4,), F, "binary"),
    ((4,), (4,), L, "binary"),
    ((4, 1), (4, 1), F, "binary"),
    ((4, 7), (4, 7), F, "binary"),
    ((4, 7), (4,), L, "multiclass"),
    ((4, 7), (4,), U, "multiclass"),
    ((4, 6, 7), (4, 6, 7), F, "binary"),
    ((4, 6, 7), (4, 6, 7), B, "binary"),
    ((4, 3, 7), (4, 7), L, "multiclass"),
    ((4, 1, 6, 7), (4, 1, 6, 7), F, "binary"),
    ((4, 1, 6, 7), (4, 1, 6, 7), L, "binary"),
    ((4, 3, 6, 7), (4, 3, 6, 7), F, "multilabel"),
    ((4, 3, 6, 7), (4, 3, 6, 7), L, "multilabel"),
    ((4, 3, 6, 7), (4, 3, 6, 7), B, "multilabel"),
    ((4, 3, 6, 7), (4, 6, 7), L, "multiclass"),
    ((4, 2, 6, 7), (4, 6, 7), torch.int32, "multiclass"),
    ((4, 1, 2, 6, 7), (4, 1, 2, 6, 7), F, "binary"),
    ((4, 3, 2, 6, 7), (4, 3, 2, 6, 7), F, "multilabel"),
    ((4, 3, 2, 6, 7), (4, 2, 6, 7), L, "multiclass"),
]


@pytest.mark.parametrize(("pred", "target", "dtype", "task"), DECIDED, ids=str)
def test_decided_from_shapes(pred: tuple[int, ...], target: tuple[int, ...], dtype: torch.dtype, task: str) -> None:
    scores, labels = torch.randn(pred), torch.zeros(target, dtype=dtype)
    assert decide_task(scores.shape, labels.shape, raw_only=False) == task
    for formula in ("dice + focal", "lovasz"):
        got = lossdsl.compile(formula)(scores, labels)
        assert torch.equal(got, lossdsl.compile(formula, task=task)(scores, labels))


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 7), (4, 3, 7), (4, 3, 6, 7)], ids=str)
def test_a_formula_of_raw_tensors_is_a_regression(shape: tuple[int, ...]) -> None:
    pred, target = torch.randn(shape), 5 + torch.randn(shape)
    assert decide_task(pred.shape, target.shape, raw_only=True) == "regression"
    for formula in ("mse", "l1 + huber", "mean(abs(pred - target))"):
        assert torch.equal(
            lossdsl.compile(formula)(pred, target), lossdsl.compile(formula, task="regression")(pred, target)
        )


def test_labels_may_have_any_dtype() -> None:
    """What is computed is that of float labels."""
    pred, labels = torch.randn(4, 1, 5), (torch.rand(4, 1, 5) > 0.5)
    loss = lossdsl.compile("bce + dice + lovasz + hinge")
    wanted = loss(pred, labels.float())
    for dtype in (torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64, torch.float16, torch.float64):
        assert torch.equal(loss(pred, labels.to(dtype)), wanted), dtype
    indices = torch.randint(3, (4, 5))
    classes = torch.randn(4, 3, 5)
    wanted = lossdsl.compile("ce + dice")(classes, indices)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        assert torch.equal(lossdsl.compile("ce + dice")(classes, indices.to(dtype)), wanted), dtype


def test_a_formula_that_no_task_of_the_batch_fits() -> None:
    """`ce` on a batch that looks binary says so, and how the task is given."""
    with pytest.raises(lossdsl.LossError, match=r"`ce` is for multiclass[\s\S]*task"):
        lossdsl.compile("ce")(torch.randn(4, 3), torch.rand(4, 3))
    soft = torch.rand(4, 3).softmax(1)
    assert lossdsl.compile("ce", task="multiclass")(torch.randn(4, 3), soft) > 0


# task, input, pred, target, options: what the message says
VALUES: list[tuple[str, str, Any, Any, dict[str, Any], str]] = [
    ("multiclass", "logits", None, [0, 1, 3], {}, "class index 3, `pred` has 3 classes"),
    ("multiclass", "logits", None, [0, 1, 255], {}, "class index 255"),
    ("multiclass", "logits", None, [0, -1, 2], {}, "class index -1"),
    ("multiclass", "logits", None, [0, 255, -100], {"ignore_index": 255}, "class index -100"),
    ("binary", "logits", None, [0, 1, 255], {}, "from 0 to 255"),
    ("binary", "logits", None, [0, 1, 2], {}, "from 0 to 2"),
    ("binary", "logits", None, [-1, 1, 1], {}, "from -1 to 1"),
    ("binary", "logits", None, [0, float("nan"), 1], {}, "nan"),
    ("binary", "probs", [0, 0.5, 1.5], [0, 1, 1], {}, "from 0 to 1.5"),
    ("binary", "probs", [-0.1, 0.5, 1], [0, 1, 1], {}, "from -0.1 to 1"),
    ("binary", "probs", [float("nan"), 0.5, 1], [0, 1, 1], {}, "nan"),
    ("multiclass", "probs", [[1, 2, 0]] * 3, [0, 1, 1], {}, "from 0 to 2"),
]


@pytest.mark.parametrize(("task", "kind", "pred", "target", "options", "message"), VALUES, ids=str)
def test_values_of_the_first_batch(
    task: Any, kind: Any, pred: Any, target: Any, options: dict[str, Any], message: str
) -> None:
    scores = torch.randn(3, 3) if task == "multiclass" else torch.randn(3)
    loss = lossdsl.compile("dice", task=task, input=kind, **options)
    with pytest.raises(lossdsl.InputError) as caught:
        loss(scores if pred is None else torch.tensor(pred, dtype=F), torch.tensor(target))
    assert [finding.code for finding in caught.value.diagnostics] == ["LD506"]
    assert message in caught.value.diagnostics[0].message
    assert caught.value.diagnostics[0].hint


def test_a_refused_batch_is_not_the_first() -> None:
    loss = lossdsl.compile("ce")
    bad = torch.tensor([0, 9])
    for _ in range(2):
        with pytest.raises(lossdsl.InputError, match="class index 9"):
            loss(torch.randn(2, 3), bad)


def test_only_what_counts_is_looked_at() -> None:
    pred, target = torch.tensor([[7.0], [0.5]]), torch.tensor([[1.0], [255.0]])
    pred[1] = float("nan")
    pred[0] = 0.5
    loss = lossdsl.compile("bce", input="probs")
    assert loss(pred, target, mask=torch.tensor([True, False])).isfinite()
    assert lossdsl.compile("bce", input="probs", ignore_index=255)(pred, target).isfinite()


def test_regression_targets_may_be_anything() -> None:
    loss = lossdsl.compile("mse")
    assert loss(torch.tensor([1e3, -5.0]), torch.tensor([255.0, -7.0])).isfinite()


@pytest.mark.parametrize("label", [3, 255, -1], ids=str)
@pytest.mark.parametrize("formula", ["ce", "focal", "ce + dice"])
def test_a_wrong_label_of_a_later_batch(formula: str, label: int) -> None:
    """A gather fails in torch; the message still says which label is wrong. `dice` gathers nothing."""
    loss = lossdsl.compile(formula)
    pred, target = torch.randn(2, 3, 5), torch.randint(3, (2, 5))
    loss(pred, target)
    with pytest.raises(lossdsl.InputError, match=f"class index {label}"):
        loss(pred, target.index_fill(1, torch.tensor([2]), label))
