"""Numbers that float32 cannot hold are found wherever they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import lossdsl
from lossdsl.registry.define import unregistered

BEYOND = ["1e39", "3.4028236e38", "1e308", "-1e39"]
# Places for a number.
PLACES = [
    "{}*bce", "bce/({})", "bce + {}", "bce**({})", "({})**bce", "bce(pos_weight={})", "focal(gamma={})",
    "dice(smooth={})", "focal(alpha=[1, {}])", "min(bce, {})", "clamp(bce, max={})", "where(bce < {}, 1, 2)",
    "where(bce < 1, {}, bce)", "mean(p*({}))", "mean([1, {}]*p)", "topk(p, share={})", "sum(local_mean(p, size={}))",
    "w = {}\nw*bce", "s = learn({})\nexp(-s)*bce + s", "multiscale(dice, weights=[1, {}])", "mean(p, weight=y + {})",
    "bce(z - {}, y)", "sqrt(bce*({}))", "for_class(dice + {}, [0])", "exp({})*bce", "(1 - {})*bce",
]  # fmt: skip


@pytest.mark.parametrize("number", BEYOND)
@pytest.mark.parametrize("place", PLACES)
def test_in_any_place(place: str, number: str) -> None:
    report = lossdsl.check(place.replace("{}", number))
    assert not report.ok
    digits = number.lstrip("-")
    found = [one for one in report.diagnostics if one.code == "LD209"]
    assert found, str(report)
    line = place.replace("{}", number).splitlines()[(found[0].line or 1) - 1]
    assert line[(found[0].column or 1) - 1 :].lstrip("(").startswith(digits)
    with pytest.raises(lossdsl.LossError):
        lossdsl.compile(place.replace("{}", number))


COMPUTED = [
    "10**39*bce",
    "bce*(1e30*1e30)",
    "exp(90)*bce",
    "cosh(100)*bce",
    "w = 2**64\nw*w*bce",
    "3e38 + 3e38",
    "2e38 + 2e38 + bce",
    "w = 3e38\nw + bce + w",
]


@pytest.mark.parametrize("text", COMPUTED)
def test_of_numbers_alone(text: str) -> None:
    (found,) = {one.code for one in lossdsl.check(text).diagnostics}
    assert found == "LD209"


FITTING = ["3.4028235e38", "3.402823e38", "1e38", "1e-38", "1.2e-45", "-3.4028235e38", "1e3", "0", "0.0"]


@pytest.mark.parametrize("number", FITTING)
@pytest.mark.parametrize("place", ["({})*bce", "min(bce, {})", "bce + {}"])
def test_what_float32_holds_is_taken(place: str, number: str) -> None:
    assert not any(one.code == "LD209" for one in lossdsl.check(place.replace("{}", number)).diagnostics)


def test_what_is_0_in_float32_is_a_warning() -> None:
    report = lossdsl.check("1e-46*bce - log(1 - dice(smooth=0))")
    assert report.ok
    assert [one.code for one in report.diagnostics] == ["LD209", "LD701"]  # and hides no other warning
    lossdsl.compile("1e-46*bce")


def test_in_a_config(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("loss:\n  define: {a: 1e39*dice}\n  terms:\n    x: {expr: a, weight: 1e40}\n    y: bce + 1e41\n")
    report = lossdsl.check(path)
    found = [(one.code, one.line, one.column) for one in report.diagnostics]
    assert found == [("LD209", 2, 15), ("LD209", 4, 26), ("LD209", 5, 14)]


@pytest.mark.parametrize("weights", [[1e300, 1, 1], [1e39, 1], {0: 1, 1: 1e38}, [1, 10**40], [1, 1e-16]])
def test_class_weights(weights: Any) -> None:
    for report in (lossdsl.check("ce", class_weight=weights), lossdsl.check({"expr": "ce", "class_weight": weights})):
        (found,) = report.diagnostics
        assert found.code == "LD405"


@pytest.mark.parametrize("scale", [2e-15, 1.0, 1e30])
@pytest.mark.parametrize("text", ["ce", "dice", "focal"])
def test_class_weights_of_any_size_that_is_taken(text: str, scale: float) -> None:
    """A weighted mean is the same for weights that are all so many times as large."""
    z, y = torch.randn(2, 3, 5), torch.randint(0, 3, (2, 5))
    wanted = lossdsl.compile(text, task="multiclass", class_weight=[1, 0.5, 0])(z.double(), y)
    found = lossdsl.compile(text, task="multiclass", class_weight=[scale, scale / 2, 0])
    assert found(z, y).item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("text", ["mine() = 1e39*mse", "mine(a: [0, inf) = 1e39) = a*mse"])
def test_in_a_definition(text: str) -> None:
    with unregistered(), pytest.raises(lossdsl.FormulaError) as caught:
        lossdsl.define(text)
    assert caught.value.diagnostics[0].code == "LD209"


def test_computed_in_a_definition() -> None:
    with unregistered():
        lossdsl.define("mine(a: [0, inf) = 39) = 10**a*mse")
        assert [one.code for one in lossdsl.check("mine").diagnostics] == ["LD209"]
        assert lossdsl.check("mine(a=3)").ok
