"""What has the name of a file and is none is told, never waited for; and text that others send reads nothing at all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lossdsl
from lossdsl.registry.loss_files import read_absences, read_entries

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listener(path: Path) -> None:
    place = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(place)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def nothing(path: Path) -> None:
    path.symlink_to("/dev/null")


def folder(path: Path) -> None:
    path.mkdir()


def linked_pipe(path: Path) -> None:
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


KINDS = {
    pipe: "is a pipe, not a file",
    linked_pipe: "is a pipe, not a file",
    listener: "is a socket, not a file",
    zeros: "is a device, not a file",
    nothing: "is a device, not a file",
    folder: "is a folder, not a file",
}
READ: dict[str, Callable[[Path], Any]] = {
    "check": lambda path: lossdsl.check(path).diagnostics,
    "check text": lambda path: lossdsl.check(str(path)).diagnostics,
    "load": lossdsl.load,
    "explain": lossdsl.explain,
}


@pytest.mark.parametrize("suffix", [".yaml", ".json", ".yml"])
@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None], read: Any, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    make(path)
    try:
        (found,) = read(path)
    except lossdsl.ConfigError as error:
        (found,) = error.diagnostics
    assert (found.code, found.message) == ("LD407", f"`{path}` {KINDS[make]}")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make", [pipe, listener, zeros])
def test_in_a_folder_of_configs_and_of_definitions(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "a.yaml").write_text("loss: bce\n")
    make(tmp_path / "b.yaml")
    make(tmp_path / "c.loss")
    (tmp_path / "d.loss").write_text("loss half() -> [0, inf)\n    = 0.5*mse\n")
    command = [sys.executable, "-m", "lossdsl.cli", "check", "."]
    environment = {**os.environ, "PYTHONPATH": str(Path(lossdsl.__file__).parents[1])}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "`b.yaml` is a " in done.stdout
    assert "`c.loss` is a " in done.stdout


@pytest.mark.parametrize("read", [read_entries, read_absences])
def test_a_library_of_an_installed_package(tmp_path: Path, read: Callable[[Path], object]) -> None:
    pipe(tmp_path / "a.loss")
    with pytest.raises(lossdsl.PluginError, match="is not a file"):
        read(tmp_path / "a.loss")


# --- a formula and nothing else ---

SECRET = "password: hunter2\nkey: value\n"
NAMES = ["secret", "secret.yaml", "secret.json", "./secret", "bce"]


@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
@pytest.mark.parametrize("name", NAMES)
def test_text_of_others_reads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, absolute: bool
) -> None:
    (tmp_path / name).write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    text = str(tmp_path / name) if absolute else name
    monkeypatch.setattr("lossdsl.api.study.read_file", no_disk)
    report = lossdsl.check(text, files=False)
    if text == "bce":
        assert report.ok
        assert lossdsl.explain(text, files=False).startswith("bce\n")
        assert lossdsl.compile(text).text == "bce"
        return
    said = str(report)
    for call in (lambda: lossdsl.explain(text, files=False), lambda: lossdsl.compile(text)):
        with pytest.raises(lossdsl.FormulaError) as caught:
            call()
        said += str(caught.value)
    assert not report.ok
    assert not any(word in said for word in ("password", "hunter2", "key", "LD4"))


def no_disk(*_: object, **__: object) -> Any:
    raise AssertionError("a file was looked at")


def test_a_path_and_a_formula_at_once() -> None:
    assert [d.code for d in lossdsl.check(Path("a.yaml"), files=False).diagnostics] == ["LD405"]
    with pytest.raises(lossdsl.ConfigError, match="not a path"):
        lossdsl.explain(Path("a.yaml"), files=False)
    assert lossdsl.check({"expr": "bce"}, files=False).ok


def test_what_lies_on_the_disk_changes_no_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bce").write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    assert lossdsl.check("bce").ok
    assert lossdsl.explain("bce").startswith("bce\n")
    assert "password" not in str(lossdsl.check("/etc/passwd"))
    assert [d.code for d in lossdsl.check(Path("bce")).diagnostics] == ["LD404"]
