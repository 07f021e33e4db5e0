"""Where proofs are seen: `explain` prints ranges, `compile` refuses what is certainly wrong, an edit mends it."""

from __future__ import annotations

from textwrap import dedent

import pytest

import lossdsl
from lossdsl.errors import PluginError
from lossdsl.registry.loss_files import read_comment


def test_ranges_of_parts() -> None:
    text = lossdsl.explain("0.5*bce + 0.5*(-log(1 - dice))")
    expected = """
    ranges for binary:
        bce               [0, inf)
        (-log(1 - dice))  [0, inf)
          log(1 - dice)   (-inf, 0]
            1 - dice      (0, 1]
              dice        [0, 1)
        total             [0, inf)
    """
    assert dedent(expected).strip() in text


def test_ranges_of_maps_name_their_axes() -> None:
    text = lossdsl.explain("w = 1 + y\nmean(w*bce(reduction=none))", task="multilabel")
    assert "1 + y                        [1, 2] for each batch, class, pixel" in text
    assert "bce(reduction=none)      [0, inf) for each batch, class, pixel" in text


def test_ranges_in_a_config(tmp_path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text('loss:\n  terms:\n    a: {expr: -log(1 - dice), weight: "min(1, epoch/20)"}\n    b: bce\n')
    rows = [" ".join(line.split()) for line in lossdsl.explain(path).splitlines()]
    assert "min(1, epoch/20) [0, 1]" in rows
    assert "-log(1 - dice) [0, inf)" in rows


@pytest.mark.parametrize(
    ("formula", "options", "code"),
    [
        ("bce(p, y)", {"task": "binary"}, "LD720"),
        ("bce + mean(abs(sigmoid(p) - y))", {}, "LD720"),
        ("focal(gamma=-1 - epoch)", {}, "LD722"),
        ("ce + for_class(dice, [3])", {"task": "multiclass", "class_weight": [1, 1]}, "LD723"),
        ("ce", {"task": "multiclass", "class_weight": [1]}, "LD730"),
    ],
)
def test_compile_refuses_what_is_certainly_wrong(formula: str, options: dict, code: str) -> None:
    report = lossdsl.check(formula, **options)
    assert not report.ok
    with pytest.raises(lossdsl.FormulaError) as caught:
        lossdsl.compile(formula, **options)
    assert [one.code for one in caught.value.diagnostics] == [code]
    assert set(caught.value.diagnostics) <= set(report.diagnostics)


def test_what_holds_for_some_tasks_names_them_and_stops_nothing() -> None:
    formula = "dice + focal(gamma=classes - 1.5)"
    found = lossdsl.check(formula).diagnostics
    assert sorted((one.severity, one.message) for one in found) == [
        ("warning", "for binary: `gamma` of `focal` is always outside [0, inf): it is -0.5"),
        ("warning", "for multilabel: `gamma` of `focal` can be outside [0, inf): it is in [-0.5, inf)"),
    ]
    lossdsl.compile(formula)
    assert str(lossdsl.check(formula, task="multiclass")) == "ok"
    assert not lossdsl.check(formula, task="binary").ok


def test_what_holds_for_all_tasks_does_not() -> None:
    (found,) = lossdsl.check("dice - log(1 - iou(smooth=0))").diagnostics
    assert found.message.startswith("the logarithm")


@pytest.mark.parametrize("formula", ["-log(1 - dice(smooth=0))", "bce - 2*dice", "focal(gamma=2 - epoch)", "bce + 3"])
def test_compile_lets_warnings_pass(formula: str) -> None:
    report = lossdsl.check(formula, task="binary")
    assert report.ok
    assert report.diagnostics
    lossdsl.compile(formula, task="binary")


@pytest.mark.parametrize("formula", ["mean(abs(sigmoid(p) - y))", "bce(p, y)", "bce(1 - p, 1 - y)"])
def test_the_edit_mends_it(formula: str) -> None:
    (found,) = lossdsl.check(formula, task="binary").diagnostics
    assert found.edit is not None
    span = found.edit.span
    mended = formula[: span.start] + found.edit.text + formula[span.end :]
    assert str(lossdsl.check(mended, task="binary")) == "ok"


def test_the_place_in_a_config(tmp_path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("train:\n  loss:\n    expr: >\n      bce\n      - log(1 - dice(smooth=0))\n")
    (found,) = lossdsl.check(path, key="train.loss").diagnostics
    assert (found.code, found.line, found.column) == ("LD701", 5, 13)


def test_which_way_is_better() -> None:
    assert read_comment("# A loss.").better == "lower"
    assert read_comment("# A score.\n# Better: higher").better == "higher"
    with pytest.raises(PluginError, match="`Better: more` is not one of lower, higher, neither"):
        read_comment("# A score.\n# Better: more")
