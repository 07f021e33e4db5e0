"""What terms have in common is computed once: in the graph, and in the module that runs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.nodes import Graph, in_order
from lossdsl.graph.rewrites import RULES
from lossdsl.runtime.lower import lower

REGIONS = "dice + iou + tversky(fn_weight=0.7) + focal_tversky + dice_coef + iou_coef + dice(smooth=0)"


def calls(loss: BuiltLoss) -> Counter[str]:
    """How often each function is called in the lowered module."""
    nodes = lower(loss).module.graph.nodes
    return Counter(getattr(node.target, "__name__", str(node.target)) for node in nodes if node.op == "call_function")


def reads_of_pixels(loss: BuiltLoss, nodes_of: Any) -> list[str]:
    """The reductions that read whole images; those of numbers per image and class are cheap."""
    kinds = ("sum", "mean", "reduce_max", "reduce_min", "topk", "kernel")
    return sorted(n.operation for n in nodes_of(loss) if n.operation in kinds and "pixel" in n.arguments[0].axes)


def test_equal_nodes_are_one_node() -> None:
    graph = Graph(RULES)
    x, y = (graph.make("input", attributes=(name,), axes=("batch",)) for name in "xy")
    assert graph.make("add", x, y) is graph.make("add", x, y)
    assert graph.make("add", x, y) is not graph.make("add", y, x)
    assert graph.make("compare", x, y, attributes=("<",)) is not graph.make("compare", x, y, attributes=("<=",))
    assert graph.constant(1) is graph.constant(1.0)


def test_constants_of_opposite_sign_are_two() -> None:
    """0.0 == -0.0 and both hash alike."""
    graph = Graph(RULES)
    assert str(graph.constant(0.0).value) == "0.0"
    assert str(graph.constant(-0.0).value) in ("0.0", "-0.0")


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_one_sigmoid_and_one_set_of_sums(task: str, built: Any, count: Any, nodes_of: Any) -> None:
    for formula in ("dice", "dice + iou", REGIONS):
        for fields in ({}, {"mask": ("batch", "pixel")}, {"ignore_index": 255}):
            loss = built(formula, task, **fields)
            assert count(loss)["sigmoid"] == calls(loss)["sigmoid"] == 1
            assert reads_of_pixels(loss, nodes_of) == ["sum"] * 3, "of p*y, of p and of y"


def test_pixel_losses_add_one_mean_each(built: Any, count: Any, nodes_of: Any) -> None:
    loss = built(f"{REGIONS} + bce + focal + mean((p - y)**2)")
    assert count(loss)["sigmoid"] == 1
    assert count(loss)["log_sigmoid"] == 2, "of z and of -z, for all of them"
    assert reads_of_pixels(loss, nodes_of) == ["mean"] * 3 + ["sum"] * 3


def test_images_and_batches_share_all_maps(built: Any, count: Any, nodes_of: Any) -> None:
    loss = built("dice + dice(per=batch) + iou(per=batch)")
    assert count(loss)["sigmoid"] == 1
    assert reads_of_pixels(loss, nodes_of) == ["sum"] * 6


@pytest.mark.parametrize("fields", [{}, {"mask": ("batch", "pixel")}, {"weighted": True}], ids=["", "mask", "weights"])
def test_one_log_softmax(fields: Any, built: Any, count: Any) -> None:
    for formula in ("ce", "ce + focal", "ce(label_smoothing=0.1) + focal(gamma=1) + ce"):
        loss = built(formula, "multiclass", **fields)
        assert count(loss)["log_softmax"] == calls(loss)["log_softmax"] == 1
        assert calls(loss)["softmax"] == 0


def test_one_softmax_for_all_regions(built: Any, count: Any, nodes_of: Any) -> None:
    loss = built(f"ce + focal + {REGIONS}", "multiclass")
    counted = count(loss)
    assert (counted["softmax"], counted["log_softmax"], counted["one_hot"]) == (1, 1, 1)
    assert reads_of_pixels(loss, nodes_of) == ["mean"] * 2 + ["sum"] * 3


def test_the_same_loss_in_other_words_is_the_same(built: Any) -> None:
    """Defaults written out, definitions, equal parameters: one node."""
    loss = built("d = dice\nd + dice + dice(smooth=1) + dice(per=image, smooth=1.0) + dice(smooth=2/2) + 2*d")
    assert len(loss.terms) == 5
    assert len({term.value for term in loss.terms}) == 1


def test_a_mask_is_joined_once(built: Any, count: Any) -> None:
    counted = count(built(f"bce + {REGIONS}", mask=("batch", "pixel"), ignore_index=255))
    assert counted["both"] == counted["differs"] == 1


def test_a_breakdown_costs_nothing(built: Any, nodes_of: Any) -> None:
    """Value, weight and contribution of each term are parts of the total already, so a call computes no more."""
    for fields in ({}, {"mask": ("batch", "pixel")}):
        loss = built("0.5*bce + epoch*dice - focal", **fields)
        total = set(in_order([loss.total]))
        assert all(node in total or node.is_constant for node in nodes_of(loss))


def test_nothing_is_computed_for_what_is_not_used(built: Any, count: Any) -> None:
    assert count(built("unused = lovasz\nbce"))["kernel"] == 0
    assert count(built("0*lovasz + bce"))["sigmoid"] == 0
    assert count(built("ce", "multiclass"))["one_hot"] == 0
