"""What is installed beside lossdsl does not change what a text means that does not name it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lossdsl.checking.resolve import resolve
from lossdsl.errors import Diagnostic
from lossdsl.registry.discover import LIBRARIES, Registry, default_registry
from lossdsl.spec import read_formula

SHELF = "# A loss.\n# Source: none\nloss dice_loss() -> [0, 1]\n    = dice\n"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    (tmp_path / "shelf_of_names").mkdir()
    (tmp_path / "shelf_of_names" / "a.loss").write_text(SHELF)
    monkeypatch.syspath_prepend(tmp_path)
    return Registry([*default_registry()._points, EntryPoint("shelf", "shelf_of_names", LIBRARIES)])


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
    assert (found.code, found.message) == ("LD206", "`dice` is a loss already")
