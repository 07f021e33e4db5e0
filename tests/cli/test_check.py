"""`lossdsl check`: what it prints for formulas, files and stdin."""

from __future__ import annotations

import click
import pytest

from lossdsl.cli.findings import as_text, summary
from lossdsl.errors import Diagnostic, Source, Span

WARNING = Diagnostic("LD900", "slow", Source("bce"), Span(0, 3), severity="warning")
ERROR = Diagnostic("LD901", "wrong", Source("bce"), Span(0, 3), hint="write dice")

ONE_FORMULA = """\
<formula>:1:5: error LD201: unknown loss `bec`
    0.5*bec + 0.5*dice(smooth=-1)
        ^~~
    did you mean `bce`?
<formula>:1:27: error LD204: `smooth` of `dice` is -1, outside [0, inf)
    0.5*bec + 0.5*dice(smooth=-1)
                              ^~
    the default is 1
2 errors in 1 loss; 1 fixable with --fix
"""

SEVERAL = """\
a.yaml:2:11: error LD201: unknown loss `bec`
        loss: bec
              ^~~
    did you mean `bce`?
<formula 2>:1:1: error LD201: unknown loss `dcie`
    dcie
    ^~~~
    did you mean `dice`?
2 errors in 2 of 4 losses; 2 fixable with --fix
"""


def test_all_findings_of_a_formula(invoke):
    result = invoke("check", "-e", "0.5*bec + 0.5*dice(smooth=-1)")
    assert (result.stdout, result.stderr, result.exit_code) == (ONE_FORMULA, "", 1)


def test_several_files_and_formulas_at_once(invoke, folder):
    (folder / "a.yaml").write_text("train:\n    loss: bec\n")
    (folder / "b.yaml").write_text("train: {loss: bce + dice}\n")
    result = invoke("check", "-e", "bce", "a.yaml", "b.yaml", "-e", "dcie", "--key", "train.loss")
    assert (result.stdout, result.exit_code) == (SEVERAL, 1)


@pytest.mark.parametrize(("formulas", "expected"), [(1, "1 loss"), (3, "3 losses")])
def test_nothing_found(invoke, formulas, expected):
    result = invoke("check", *["-e", "0.5*bce + 0.5*(-log(1 - dice))"] * formulas)
    assert (result.stdout, result.stderr, result.exit_code) == (f"{expected}, nothing found\n", "", 0)


def test_a_formula_on_stdin(invoke):
    result = invoke("check", "-", input="region = dise\nbce + region\n")
    assert result.stdout.startswith("<stdin>:")
    assert result.stdout.endswith("1 error in 1 loss; 1 fixable with --fix\n")
    assert invoke("check", "-", input="region = dice\r\nbce + region").exit_code == 0
    assert invoke("check", "-", "-", input="\ufeffbce").stdout == "1 loss, nothing found\n"


def test_stdin_that_never_ends_is_cut(invoke):
    result = invoke("check", "-", input="a + " * 1_000_000)
    assert "the limit is 65,536" in result.stdout
    assert result.exit_code == 1


def test_options_go_before_what_the_file_says(invoke, folder):
    (folder / "a.yaml").write_text("loss: {expr: dice, task: binary}\n")
    assert invoke("check", "a.yaml").exit_code == 0
    result = invoke("check", "a.yaml", "--task", "regression")
    assert result.stdout.startswith("a.yaml:")
    assert result.exit_code == 1
    assert invoke("check", "-e", "bce", "--input", "probs", "--task", "multilabel").exit_code == 0


@pytest.mark.parametrize("name", ["bce", "a.yaml", "0.5*bce"])
def test_a_formula_is_never_taken_for_a_file(invoke, folder, name):
    """Even when a file of that name lies here."""
    (folder / name).write_text("loss: nonsense\n")
    assert "nonsense" not in invoke("check", "-e", name).stdout
    assert "nonsense" not in invoke("explain", "-e", name).output


@pytest.mark.parametrize("name", ["config", "./a.yaml", "0.5*bce"])
def test_a_file_needs_no_suffix(invoke, folder, name):
    (folder / name).write_text("loss: nonsense\n")
    assert invoke("check", name).stdout.startswith(f"{name}:1:7: error LD201: unknown loss `nonsense`")


def test_a_formula_given_as_a_file(invoke):
    result = invoke("check", "0.5*bce + dice")
    assert "there is no file `0.5*bce + dice`" in result.stdout
    assert 'for a formula: -e "0.5*bce + dice"' in result.stdout
    assert result.exit_code == 2


def test_a_misspelt_file_keeps_its_own_hint(invoke, folder):
    (folder / "config").write_text("loss: bce\n")
    result = invoke("check", "confg")
    assert "did you mean `config`?" in result.stdout
    assert "-e" not in result.stdout


def test_one_missing_file_hides_nothing_of_the_others(invoke, folder):
    (folder / "a.yaml").write_text("loss: bec\n")
    result = invoke("check", "missing.yaml", "a.yaml")
    assert "there is no file `missing.yaml`" in result.stdout
    assert "unknown loss `bec`" in result.stdout
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([[], []], "2 losses, nothing found"),
        ([[ERROR, WARNING], [], [ERROR]], "2 errors, 1 warning in 2 of 3 losses"),
        ([[WARNING] * 1000], "1,000 warnings in 1 loss"),
    ],
)
def test_summary(findings, expected):
    assert click.unstyle(summary(findings)) == expected


@pytest.mark.parametrize(
    "diagnostic", [WARNING, ERROR, Diagnostic("LD405", "no place"), Diagnostic("LD1", "^", hint="^")]
)
def test_colour_changes_no_text(diagnostic):
    assert click.unstyle(as_text(diagnostic)) == diagnostic.render()


def test_what_acts_on_a_terminal_is_not_printed():
    source = Source("bce\r\x1b[31m\x9b\u202e + dice\tx")
    shown = click.unstyle(as_text(Diagnostic("LD1", "bad \x1b]0;title\x07", source, Span(0, 3), hint="\x1b[2J")))
    assert not any(sign in shown for sign in "\x1b\x9b\r\x07\u202e")
    assert "\tx" in shown


def test_a_name_that_no_file_can_have(invoke):
    result = invoke("check", "a" * 5000)
    assert "the file cannot be read" in result.stdout
    assert result.exit_code == 2
