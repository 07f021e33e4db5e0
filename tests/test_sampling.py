"""`sampled(n)`: which members of a test `make test` runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULE = """
import pytest

@pytest.mark.sampled(4)
@pytest.mark.parametrize("number", range(10))
def test_of_many(number):
    pass

@pytest.mark.parametrize("number", range(5))
def test_of_few(number):
    pass
"""


def collected(folder: Path, *arguments: str) -> list[str]:
    """The names of the tests that are run, in order."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return [line.split("::")[1] for line in done.stdout.splitlines() if "::" in line]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    long\n    sampled\n")
    (tmp_path / "test_it.py").write_text(MODULE)
    return tmp_path


@pytest.mark.long
def test_one_in_four_and_the_rest(folder: Path) -> None:
    short, long = collected(folder, "-m", "not long"), collected(folder, "-m", "long")
    assert len(short) == 3 + 5
    assert len(long) == 7
    assert not {*short} & {*long}
    assert [name for name in short if name.startswith("test_of_few")] == [f"test_of_few[{n}]" for n in range(5)]
    assert collected(folder, "-m", "not long") == short


@pytest.mark.long
def test_what_is_asked_for_by_its_name_is_run(folder: Path) -> None:
    for name in collected(folder, "-m", "long")[:2]:
        assert collected(folder, "-m", "not long", f"test_it.py::{name}") == [name]
