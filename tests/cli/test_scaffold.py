"""`lossdsl new-plugin`: what it writes is installed by pip, passes its own tests, and works in a config."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import lossdsl, torch
assert lossdsl.check("experiment.yaml").ok
loss = lossdsl.load("experiment.yaml")
print(loss(torch.zeros(2, 1, 4), torch.ones(2, 1, 4)).item())
"""


def run(*command: str | Path, **options: object) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def python(folder: Path) -> Path:
    """The interpreter of a fresh environment without a network: it reads torch and the rest where this one has them."""
    home = folder / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    interpreter = home / "bin" / "python"
    site = run(interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    shared = [f"import site; site.addsitedir({path!r})" for path in sys.path if path.endswith("site-packages")]
    (Path(site) / "shared.pth").write_text("\n".join([str(ROOT), *shared]) + "\n")
    return interpreter


@pytest.mark.long
def test_from_nothing_to_a_config(invoke, folder: Path, python: Path) -> None:
    result = invoke("new-plugin", "acme-tools")
    written = [
        *("pyproject.toml", "README.md", "lossdsl_acme_tools/__init__.py", "lossdsl_acme_tools/kernels.py"),
        *("lossdsl_acme_tools/acme_tools.loss", "tests/test_acme_tools.py", "lossdsl_acme_tools/py.typed"),
    ]
    assert result.stdout.splitlines() == [f"lossdsl-acme-tools/{name}" for name in written]
    package = folder / "lossdsl-acme-tools"
    assert "$" not in "".join(path.read_text() for path in package.rglob("*") if path.is_file())
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, package)
    where = run(python, "-c", "import lossdsl_acme_tools as package; print(package.__file__)", cwd=folder)
    assert Path(where).is_relative_to(python.parents[1])
    tests = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=package)
    assert "3 passed" in tests
    (folder / "experiment.yaml").write_text("loss: dice + 0.5*acme_tools.soft_error + sorted_error(focus=2)\n")
    value = float(run(python, "-c", USE, cwd=folder))
    assert value == pytest.approx(1 - 5 / 7 + 0.5 * 0.5 + 0.5)
    state = run(python, "-m", "lossdsl.cli", "plugins", cwd=folder)
    assert "lossdsl-acme-tools 0.1.0  ready" in state


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Acme", "`Acme` must be lower-case letters and digits, with - between words"),
        ("acme/../x", "must be lower-case letters and digits"),
        ("9lives", "must be lower-case letters and digits"),
        ("a--b", "must be lower-case letters and digits, with - between words"),
        ("-x", "must be lower-case letters and digits, with - between words"),
        ("f\u00e4rbung", "must be lower-case letters and digits, with - between words"),
        ("", "must be lower-case letters and digits, with - between words"),
        ("class", "`class` cannot be a namespace: it is a word of Python"),
        ("lossdsl-lossdsl", "`lossdsl` cannot be a namespace: it is that of the built-ins"),
        ("local", "`local` cannot be a namespace: it is that of the losses that a process registers"),
        ("monai", "`monai` is the namespace of lossdsl-dialects"),
    ],
)
def test_names_that_cannot_be(invoke, folder: Path, name: str, message: str) -> None:
    result = invoke("new-plugin", "--", name)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(folder.iterdir()) == []


def test_nothing_is_overwritten(invoke, folder: Path) -> None:
    assert invoke("new-plugin", "lossdsl-acme", "--into", "deep/er").exit_code == 0
    assert (folder / "deep" / "er" / "lossdsl-acme" / "pyproject.toml").exists()
    again = invoke("new-plugin", "acme", "--into", "deep/er")
    assert (again.exit_code, "already exists" in again.stderr) == (2, True)
