"""The hook for pre-commit, run as pre-commit runs it: the entry, the arguments, then the names of the files."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

HOOKS = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
FILES = {
    "marked.yaml": "a: 1\nloss: bec  # lossdsl\n",
    "good.yaml": "# lossdsl\nloss: bce\n",
    "workflow.yaml": "loss: 0.3\non: [push]\n",
    "template.yaml": "{{ values }}: {%\n",
}


def run(invoke, *arguments):
    (hook,) = HOOKS
    command, *entry = shlex.split(hook["entry"])
    assert command == "lossdsl"
    return invoke(*entry, *hook.get("args", []), *arguments)


def test_the_definition():
    (hook,) = HOOKS
    assert hook["id"] == "lossdsl-check"
    assert (hook["language"], hook["types"]) == ("python", ["yaml"])
    assert hook["name"]
    assert hook["description"]


def test_files_by_name(invoke, folder):
    for name, text in FILES.items():
        (folder / name).write_text(text)
    result = run(invoke, *FILES)
    assert result.stdout.startswith("marked.yaml:2:7: error LD201: unknown loss `bec`\n")
    assert result.stdout.endswith("1 error in 1 of 2 losses; 1 fixable with --fix; 2 files without a loss\n")
    assert result.exit_code == 1
    assert run(invoke, "good.yaml", "workflow.yaml", "template.yaml").exit_code == 0
    assert run(invoke, "workflow.yaml").stdout == "0 losses, nothing found; 1 file without a loss\n"


def test_a_key_as_argument(invoke, folder):
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "train.yaml").write_text("train: {loss: bec}\n")
    assert run(invoke, "--key", "train.loss", "train.yaml").exit_code == 1
    assert run(invoke, "--key", "train.loss", "workflow.yaml").exit_code == 0
