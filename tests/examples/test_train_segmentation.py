"""The demo runs from end to end, in small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "train_segmentation.py"
PNG = b"\x89PNG\r\n\x1a\n"

SMALL = """
loss: 0.5*bce + 0.5*(-log(1-dice))
data: {resolution: 6, size: [24, 24], held_out: [[8, 18]], gap: 6}
model: {channels: [2, 4]}
optimizer: {lr: 0.01, batch_size: 4}
epochs: 1
seed: 0
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    for extra in ("nilearn", "matplotlib", "rich"):
        pytest.importorskip(extra, reason="the demo extra is not installed: make demo")
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False)


def test_trains_and_draws(config: Path, tmp_path: Path) -> None:
    picture = tmp_path / "new folder" / "picture.png"
    done = demo("--config", config, "--output", picture)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"Dice on held-out slices (?:before|after) training: +[01]\.\d{3}\n", done.stdout)) == 2
    assert re.search(r"epoch  1/1   total loss \d.*: bce \d.*, -log\(1 - dice\) \d", done.stdout)
    assert picture.read_bytes().startswith(PNG)


def test_formula_of_the_command_line_replaces_the_one_in_the_config(config: Path, tmp_path: Path) -> None:
    done = demo(
        "--config", config, "--output", tmp_path / "picture.png", "--loss", "exp(-s)*bce + s + epoch*dice where"
    )
    assert done.returncode == 0, done.stderr


def test_wrong_formula_is_explained(config: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    done = demo("--config", config, "--output", picture, "--loss", "0.5*bce + dcie")
    assert done.returncode == 2
    assert "did you mean `dice`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not picture.exists()
