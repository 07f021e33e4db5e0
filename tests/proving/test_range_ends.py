"""Every built-in with each parameter in turn at the ends of its range and at other values that it may have."""

from __future__ import annotations

import math

import pytest

import lossdsl
from lossdsl.registry.discover import default_registry
from lossdsl.registry.model import Parameter
from lossdsl.testing.subjects import subject_of

BUILT_IN = [
    name
    for name in sorted(default_registry().names())
    if "." not in name and default_registry().candidates(name)[0].own
]
TASKS = ("binary", "multilabel", "multiclass", "regression")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_report_at_each_value(name: str) -> None:
    """Nothing is too much for the checker: it reports, at a place, what the value is wrong for."""
    for call in subject_of(name).variants():
        for text in (call, f"2*{call} + {call}"):
            for task in TASKS:
                report = lossdsl.check(text, task=task)
                errors = [one for one in report.diagnostics if one.severity == "error"]
                assert all(one.line and one.code[:3] in ("LD2", "LD3") for one in errors), report


def ends(parameter: Parameter) -> list[float]:
    """The ends of a range that belong to it, and numbers next to those that do not, however far they are."""
    declared = parameter.interval
    if declared is None:
        return []
    found = []
    for end, is_open, inward in ((declared.low, declared.low_open, 1.0), (declared.high, declared.high_open, -1.0)):
        if math.isinf(end):
            found += [math.copysign(size, end) for size in (1e3, 1e12, 1e30, 3.4e38)]
        else:
            near = (1e-45, 1e-38, 1e-12, 1e-6) if end == 0 else (1e-12, 1e-6)
            found += [*(() if is_open else (end,)), *(end + inward * distance for distance in near)]
    numbers = [float(int(number)) for number in found] if declared.whole else found
    return [number for number in dict.fromkeys(numbers) if number in declared]


ENDS = [
    (name, parameter.name, end)
    for name in BUILT_IN
    for parameter in subject_of(name).loss.parameters
    if f"{parameter.name}=" not in subject_of(name).call
    for end in ends(parameter)
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", sorted({name for name, _, _ in ENDS}))
def test_each_end_of_each_range(name: str) -> None:
    """From the signatures: check, the ranges and the text of the report come to an end, and errors have a place."""
    call = subject_of(name).call
    for parameter, end in ((parameter, end) for one, parameter, end in ENDS if one == name):
        written = f"{call[:-1]}, {parameter}={end!r})" if call.endswith(")") else f"{name}({parameter}={end!r})"
        for text in (written, f"2*{written} + 0.5*{written}*epoch"):
            for task in TASKS:
                report = lossdsl.check(text, task=task)
                errors = [one for one in report.diagnostics if one.severity == "error"]
                assert all(one.line and one.code[:3] in ("LD2", "LD3") for one in errors), report
                assert str(report)
                if report.ok and text is written:
                    assert " total " in lossdsl.explain(text, task=task)


def test_the_ends_are_those_of_the_signatures() -> None:
    assert len(ENDS) >= 200
    assert ("sensitivity_specificity", "balance", 0.0) in ENDS
    assert ("focal", "gamma", 3.4e38) in ENDS
    assert ("ce", "label_smoothing", 0.0) in ENDS


@pytest.mark.parametrize(
    "text", ["cldice(iterations=1e10)", "cldice(iterations=1001)", "soft_skeleton(p, iterations=1e10)"]
)
def test_counts_have_an_upper_end(text: str) -> None:
    (found,) = lossdsl.check(text, task="binary").diagnostics
    assert (found.code, found.severity) == ("LD204", "error")
    assert "1,000" in f"{found.message} {found.hint}" or "1000" in f"{found.message} {found.hint}"
