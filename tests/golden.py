"""Rewrite the golden files, which hold complete messages, graphs and ranges: `make golden`, then read the diff.

A test module with a function `golden` has a golden file: `FILE` is its path, `golden()` is what it must hold.
`make golden ARGS=syntax` rewrites only the files of the tests with `syntax` in their path.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).parent


def modules() -> Iterator[Path]:
    """The test modules that have a golden file."""
    for path in sorted(TESTS.rglob("test_*.py")):
        if re.search(r"^def golden\(\) -> str:$", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield path


def loaded(path: Path) -> ModuleType:
    """The module of a file; a name for itself is needed, as several are called test_messages.py."""
    name = f"golden_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rewrite(module: ModuleType) -> None:
    """Write what the golden file of a module must hold."""
    module.FILE.write_text(module.golden(), encoding="utf-8")


def main(parts: list[str]) -> None:
    for path in modules():
        name = str(path.relative_to(TESTS))
        if not parts or any(part in name for part in parts):
            module = loaded(path)
            rewrite(module)
            print(module.FILE.relative_to(TESTS.parent))


if __name__ == "__main__":
    main(sys.argv[1:])
