"""Each rule finds a loss that breaks it, and the failure names the rule, the plugin and the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

import lossdsl
import lossdsl.testing
from lossdsl.testing.conformance import RULES, failures

COUNT = {"calls": 0}
EACH = ("batch", "class", "pixel")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with lossdsl.testing.registry():
        yield


def constant(p: Tensor, y: Tensor) -> Tensor:
    return (p - y).abs().mean().detach()


def wrong_slope(p: Tensor, y: Tensor) -> Tensor:
    error = (p - y).abs().mean()
    return 2 * error - error.detach()


def flat(p: Tensor, y: Tensor) -> Tensor:
    return (p > 0.5).to(p.dtype).mean() + 0 * y.sum()


def lying(p: Tensor, y: Tensor, *, margin: Annotated[float, "[0, 2]"] = 0.0) -> Tensor:
    return (p - y).abs().mean() - margin


def no_number(p: Tensor, y: Tensor) -> Tensor:
    return (p.log() * y).mean().neg()


def upside_down(p: Tensor, y: Tensor) -> Tensor:
    return -(p - y).abs().mean()


def not_by_order(p: Tensor, y: Tensor) -> Tensor:
    return (p - y)[0].abs().mean() + 0 * p.sum()


def masked_wrongly(p: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
    error = (p - y).abs()
    return (error if mask is None else torch.where(mask, error, 0.0)).mean()


def by_neighbours(p: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
    error = (p - y).abs() if mask is None else torch.where(mask, (p - y).abs(), 0.0)
    return error + error.roll(1, -1)


def writing(p: Tensor, y: Tensor) -> Tensor:
    y.add_(0.25)
    return (p - y).abs().mean()


def counting(p: Tensor, y: Tensor) -> Tensor:
    COUNT["calls"] += 1
    return (p - y).abs().mean() * COUNT["calls"]


def breaking(p: Tensor, y: Tensor) -> Tensor:
    torch._dynamo.graph_break()
    return (p - y).abs().mean()


def in_double(p: Tensor, y: Tensor) -> Tensor:
    return (p - y).abs().mean().double()


def half_hearted(p: Tensor, y: Tensor) -> Tensor:
    return (p - y).abs().mean() * (2.0 if torch.is_autocast_enabled("cpu") else 1.0)


def humped(p: Tensor, y: Tensor) -> Tensor:
    error = (p - y).abs()
    return (error * (1.2 - error)).mean()


def detached(p: Tensor, y: Tensor) -> Tensor:
    return (p.detach() - y).abs().mean() + 0 * p.sum()


def shuffled(p: Tensor, y: Tensor) -> Tensor:
    return (p - y.flip(0)).abs().mean()


def at_random(p: Tensor, y: Tensor) -> Tensor:
    return (p - y).abs().mean() * (1 + 0.1 * torch.rand(()))


def in_place(z: Tensor, y: Tensor) -> Tensor:
    return (z.sigmoid_() - y).abs().mean()


def seeing_the_masked(p: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
    error = (p - y).abs()
    return error.mean() if mask is None else error[mask.expand_as(error)].mean() + 0.01 * (y > 0).to(p.dtype).mean()


def raising(p: Tensor, y: Tensor) -> Tensor:
    raise ZeroDivisionError("by hand")


FAULTS: dict[Callable[..., Any], tuple[str, str, dict[str, Any]]] = {
    constant: ("gradient", "along a direction the gradient is 0, differences of the value give", {}),
    flat: ("gradient", "the gradient in pred is 0 or missing, here and everywhere else", {}),
    wrong_slope: ("gradient", "differences of the value give", {}),
    lying: ("range", "is outside [0, inf)", {}),
    no_number: ("finite", "the value is", {}),
    upside_down: ("best", "that of the perfect prediction", {"range": "[-1, 0]"}),
    not_by_order: ("permutation", "with the images in the order 2, 0, 1", {}),
    masked_wrongly: ("mask", "without these elements", {}),
    by_neighbours: ("mask_anywhere", "without these elements", {"keeps": EACH}),
    writing: ("inputs_unchanged", "`target` was written to", {}),
    counting: ("no_state", "after another call", {}),
    breaking: ("full_graph", "torch.compile(fullgraph=True) fails", {}),
    in_double: ("dtype_and_device", "returned torch.float64 on cpu for torch.float32 on cpu", {}),
    half_hearted: ("half_precision", "in autocast it is", {}),
    humped: ("worse", "nearer to the target", {}),
    detached: ("gradient", "differences of the value give", {}),
    shuffled: ("permutation", "with the images in the order 2, 0, 1", {}),
    at_random: ("no_state", "after another call", {}),
    in_place: ("inputs_unchanged", "`pred` was written to", {}),
    seeing_the_masked: ("mask", "without these elements", {}),
    raising: ("range", "raised ZeroDivisionError('by hand')", {}),
}


@pytest.mark.parametrize("function", FAULTS, ids=lambda function: function.__name__)
def test_a_fault_is_found(function: Callable[..., Any]) -> None:
    rule, told, declared = FAULTS[function]
    lossdsl.loss(**declared)(function)
    (failure,) = failures(function.__name__, [rule])
    assert failure.rule == rule
    assert told in str(failure)
    where = f"`{function.__name__}` of {__name__} ({__name__}:{function.__name__})"
    assert str(failure).startswith(f"{where} breaks the rule `{rule}`: ")


# Faults in a formula, each a slip that has been made.
MUTANTS = {
    "mean(abs(p - y)) - 0.1": ("range", "is outside [0, 1]"),
    "2*mean(abs(p - y))": ("range", "is outside [0, 1]"),
    "mean(abs(p - 0.5))": ("best", "that of the perfect prediction"),
    "mean(abs(p - 1 + y))": ("best", "that of the perfect prediction"),
    "mean(relu(0.5 - abs(p - y)))": ("worse", "nearer to the target"),
    "mean(abs(stop_gradient(p) - y))": ("gradient", "differences of the value give"),
    "mean(where(p > 0.5, 1, 0)*(1 - y))": ("gradient", "the gradient in pred is 0 or missing"),
    "mean(2*abs(p - y), count=2)": ("reductions", "mean(mutant(reduction=none)) is"),
    "mean(abs(local_mean(p, size=3) - y))": ("mask_anywhere", "without these elements"),
}


@pytest.mark.parametrize("text", MUTANTS)
def test_a_slip_in_a_formula_is_found(text: str) -> None:
    lossdsl.define(f"mutant() -> [0, 1] = {text}")
    rule, told = MUTANTS[text]
    (failure,) = failures("mutant", [rule])
    assert told in str(failure)


def test_what_cannot_be_stored_is_found() -> None:
    @lossdsl.loss()
    def local(p: Tensor, y: Tensor) -> Tensor:
        return (p - y).abs().mean()

    (failure,) = failures("local", ["stored"])
    assert "it cannot be pickled" in str(failure)


# A loss cannot break these two by itself, only what runs it can.
BROKEN_RUNTIMES: dict[str, tuple[Callable[..., Any], str]] = {
    "no_broadcast": (
        lambda loss, pred, target, **call: loss(pred, target[:1, ..., :1].expand_as(pred), **call),
        "pred (3, 1, 6) with target (1, 1, 6) gives",
    ),
    "ignore_index": (
        lambda loss, pred, target, **call: loss(pred.nan_to_num(1), target.where(target < 255, 0), **call),
        "ignore_index=255 gives",
    ),
}


@pytest.mark.parametrize("rule", BROKEN_RUNTIMES)
def test_a_broken_runtime_is_found(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call, told = BROKEN_RUNTIMES[rule]

    def broken(formula: str, **options: Any) -> Callable[..., Any]:
        loss = lossdsl.compile(formula, **options)
        return lambda pred, target, **keywords: call(loss, pred, target, **keywords)

    monkeypatch.setattr("lossdsl.testing.subjects.compile", broken)
    (failure,) = failures("l1(p, y)", [rule], ["binary"])
    assert told in str(failure)


@pytest.mark.long
def test_an_import_of_torch_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme-1.0.dist-info").mkdir()
    (tmp_path / "acme-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    rows = "[lossdsl.losses]\nacme.heavy = acme_heavy:heavy\n"
    (tmp_path / "acme-1.0.dist-info" / "entry_points.txt").write_text(rows)
    text = "import torch\nfrom lossdsl import loss\n\n@loss()\ndef heavy(p, y):\n    return (p - y).abs().mean()\n"
    (tmp_path / "acme_heavy.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = [point for each in distributions(path=[str(tmp_path)]) for point in each.entry_points]
    with lossdsl.testing.registry(found):
        (failure,) = failures("acme.heavy", ["import_cost"])
    assert "`acme.heavy` of acme 1.0 (acme_heavy:heavy) breaks the rule `import_cost`" in str(failure)
    assert "importing acme_heavy imports torch: import it in the functions that need it" in str(failure)


def test_every_rule_has_a_loss_that_breaks_it() -> None:
    elsewhere = {"stored", "import_cost", *BROKEN_RUNTIMES}
    assert {rule for rule, _, _ in FAULTS.values()} | {rule for rule, _ in MUTANTS.values()} | elsewhere == set(RULES)


def test_a_failure_shows_a_call_that_can_be_tried_again() -> None:
    lossdsl.loss()(upside_down)
    with pytest.raises(AssertionError) as caught:
        lossdsl.testing.check_loss("upside_down", rules=["best", "worse"], tasks=["binary"])
    first, second = str(caught.value).split("\n\n")
    lines = first.splitlines()
    assert lines[1] == "    upside_down (task=binary, input=logits)"
    assert lines[2].startswith("    pred = [[[")
    assert lines[3].startswith("    target = [[[")
    assert lines[4].startswith("    its value is -0.")
    assert "breaks the rule `worse`" in second


def test_a_score_is_better_when_higher() -> None:
    lossdsl.define("# Better: higher\nscore() -> [0, 1] = mean(1 - abs(p - y))")
    lossdsl.define("# Better: neither\nblock() -> [0, 1] = mean(p*(1 - p))")
    lossdsl.define("wrong() -> [0, 1] = mean(1 - abs(p - y))")
    lossdsl.testing.check_loss("score", rules=["best", "worse"])
    lossdsl.testing.check_loss("block", rules=["best", "worse"])
    assert [failure.rule for failure in failures("wrong", ["best", "worse"])] == ["best", "worse"]
    assert not {"best", "worse"} & set(lossdsl.testing.rules_for("block"))


def test_exceptions_are_declared_with_a_reason() -> None:
    lossdsl.define("# Except: best, worse -- a regulariser\nquiet() -> [0, inf) = mean(p**2)")
    lossdsl.define("# Except: bets -- a slip\nloud() -> [0, inf) = mean(p**2)")
    assert set(lossdsl.testing.rules_for("quiet")) == set(RULES) - {"best", "worse"}
    lossdsl.testing.check_loss("quiet", rules=["best", "worse"])
    with pytest.raises(AssertionError, match=r"`Except: bets -- a slip`: there is no rule `bets`"):
        lossdsl.testing.check_loss("loud", rules=[])


def test_other_values_of_parameters_are_tried() -> None:
    """The range is broken for margin > 0 alone."""

    def narrow(p: Tensor, y: Tensor, *, margin: Annotated[float, "[0, 2]"] = 0.0) -> Tensor:
        return (p - y).abs().mean() * (1 if margin == 0 else -1)

    lossdsl.loss()(narrow)
    (failure,) = failures("narrow", ["range"])
    assert "narrow(margin=0.3)" in str(failure)


def test_tensors_by_name_are_passed() -> None:
    lossdsl.define("weighted() -> [0, inf) = mean(w*abs(p - y))")
    lossdsl.testing.check_loss("weighted", rules=["gradient", "best", "mask", "permutation", "no_state"])


def test_what_is_no_rule_or_no_loss() -> None:
    with pytest.raises(lossdsl.LossError, match="there is no rule `bset`; rules are gradient, range"):
        lossdsl.testing.check_loss("bce", rules=["bset"])
    with pytest.raises(lossdsl.LossError, match="there is no loss `bec`"):
        lossdsl.testing.check_loss("bec")
    with pytest.raises(AssertionError, match="bce works for binary, multilabel"):
        lossdsl.testing.check_loss("bce", tasks=["multiclass"])
