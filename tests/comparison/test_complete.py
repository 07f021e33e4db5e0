"""No built-in loss is without a comparison with something that we did not write."""

from __future__ import annotations

import runpy
from pathlib import Path

from lossdsl.registry.discover import default_registry

TESTS = Path(__file__).parents[1]


def test_every_built_in_is_compared() -> None:
    """By a test module here or in tests/library that has its name in COMPARED: a table of rows, or just names."""
    modules = [path for folder in ("comparison", "library") for path in sorted((TESTS / folder).glob("test_*.py"))]
    tables = [runpy.run_path(str(path)).get("COMPARED", ()) for path in modules if path != Path(__file__)]
    compared = {name.partition(":")[0] for table in tables for name in table}
    built_ins = {loss.name for loss in default_registry().built_ins()}
    assert sorted(built_ins - compared) == []
    assert sorted(compared - built_ins) == []
