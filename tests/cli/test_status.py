"""Exit statuses, JSON documents, and input of every bad kind: never a traceback."""

from __future__ import annotations

import json
import os

import pytest

FILES = {
    "good.yaml": b"loss: 0.5*bce + 0.5*dice\n",
    "wrong.yaml": b"loss: bec\n",
    "plain.txt": b"bce\n",
    "empty.yaml": b"",
    "null.yaml": b"loss:\n",
    "no_key.yaml": b"lose: bce\n",
    "open.yaml": b"loss: [1\n",
    "latin.yaml": b"loss: b\xe9e\n",
    "binary.yaml": bytes(range(256)) * 20,
    "marks.yaml": b"\xff\xfe",
    "escape.yaml": b'loss: "bce\\e[31m + dcie"\n',
}


@pytest.fixture
def files(folder):
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "folder.yaml").mkdir()
    return folder


STATUSES = {
    "check good.yaml": 0,
    "check -e bce": 0,
    "check -e -log(1-dice)": 0,
    "check --expr=bce good.yaml good.yaml": 0,
    "check good.yaml --key=": 1,  # the whole file as a loss: it has no terms
    "check plain.txt --key=": 0,
    "check wrong.yaml": 1,
    "check good.yaml wrong.yaml": 1,
    "check -e bce -e": 2,
    "check -e=": 1,
    "check plain.txt": 1,
    "check empty.yaml": 1,
    "check null.yaml": 1,
    "check no_key.yaml": 1,
    "check good.yaml --key a.b": 1,
    "check good.yaml --key ..": 1,
    "check open.yaml": 1,
    "check latin.yaml": 1,
    "check binary.yaml": 1,
    "check marks.yaml": 1,
    "check escape.yaml": 1,
    "check missing.yaml": 2,
    "check folder.yaml": 1,
    "check .": 1,
    "check good.yaml missing.yaml wrong.yaml": 2,
    "check": 2,
    "check --key loss": 2,
    "check -e bce --task segmentation": 2,
    "check -e bce --input softmax": 2,
    "check -e bce --format xml": 2,
    "check -e bce --frmat json": 2,
    "explain -e bce": 0,
    "explain good.yaml": 0,
    "explain wrong.yaml": 1,
    "explain latin.yaml": 1,
    "explain -e dice --task regression": 1,
    "explain missing.yaml": 2,
    "explain folder.yaml": 2,
    "explain": 2,
    "list": 0,
    "list extra": 2,
    "list --format yaml": 2,
    "show dice": 0,
    "show dcie": 1,
    "show": 2,
    "show dice iou": 2,
    "": 2,
    "--help": 0,
    "-h": 0,
    "check -h": 0,
    "--version": 0,
    "chekc -e bce": 2,
    "--chekc": 2,
}


@pytest.mark.parametrize("line", STATUSES)
def test_exit_status(invoke, files, line):
    assert invoke(*line.split()).exit_code == STATUSES[line]


def test_a_name_of_nothing(invoke):
    result = invoke("check", "")
    assert "the name of a FILE is empty" in result.stderr
    assert result.exit_code == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable for root")
def test_a_file_without_permission(invoke, files):
    (files / "good.yaml").chmod(0)
    result = invoke("check", "good.yaml")
    assert "cannot be read" in result.stdout
    assert result.exit_code == 2


def test_a_misspelt_command(invoke):
    assert "there is no command `chekc`: did you mean `check`?" in invoke("chekc").stderr
    assert "commands are check, explain, list, show" in invoke("xyz").stderr


def test_findings_as_json(invoke, files):
    result = invoke("check", "wrong.yaml", "good.yaml", "-e", "dice +\n dcie", "--format", "json")
    document = json.loads(result.stdout)
    expected = {
        "code": "LD201",
        "severity": "error",
        "message": "unknown loss `bec`",
        "file": "wrong.yaml",
        "line": 1,
        "column": 7,
        "end_line": 1,
        "end_column": 10,
        "hint": "did you mean `bce`?",
        "edit": {
            "line": 1,
            "column": 7,
            "end_line": 1,
            "end_column": 10,
            "text": "bce",
            "applicability": "safe",
        },
    }
    assert document["ok"] is False
    assert document["diagnostics"][0] == expected
    typed = document["diagnostics"][1]
    assert list(typed) == list(expected)
    assert (typed["file"], typed["line"], typed["column"], typed["end_line"], typed["end_column"]) == (None, 2, 2, 2, 6)
    assert (result.stderr, result.exit_code) == ("", 1)


def test_nothing_found_as_json(invoke):
    assert json.loads(invoke("check", "-e", "bce", "--format", "json").stdout) == {
        "ok": True,
        "diagnostics": [],
        "allowed": [],
        "tensors": [],
    }


TYPES = {
    "code": str,
    "severity": str,
    "message": str,
    "file": str | None,
    "line": int | None,
    "column": int | None,
    "end_line": int | None,
    "end_column": int | None,
    "hint": str | None,
    "edit": dict | None,
}


@pytest.mark.parametrize("name", [*FILES, "missing.yaml"])
def test_every_finding_as_json(invoke, files, name):
    result = invoke("check", name, "--format", "json")
    document = json.loads(result.stdout)
    assert document["ok"] is (result.exit_code == 0)
    for diagnostic in document["diagnostics"]:
        assert list(diagnostic) == list(TYPES)
        assert all(isinstance(diagnostic[field], kind) for field, kind in TYPES.items())
        assert diagnostic["file"] == name
        assert diagnostic["severity"] in ("error", "warning")
