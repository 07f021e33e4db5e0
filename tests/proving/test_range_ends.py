"""Every built-in with each parameter in turn at the ends of its range and at other values that it may have."""

from __future__ import annotations

import pytest

import lossdsl
from lossdsl.registry.discover import default_registry
from lossdsl.testing.subjects import subject_of

BUILT_IN = [
    name
    for name in sorted(default_registry().names())
    if "." not in name and default_registry().candidates(name)[0].own
]
TASKS = ("binary", "multilabel", "multiclass", "regression")


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_report_at_each_value(name: str) -> None:
    """Nothing is too much for the checker: it reports, at a place, what the value is wrong for."""
    for call in subject_of(name).variants():
        for text in (call, f"2*{call} + {call}"):
            for task in TASKS:
                report = lossdsl.check(text, task=task)
                errors = [one for one in report.diagnostics if one.severity == "error"]
                assert all(one.line and one.code[:3] in ("LD2", "LD3") for one in errors), report


@pytest.mark.parametrize(
    "text", ["cldice(iterations=1e10)", "cldice(iterations=1001)", "soft_skeleton(p, iterations=1e10)"]
)
def test_counts_have_an_upper_end(text: str) -> None:
    (found,) = lossdsl.check(text, task="binary").diagnostics
    assert (found.code, found.severity) == ("LD204", "error")
    assert "1,000" in f"{found.message} {found.hint}" or "1000" in f"{found.message} {found.hint}"
