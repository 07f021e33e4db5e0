"""The tutorial in plugins/README.md does what it says: its blocks are run, in order, in an empty folder."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

import lossdsl.testing
from lossdsl.testing.conformance import RULES

ROOT = Path(__file__).parents[1]
README = ROOT / "plugins" / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GROUPS = ("lossdsl.api", "lossdsl.libraries", "lossdsl.losses")


def shell(script: str, folder: Path) -> str:
    """Run lines of a shell with the programs of this environment; pip installs beside, without a network."""
    site = folder / "site"
    install = f"{sys.executable} -m pip install -q --no-deps --no-build-isolation --no-index --target {site}"
    script = script.replace("pip install -e", f"{install} --disable-pip-version-check")
    script = re.sub(r"^lossdsl ", f"{sys.executable} -m lossdsl.cli ", script, flags=re.MULTILINE)
    script = re.sub(r"^pytest ", f"{sys.executable} -m pytest -p no:cacheprovider ", script, flags=re.MULTILINE)
    # What an editable install would see at once.
    script = f"if [ -d {site} ]; then cp lossdsl-acme/lossdsl_acme/*.loss {site}/lossdsl_acme/; fi\n{script}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    done = subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, script + done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tutorial, rest = TEXT.split("\n## What a plugin declares", 1)
    printed = ""
    for path, language, block in BLOCK.findall(tutorial):
        if path:
            (tmp_path / path).write_text(block, encoding="utf-8")
        elif language == "sh":
            printed = shell(block, tmp_path)
        elif language == "text" and "breaks the rule" not in block:
            assert block.split() == printed.split()
    assert "passed" in printed
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    found = [p for d in distributions(path=[str(site)]) for p in d.entry_points if p.group in GROUPS]
    with lossdsl.testing.registry(found):
        examples = doctest.DocTestParser().get_doctest(TEXT, {}, "plugins/README.md", str(README), 0)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.REPORT_NDIFF)
        runner.run(examples)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 10
    assert "testing.registry()" in rest


def test_every_rule_and_plugin_is_named() -> None:
    listed = re.search(r"The rules are `([^`]*)`", TEXT)
    assert listed
    assert listed.group(1).split() == list(RULES)
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        assert f"[{tomllib.loads(path.read_text())['project']['name']}]({path.parent.name})" in TEXT
