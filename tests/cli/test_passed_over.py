"""Files of a folder that cannot be read, that others brought, or that take long."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lossdsl.cli.check import watched
from lossdsl.cli.inputs import InputFile

ROOT = Path(__file__).parents[2]
LATIN = "name: Ren\xe9e\n".encode("latin-1")
LARGE = b'{"values": [' + b"0.123456789, " * 100_000 + b"0]}"

# name -> content, or a function that makes it; none of these speaks of a loss
PASSED_OVER = {
    "latin.yaml": LATIN,
    "latin.json": b'{"name": "Ren\xe9e"}',
    "large.json": LARGE,
    "binary.yaml": bytes(range(256)) * 20,
    "marks.yml": b"\xff\xfea",
    "broken.yaml": b"a: @x\n",
    "template.yaml": b"{% if x %}\n",
    "deep.json": b"[" * 5000,
}
KEPT = {
    "latin.yaml": b"# " + LATIN + b"loss: bce\n",
    "marked.yaml": b"# " + LATIN + b"criterion: bce  # lossdsl\n",
    "large.yaml": b"loss: bce\nvalues:\n" + b"- 0.123456789\n" * 100_000,
    "broken.yaml": b"loss: @x\n",
}


@pytest.mark.parametrize("name", PASSED_OVER)
def test_passed_over_and_counted(invoke, folder: Path, name: str) -> None:
    (folder / "a.yaml").write_text("loss: bce\n")
    (folder / name).write_bytes(PASSED_OVER[name])
    result = invoke("check", ".")
    assert result.stdout == "1 loss, nothing found; 1 file without a loss\n"
    assert result.exit_code == 0
    assert invoke("check", name).exit_code == 1  # asked for by its name, it must have a loss
    assert invoke("check", ".", "--marked-only").stdout.endswith("2 files without a loss\n")


@pytest.mark.parametrize("name", KEPT)
def test_what_speaks_of_a_loss_is_told(invoke, folder: Path, name: str) -> None:
    (folder / "a.yaml").write_text("loss: bce\n")
    (folder / name).write_bytes(KEPT[name])
    result = invoke("check", ".")
    assert result.stdout.startswith(f"{name}:") or result.stdout.startswith(f"./{name}:")
    assert "1 error in 1 of 2 losses" in result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize("target", ["nothing.yaml", "loop.yaml", "../away/nothing.yaml"])
def test_a_broken_link(invoke, folder: Path, target: str) -> None:
    (folder / "a.yaml").write_text("loss: bce\n")
    (folder / "loop.yaml").symlink_to(target)
    result = invoke("check", ".")
    assert (result.stdout, result.exit_code) == ("1 loss, nothing found; 1 file without a loss\n", 0)
    assert invoke("check", "loop.yaml").exit_code == 2


@pytest.mark.parametrize("place", ["node_modules", "web/node_modules/left-pad", ".git", "a/.venv/lib"])
@pytest.mark.parametrize("names", [["."], ["**/*.yaml"], [".", "a.yaml"]], ids=str)
def test_what_others_brought_is_left_out(invoke, folder: Path, place: str, names: list[str]) -> None:
    (folder / "a.yaml").write_text("loss: bce\n")
    (folder / place).mkdir(parents=True)
    (folder / place / "b.yaml").write_text("loss: bec\n")
    result = invoke("check", *names)
    assert (result.stdout, result.exit_code) == ("1 loss, nothing found\n", 0)
    assert invoke("check", f"{place}/b.yaml").exit_code == 1
    assert invoke("check", place).exit_code == 1
    assert invoke("check", f"{place}/*.yaml").exit_code == 1


def test_a_file_without_the_words_is_not_read_as_yaml(invoke, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.yaml").write_text("train: {loss: bce}\n")
    (folder / "b.json").write_text('{"a": 1}')
    (folder / "c.json").write_text('{"train": 1}')
    read = []

    def losses_of(page, keys, real=sys.modules["lossdsl.cli.run_check"].losses_of):
        read.append(page.file)
        return real(page, keys)

    monkeypatch.setattr("lossdsl.cli.run_check.losses_of", losses_of)
    result = invoke("check", ".", "--key", "train.loss")
    assert result.stdout == "1 loss, nothing found; 2 files without a loss\n"
    assert read == ["a.yaml"]
    invoke("check", ".", "--key", "*")
    assert read[1:] == ["a.yaml", "b.json", "c.json"]


def on_a_terminal(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[str, str]:
    """What a command prints: on stdout, which is a pipe, and on stderr, which is a terminal."""
    main, other = pty.openpty()
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=other) as process:
        os.close(other)
        out, _ = process.communicate()
    shown = b""
    with contextlib.suppress(OSError):  # so Linux says that all is read
        while part := os.read(main, 4096):
            shown += part
    os.close(main)
    return out.decode(), shown.decode()


SLOW = """
import time
import lossdsl.cli.check as check
import lossdsl.cli.check as progress
from lossdsl.cli import main
real = check.look_at_file
def slow(*given, **options):
    time.sleep(0.1)
    return real(*given, **options)
check.look_at_file = slow
progress._PATIENCE = PATIENCE
main(["check", "."], prog_name="lossdsl")
"""


@pytest.mark.long
@pytest.mark.parametrize(("patience", "told"), [(0.05, True), (600.0, False)])
def test_progress_on_a_terminal(folder: Path, patience: float, told: bool) -> None:
    for index in range(5):
        (folder / f"{index}.yaml").write_text("loss: bce\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", SLOW.replace("PATIENCE = PATIENCE", f"PATIENCE = {patience}")]
    out, shown = on_a_terminal(command, folder, environment)
    assert out == "5 losses, nothing found\n"
    assert ("of 5" in shown) == told
    assert shown.endswith("\r\x1b[K") == told
    piped = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (piped.stdout, piped.stderr) == (out, "")


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_the_line_is_gone_when_a_check_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), iter([0.0, 0.5, 1.5, 1.55, 2.0])
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    seen = watched([InputFile(str(index)) for index in range(9)])
    for _ in range(4):
        next(seen)
    seen.close()
    lines = terminal.text.split("\r\x1b[K")
    assert lines == ["", "checking file 2 of 9", "checking file 4 of 9", ""]
