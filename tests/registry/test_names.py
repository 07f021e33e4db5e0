"""What is installed beside lossdsl does not change what a text means that does not name it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lossdsl.checking.resolve import resolve
from lossdsl.cli.show import find
from lossdsl.config import read_formula
from lossdsl.errors import Diagnostic
from lossdsl.registry.discover import LIBRARIES, Registry, default_registry

FULL = (
    "# Losses under names that others have too.\n# Names: full\n\n# A loss.\nloss {name}() -> [0, inf)\n    = {text}\n"
)
SHELF = "# A loss.\n# Source: none\nloss dice_loss() -> [0, 1]\n    = dice\n"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    texts = {
        "shelf": {
            "a": SHELF,
            "b": FULL.format(name="Alone", text="dice_loss"),
            "c": FULL.format(name="bce", text="Alone"),
        },
        "twin": {"a": FULL.format(name="Twins", text="bce")},
        "other": {"a": FULL.format(name="Twins", text="dice")},
    }
    for home, files in texts.items():
        (tmp_path / f"{home}_of_names").mkdir()
        for name, text in files.items():
            (tmp_path / f"{home}_of_names" / f"{name}.loss").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint(home, f"{home}_of_names", LIBRARIES) for home in texts]
    return Registry([*default_registry()._points, *points])


def findings(text: str, registry: Registry) -> tuple[Diagnostic, ...]:
    spec = read_formula(text).spec
    assert spec is not None
    return resolve(spec, registry).diagnostics


def test_a_value_may_have_the_short_name_of_a_plugins_loss(registry: Registry) -> None:
    text = "dice_loss = dice(smooth=0)\n0.5*dice_loss + shelf.dice_loss"
    assert findings(text, registry) == ()
    spec = read_formula(text).spec
    assert spec is not None
    objective = resolve(spec, registry).objective
    assert objective is not None
    assert [name for name, _ in objective.bindings] == ["dice_loss"]


def test_a_value_may_not_have_the_name_of_a_built_in(registry: Registry) -> None:
    (found,) = findings("dice = bce\ndice", registry)
    assert (found.code, found.message) == ("LD206", "`dice` is already a loss")


@pytest.mark.parametrize("text", ["shelf.Alone", "shelf.bce", "bce", "twin.Twins + other.Twins", "mean(Alone*p)"])
def test_a_name_that_wants_its_namespace(text: str, registry: Registry) -> None:
    """Within its library the short name does; elsewhere it is free, for a tensor or a built-in."""
    assert findings(text, registry) == ()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("Alone", "`Alone` may be `shelf.Alone` of lossdsl", "write shelf.Alone"),
        (
            "Twins(x=1)",
            "`Twins` may be `other.Twins` of lossdsl and `twin.Twins` of lossdsl",
            "write other.Twins or twin.Twins",
        ),
    ],
)
def test_its_short_name(text: str, message: str, hint: str, registry: Registry) -> None:
    (found,) = findings(text, registry)
    assert (found.code, found.message, found.hint) == ("LD601", message, hint)


def test_names_that_can_be_written(registry: Registry) -> None:
    names = registry.names()
    assert {"shelf.Alone", "dice_loss", "shelf.dice_loss", "other.Twins", "bce"} <= set(names)
    assert not {"Alone", "Twins"} & set(names)
    assert find("Alone", registry).name == "shelf.Alone"
    assert find("bce", registry).name == "bce"
