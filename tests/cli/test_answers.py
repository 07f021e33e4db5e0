"""Allowed warnings in every format, and what warnings do to the exit status."""

from __future__ import annotations

import json

import pytest

ANSWERED = "loss: mean(p/depth)  # lossdsl: allow LD703 -- depth is 1 or more\n"
OPEN = "loss: mean(p/depth)\n"
IN_VAIN = "loss: bce  # lossdsl: allow LD703 -- depth is 1 or more\n"
WRONG = "loss: bec  # lossdsl: allow LD703 -- depth is 1 or more\n"


@pytest.fixture
def files(folder):
    for name, text in {"answered": ANSWERED, "open": OPEN, "in_vain": IN_VAIN, "wrong": WRONG}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "strict", "status"),
    [
        ("answered", False, 0),
        ("answered", True, 0),
        ("open", False, 0),
        ("open", True, 1),
        ("in_vain", False, 0),
        ("in_vain", True, 1),
        ("wrong", False, 1),
        ("wrong", True, 1),
    ],
)
def test_exit_status(invoke, files, name, strict, status):
    for form in ("text", "json", "sarif", "github"):
        arguments = ["check", f"{name}.yaml", "--format", form, *(["--strict"] if strict else [])]
        assert invoke(*arguments).exit_code == status


def test_text(invoke, files):
    assert (
        invoke("check", "answered.yaml").stdout
        == "1 loss, nothing found; 1 warning allowed; tensors to pass by name: depth\n"
    )
    assert invoke("check", ".").stdout.endswith(
        "1 error, 2 warnings in 3 of 4 losses; 1 fixable with --fix; 1 warning allowed; tensors to pass by name: depth\n"  # noqa: E501
    )


def test_json(invoke, files):
    document = json.loads(invoke("check", "answered.yaml", "--format", "json").stdout)
    assert document["diagnostics"] == []
    (allowed,) = document["allowed"]
    assert (allowed["code"], allowed["line"], allowed["column"]) == ("LD703", 1, 14)
    assert allowed["reason"] == "depth is 1 or more"


@pytest.mark.parametrize(
    ("formula", "tensors"),
    [
        ("bce", []),
        ("bce(y_pred, y_true)", ["y_pred", "y_true"]),
        ("bce + 0.4*bce(aux, target) + mean(w*p)", ["aux", "w"]),
        ("k = clamp(logvar, max=10)\nmean(exp(k)*(pred - target)**2)", ["logvar"]),
    ],
)
def test_the_tensors_that_a_loss_needs(invoke, folder, formula, tensors):
    import lossdsl

    assert lossdsl.check(formula).tensors == tuple(tensors)
    assert json.loads(invoke("check", "-e", formula, "--format", "json").stdout)["tensors"] == tensors
    said = f"; tensors to pass by name: {', '.join(tensors)}\n" if tensors else "nothing found\n"
    assert invoke("check", "-e", formula).stdout.endswith(said)


def test_sarif(invoke, files):
    (run,) = json.loads(invoke("check", "answered.yaml", "open.yaml", "--format", "sarif").stdout)["runs"]
    told = [(result["ruleId"], result.get("suppressions")) for result in run["results"]]
    suppressed = [{"kind": "inSource", "justification": "depth is 1 or more"}]
    assert told == [("LD703", None), ("LD703", suppressed)]


def test_github(invoke, files):
    said = invoke("check", "answered.yaml", "open.yaml", "--format", "github").stdout.splitlines()
    assert [line.partition(" ")[0] for line in said] == ["::warning", "::notice"]
    assert "::allowed: depth is 1 or more%0Aa division" in said[1]


def test_the_examples_have_no_open_finding(invoke):
    from pathlib import Path

    examples = Path(__file__).parents[2] / "examples"
    result = invoke("check", str(examples), "--strict")
    assert result.exit_code == 0
    assert "nothing found; 2 warnings allowed; tensors to pass by name: " in result.stdout
