"""How a formula is run is decided in one place, and what is run goes through named passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lossdsl.graph import verify
from lossdsl.graph.nodes import Node
from lossdsl.graph.schedule import (
    COMPILED,
    DEVICE,
    EMPTY,
    PIECES,
    SEVERAL_PRECISIONS,
    SMALL,
    STRATEGIES,
    TRANSFORMED,
    UNUSUAL,
    Schedule,
    Strategy,
    decided,
    scheduled,
)
from lossdsl.graph.signatures import Phase
from lossdsl.graph.stable_form import computed

FIRST = ("expand", "differentiate")
CHEAPEST = "choose the cheapest operations"
TOGETHER = "choose the cheapest operations of value and gradient together"
PASSES = [
    ("bce", SMALL, (*FIRST, "choose the fewest operations", "take all at once")),
    ("bce", PIECES, (*FIRST, TOGETHER, "cut into stages")),
    ("bce", DEVICE, (*FIRST, CHEAPEST, "take all at once")),
    ("bce", COMPILED, (*FIRST, "choose the fewest loops", "take all at once")),
    ("bce + dice", SMALL, (*FIRST, "choose the fewest operations", "take all at once")),
    ("bce + dice", PIECES, (*FIRST, CHEAPEST, "cut into stages")),
    ("bce + dice", DEVICE, (*FIRST, CHEAPEST, "take all at once")),
    ("bce + dice", COMPILED, (*FIRST, "choose the fewest loops", "take all at once")),
]
WITH_VALUE = {("bce", strategy.name) for strategy in (SMALL, PIECES, DEVICE, COMPILED)} | {("bce + dice", "small")}


def schedule_of(built: Any, text: str, strategy: Strategy, **options: Any) -> Schedule | None:
    form = computed(built(text))
    return scheduled(form.outputs[:1], ("pred",), strategy, form.positive, **options)


@pytest.mark.parametrize(("text", "strategy", "names"), PASSES)
def test_passes(text: str, strategy: Strategy, names: tuple[str, ...], built: Any) -> None:
    schedule = schedule_of(built, text, strategy)
    assert schedule is not None
    assert schedule.passes == names
    assert schedule.with_value == ((text, strategy.name) in WITH_VALUE)
    assert bool(schedule.backward) != schedule.with_value


def test_the_gradient_apart_from_the_value(built: Any) -> None:
    """As it is needed a second time: the passes are those of a gradient of its own."""
    schedule = schedule_of(built, "bce", PIECES, with_value=False)
    assert schedule is not None
    assert schedule.passes == (*FIRST, CHEAPEST, "cut into stages")
    assert schedule.backward


def test_what_is_left_to_autograd(built: Any) -> None:
    for text, strategy in (("lovasz", PIECES), ("bce", TRANSFORMED), ("3", SMALL)):
        assert schedule_of(built, text, strategy) is None


@pytest.mark.parametrize("strategy", [SMALL, PIECES, DEVICE, COMPILED], ids=lambda strategy: strategy.name)
def test_a_verifier_sees_the_graph_after_each_pass(
    strategy: Strategy, built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Phase, Sequence[Node]]] = []
    monkeypatch.setattr(verify, "checked", lambda roots, phase: seen.append((phase, roots)))
    schedule = schedule_of(built, "bce + dice", strategy)
    assert schedule is not None
    assert [phase for phase, _ in seen] == list(Phase)
    assert [len(roots) for _, roots in seen[2:]] == [1, 2, 2]  # the gradient is there from the fourth graph on
    assert seen[-1][1] == schedule.loss.roots


@pytest.mark.parametrize(("strategy", "parts"), [(PIECES, 2), (SMALL, 1)], ids=["pieces", "small"])
def test_a_verifier_sees_the_stages(
    strategy: Strategy, parts: int, built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(verify, "checked_stages", lambda *stages: seen.append(stages))
    schedule = schedule_of(built, "bce + dice", strategy)
    assert schedule is not None
    assert len(seen) == parts
    assert [stages for stages, _, _ in seen] == [schedule.forward, schedule.backward][:parts]


@pytest.mark.parametrize(
    ("facts", "strategy"),
    [
        ({}, PIECES),
        ({"alike": lambda: False}, DEVICE),
        ({"small": True, "alike": lambda: False}, SMALL),
        ({"on_cpu": False, "small": True}, DEVICE),
        ({"compiled": True, "small": True}, COMPILED),
        ({"compiled": True, "on_cpu": False}, COMPILED),
        ({"one_precision": False, "compiled": True}, SEVERAL_PRECISIONS),
        ({"empty": True, "compiled": True}, EMPTY),
        ({"unusual": True, "small": True, "compiled": True}, UNUSUAL),
        ({"transformed": True, "small": True, "compiled": True}, TRANSFORMED),
    ],
)
def test_decided(facts: dict[str, Any], strategy: Strategy) -> None:
    assert decided(**facts) is strategy


def test_every_strategy_says_why() -> None:
    assert len({strategy.why for strategy in STRATEGIES}) == len(STRATEGIES)
    assert {strategy.name for strategy in STRATEGIES if not strategy.passes} == {"autograd"}
