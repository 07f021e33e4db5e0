"""`pytest --lossdsl PACKAGE`, as a process of its own, and what it costs those who do not ask for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = """\
# Half of it.
# Except: full_graph -- slow in a test
loss half() -> [0, inf)
    = 0.5*mse

# Upside down.
loss wrong() -> [0, inf)
    = 1 - mse

loss torn() -> [0, 1]
    = dcie
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    files = {
        "acme-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n",
        "acme-1.0.dist-info/entry_points.txt": "[lossdsl.libraries]\nacme = acme\n",
        "acme/a.loss": LIBRARY,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "pytest_lossdsl", "-q", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.long
def test_every_loss_and_rule_is_a_test(plugin: Path) -> None:
    listed = run(plugin, "--lossdsl", "acme", "--collect-only").stdout
    assert "acme.half[gradient]" in listed
    assert "acme.half[full_graph]" not in listed
    result = run(plugin, "--lossdsl", "acme", "-k", "range or best or loads")
    assert result.returncode == 1
    assert "3 failed, 2 passed" in result.stdout
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    assert [line.split(" - ")[0].rpartition("acme.")[2] for line in failed] == [
        "torn[loads]",
        "wrong[range]",
        "wrong[best]",
    ]
    assert "`acme.wrong` of acme 1.0 (acme) breaks the rule `best`: No prediction has a better value" in result.stdout
    assert "unknown loss `dcie`" in result.stdout


def test_a_package_that_is_not_there(plugin: Path) -> None:
    result = run(plugin, "--lossdsl", "nothing")
    assert result.returncode == 4
    assert "--lossdsl nothing: no distribution or namespace of this name brings losses" in result.stderr + result.stdout


def test_nothing_is_imported_when_it_is_not_asked_for(plugin: Path) -> None:
    (plugin / "test_a.py").write_text(
        "import sys\n\ndef test_a():\n    assert not {'torch', 'lossdsl', 'lark'} & set(sys.modules)\n"
    )
    assert run(plugin).returncode == 0
