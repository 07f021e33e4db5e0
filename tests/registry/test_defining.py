"""`lossdsl.define`: a definition typed in a notebook acts at once, and says where it is wrong."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
import torch

import lossdsl
import lossdsl.testing
from lossdsl.checking.vocabulary import CALL_WORDS, DEFINITION_WORDS, RESERVED
from lossdsl.registry.define import local_losses


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


@pytest.mark.parametrize("form", ["{}() = l1", "loss {}(w: [0, 1] = 1) -> [0, inf)\n    = w*l1"])
@pytest.mark.parametrize("name", sorted({*RESERVED, *CALL_WORDS, *DEFINITION_WORDS, "None", "TRUE", "Inf"}))
def test_a_word_of_the_language_is_no_name(name: str, form: str) -> None:
    """Nothing could ever mean it: the language has the word first."""
    with pytest.raises(lossdsl.FormulaError) as caught:
        lossdsl.define(form.format(name))
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("LD206", f"`{name}` is already a word of the language")
    assert (found.line, found.hint) == (1, "choose another name")
    assert local_losses() == ()


def test_definitions_of_many_threads() -> None:
    """Each is there, also when others fail meanwhile."""
    wrong, barrier = [], Barrier(8)

    def run(thread: int) -> None:
        barrier.wait()
        for number in range(30):
            lossdsl.define(f"mine{thread}_{number}() = {number}*l1")
            try:
                lossdsl.define(f"bad{thread}_{number}() = dcie")
            except lossdsl.FormulaError:
                continue
            wrong.append(thread)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(run, thread) for thread in range(8)]:
            done.result()
    assert not wrong
    assert {loss.name for loss in local_losses()} == {f"mine{t}_{n}" for t in range(8) for n in range(30)}


def test_an_import_takes_nothing_from_another_thread(install) -> None:
    """What a plugin registers while it is imported is forgotten, what others define meanwhile is not."""
    text = (
        "import builtins, lossdsl\n"
        "lossdsl.define('hidden() = l1')\n"
        "builtins.acme_started.set()\n"
        "builtins.acme_go_on.wait(10)\n"
        "@lossdsl.loss()\n"
        "def slow(p, y):\n"
        "    'Slow.'\n"
        "    return (p - y).abs().mean()\n"
    )
    install("acme", "1.0", {"acme_slow.py": text}, {"lossdsl.losses": {"acme.slow": "acme_slow:slow"}})
    builtins.acme_started, builtins.acme_go_on = Event(), Event()  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(lossdsl.check, "acme.slow")
        assert builtins.acme_started.wait(10)  # type: ignore[attr-defined]
        lossdsl.define("meanwhile() = l1")
        builtins.acme_go_on.set()  # type: ignore[attr-defined]
        assert report.result().ok
    assert [loss.name for loss in local_losses()] == ["meanwhile"]


def test_text_is_wanted() -> None:
    with pytest.raises(lossdsl.FormulaError, match="a definition must be a string, not int"):
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
