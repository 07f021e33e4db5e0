"""The steps of CONTRIBUTING.md, performed in a copy of the package with the blocks that the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))


def block(section: str, language: str) -> str:
    """The first block of a language in a section."""
    found = re.search(rf"^(`{{3,4}}){language}\n(.*?)^\1$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    assert found, section
    return found[2]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for folder in ("lossdsl", "grammar"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "lossdsl"


def run(package: Path, *arguments: str) -> str:
    """What a Python process with the copy of the package prints."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=package.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def edited(path: Path, after: str, addition: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(after) == 1
    path.write_text(text.replace(after, after + addition), encoding="utf-8")


def test_every_addition_has_three_steps() -> None:
    for name, text in SECTIONS.items():
        assert re.findall(r"^\*\*(\d)\. ", text, re.MULTILINE) == ["1", "2", "3"], name


def test_paths_and_targets_exist() -> None:
    paths = set(re.findall(r"`((?:lossdsl|tests)/[\w./-]+)`", PAGE)) | set(re.findall(r"ARGS=([\w./-]+\w)", PAGE))
    assert len(paths) > 8
    for path in paths - {"lossdsl/cli/codes/LD799.md"}:
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)", PAGE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.long
def test_a_function(package: Path) -> None:
    edited(
        package / "operations" / "functions.py",
        "FUNCTIONS: dict[str, Function] = {\n",
        block("Add a function of one number", "python"),
    )
    command = re.search(r'^python -c "(.*)"$', block("Add a function of one number", "sh"), re.MULTILINE)
    assert command
    assert r"\mathrm{erf}" in run(package, "-c", command[1])
    compared = """
import lossdsl, torch
z = torch.randn(2, 1, 5, dtype=torch.float64, requires_grad=True)
y = torch.ones(2, 1, 5, dtype=torch.float64)
found, wanted = lossdsl.compile("mean(erf(z)*y)", task="binary")(z, y), (torch.erf(z)*y).mean()
torch.testing.assert_close(found, wanted)
torch.testing.assert_close(torch.autograd.grad(found, z), torch.autograd.grad(wanted, z))
"""
    run(package, "-c", compared)


@pytest.mark.long
def test_a_code(package: Path) -> None:
    (package / "cli" / "codes" / "LD799.md").write_text(block("Add a code", "markdown"), encoding="utf-8")
    edited(
        package / "checking" / "scope.py",
        "    def _unknown(self, node: tree.Name, origin: Place) -> Resolved:\n",
        '        if node.text == "apple":\n'
        '            return self.wrong(node, "LD799", "`apple` is a fruit", "use a loss: dice")\n',
    )
    assert "A fruit is not a loss." in run(package, "-m", "lossdsl.cli", "explain", "LD799")
    check = """
from lossdsl.cli.code_pages import explained
import lossdsl
page = explained("LD799")
wrong, right = (lossdsl.check(text).diagnostics for _, text in (page.wrong, page.right))
print([(finding.code, finding.message, finding.hint) for finding in wrong], right)
"""
    assert run(package, "-c", check) == "[('LD799', '`apple` is a fruit', 'use a loss: dice')] ()\n"


@pytest.mark.long
def test_a_loss(package: Path) -> None:
    with (package / "library" / "region.loss").open("a", encoding="utf-8") as file:
        file.write("\n" + block("Add a loss", "text"))
    assert "Squared error of probabilities above a margin" in run(package, "-m", "lossdsl.cli", "show", "margin_brier")
    check = "import lossdsl; lossdsl.testing.check_loss('lossdsl.margin_brier', rules=['gradient', 'range', 'mask'])"
    run(package, "-c", check)


def test_the_other_guides_are_performed_too() -> None:
    """An option by tests/config/test_option_rows.py, a plugin by tests/test_plugins_readme.py."""
    assert "lossdsl/config/options.py" in SECTIONS["Add an option"]
    assert "lossdsl new-plugin acme" in SECTIONS["Add a plugin"]
    assert "lossdsl new-plugin acme" in (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
