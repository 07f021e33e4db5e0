"""docs/architecture.md: its blocks run, its picture is that of the import layers, and its paths exist."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_its_blocks_run() -> None:
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(blocks, {}, "architecture", None, 0)
    assert len(test.examples) > 15
    told: list[str] = []
    assert doctest.DocTestRunner().run(test, out=told.append).failed == 0, "".join(told)


def test_its_picture_is_that_of_the_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    picture = re.search(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert picture
    rooms = [re.split(r"\s{3,}", line.strip())[0].split() for line in picture[1].splitlines()]
    drawn = [room for names in rooms for room in names]
    order = [name for layer in layers for name in layer.split(" | ")]
    assert [name for name in order if name in drawn] == drawn
    packages = {path.parent.name for path in (ROOT / "lossdsl").glob("*/__init__.py")}
    assert packages - set(drawn) == {"library"}


def test_its_paths_exist() -> None:
    paths = set(re.findall(r"`((?:\w+/)+\w+(?:\.py)?)`|`(\w+\.py)`", PAGE))
    found = {first or second for first, second in paths}
    assert len(found) > 4
    for path in found:
        assert (ROOT / "lossdsl" / path).exists(), path
