"""Losses that Hydra or Lightning makes by calling lossdsl: found without a key, and checked like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import lossdsl
from lossdsl.errors import ConfigError

# text -> `line:column code` of the findings, and how many losses there are
FOUND = {
    "criterion:\n  _target_: lossdsl.compile\n  source: 0.5*bec + dice\n": (["3:15 LD201"], 1),
    "_target_: lossdsl.compile\nsource: bec\n": (["2:9 LD201"], 1),  # a config group of Hydra is a file of its own
    "model:\n  criterion:\n    class_path: lossdsl.compile\n    init_args:\n      source: bec\n      task: binry\n": (
        ["5:15 LD201", "6:13 LD405"], 1,
    ),
    "a:\n  - {_target_: lossdsl.compile, source: bec}\n  - {_target_: torch.nn.L1Loss}\n": (["2:41 LD201"], 1),
    "a: {_target_: lossdsl.compile, source: bce}\nb: {_target_: lossdsl.compile, source: dice}\n": ([], 2),
    "a: {_target_: lossdsl.compile, source: bce, taks: binary}\n": (["1:45 LD402"], 1),
    "a: {_target_: lossdsl.compile, source: ce, ignore_index: x}\n": (["1:58 LD405"], 1),
    "a: {_target_: lossdsl.compile, source: ce, task: binary}\n": (["1:40 LD301"], 1),
    "a: {_target_: lossdsl.compile, source: ce, class_weight: [0, 0]}\n": (["1:58 LD405"], 1),
    "a: {_target_: lossdsl.compile, _args_: [bec], task: binary}\n": (["1:41 LD201"], 1),
    "a: {_target_: lossdsl.compile}\n": (["1:5 LD406"], 1),
    "a: {_target_: lossdsl.compile, source:}\n": (["1:5 LD406"], 1),
    "a: {class_path: lossdsl.compile}\n": (["1:5 LD406"], 1),
    "a: {class_path: lossdsl.compile, init_args: {source: bce}, source: dice}\n": (["1:60 LD402"], 1),
    "a: {class_path: lossdsl.compile, dict_kwargs: {source: bec}}\n": (["1:56 LD201"], 1),
    "a: {_target_: lossdsl.compile, _convert_: all, _recursive_: false, source: bce}\n": ([], 1),
    "a:\n  _target_: lossdsl.compile\n  source:\n    terms:\n      x: {expr: bec, weight: 0.5}\n    task: binary\n": (
        ["5:17 LD201"], 1,
    ),
    "a:\n  _target_: lossdsl.compile\n  source: |\n    r = dcie\n    bce + r\n": (["4:9 LD201"], 1),
    "loss: {_target_: lossdsl.compile, source: bec}\n": (["1:43 LD201"], 1),
    "loss:\n  main: {_target_: lossdsl.compile, source: bce}\n  aux: {_target_: lossdsl.compile, source: bec}\n": (
        ["3:44 LD201"], 2,
    ),
    "a: &x {_target_: lossdsl.compile, source: bec}\nb: *x\n": (["1:43 LD201"], 1),
    '{"a": {"_target_": "lossdsl.compile", "source": "bec"}}': (["1:50 LD201"], 1),
    "loss: bec\na: {_target_: lossdsl.compile, source: dcie}\n": (["1:7 LD201", "2:40 LD201"], 2),
    "a: {_target_: lossdsl.compile, source: bec}  # lossdsl\n": (["1:40 LD201"], 1),
    # what is filled in when the config is used
    'a: {_target_: lossdsl.compile, source: "${text}"}\n': (["1:32 LD409"], 1),
    'a: {_target_: lossdsl.compile, source: "bec", task: "${task}"}\n': (["1:41 LD201"], 1),
    'a: {_target_: lossdsl.compile, source: ce, task: "${task}", ignore_index: "${x}"}\n': ([], 1),
}  # fmt: skip


def places(document: str) -> list[str]:
    return [f"{found['line']}:{found['column']} {found['code']}" for found in json.loads(document)["diagnostics"]]


@pytest.mark.parametrize("extra", [[], ["--marked-only"]], ids=["", "marked"])
@pytest.mark.parametrize("text", FOUND)
def test_found_without_a_key(invoke, folder: Path, text: str, extra: list[str]) -> None:
    (folder / "a.yaml").write_text(text)
    expected, count = FOUND[text]
    if extra and text.startswith("loss: bec"):  # this one is not marked
        expected, count = expected[1:], 1
    assert places(invoke("check", "a.yaml", "--format", "json", *extra).stdout) == expected
    said = invoke("check", ".", *extra).stdout
    assert f"{count} loss" in said


@pytest.mark.parametrize("text", [text for text, (found, _) in FOUND.items() if not found])
def test_right_ones_are_clean(invoke, folder: Path, text: str) -> None:
    (folder / "a.yaml").write_text(text)
    assert invoke("check", "a.yaml").exit_code == 0


def test_a_loss_that_is_filled_in_is_a_warning(invoke, folder: Path) -> None:
    (folder / "a.yaml").write_text('a: {_target_: lossdsl.compile, source: "${text}"}\n')
    found = json.loads(invoke("check", "a.yaml", "--format", "json").stdout)
    assert found["ok"]
    assert "not checked" in found["diagnostics"][0]["message"]


def test_fix_mends_it_in_its_file(invoke, folder: Path) -> None:
    text = "a: 1\ncriterion:\n  _target_: lossdsl.compile  # for Hydra\n  source: 0.5*bec + dice\n  task: binry\n"
    (folder / "a.yaml").write_text(text)
    assert invoke("check", "a.yaml", "--fix").exit_code == 0
    assert (folder / "a.yaml").read_text() == text.replace("bec", "bce").replace("binry", "binary")


def test_other_targets_are_no_losses(invoke, folder: Path) -> None:
    (folder / "a.yaml").write_text("a: {_target_: torch.nn.L1Loss}\nb: {_target_: lossdsl.compiler, source: bec}\n")
    assert invoke("check", ".").stdout.startswith("error LD404: there is no loss in these files")


OTHER = "loss: bec\ntrain:\n  loss: {expr: ce, task: multiclass}\n"
LOADED = {
    "a: {_target_: lossdsl.load, path: other.yaml}\n": ["conf/other.yaml:1:7 LD201"],
    "a: {_target_: lossdsl.load, path: conf/other.yaml}\n": ["conf/other.yaml:1:7 LD201"],
    "a: {_target_: lossdsl.load, _args_: [other.yaml, loss]}\n": ["conf/other.yaml:1:7 LD201"],
    "a: {_target_: lossdsl.load, path: other.yaml, key: train.loss}\n": [],
    "a: {class_path: lossdsl.load, init_args: {path: other.yaml, key: train.loss, task: binary}}\n": [
        "conf/other.yaml:3:16 LD301"
    ],
    "a: {_target_: lossdsl.load, path: other.yaml, key: train.los}\n": ["conf/other.yaml:2:1 LD404"],
    "a: {_target_: lossdsl.load, path: otter.yaml}\n": ["conf/a.yaml:1:35 LD407"],
    "a: {_target_: lossdsl.load, path: a.toml}\n": ["conf/a.yaml:1:35 LD407"],
    "a: {_target_: lossdsl.load, pth: other.yaml}\n": ["conf/a.yaml:1:5 LD406", "conf/a.yaml:1:29 LD402"],
    'a: {_target_: lossdsl.load, path: "${dir}/other.yaml"}\n': ["conf/a.yaml:1:29 LD409"],
    "a: {_target_: lossdsl.load, path: a.yaml, key: a}\n": ["conf/a.yaml:1:5 LD409"],  # it names itself
}


@pytest.mark.parametrize("text", LOADED)
def test_a_loss_in_another_file(invoke, folder: Path, text: str) -> None:
    (folder / "conf").mkdir()
    (folder / "conf" / "a.yaml").write_text(text)
    (folder / "conf" / "other.yaml").write_text(OTHER)
    result = invoke("check", "conf/a.yaml", "--format", "json")
    found = json.loads(result.stdout)["diagnostics"]
    assert [f"{d['file']}:{d['line']}:{d['column']} {d['code']}" for d in found] == LOADED[text]
    assert result.exit_code == any(d["severity"] == "error" for d in found)


def test_a_mapping_of_hydra_is_compiled_and_loaded(tmp_path: Path) -> None:
    """What `check` calls a loss, `load` and `compile` read."""
    path = tmp_path / "a.yaml"
    path.write_text(
        "a: {_target_: lossdsl.compile, source: {expr: ce, task: binary, ignore_index: 1}, task: multiclass}\n"
    )
    pred, target = torch.randn(2, 3, 4), torch.tensor([[0, 1, 2, 0], [2, 2, 1, 1]])
    expected = torch.nn.functional.cross_entropy(pred, target, ignore_index=1)
    torch.testing.assert_close(lossdsl.load(path, "a")(pred, target), expected)
    mapping = {"_target_": "lossdsl.compile", "source": "ce", "ignore_index": 1}
    torch.testing.assert_close(lossdsl.compile(mapping)(pred, target), expected)
    assert "cross-entropy" in lossdsl.explain(path, "a").lower()


def test_compile_reads_no_file() -> None:
    with pytest.raises(ConfigError, match="is in another file"):
        lossdsl.compile({"_target_": "lossdsl.load", "path": "other.yaml"})
