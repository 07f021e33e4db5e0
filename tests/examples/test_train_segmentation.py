"""The demo runs from end to end, in small: 6 mm pixels, four slices to test on, one epoch."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("matplotlib", "nilearn", "rich")),
    reason="the demo extra is not installed: make demo",
)

SCRIPT = Path(__file__).parents[2] / "examples" / "train_segmentation.py"

SMALL = """
loss: 0.5*bce + 0.5*(-log(1-dice))
data: {resolution: 6, size: [24, 24], held_out: [[-4, 18]], gap: 6}
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
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False)


@pytest.mark.long
def test_trains_and_draws(config: Path, tmp_path: Path) -> None:
    picture = tmp_path / "new folder" / "picture.png"
    done = demo("--config", config, "--output", picture)
    assert done.returncode == 0, done.stderr
    assert re.search(r"epoch  1/1   total loss \d\.\d+: bce \d\.\d+, -log\(1 - dice\) \d\.\d+\n", done.stdout)
    assert re.search(r"before training: \d\.\d{3}\n", done.stdout)
    assert re.search(r"after training: +\d\.\d{3}\n", done.stdout)
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.long
def test_formula_of_the_command_line_replaces_that_of_the_config(config: Path, tmp_path: Path) -> None:
    formula = "s = learn(0)\nexp(-s)*bce + s + min(1, epoch/10)*iou"
    done = demo("--config", config, "--output", tmp_path / "picture.png", "--loss", formula)
    assert done.returncode == 0, done.stderr
    assert "dice" not in done.stdout
    assert "min(1, epoch/10)*iou" in done.stdout


@pytest.mark.long
def test_wrong_formula_is_explained(config: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    done = demo("--config", config, "--output", picture, "--loss", "0.5*bce + dcie")
    assert done.returncode == 2
    assert "did you mean `dice`?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not picture.exists()


def test_wrong_formula_in_the_config_is_explained_at_its_line(config: Path, tmp_path: Path) -> None:
    config.write_text(SMALL.replace("bce", "bec"), encoding="utf-8")
    done = demo("--config", config, "--output", tmp_path / "picture.png")
    assert done.returncode == 2
    assert f"{config}:2:11: error" in done.stderr
    assert "did you mean `bce`?" in done.stderr
    assert "Traceback" not in done.stderr
