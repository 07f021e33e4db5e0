"""A task is one record: what the package knows of it stands there, and another one is one record more."""

from __future__ import annotations

import ast
import dataclasses
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossdsl.tasks import TASKS, Task, candidates, decide_task, task_record

PACKAGE = Path(__file__).parents[1] / "lossdsl"
RECORDS = PACKAGE / "tasks.py"


def named(text: str) -> Iterator[ast.Constant]:
    """The task names that stand as texts in a program."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and node.value in TASKS:
            yield node


def test_no_other_file_asks_for_a_task_by_its_name() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if path != RECORDS]
    found = {path.name: [node.lineno for node in named(path.read_text(encoding="utf-8"))] for path in files}
    assert len(found) > 100
    assert not {name: lines for name, lines in found.items() if lines}


def test_a_name_in_a_program_is_found() -> None:
    assert [node.lineno for node in named('if a:\n    b = task == "multiclass"\nc = "for multiclass"')] == [2]
    assert {node.value for node in named(RECORDS.read_text(encoding="utf-8"))} == set(TASKS)


RECORD = {
    "binary": ("sigmoid", (1, 1), False, True, False, True),
    "multilabel": ("sigmoid", (1, float("inf")), False, True, False, False),
    "multiclass": ("softmax", (2, float("inf")), True, True, True, False),
    "regression": (None, (1, float("inf")), False, False, False, False),
}


@pytest.mark.parametrize("task", TASKS)
def test_what_is_known_of_a_task(task: Task) -> None:
    record = task_record(task)
    facts = (record.activation, record.classes, record.indices)
    assert (*facts, record.has_labels, record.is_exclusive, record.has_one_class) == RECORD[task]
    assert record.name == task


def test_a_record_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        task_record("binary").indices = True  # type: ignore[misc]


def test_candidates() -> None:
    assert candidates(raw_only=True) == ("regression",)
    assert candidates(raw_only=False) == ("binary", "multiclass", "multilabel")


@pytest.mark.parametrize("raw_only", [True, False])
def test_one_candidate_takes_the_shapes_that_fit_no_other(raw_only: bool) -> None:
    plainest, *others = map(task_record, candidates(raw_only))
    assert plainest.fits is None
    assert all(other.fits for other in others)
    assert decide_task((2, 3), (7,), raw_only) == plainest.name


@pytest.mark.parametrize("names", ['Literal["ordinal", "binary", ', "Literal["])
def test_names_and_records_that_differ_are_an_error_at_import(names: str, tmp_path: Path) -> None:
    changed = tmp_path / "tasks.py"
    changed.write_text(RECORDS.read_text(encoding="utf-8").replace('Literal["binary", ', names, 1), encoding="utf-8")
    with pytest.raises(AssertionError, match="each task is one record"):
        runpy.run_path(str(changed))


WITH_ANOTHER = """
import sys, types
from pathlib import Path

text = Path(sys.argv[1]).read_text(encoding="utf-8")
text = text.replace('Literal["binary"', 'Literal["depth", "binary"', 1)
text = text.replace("_RECORDS = (", '_RECORDS = (TaskRecord("depth", None, (1, 1), False, instead="use l2"),', 1)
sys.modules["lossdsl.tasks"] = module = types.ModuleType("lossdsl.tasks")
exec(text, vars(module))

import lossdsl, torch
pred, target = torch.tensor([[2.0, 4.0]]), torch.tensor([[1.0, 1.0]])
report = lossdsl.check("mean(abs(pred - target))", task="depth")
assert report.ok, report
assert lossdsl.compile("mean(abs(pred - target))", task="depth")(pred, target).item() == 2
assert lossdsl.compile("mean(abs(pred - target))")(pred, target).item() == 2
(unfit,) = lossdsl.check("ce", task="depth").diagnostics
(labels,) = lossdsl.check("mean(y)", task="depth").diagnostics
(unknown,) = lossdsl.check("bce", task="deep").diagnostics
print(unfit.hint, labels.message, unknown.message, sep="\\n")
"""


def test_another_task_is_one_record() -> None:
    """It is read, checked, compiled and called; its candidate goes before the others that have no labels."""
    program = [sys.executable, "-c", WITH_ANOTHER, str(RECORDS)]
    result = subprocess.run(program, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "use l2",
        "a depth has no labels `y`",
        "task must be one of depth, binary, multilabel, multiclass, regression, got `deep`",
    ]
