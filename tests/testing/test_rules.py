"""Each rule finds a loss that breaks it, and the failure names the rule, the plugin and the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    return (p - y).abs().mean() * (2.0 if p.dtype == torch.float32 else 1.0)


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
    lossdsl.define("# Except: bets -- a slip\n# Except: worse\nloud() -> [0, inf) = mean(p**2)")
    assert set(lossdsl.testing.rules_for("quiet")) == set(RULES) - {"best", "worse"}
    lossdsl.testing.check_loss("quiet", rules=["best", "worse"])
    with pytest.raises(AssertionError, match=r"(?s)`Except: bets -- a slip` needs.*`Except: worse -- ` needs"):
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
