"""`lossdsl explain`."""

from __future__ import annotations

import pytest

import lossdsl

FORMULA = "0.5*bce + 0.5*(-log(1 - dice))"


def test_a_formula(invoke):
    result = invoke("explain", "-e", FORMULA)
    assert (result.stdout, result.stderr, result.exit_code) == (lossdsl.explain(FORMULA) + "\n", "", 0)


def test_a_formula_on_stdin(invoke):
    assert invoke("explain", "-", input=FORMULA).stdout == lossdsl.explain(FORMULA) + "\n"


def test_a_file(invoke, folder):
    (folder / "a.yaml").write_text(f"train: {{criterion: {FORMULA}}}\n")
    result = invoke("explain", "a.yaml", "--key", "train.criterion", "--task", "binary")
    assert result.stdout == lossdsl.explain(FORMULA, task="binary") + "\n"


def test_faults_go_to_stderr(invoke):
    result = invoke("explain", "-e", "bec + dcie", "--task", "binary")
    assert result.stdout == ""
    assert result.stderr == str(lossdsl.check("bec + dcie")) + "\n"
    assert result.exit_code == 1


def test_a_missing_file(invoke):
    result = invoke("explain", "dice")
    assert result.stdout == ""
    assert 'for a formula: -e "dice"' in result.stderr
    assert result.exit_code == 2


@pytest.mark.parametrize("arguments", [("-e", "bce", "-e", "dice"), ("a.yaml", "b.yaml"), ("a.yaml", "-e", "bce")])
def test_one_loss_at_a_time(invoke, arguments):
    result = invoke("explain", *arguments)
    assert "explain takes one loss" in result.stderr
    assert result.exit_code == 2
