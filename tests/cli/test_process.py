"""The shell as a process: imports, pipes, terminals, encodings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lossdsl.cli import main

HEAVY = {"torch", "numpy", "scipy", "asyncio", "matplotlib"}

COMMANDS = {
    "check": ("-e", "0.5*bce + 0.5*(-log(1 - dice)) + lovasz"),
    "explain": ("-e", "0.5*bce + lovasz"),
    "list": (),
    "show": ("lovasz_extension",),
    "plugins": (),
    "new-plugin": ("acme",),
}


def test_every_command_is_tried_here():
    assert set(COMMANDS) == set(main.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_heavy_is_imported(start, command):
    result = start(command, *COMMANDS[command], env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "lossdsl" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_nothing_heavy_is_imported_for_files(start, folder, form):
    """Whatever is found, mended and printed."""
    (folder / "a.yaml").write_text("loss: 0.5 bec + lovasz\n")
    (folder / "b.loss").write_text("loss mine() -> [0, inf)\n    = mean(abs(p - y)) + dcie\n")
    result = start("check", ".", "--fix", "--format", form, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "lossdsl" in imported
    assert not imported & HEAVY
    assert (folder / "a.yaml").read_text() == "loss: 0.5*bce + lovasz\n"


def test_no_colour_in_a_pipe(start):
    result = start("check", "-e", "bec")
    assert "\x1b" not in result.stdout
    assert result.returncode == 1


@pytest.mark.long
def test_a_reader_that_stops(start):
    """`lossdsl list | head -1`, with more output than a pipe holds."""
    many = [part for _ in range(300) for part in ("-e", "bec + dcie + focall + tverski")]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = start("check", *many, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert result.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk(start):
    with Path("/dev/full").open("w") as full:
        result = start("list", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert result.stderr == "lossdsl: No space left on device\n"
    assert result.returncode == 2


@pytest.mark.long
@pytest.mark.parametrize("redirection", [">&-", "<&-", "2>&-"])
def test_closed_streams(folder, redirection):
    if os.name != "posix":
        pytest.skip("needs a POSIX shell")
    from_root = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    script = f'"{sys.executable}" -m lossdsl.cli check -e bce - {redirection}'
    result = subprocess.run(["sh", "-c", script], env=from_root, capture_output=True, text=True, input="bce")
    assert "Traceback" not in result.stderr
    assert result.returncode == (2 if "<" in redirection else 0)


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_encoding_of_the_terminal(start, encoding):
    result = start("check", "-e", "α + bce", "--task", "binary", env={"PYTHONIOENCODING": encoding})
    assert "LD103" in result.stdout
    assert (result.stderr, result.returncode) == ("", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_arguments_that_are_not_text(start, folder):
    name = os.fsdecode(b"caf\xe9.yaml")
    Path(name).write_text("loss: bec\n")
    result = start("check", name, "-e", os.fsdecode(b"bce + \xff"))
    assert r"caf\udce9.yaml:1:7: error LD201" in result.stdout
    assert (result.stderr, result.returncode) == ("", 1)
    assert start("check", name, "--format", "json").stderr == ""


def on_a_terminal(*arguments: str, **env: str) -> str:
    """What the command writes when stdout is a terminal."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    from_root = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm", **env}
    if "NO_COLOR" not in env:
        from_root.pop("NO_COLOR", None)
    with subprocess.Popen([sys.executable, "-m", "lossdsl.cli", *arguments], stdout=theirs, env=from_root):
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # so Linux says that the other side was closed
            pass
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


COLOURED = """\
\x1b[1m<formula>:1:1: \x1b[0m\x1b[31m\x1b[1merror LD201:\x1b[0m unknown loss `bec`
    bec
\x1b[31m    ^~~\x1b[0m
    \x1b[36mdid you mean `bce`?\x1b[0m
\x1b[1m1 error in 1 loss; 1 fixable with --fix\x1b[0m
"""


@pytest.mark.long
def test_colour_on_a_terminal(start):
    assert on_a_terminal("check", "-e", "bec") == COLOURED
    plain = start("check", "-e", "bec").stdout
    assert on_a_terminal("check", "-e", "bec", NO_COLOR="1") == plain
    assert on_a_terminal("check", "-e", "bec", TERM="dumb") == plain


@pytest.mark.long
@pytest.mark.parametrize("columns", [40, 80, 100])
def test_the_list_fits_the_terminal(columns):
    lines = on_a_terminal("list", COLUMNS=str(columns)).splitlines()
    assert {line.split()[0] for line in lines} >= {"bce", "dice"}
    assert max(map(len, lines)) <= columns
