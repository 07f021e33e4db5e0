"""The README says what is so."""

from __future__ import annotations

import doctest
from pathlib import Path

from lossdsl.registry.discover import default_registry

README = Path(__file__).parents[1] / "README.md"


def test_examples() -> None:
    failed, tried = doctest.testfile(str(README), module_relative=False, optionflags=doctest.REPORT_NDIFF)
    assert failed == 0
    assert tried > 5


def test_every_loss_is_named() -> None:
    names = {candidate.name for candidate in default_registry().all() if candidate.namespace == "boundary"}
    text = README.read_text(encoding="utf-8")
    helpers = {"soft_erosion", "distance_map", "cross_mean"}
    assert helpers < names
    assert not {name for name in names - helpers if f"| `boundary.{name}` |" not in text}
