"""`make golden` rewrites every golden file, and nothing that is right changes."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

GOLDEN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("golden.py"))))
NOT_GOLDEN = {GOLDEN.TESTS / "preloaded.txt"}


def test_every_golden_file_is_rewritten_by_it() -> None:
    files = {GOLDEN.loaded(path).FILE for path in GOLDEN.modules()}
    assert files == set(GOLDEN.TESTS.rglob("*.txt")) - NOT_GOLDEN


def test_a_file_that_is_right_stays_as_it_is(tmp_path: Path) -> None:
    module = GOLDEN.loaded(GOLDEN.TESTS / "syntax" / "test_messages.py")
    right, module.FILE = module.FILE.read_text(encoding="utf-8"), tmp_path / "messages.txt"
    GOLDEN.rewrite(module)
    assert module.FILE.read_text(encoding="utf-8") == right


def test_parts_of_a_path_choose_the_files(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rewritten = []
    monkeypatch.setitem(GOLDEN.main.__globals__, "rewrite", rewritten.append)
    GOLDEN.main(["syntax"])
    assert [module.__name__ for module in rewritten] == ["golden_syntax_test_messages"]
    assert capsys.readouterr().out == "tests/syntax/messages.txt\n"


def test_the_makefile_and_the_readme_have_the_command() -> None:
    root = GOLDEN.TESTS.parent
    assert "\ngolden: .venv/dev.stamp\n\t$(BIN)/python tests/golden.py $(ARGS)\n" in (root / "Makefile").read_text(
        "utf-8"
    )
    assert "`make golden` rewrites" in (root / "README.md").read_text("utf-8")
