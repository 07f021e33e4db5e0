"""How often a loss goes over memory, counted from its graph."""

from __future__ import annotations

import lossdsl


def costs(text: str, task: str) -> list[str]:
    section = lossdsl.explain(text, task=task, cost=True).rpartition("passes over memory")[2]
    return [line.rpartition("  ")[2].strip() for line in section.splitlines()[1:]]


def test_one_sweep_each_way() -> None:
    """Forward reads prediction and target; backward reads them and writes the gradient, however many the terms."""
    for text in ("bce", "bce + dice + focal + tversky"):
        assert costs(text, "binary")[2:] == ["2", "3"]


def test_sharing_costs_less() -> None:
    apart, shared = map(int, costs("dice + iou + tversky", "binary")[:2])
    assert apart > 2 * shared


def test_a_mean_that_others_need_takes_a_sweep_of_its_own() -> None:
    assert costs("mean((p - mean(p))**2)", "binary")[2] == "2"


def test_what_is_left_to_torch() -> None:
    assert costs("lovasz", "binary")[2:] == ["not run in stages"] * 2


def test_only_when_asked() -> None:
    assert "passes over memory" not in lossdsl.explain("bce")
