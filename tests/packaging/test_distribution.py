"""What users install: a wheel built from the sdist, used in an empty folder, and a plain copy of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import lossdsl
from lossdsl.syntax.parse import grammar_text

ROOT = Path(__file__).parents[2]
GRAMMAR = ROOT / "grammar" / "loss.lark"
LIBRARY = sorted((ROOT / "lossdsl" / "library").glob("*.loss"))

KERNELS = (
    "barlow_twins", "class_distance", "giou", "lovasz_extension", "ms_ssim", "nt_xent", "soft_skeleton",
    "tempered_sigmoid", "tempered_softmax", "total_variation",
)  # fmt: skip

PARSE = """
import sys
from pathlib import Path
import lossdsl
from lossdsl.syntax.parse import parse
home = Path(sys.argv[1])
assert home in Path(lossdsl.__file__).parents, f"not the copy under test: {lossdsl.__file__}"
print(parse("region = dice(smooth=1)\\n0.5*bce + 0.5*region"))
"""

ENTRY_POINTS = """
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
home = Path(sys.argv[1])
for group in ("lossdsl.libraries", "lossdsl.losses", "console_scripts"):
    for entry in entry_points(group=group):
        if entry.dist.name == "lossdsl":
            assert home == Path(entry.dist.locate_file("")), f"not the copy under test: {entry.dist.locate_file('')}"
            assert home in Path(find_spec(entry.module).origin).parents
            print(group, entry.name)
"""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that `build` makes from the unpacked sdist."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (path,) = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", folder)
    call(sys.executable, "-m", "pip", "install", *options, wheel)
    return folder


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A checkout that was never installed."""
    for name in ("lossdsl", "grammar"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "checkout"


def call(*command: str | Path, **options: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_with(home: Path, program: str, folder: Path) -> str:
    """Run a program in `folder` with `home` before all else on the path; it checks by itself that `home` was used."""
    environment = {**os.environ, "PYTHONPATH": str(home), "PYTHONSAFEPATH": "1"}
    return call(sys.executable, "-W", "error", "-c", program, home, cwd=folder, env=environment)


def test_the_wheel_holds_the_grammar_and_the_library(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        assert archive.read("lossdsl/_grammar/loss.lark") == GRAMMAR.read_bytes()
        packed = {name: archive.read(name) for name in archive.namelist() if name.endswith(".loss")}
    assert packed == {f"lossdsl/library/{path.name}": path.read_bytes() for path in LIBRARY}
    assert packed


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "lossdsl").rglob("*.py")} | {"pytest_lossdsl.py"}
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "lossdsl").rglob("*.tmpl")}
    data = {f"lossdsl/library/{path.name}" for path in LIBRARY} | {"lossdsl/_grammar/loss.lark", "lossdsl/py.typed"}
    assert templates
    data |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "lossdsl" / "cli" / "codes").glob("*.md")}
    data |= {"lossdsl/words/known.txt", "lossdsl/words/table.tsv"}
    assert names == source | templates | data


def test_the_sdist_holds_what_a_packager_needs(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {
        "pytest_lossdsl.py",
        "docs/names.md",
        "grammar/loss.lark",
        "LICENSE",
        "README.md",
        "constraints.txt",
        "tests/conftest.py",
    }
    assert expected <= names


@pytest.mark.long
def test_an_installed_wheel_parses_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    assert run_with(installed, PARSE, tmp_path).strip()


def test_an_installed_wheel_offers_its_entry_points(installed: Path, tmp_path: Path) -> None:
    assert run_with(installed, ENTRY_POINTS, tmp_path).splitlines() == [
        "lossdsl.libraries lossdsl",
        *(f"lossdsl.losses {name}" for name in KERNELS),
        "console_scripts lossdsl",
    ]


def test_a_plain_checkout_parses(copied: Path, tmp_path: Path) -> None:
    assert run_with(copied, PARSE, tmp_path).strip()


def test_the_grammar_of_this_checkout_is_read() -> None:
    """An editable install leaves a copy of the grammar in site-packages, which grows stale and must not be read."""
    assert Path(lossdsl.__file__).parents[1] == ROOT
    assert grammar_text() == GRAMMAR.read_text(encoding="ascii")
