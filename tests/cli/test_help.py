"""The help: examples that work."""

from __future__ import annotations

import shlex

import pytest

from lossdsl.cli import main

EXPERIMENT = "loss: bce + dice\ntrain: {loss: ce + dice}\n"


def examples():
    """Every example, the shell's pipes cut off: `echo ... | lossdsl check -`, `lossdsl list | grep ...`."""
    for command in (main, *main.commands.values()):
        for line in (command.help or "").splitlines():
            yield from (part.strip() for part in line.split("|") if part.strip().startswith("lossdsl "))


def test_every_command_has_an_example():
    named = {shlex.split(example)[1] for example in examples()}
    assert named == set(main.commands)


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_examples_work(invoke, folder, example):
    for name in ("experiment.yaml", "a.yaml", "b.yaml"):
        (folder / name).write_text(EXPERIMENT)
    result = invoke(*shlex.split(example)[1:], input="bce + dice")
    assert (result.stderr, result.exit_code) == ("", 0)


def test_help_names_every_command_and_the_exit_statuses(invoke):
    text = invoke("--help").stdout
    assert all(f"\n  {name} " in text for name in main.commands)
    assert "0 if there is no error, 1 if there are findings, 2 for wrong usage" in " ".join(text.split())


def test_version(invoke, monkeypatch):
    from importlib.metadata import PackageNotFoundError

    assert invoke("--version").stdout.startswith("lossdsl ")

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("lossdsl.cli.shell.installed_version", missing)
    assert invoke("--version").stdout == "lossdsl (not installed)\n"
