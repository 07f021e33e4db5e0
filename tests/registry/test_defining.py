"""`lossdsl.define`: a definition typed in a notebook acts at once, and says where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import lossdsl
import lossdsl.testing


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with lossdsl.testing.registry():
        yield


def value(formula: str) -> float:
    pred, target = torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.zeros(2, 2)
    return lossdsl.compile(formula, task="regression")(pred, target).item()


@pytest.mark.parametrize(
    "text",
    [
        "half() = 0.5*l1",
        "half() -> [0, inf) = 0.5*l1",
        "loss half() -> [0, inf) = 0.5*l1",
        "loss half() -> [0, inf)\n    = 0.5*l1\n",
        "\n    half()\n        d = abs(pred - target)\n        = mean(0.5*d)\n    ",
        "half(w: [0, 1] = 0.5, per: image | batch = image) = w*l1",
        "half(w: [0, 1] = 0.5,\n     v: (0, inf) = 1) -> (-1, inf)\n  for regression = v*w*l1",
        "half() for regression = 0.5*l1",
        "# Half of it.\n# Better: neither\n\nhalf() = 0.5*l1  # yes",
    ],
)
def test_ways_to_write_it(text: str) -> None:
    lossdsl.define(text)
    assert value("half + local.half") == 2 * 0.5 * 7 / 4


def test_it_is_a_loss_like_others() -> None:
    lossdsl.define("# Half of it.\n# Source: none\nhalf(w: [0, 1] = 0.5) -> [0, inf) = mean(w*abs(pred - target))")
    assert value("mean(half(reduction=none)**2) + half(w=0)") == 21 / 16
    assert "half: Half of it." in lossdsl.explain("half")
    assert lossdsl.check("half(w=2)").diagnostics[0].code == "LD204"
    lossdsl.define("half() = l1/2")
    assert value("half") == 7 / 8


WRONG = {
    "half() = 0.5 * dcie": ("LD201", 1, 16),
    "# about\nloss half() -> [0, 1] = 0.5*(l1": ("LD107", 2, 29),
    "half(w: [0, 1] = 0.5) = v*l1 + mean(w)*zzz(1)": ("LD201", 1, 25),
    "half(": ("LD1", 1, 6),
    "half": ("LD1", 1, 1),
    "": ("LD1", None, None),
    "half() = half": ("LD210", 1, 1),
    "half() = l1\nother() = l1": ("LD101", 2, 1),
    "# Better: up\nhalf() = l1": ("LD109", 2, 1),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_at_once(text: str) -> None:
    code, line, column = WRONG[text]
    with pytest.raises(lossdsl.LossError) as caught:
        lossdsl.define(text)
    found = caught.value.diagnostics[0]
    assert (found.code.startswith(code), found.line, found.column) == (True, line, column), str(caught.value)
    assert not lossdsl.check("half").ok


def test_text_is_wanted() -> None:
    with pytest.raises(lossdsl.FormulaError, match="a definition is text, got int"):
        lossdsl.define(3)  # type: ignore[arg-type]


def test_two_modules_never_replace_each_others_losses() -> None:
    def half(pred, target):
        return (pred - target).abs().mean() / 2

    lossdsl.loss()(half)
    half.__module__ = "elsewhere"
    lossdsl.loss()(half)
    ((code, message),) = [(d.code, d.message) for d in lossdsl.check("half").diagnostics]
    assert code == "LD601"
    assert f"`local.half` of {__name__}" in message
    assert "`local.half` of elsewhere" in message
