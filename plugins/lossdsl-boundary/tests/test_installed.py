"""What a user sees: entry points of an installed copy, the shell, mistakes in names, and a machine without scipy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lossdsl

PLUGIN = Path(__file__).parents[1]
CORE = Path(lossdsl.__file__).parents[1]
NAMES = ["hausdorff", "log_hausdorff", "soft_erosion", "hausdorff_erosion", "boundary", "distance_ce", "shape_aware"]
KERNELS = ["distance_map", "cross_mean"]

FOUND = """
import sys
from importlib.metadata import entry_points
from pathlib import Path
from lossdsl.registry.discover import default_registry
home = Path(sys.argv[1])
registry = default_registry()
for candidate in registry.all():
    if candidate.namespace == "boundary":
        registry.load(candidate)
        print(candidate.name, candidate.provider)
import lossdsl_boundary
assert home in Path(lossdsl_boundary.__file__).parents, lossdsl_boundary.__file__
assert not {"torch", "scipy", "numpy"} & set(sys.modules)
import lossdsl, torch
loss = lossdsl.compile("boundary + log_hausdorff + boundary.shape_aware", task="binary")
assert torch.isfinite(loss(torch.randn(1, 1, 4, 4), torch.eye(4)[None, None]))
"""

WITHOUT_SCIPY = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "scipy":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import lossdsl
report = lossdsl.check("dice + boundary.hausdorff")
print([d.code for d in report.diagnostics], report.diagnostics[0].message)
assert lossdsl.check("dice + bce").ok
assert lossdsl.check("boundary.hausdorff_erosion").ok is False
from lossdsl.cli import main
try:
    main(["list"])
except SystemExit as done:
    assert done.code == 0, done.code
import torch
print(lossdsl.compile("mse", task="binary")(torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)).item())
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


def run_with(home: Path, program: str, folder: Path, *arguments: str) -> str:
    """Run a program in `folder` with the installed copy and this core before all else on the path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(home), str(CORE)]), "PYTHONSAFEPATH": "1"}
    return call(sys.executable, "-W", "error", "-c", program, home, *arguments, cwd=folder, env=environment)


@pytest.mark.long
def test_entry_points_of_an_installed_copy(installed: Path, tmp_path: Path) -> None:
    lines = run_with(installed, FOUND, tmp_path).splitlines()
    assert lines == [f"{name} lossdsl-boundary 0.1.0" for name in sorted(NAMES + KERNELS)]


@pytest.mark.long
def test_the_package_holds_the_formulas_and_no_tests(installed: Path) -> None:
    names = {path.name for path in (installed / "lossdsl_boundary").iterdir()} - {"__pycache__"}
    assert names == {"__init__.py", "boundary.loss", "kernels.py", "operator.py", "py.typed", "transform.py"}
    assert not (installed / "tests").exists()


@pytest.mark.long
def test_without_scipy(installed: Path, tmp_path: Path) -> None:
    output = run_with(installed, WITHOUT_SCIPY, tmp_path)
    assert output.startswith("['LD602'")
    assert "lossdsl-boundary needs scipy for exact distances: pip install scipy" in output
    assert "hausdorff" in output
    assert output.endswith("\n0.0\n")


@pytest.mark.long
@pytest.mark.parametrize("name", ["hausdorff", "soft_erosion", "distance_map"])
def test_shell(name: str) -> None:
    full = f"boundary.{name}"
    shown = call(sys.executable, "-m", "lossdsl.cli", "show", full)
    assert "from: lossdsl-boundary 0.1.0" in shown
    assert "source: " in shown
    if name == "hausdorff":
        explained = call(sys.executable, "-m", "lossdsl.cli", "explain", "-e", full)
        assert "distance_map" in explained


@pytest.mark.long
def test_the_list_has_all() -> None:
    listed = call(sys.executable, "-m", "lossdsl.cli", "list")
    lines = [line for line in listed.splitlines() if "lossdsl-boundary" in line]
    assert sorted(line.split()[0].rpartition(".")[2] for line in lines) == sorted(NAMES + KERNELS)
    assert not [line for line in lines if "cannot be used" in line]


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("boundary.hausdorff(alfa=2)", "LD203", "did you mean `alpha`?"),
        ("boundary.hausdorff(alpha=-1)", "LD204", "the default is 2"),
        ("boundary.hausdorff_erosion(iterations=11)", "LD204", "the default is 10"),
        ("boundary.hausdorff_erosion(iterations=2.5)", "LD204", "the default is 10"),
        ("boundary.boundary(spacings=2)", "LD203", "did you mean `spacing`?"),
        ("boundary.hausdorf", "LD201", "did you mean `boundary.hausdorff`?"),
        ("distance_map(p, spacing=[1, 0])", "LD204", "the default is [1]"),
    ],
)
def test_mistakes(text: str, code: str, hint: str) -> None:
    (found,) = lossdsl.check(text).diagnostics
    assert (found.code, hint in (found.hint or "")) == (code, True)
