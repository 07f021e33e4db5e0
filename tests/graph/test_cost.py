"""How often a loss goes over memory, counted from its graph."""

from __future__ import annotations

import lossdsl


def costs(text: str, task: str) -> list[str]:
    section = lossdsl.explain(text, task=task, cost=True).rpartition("passes over memory")[2]
    return [line.rpartition("  ")[2].strip() for line in section.splitlines()[1:]]


def test_one_sweep_each_way() -> None:
    """Forward reads prediction and target; backward reads them and writes the gradient, however many the terms."""
    assert costs("bce + dice + focal + tversky", "binary")[2:] == ["2", "3"]


def test_a_gradient_computed_with_the_value() -> None:
    """It is written in the sweep that reads prediction and target, and is there when it is asked for."""
    assert costs("bce", "binary")[2:] == ["3", "0"]


def test_what_is_proved_counts() -> None:
    """The divisor is well above 0, so that this gradient needs nothing of the value's own stages."""
    assert costs("mean(1/(1 + p))", "binary")[2:] == ["2", "0"]


def test_outputs_of_several_sizes() -> None:
    """They cannot be cut into the same pieces."""
    assert costs("multiscale(dice, weights=[1, 0.5])", "binary")[2:] == ["not run in stages"] * 2


def test_what_is_learned_has_a_gradient_too() -> None:
    """With it there are two gradients, of which one is no value for each pixel."""
    assert costs("s = learn(0.3)\nexp(-s)*dice + s", "binary")[2:] == ["2", "3"]


def test_sharing_costs_less() -> None:
    apart, shared = map(int, costs("dice + iou + tversky", "binary")[:2])
    assert apart > 2 * shared


def test_a_mean_that_others_need_takes_a_sweep_of_its_own() -> None:
    assert costs("mean((p - mean(p))**2)", "binary")[2] == "2"


def test_what_is_left_to_torch() -> None:
    assert costs("lovasz", "binary")[2:] == ["not run in stages"] * 2


def test_only_when_asked() -> None:
    assert "passes over memory" not in lossdsl.explain("bce")
