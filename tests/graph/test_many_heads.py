"""Many heads: the layouts that each may have multiply, the time and memory of check, explain and compile do not."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest
import torch

import lossdsl
from lossdsl.checking.resolved import Objective
from lossdsl.config.model import Options
from lossdsl.graph.graphs import Graphs

# One head, with its number for `{i}` and that of a target that two heads share for `{j}`.
HEADS = {
    "numbers": "bce(a{i}, b{i})",
    "for any task": "dice(a{i}, b{i})",
    "layouts that are not the first": "for_class(dice(a{i}, b{i}), [1])",
    "maps": "mean(w*bce(a{i}, b{i}, reduction=none))",
    "shared targets": "dice(a{i}, b{j})",
    "weighted": "epoch*(0.5*bce(a{i}, b{i}) + dice(a{i}, b{i}))",
    "powers": "sqrt(dice(a{i}, b{i})**2 + 1)",
}


def added(head: str, count: int) -> str:
    return " + ".join(head.format(i=i, j=i // 2) for i in range(count))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("form", ["{}", "bce + 0.5*({})", "heads = {}\nbce + heads"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_twenty_heads(head: str, form: str) -> None:
    text = form.format(added(head, 20))
    lossdsl.check(form.format(head.format(i=0, j=0)))  # what is read once
    start = time.process_time()
    assert lossdsl.check(text).ok
    lossdsl.compile(text)
    assert time.process_time() - start < 2
    assert "a19" in lossdsl.explain(text)


def test_memory_grows_with_the_heads() -> None:
    text = " + ".join(f"bce(a{i}, b{i})" for i in range(60))
    lossdsl.check("bce(a, b)")
    tracemalloc.start()
    assert lossdsl.check(text).ok
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


MIXED = {
    "first and second layouts": [HEADS["numbers"], HEADS["layouts that are not the first"]],
    "maps between": [HEADS["layouts that are not the first"], HEADS["maps"], HEADS["numbers"]],
}


@pytest.mark.parametrize("heads", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("form", ["bce + {}", "bce + 2*({})", "h = {}\nbce + h"])
def test_each_head_finds_its_own_layout(heads: list[str], form: str) -> None:
    """Which no few calls in which all heads have the same would find."""
    text = form.format(" + ".join(heads[i % len(heads)].format(i=i, j=i) for i in range(20)))
    assert lossdsl.check(text).ok


WRONG = {
    "a map of a head": ("dice(a{i}, b{i}, reduction=none)", "LD303"),
    "two tasks": ("(ce(a{i}, b{i}) + bce(a{i}, b{i}))", "LD301"),
    "classes of a map": ("for_class(dice(a{i}, b{i}, reduction=none), [1])", "LD303"),
}


@pytest.mark.parametrize(("head", "code"), WRONG.values(), ids=WRONG)
def test_one_wrong_head_among_many_is_found(head: str, code: str) -> None:
    text = f"bce + {added(HEADS['for any task'], 18)} + {head.format(i='x')}"
    start = time.process_time()
    report = lossdsl.check(text)
    assert time.process_time() - start < 3
    assert not report.ok
    for found in report.diagnostics:
        assert "x" in text.splitlines()[found.line - 1][found.column - 1 :]  # type: ignore[operator]
        assert (found.column or 0) > text.index("(ax") - 10
    assert {found.code for found in report.diagnostics} & {code, "LD307"}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_few_and_many_are_called_alike(head: str, count: int, objective_of: Callable[..., Objective]) -> None:
    """The layouts of the first heads do not depend on how many more there are."""
    found = []
    for number in (count, 8):
        graphs = Graphs(objective_of("bce + " + added(head, number)), Options())
        assert not graphs.task_faults()
        working = graphs.first_working()
        assert working
        found.append({(head.prediction, head.target): head.context for head in working.context.heads})
    few, many = found
    assert {pair: many.get(pair) for pair in few} == few


def test_twenty_heads_are_added_up() -> None:
    names = [f"{letter}{i}" for i in range(20) for letter in "ab"]
    tensors = {name: torch.rand(3, 4 + int(name[1:]), dtype=torch.float64) for name in names}
    loss = lossdsl.compile("mse + " + " + ".join(f"{i + 1}*mse(a{i}, b{i})" for i in range(20)))
    pred, target = torch.rand(2, 1, 5, dtype=torch.float64), torch.rand(2, 1, 5, dtype=torch.float64)
    expected = ((pred - target) ** 2).mean()
    expected = expected + sum((i + 1) * ((tensors[f"a{i}"] - tensors[f"b{i}"]) ** 2).mean() for i in range(20))
    torch.testing.assert_close(loss(pred, target, **tensors), expected)
