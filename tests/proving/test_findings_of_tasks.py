"""Findings for each task that a loss may have: each is told once, and for which tasks it holds."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.errors import Diagnostic, Edit, Source, Span
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.context import Context
from lossdsl.proving.findings import for_each_task

TEXT, OTHER = Source("bce + dice"), Source("bce + iou")


def finding(
    message: str, at: int = 0, severity: Any = "warning", source: Source = TEXT, code: str = "LD701"
) -> Diagnostic:
    span = Span(at, at + 3)
    return Diagnostic(code, message, source, span, "hint", severity, Edit(span, "ce"))


def built_for(task: str) -> BuiltLoss:
    nothing: Any = None
    return BuiltLoss(Context(task), (), nothing, (), nothing, ())


A, B, LATER = finding("a"), finding("b"), finding("a", at=6)
CERTAIN, ELSEWHERE, OTHER_CODE = finding("a", severity="error"), finding("a", source=OTHER), finding("a", code="LD702")

# what is found for each task, and what is told: the finding, whether as it is, the tasks that it is told for
TOLD: list[tuple[dict[str, list[Diagnostic]], list[tuple[Diagnostic, str]]]] = [
    ({"binary": []}, []),
    ({"binary": [], "multilabel": [A]}, []),
    ({"binary": [A]}, [(A, "")]),
    ({"binary": [A, A, LATER]}, [(A, ""), (LATER, "")]),
    ({"binary": [A], "multilabel": [A]}, [(A, "")]),
    ({"binary": [A], "multilabel": [B]}, [(A, "")]),
    ({"binary": [A], "multilabel": []}, [(A, "binary")]),
    ({"binary": [A], "multilabel": [A], "multiclass": []}, [(A, "binary, multilabel")]),
    ({"binary": [A], "multilabel": [LATER]}, [(A, "binary"), (LATER, "multilabel")]),
    ({"binary": [A], "multilabel": [OTHER_CODE]}, [(A, "binary"), (OTHER_CODE, "multilabel")]),
    ({"binary": [A], "multilabel": [ELSEWHERE]}, [(A, "binary"), (ELSEWHERE, "multilabel")]),
    ({"binary": [CERTAIN], "multilabel": [CERTAIN]}, [(CERTAIN, "")]),
    ({"binary": [CERTAIN], "multilabel": []}, [(CERTAIN, "binary")]),
    ({"binary": [CERTAIN], "multilabel": [A]}, [(A, "")]),
    ({"binary": [CERTAIN, LATER], "multilabel": [A, B]}, [(LATER, "binary"), (A, "")]),
    ({"binary": [A, LATER], "multilabel": [LATER, B]}, [(A, ""), (LATER, "")]),
]


@pytest.mark.parametrize(("found", "told"), TOLD)
def test_what_is_told(found: dict[str, list[Diagnostic]], told: list[tuple[Diagnostic, str]]) -> None:
    first, *others = map(built_for, found)
    result = for_each_task(first, others, lambda built: tuple(found[built.context.task]))
    wanted = [
        Diagnostic(one.code, f"for {tasks}: {one.message}", one.source, one.span, one.hint, "warning") if tasks else one
        for one, tasks in told
    ]
    assert list(result) == wanted


@pytest.mark.parametrize(("found", "looked_at"), [((), ["binary"]), ((A,), ["binary", "multilabel"])])
def test_other_tasks_are_looked_at_only_where_something_is_found(found: Any, looked_at: list[str]) -> None:
    looked: list[str] = []

    def look(built: BuiltLoss) -> tuple[Diagnostic, ...]:
        looked.append(built.context.task)
        return found

    for_each_task(built_for("binary"), iter([built_for("multilabel")]), look)
    assert looked == looked_at
