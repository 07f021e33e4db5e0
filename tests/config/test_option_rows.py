"""Each option is one row, which every way to give it reads: a file, a mapping, a keyword, the shell, the README."""

from __future__ import annotations

import inspect
import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from click.testing import CliRunner

import lossdsl
from lossdsl.cli.check import check
from lossdsl.cli.explain import explain
from lossdsl.config.options import OPTIONS, ROWS, Option, Options

ROOT = Path(__file__).parents[2]

WRONG: list[tuple[str, Any]] = [
    *((name, value) for name in ("task", "input", "backend") for value in (1, 0.5, True, "", "Binary", "1", [], ["a"])),
    *((name, {"a": 1}) for name in OPTIONS if name != "class_weight"),
    *(("ignore_index", value) for value in (True, "255", 255.0, 1e300, "void", 2**63, [255], [], "")),
    *(("class_weight", value) for value in ([0, 0], [0.0], [], {}, True, "1", "balanced", 2, 0.5, [[1, 2]], [1, -1])),
    *(("class_weight", value) for value in (["1", 2], [True, False], [1, None], [1, 1e31], [1, 1e-16], [-1, "a"])),
    *(("class_weight", value) for value in ({"a": 1}, {"0": 1})),
    ("task", "multi_class"),
    ("task", "segmentation"),
    ("input", "sigmoid"),
    ("input", "prob"),
    ("backend", "torch"),
]


def said(report: lossdsl.Report) -> list[tuple[str, str, str | None]]:
    return [(found.code, found.message, found.hint) for found in report.diagnostics]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=repr)
def test_a_wrong_value_is_told_in_the_same_words_everywhere(name: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "loss.yaml"
    path.write_text(f"loss: {{expr: bce, {name}: {json.dumps(value)}}}", encoding="utf-8")
    by_keyword = said(lossdsl.check("bce", **{name: value}))
    assert by_keyword
    assert {code for code, _, _ in by_keyword} == {"LD405"}
    assert said(lossdsl.check({"expr": "bce", name: value})) == by_keyword
    assert said(lossdsl.check(path)) == by_keyword
    with pytest.raises(lossdsl.ConfigError) as caught:
        lossdsl.compile("bce", **{name: value})  # type: ignore[misc]
    assert said(lossdsl.Report(caught.value.diagnostics)) == by_keyword


@pytest.mark.parametrize("name", OPTIONS)
def test_null_is_the_same_as_leaving_out(name: str, tmp_path: Path) -> None:
    path = tmp_path / "loss.yaml"
    path.write_text(f"loss: {{expr: bce, {name}: null}}", encoding="utf-8")
    for loss in (
        lossdsl.compile("bce", **{name: None}),  # type: ignore[misc]
        lossdsl.compile({"expr": "bce", name: None}),
        lossdsl.load(path),
    ):
        assert loss.options == Options()


def test_what_holds_without_an_option() -> None:
    assert Options() == Options(None, "logits", None, None, "eager")
    written = {option.name: option.default for option in fields(Options) if option.default is not None}
    assert {name: f"`{value}`" for name, value in written.items()} == {name: ROWS[name].without for name in written}


@pytest.mark.parametrize("value", [0, -1, 255])
def test_an_option_beside_the_source_goes_before_that_inside(value: int, tmp_path: Path) -> None:
    """Also one that is 0."""
    path = tmp_path / "hydra.yaml"
    source = "{expr: ce, ignore_index: 7, input: probs}"
    path.write_text(
        f"loss: {{_target_: lossdsl.compile, source: {source}, ignore_index: {value}, input: null}}", encoding="utf-8"
    )
    assert lossdsl.load(path).options == Options(ignore_index=value, input="probs")


@pytest.mark.parametrize("value", [1, None])
def test_an_unknown_keyword_is_told(value: object) -> None:
    """Also one that is None."""
    with pytest.raises(lossdsl.ConfigError, match="LD402: unknown option `class_weights`") as caught:
        lossdsl.compile("bce", class_weights=value)  # type: ignore[call-arg]
    assert caught.value.diagnostics[0].hint == "did you mean `class_weight`?"


def test_keywords_are_in_the_signature_and_documented() -> None:
    parameters = inspect.signature(lossdsl.compile).parameters
    assert tuple(parameters) == ("source", *OPTIONS)
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in OPTIONS)
    assert all(parameters[name].default is None for name in OPTIONS)
    assert "int | None" in str(parameters["ignore_index"])
    documentation = " ".join((lossdsl.compile.__doc__ or "").split())
    for name, row in ROWS.items():
        assert f" {name}: {row.doc}; {row.values}. Without it {row.without}." in documentation
    assert "options:" not in documentation
    assert max(map(len, (lossdsl.compile.__doc__ or "").splitlines())) <= 116


def test_a_schema_has_the_values() -> None:
    for row in ROWS.values():
        assert not row.choices or row.schema == {"type": "string", "enum": list(row.choices)}
    assert json.loads(json.dumps([row.schema for row in ROWS.values()]))
    whole = ROWS["ignore_index"].schema
    for end, past in ((whole["minimum"], -1), (whole["maximum"], 1)):
        assert lossdsl.check("ce", ignore_index=end).ok
        assert not lossdsl.check("ce", ignore_index=end + past).ok
    weights, by_label = ROWS["class_weight"].schema["oneOf"]
    assert weights["items"] is by_label["patternProperties"]["^[0-9]+$"]
    assert lossdsl.check("ce", class_weight=[weights["items"]["minimum"], weights["items"]["maximum"]]).ok
    assert not lossdsl.check("ce", class_weight=[1, 2 * weights["items"]["maximum"]]).ok
    assert weights["minItems"] == by_label["minProperties"] == 1


@pytest.mark.parametrize("command", [check, explain], ids=["check", "explain"])
def test_options_of_the_shell(command: Any) -> None:
    printed = " ".join(CliRunner().invoke(command, ["--help"]).stdout.split())
    for name, row in ROWS.items():
        assert (f"--{name} [{'|'.join(row.choices)}] Overrides the value in FILE." in printed) is row.in_shell
    assert {name for name, row in ROWS.items() if row.in_shell} == {"task", "input"}


def test_a_row_that_lacks_something_is_an_error() -> None:
    with pytest.raises(TypeError, match="missing"):
        Option(doc="what is predicted", values="a word")  # type: ignore[call-arg]
    assert set(get_type_hints(Option)) == {"read", "schema", "doc", "values", "without", "choices", "in_shell"}


def readme_table(rows: dict[str, Option]) -> str:
    """The table of options in the README."""
    lines = [f"| `{name}` | {row.values} | {row.without} | {row.doc} |" for name, row in rows.items()]
    return "\n".join(["| key | value | without it | what it does |", "|---|---|---|---|", *lines, ""])


def test_the_table_of_the_readme_is_that_of_the_rows() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme_table(dict(ROWS)) in text


KEYWORDS = "\n\nclass Keywords(TypedDict, total=False):\n"
ROW = """    batch: Literal["local", "global"] = field(
        default="local", metadata=_choice(("local", "global"), doc="whose batch", without="`local`", in_shell=True)
    )
"""
LAST = '    backend: Literal["eager", "inductor"] | None\n'
USE = """
import sys
from pathlib import Path

import lossdsl
from click.testing import CliRunner
from lossdsl.cli.check import check
from lossdsl.config.options import ROWS

sys.path.insert(0, sys.argv[1])
from test_option_rows import readme_table

Path("right.yaml").write_text("loss: {expr: bce, batch: global}", encoding="utf-8")
Path("wrong.yaml").write_text("loss: {expr: bce, batch: gobal}", encoding="utf-8")
assert lossdsl.load("right.yaml").options.batch == "global"
assert lossdsl.compile({"expr": "bce", "batch": "global"}).options.batch == "global"
assert lossdsl.compile("bce", batch="global").options.batch == "global"
assert lossdsl.compile("bce").options.batch == "local"
reports = (
    lossdsl.check("wrong.yaml"),
    lossdsl.check({"expr": "bce", "batch": "gobal"}),
    lossdsl.check("bce", batch="gobal"),
)
for report in reports:
    print(*(f"{found.message}; {found.hint}" for found in report.diagnostics))
assert "batch: whose batch; `local`, `global`. Without it `local`." in lossdsl.compile.__doc__
assert "--batch [local|global]" in CliRunner().invoke(check, ["--help"]).stdout
assert "| `batch` | `local`, `global` | `local` | whose batch |" in readme_table(dict(ROWS))
"""


def test_another_option_is_one_row(tmp_path: Path) -> None:
    """With its type as a keyword. The README lacks it then, as the test of its table tells."""
    for folder in ("lossdsl", "grammar"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "lossdsl" / "config" / "options.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(KEYWORDS) == text.count(LAST) == 1
    path.write_text(text.replace(KEYWORDS, ROW + KEYWORDS).replace(LAST, f"{LAST}    batch: str\n"), encoding="utf-8")
    program = [sys.executable, "-c", USE, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["batch must be one of local, global, got `gobal`; did you mean `global`?"] * 3


def test_a_row_without_a_type_as_a_keyword_is_an_error_at_import(tmp_path: Path) -> None:
    text = (ROOT / "lossdsl" / "config" / "options.py").read_text(encoding="utf-8")
    changed = tmp_path / "options.py"
    changed.write_text(text.replace(LAST, ""), encoding="utf-8")
    with pytest.raises(AssertionError, match="each option has a type as a keyword"):
        runpy.run_path(str(changed))
