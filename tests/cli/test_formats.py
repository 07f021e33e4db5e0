"""SARIF and GitHub annotations, complete, and by their rules for every kind of finding; colour."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from lossdsl.cli.code_hosts import as_annotation, as_sarif
from lossdsl.cli.code_pages import codes
from lossdsl.errors import Diagnostic, Edit, Source, Span

SARIF = {
    "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
    "version": "2.1.0",
    "runs": [
        {
            "tool": {"driver": {"name": "lossdsl", "rules": [{"id": "LD201"}]}},
            "columnKind": "utf16CodeUnits",
            "invocations": [{"executionSuccessful": True}],
            "results": [
                {
                    "ruleId": "LD201",
                    "ruleIndex": 0,
                    "level": "error",
                    "message": {"text": "unknown loss `bec`\ndid you mean `bce`?"},
                    "locations": [
                        {
                            "physicalLocation": {
                                "artifactLocation": {"uri": "my%20runs/a.yaml", "uriBaseId": "%SRCROOT%"},
                                "region": {"startLine": 2, "startColumn": 7, "endLine": 2, "endColumn": 10},
                            }
                        }
                    ],
                    "fixes": [
                        {
                            "description": {"text": "did you mean `bce`?"},
                            "artifactChanges": [
                                {
                                    "artifactLocation": {"uri": "my%20runs/a.yaml", "uriBaseId": "%SRCROOT%"},
                                    "replacements": [
                                        {
                                            "deletedRegion": {
                                                "startLine": 2,
                                                "startColumn": 7,
                                                "endLine": 2,
                                                "endColumn": 10,
                                            },
                                            "insertedContent": {"text": "bce"},
                                        }
                                    ],
                                }
                            ],
                            "properties": {"applicability": "safe"},
                        }
                    ],
                }
            ],
        }
    ],
}


def test_sarif(invoke, folder):
    (folder / "my runs").mkdir()
    (folder / "my runs" / "a.yaml").write_text("a: 1\nloss: bec\n")
    result = invoke("check", "my runs", "--format", "sarif")
    document = json.loads(result.stdout)
    driver = document["runs"][0]["tool"]["driver"]
    driver.pop("version", None)
    (rule,) = driver["rules"]
    assert rule["shortDescription"]["text"] == "an unknown name"
    assert rule["help"]["markdown"].startswith("# LD201: ")
    driver["rules"] = [{"id": rule["id"]}]
    assert document == SARIF
    assert result.exit_code == 1


EVERY_KIND = """\
loss:
  taks: binary
  class_weight: [1, -1]
  terms:
    a: {expr: dice(smooth=[1], per=batch)}
    b: "\\U0001F600 0.5 bce"
    c: >
      0.5*bec
      + dice(gamma=
      2)
"""


@pytest.fixture
def findings(invoke, folder):
    (folder / "a.yaml").write_text(EVERY_KIND.replace("[1], per=batch", "1"))
    (folder / "b.yaml").write_text("loss: {expr: dice(smooth=[1], per=batch)}\n")
    (folder / "\N{SNOWMAN}.yaml").write_text('# \N{GRINNING FACE}\nloss: "bce" # \nx: 1\n')
    (folder / "c.yaml").write_text('{"\N{GRINNING FACE}": 1, "loss": "bec"}')
    (folder / "d.yaml").write_text("")

    def run(form):
        return invoke("check", ".", "d.yaml", "missing.yaml", "-e", "bec +\n dcie", "-e", "a^b", "--format", form)

    return run


def test_sarif_keeps_the_rules_of_the_format(findings, folder):
    result = findings("sarif")
    document = json.loads(result.stdout)
    assert (document["version"], len(document["runs"])) == ("2.1.0", 1)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules) > 4
    assert run["invocations"] == [{"executionSuccessful": False}]
    assert len(run["results"]) > 8
    for found in run["results"]:
        assert rules[found["ruleIndex"]]["id"] == found["ruleId"] in codes()
        assert found["level"] in ("none", "note", "warning", "error")
        assert found["message"]["text"]
        for location in found.get("locations", ()):
            assert location.keys() <= {"physicalLocation", "logicalLocations"}
            assert location
            physical = location.get("physicalLocation", {})
            if physical:
                check_artifact(physical["artifactLocation"])
                check_region(physical.get("region"))
        for fix in found.get("fixes", ()):
            (change,) = fix["artifactChanges"]
            check_artifact(change["artifactLocation"])
            for replaced in change["replacements"]:
                check_region(replaced["deletedRegion"])
                assert isinstance(replaced["insertedContent"]["text"], str)
    assert any("fixes" in found for found in run["results"])


def check_artifact(artifact):
    assert re.fullmatch(r"[A-Za-z0-9%._/~-]+", artifact["uri"])
    assert artifact["uriBaseId"] == "%SRCROOT%"
    assert Path(unquote(artifact["uri"])).exists() or "missing" in artifact["uri"]


def check_region(region):
    if region is not None:
        assert all(isinstance(number, int) and number >= 1 for number in region.values())
        assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}
        start, end = (region["startLine"], region["startColumn"]), (region["endLine"], region["endColumn"])
        assert start <= end


def test_sarif_counts_utf_16(invoke, folder):
    (folder / "c.json").write_text('{"\N{GRINNING FACE}": 1, "loss": "bec"}', encoding="utf-8")
    document = json.loads(invoke("check", "c.json", "--format", "sarif").stdout)
    region = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "startColumn": 20, "endLine": 1, "endColumn": 23}
    (record,) = json.loads(invoke("check", "c.json", "--format", "json").stdout)["diagnostics"]
    assert (record["column"], record["end_column"]) == (19, 22)


def test_sarif_without_findings(invoke):
    (run,) = json.loads(invoke("check", "-e", "bce", "--format", "sarif").stdout)["runs"]
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])


def test_sarif_of_a_file_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    source = Source("bec", str(tmp_path / "a b.yaml"))
    finding = Diagnostic("LD201", "unknown", source, Span(0, 3), edit=Edit(Span(0, 3), "bce"))
    (result,) = json.loads(as_sarif([finding]))["runs"][0]["results"]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": (tmp_path / "a b.yaml").as_uri()}


GITHUB = """\
::error file=a.yaml,line=2,endLine=2,col=7,endColumn=10,title=LD201::unknown loss `bec`%0Adid you mean `bce`?
::error file=a.yaml,line=2,endLine=2,col=22,endColumn=26,title=LD205::`per` takes image or batch%0Adid you mean `image`?
"""


def test_github(invoke, folder):
    (folder / "a.yaml").write_text("a: 1\nloss: bec + dice(per=imag)\n")
    result = invoke("check", "a.yaml", "--format", "github")
    assert result.stdout == GITHUB
    assert (result.stderr, result.exit_code) == ("", 1)


def test_every_annotation_is_one_line(findings):
    lines = findings("github").stdout.splitlines()
    assert len(lines) > 8
    assert all(re.fullmatch(r"::(?:error|warning) (?:\w+=[^,:]*,)*title=LD\d{3}::.+", line) for line in lines)


@pytest.mark.parametrize(
    ("diagnostic", "expected"),
    [
        (
            Diagnostic("LD1", "50%\r\nof a,b:c", Source("x", "a,b:c%.yaml"), severity="warning"),
            "::warning file=a%2Cb%3Ac%25.yaml,title=LD1::50%25%0D%0Aof a,b:c",
        ),
        (
            Diagnostic("LD1", "two lines", Source("ab\ncd", "a.yaml"), Span(1, 4)),
            "::error file=a.yaml,line=1,endLine=2,title=LD1::two lines",
        ),
        (
            Diagnostic("LD1", "wrong", Source("ab", path="formula 2"), Span(0, 1)),
            "::error title=LD1::<formula 2>: wrong",
        ),
        (Diagnostic("LD1", "no \x1b[31m place"), "::error title=LD1::no \N{REPLACEMENT CHARACTER}[31m place"),
    ],
)
def test_annotation(diagnostic, expected):
    assert as_annotation(diagnostic) == expected


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": ""}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_in_a_pipe(invoke, monkeypatch, variables, coloured):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b" in invoke("check", "-e", "bec").stdout) is coloured
    assert "\x1b" not in invoke("check", "-e", "bec", "--format", "json").stdout
