"""Packages as importlib.metadata sees them: a folder on the path with modules and a dist-info beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import distributions
from pathlib import Path
from typing import TypeAlias

import pytest

import lossdsl.testing
from lossdsl.registry.discover import default_registry

Install: TypeAlias = Callable[..., Path]

KERNEL = """\
from lossdsl import loss

@loss(range="[0, inf)")
def {name}(pred, target):
    "Mean absolute error."
    return (pred - target).abs().mean()
"""


@pytest.fixture
def write(tmp_path: Path) -> Install:
    """write("acme", "2.1", {"acme_losses.py": ...}, {"lossdsl.losses": {"acme.half": "acme_losses:half"}})"""

    def run(name: str, version: str, files: Mapping[str, str], points: Mapping[str, Mapping[str, str]]) -> Path:
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        groups = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()) for group, rows in points.items()]
        (info / "entry_points.txt").write_text("".join(groups))
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return tmp_path

    return run


@pytest.fixture
def install(write: Install, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """As `write`, and this process has it: its modules on the path, its entry points in the registry."""
    default_registry()  # that of the machine is read without what follows
    before = set(sys.modules)
    with ExitStack() as stack:

        def run(*what: object) -> Path:
            folder = write(*what)
            monkeypatch.syspath_prepend(str(folder))
            groups = ("lossdsl.api", "lossdsl.libraries", "lossdsl.losses")
            found = [p for d in distributions(path=[str(folder)]) for p in d.entry_points if p.group in groups]
            stack.enter_context(lossdsl.testing.registry(found))
            return folder

        yield run
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(getattr(module, "__file__", "")).startswith(str(sys.path[0])) or name.startswith("acme"):
            del sys.modules[name]


@pytest.fixture
def kernel() -> Callable[[str], str]:
    """The text of a module with one working kernel."""
    return lambda name: KERNEL.format(name=name)


@pytest.fixture
def process() -> Callable[..., str]:
    """process(folder, program, **environment): what a fresh interpreter prints that has `folder` on its path."""

    def run(folder: Path, program: str, **environment: str) -> str:
        path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
