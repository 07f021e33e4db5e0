"""Ranges that a config declares for its tensors: what they prove, what they refuse, and what is wrong with them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import lossdsl

# A formula with a finding for any w, the code, and ranges of w: those that answer it and those that do not.
PROVED = [
    (
        "mean(abs(pred - target)/w)",
        "LD703",
        ["(0, 1]", "[0.1, inf)", "(-inf, 0)"],
        ["[0, 1]", "(-1, 1)", "(-inf, inf)"],
    ),
    ("mean(abs(pred - target)/(1 + w))", "LD703", ["[0, 1]", "(-1, 1]"], ["[-1, 1]"]),
    ("mean(log(w) + (pred - target)**2)", "LD701", ["(0, inf)", "[1, 2]"], ["[0, 1]", "(-1, 1]"]),
    ("mean(sqrt(w)*abs(pred - target))", "LD702", ["(0, inf)", "[0.5, 2]"], ["[-1, 1]"]),
]
CASES = [(text, code, ends, True) for text, code, right, _ in PROVED for ends in right]
CASES += [(text, code, ends, False) for text, code, _, wrong in PROVED for ends in wrong]


@pytest.mark.parametrize(("text", "code", "ends", "quiet"), CASES)
def test_what_a_range_proves(text: str, code: str, ends: str, quiet: bool) -> None:
    said = {finding.code for finding in lossdsl.check({"expr": text, "tensors": {"w": ends}}).diagnostics}
    assert (code not in said) is quiet
    bare = {finding.code for finding in lossdsl.check({"expr": text, "tensors": ["w"]}).diagnostics}
    assert bare & {code, "LD702"}


def spec(ends: str | None, text: str = "mean(w*abs(pred - target))") -> dict[str, Any]:
    return {"expr": text, "tensors": {"w": ends}}


PRED, TARGET = torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
# A range, values of w within it and outside of it.
VALUES = [
    ("(0, 1]", [[0.5, 1.0]], [[0.0, 1.0], [0.5, 1.5], [-1.0, 1.0], [float("nan"), 1.0]]),
    ("[0, 1)", [[0.0, 0.5]], [[0.0, 1.0], [float("inf"), 0.5]]),
    ("[0, inf)", [[0.0, 1e30]], [[-1e-3, 1.0], [float("nan"), 0.0]]),
    ("(-inf, inf)", [[-1e30, 1e30]], [[float("nan"), 0.0]]),
]
WITHIN = [(ends, values) for ends, right, _ in VALUES for values in right]
OUTSIDE = [(ends, values) for ends, _, wrong in VALUES for values in wrong]


def weight(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).repeat(2, 1, 4, 2)


@pytest.mark.parametrize(("ends", "values"), WITHIN)
def test_values_within(ends: str, values: list[float]) -> None:
    loss, plain = lossdsl.compile(spec(ends)), lossdsl.compile(spec(None))
    for _ in range(3):
        assert loss(PRED, TARGET, w=weight(values)) == plain(PRED, TARGET, w=weight(values))


@pytest.mark.parametrize("warm", [0, 1, 3])
@pytest.mark.parametrize(("ends", "values"), OUTSIDE)
def test_values_outside(ends: str, values: list[float], warm: int) -> None:
    """In the first batch and in every later one, in a call and in a breakdown, of a copy and a stored loss."""
    loss = lossdsl.compile(spec(ends))
    good = weight(next(right[0] for other, right, _ in VALUES if other == ends))
    for _ in range(warm):
        loss(PRED, TARGET, w=good)
    calls = [loss, loss.breakdown, copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))]
    for call in calls:
        with pytest.raises(lossdsl.LossError, match="LD506") as raised:
            call(PRED, TARGET, w=weight(values))
        assert f"outside {ends}" in str(raised.value)


def alike(loss: Any, plain: Any, *tensors: torch.Tensor, **named: torch.Tensor) -> bool:
    return all(torch.equal(loss(*tensors, **named), plain(*tensors, **named)) for _ in range(3))


@pytest.mark.parametrize("bad", [0.0, -1.0, 2.0, float("nan"), float("inf")])
def test_what_does_not_count_may_lie_outside(bad: float) -> None:
    """Where a mask or an ignored label leaves an element out, whatever stands there."""
    w = weight([0.5, 1.0])
    w[0, 0, 0, 0] = bad
    mask = torch.ones(2, 4, 4)
    mask[0, 0, 0] = 0
    assert alike(lossdsl.compile(spec("(0, 1]")), lossdsl.compile(spec(None)), PRED, TARGET, mask=mask, w=w)
    assert alike(lossdsl.compile(spec("(0, 1]")), lossdsl.compile(spec(None)), PRED, TARGET, mask=mask > 0, w=w)
    more = {"task": "multiclass", "ignore_index": 255}
    logits, labels = torch.randn(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)
    labels[0, 0, 0] = 255
    held, free = ({**spec(ends, "mean(w*ce(reduction=none))"), **more} for ends in ("(0, 1]", None))
    assert alike(lossdsl.compile(held), lossdsl.compile(free), logits, labels, w=w)
    with pytest.raises(lossdsl.LossError, match="LD506"):
        lossdsl.compile(spec("(0, 1]"))(PRED, TARGET, w=w)


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("mean(ce(reduction=none)/w)", {"task": "multiclass", "ignore_index": 255}),
        ("mean(bce(reduction=none)/w)", {"task": "binary", "ignore_index": 255}),
        ("mean(log(w)*bce(reduction=none)) + dice", {"task": "binary", "ignore_index": 255}),
    ],
)
def test_an_ignored_label_disproves_nothing(text: str, more: dict[str, Any]) -> None:
    codes = {finding.code for finding in lossdsl.check({**spec("[1, 2]", text), **more}).diagnostics}
    assert not codes & {"LD701", "LD703"}


def test_under_transforms_and_on_meta() -> None:
    loss = lossdsl.compile(spec("(0, 1]"))
    w = weight([0.5, 1.0])
    mapped = torch.vmap(lambda p, t, v: loss(p[None], t[None], w=v[None]))(PRED, TARGET, w)
    assert torch.equal(mapped.mean(), loss(PRED, TARGET, w=w))
    assert loss(PRED.to("meta"), TARGET.to("meta"), w=w.to("meta")).is_meta
    assert torch.equal(torch.func.grad(lambda p: loss(p, TARGET, w=w))(PRED), -w / PRED.numel())


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled() -> None:
    loss = lossdsl.compile(spec("(0, 1]"))
    whole = torch.compile(loss, fullgraph=True, backend="eager")
    assert torch.equal(whole(PRED, TARGET, w=weight([0.5, 1.0])), loss(PRED, TARGET, w=weight([0.5, 1.0])))
    with pytest.raises(RuntimeError, match=r"LD506: `w` has values outside \(0, 1\]"):
        whole(PRED, TARGET, w=weight([0.5, 2.0]))


FAULTS = {
    "w: [0, 1]": ("`w` must be a range of its values, got a list", 'quote the range: w: "[0, 1]"'),
    "w: (0, 1": (
        "`w` must be a range of its values, got `(0, 1`",
        'a range of its values, as in depth: "(0, inf)", or null',
    ),
    "w: positive": ("`w` must be a range of its values, got `positive`", "a range of its values"),
    "w: (1, 0)": ("`w` must be a range of its values, got `(1, 0)`", "a range of its values"),
    "w: {low: 0}": ("`w` must be a range of its values, got a mapping", "a range of its values"),
    "w: 1": ("`w` must be a range of its values, got `1`", "a range of its values"),
    "2w: (0, 1]": ("`2w` cannot be a name", "a name starts with a letter or _"),
}


@pytest.mark.parametrize(("line", "said"), FAULTS.items(), ids=list(FAULTS))
def test_what_is_no_range(tmp_path: Path, line: str, said: tuple[str, str]) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"loss:\n  expr: mean(w*abs(pred - target))\n  tensors:\n    {line}\n")
    finding = lossdsl.check(file).diagnostics[0]
    assert (finding.code, finding.line, finding.message) == ("LD405", 4, said[0])
    assert (finding.hint or "").startswith(said[1])


def test_a_mapping_lists_the_tensors() -> None:
    told = lossdsl.check({"expr": "mean(w*v*abs(pred - target))", "tensors": {"w": "(0, 1]", "u": None}})
    assert [finding.code for finding in told.diagnostics] == ["LD211"]
