"""What a user sees: the entry points and files of an installed copy, without any of the libraries, and the shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lossdsl

PLUGIN = Path(__file__).parents[1]
CORE = Path(lossdsl.__file__).parents[1]
DIALECTS = ("keras", "kornia", "monai", "nnunet", "smp", "toolbelt")

FOUND = """
import sys
from pathlib import Path
from lossdsl.registry.discover import default_registry
home = Path(sys.argv[1])
registry = default_registry()
for candidate in registry.all():
    if candidate.namespace in sys.argv[2:]:
        registry.load(candidate)
        assert home in Path(candidate.content.source.file).parents, candidate
        print(candidate.namespace, candidate.provider)
import lossdsl
assert lossdsl.check('monai.DiceCELoss(sigmoid=true) + 0.1*smp.DiceLoss(mode="binary")').ok
assert not {"torch", "numpy", "monai", "kornia", "segmentation_models_pytorch"} & set(sys.modules)
import torch
text = "monai.DiceCELoss(sigmoid=true) + kornia.LovaszHingeLoss + nnunet.DC_and_BCE_loss"
assert torch.isfinite(lossdsl.compile(text, task="binary")(torch.randn(1, 1, 4, 4), torch.eye(4)[None, None]))
"""


def call(*command: str | Path, **options: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which a copy of the plugin is installed."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    call(sys.executable, "-m", "pip", "install", *options, "--target", folder, PLUGIN)
    return folder


@pytest.mark.long
def test_entry_points_of_an_installed_copy(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(CORE)]), "PYTHONSAFEPATH": "1"}
    command = (sys.executable, "-W", "error", "-c", FOUND, installed, *DIALECTS)
    lines = call(*command, cwd=tmp_path, env=environment).splitlines()
    assert {line.split()[0] for line in lines} == set(DIALECTS)
    assert {line.partition(" ")[2] for line in lines} == {"lossdsl-dialects 0.1.0"}


@pytest.mark.long
def test_the_package_holds_formulas_alone(installed: Path) -> None:
    """The one module is a docstring."""
    files = [path for path in (installed / "lossdsl_dialects").rglob("*") if path.is_file()]
    kept = {str(path.relative_to(installed)) for path in files if "__pycache__" not in path.parts}
    assert {path.partition("/")[2] for path in kept if not path.endswith(".loss")} == {"__init__.py"}
    assert {path.split("/")[1] for path in kept if path.endswith(".loss")} == set(DIALECTS)
    assert len((installed / "lossdsl_dialects" / "__init__.py").read_text().splitlines()) == 1
    assert not (installed / "tests").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("monai.DiceCELoss", "source: MONAI 1.6.1 monai.losses.DiceCELoss"),
        ("smp.DiceLoss", "mode: binary or multilabel or multiclass"),
        ("kornia.LovaszSoftmaxLoss", "which versions of kornia differ"),
        ("nnunet.DC_and_topk_loss", "refused: ignore_label; give ignore_index"),
    ],
)
def test_show(name: str, part: str) -> None:
    shown = call(sys.executable, "-m", "lossdsl.cli", "show", name)
    assert part in shown
    assert f"from: lossdsl-dialects 0.1.0, {name}" in shown


@pytest.mark.long
def test_show_of_what_is_left_out() -> None:
    command = (sys.executable, "-m", "lossdsl.cli", "show", "toolbelt.CrossEntropyFocalLoss")
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no `toolbelt.CrossEntropyFocalLoss`: it multiplies powers of a softmax" in done.stderr
    assert done.stderr.endswith("    the nearest is `focal` with task=multiclass\n")
