"""What a formula needs from a call, and what is left of its definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lossdsl.checking.facts import Facts, facts_of
from lossdsl.checking.resolve import resolve
from lossdsl.checking.resolved import Objective
from lossdsl.config import read_formula, read_mapping
from lossdsl.registry.discover import default_registry


@pytest.fixture
def objective_of() -> Callable[[Any], Objective]:
    def read(source: Any) -> Objective:
        reading = read_formula(source) if isinstance(source, str) else read_mapping(source)
        assert reading.spec is not None, reading.diagnostics
        resolution = resolve(reading.spec, default_registry())
        assert resolution.objective is not None, resolution.diagnostics
        return resolution.objective

    return read


# formula: tensors, those that stand as a prediction or target, numbers of the run, learned, whether it is raw
NEEDS: dict[str, tuple[str, str, str, dict[str, float], bool]] = {
    "bce": ("", "", "", {}, False),
    "mse": ("", "", "", {}, True),
    "l1 + mean(abs(pred - target))": ("", "", "", {}, True),
    "l1 + bce": ("", "", "", {}, False),
    "mse(p, y)": ("", "", "", {}, False),
    "giou + 0.1*nt_xent": ("", "", "", {}, True),
    "total_variation": ("", "", "", {}, True),
    "total_variation(p)": ("", "", "", {}, False),
    "mean(w*bce(reduction=none))": ("w", "", "", {}, False),
    "mean(w*l1(reduction=none))": ("w", "", "", {}, True),
    "bce(aux, seg) + dice(aux)": ("aux seg", "aux seg", "", {}, False),
    "mse(teacher, target)": ("teacher", "teacher", "", {}, True),
    "bce(2*aux, y)": ("aux", "", "", {}, False),
    "min(1, epoch/10)*bce": ("", "", "epoch", {}, False),
    "where(step < 10, bce, epoch*dice)": ("", "", "epoch step", {}, False),
    "dice(smooth=epoch)": ("", "", "epoch", {}, False),
    "classes*bce": ("", "", "", {}, False),
    "s = learn(-1)\nt = learn(0.5)\nexp(-s)*bce + s + t": ("", "", "", {"s": -1, "t": 0.5}, False),
    "lovasz": ("", "", "", {}, False),
    "w = weight_map\nmean(w*p)": ("weight_map", "", "", {}, False),
    "unused = mean(w*p)*epoch\nbce": ("", "", "", {}, False),
    "mean(class_weight*p)": ("", "", "", {}, False),
    "topk(l1(reduction=none), share=0.1) + mean(p, count=w)": ("w", "", "", {}, False),
}


@pytest.mark.parametrize("formula", NEEDS)
def test_needs(formula: str, objective_of: Any) -> None:
    facts: Facts = facts_of(objective_of(formula))
    tensors, heads, scalars, learned, raw = NEEDS[formula]
    assert facts.tensors == set(tensors.split())
    assert facts.predictions | facts.targets == set(heads.split())
    assert facts.scalars == set(scalars.split())
    assert facts.learned == learned
    assert facts.raw_only is raw


# formula: its pairs as prediction, target, tasks, raw or not, map or not; the tensors beside them; whether it is raw
PAIRS: dict[str, tuple[list[tuple[str, str, str, bool, bool]], str, bool]] = {
    "bce": ([], "", False),
    "ce + l1(boxes, truth)": ([("boxes", "truth", "binary multilabel multiclass regression", True, False)], "", False),
    "l1 + bce(empty, there)": ([("empty", "there", "binary multilabel", False, False)], "", True),
    "bce(empty, there)": ([("empty", "there", "binary multilabel", False, False)], "", False),
    "l1 + mean(w*bce(a, b, reduction=none))": ([("a", "b", "binary multilabel", False, True)], "w", False),
    "ce(a, b) + dice(a, b) + mean(b)": ([("a", "b", "multiclass", False, False)], "b", False),
    "bce(a, b) + ce(a, b)": ([("a", "b", "", False, False)], "", False),
    "bce(a) + bce(a, y) + mse(a, target)": ([], "a", False),
    "lovasz(a, b)": ([("a", "b", "binary multilabel multiclass", False, False)], "", False),
    "lovasz_extension(a, b)": ([], "a b", True),
}


@pytest.mark.parametrize("formula", PAIRS)
def test_heads_of_their_own(formula: str, objective_of: Any) -> None:
    pairs, beside, raw = PAIRS[formula]
    facts = facts_of(objective_of(formula))
    found = [(p.prediction, p.target, " ".join(p.tasks), p.raw_only, p.mapped) for p in facts.pairs]
    assert found == pairs
    assert facts.beside == set(beside.split())
    assert facts.raw_only is raw


def test_lists_of_outputs(objective_of: Any) -> None:
    facts = facts_of(
        objective_of("d = multiscale(dice)\nd + multiscale(mean(w*bce(reduction=none)), weights=[1, epoch])")
    )
    assert [len(scale.weights) for scale in facts.scales] == [0, 2]
    assert (facts.tensors, facts.scalars, facts.raw_only) == ({"w"}, {"epoch"}, False)
    assert facts_of(objective_of("multiscale(l1)")).raw_only


def test_losses_by_first_use(objective_of: Any) -> None:
    facts = facts_of(objective_of("focal + dice_coef + 2*focal + bce"))
    assert [loss.name for loss in facts.losses][:1] == ["focal"]
    assert {loss.name for loss in facts.losses} == {"focal", "dice_coef", "dice", "bce"}


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("bce", []),
        ("a = 1\nb = 2\nb*bce", ["b"]),
        ("a = b\nb = c\nc = dice\na + b", ["c", "b", "a"]),
        ("z1 = dice\na1 = bce\nz1 + a1", ["a1", "z1"]),
        ("a = 2\nb = a*dice\na*b", ["a", "b"]),
    ],
)
def test_definitions_come_in_the_order_of_need(formula: str, names: list[str], objective_of: Any) -> None:
    assert [name for name, _ in objective_of(formula).bindings] == names


def test_definitions_of_a_mapping(objective_of: Any) -> None:
    objective = objective_of(
        {
            "define": {"w": "epoch/10", "d": "dice(smooth=v)", "v": 2},
            "terms": {"x": {"expr": "d", "weight": "w"}},
            "total": "2*x",
        }
    )
    names = [name for name, _ in objective.bindings]
    assert sorted(names) == ["d", "v", "w"]
    assert names.index("v") < names.index("d")
    assert [term.name for term in objective.terms] == ["x"]
    assert objective.total is not None
