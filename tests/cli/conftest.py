"""Ways to run the shell: in this process, and as a process of its own with a pipe or a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result

from lossdsl.cli import main

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "lossdsl.cli")

Invoke: TypeAlias = Callable[..., Result]
Start: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def invoke(folder: Path) -> Invoke:
    """Run a command here. An exception that the shell does not handle fails the test."""

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(main, arguments, prog_name="lossdsl", catch_exceptions=False, **options)

    return run


@pytest.fixture
def start(folder: Path) -> Start:
    """Run a command as a process of its own, with warnings as errors."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"capture_output": True, "encoding": "utf-8", "timeout": 120} | options
        return subprocess.run([*COMMAND, *arguments], env=environment(env), check=False, **options)

    return run


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that finds this checkout, without what would change its output."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")}
    extra = dict(extra or {})
    path = os.pathsep.join([*extra.pop("PYTHONPATH", "").split(os.pathsep), str(ROOT)]).lstrip(os.pathsep)
    return kept | {"PYTHONPATH": path, "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"} | extra
