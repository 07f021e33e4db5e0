"""The docstrings of what users call are complete, and their examples are run."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lossdsl
from lossdsl.registry.discover import temporary_registry

PUBLIC: dict[str, Any] = {name: getattr(lossdsl, name) for name in lossdsl.__all__}
PUBLIC |= {f"testing.{name}": getattr(lossdsl.testing, name) for name in lossdsl.testing.__all__}
PUBLIC |= {
    "Loss.forward": lossdsl.Loss.forward,
    "Loss.breakdown": lossdsl.Loss.breakdown,
    "the package": lossdsl,
    "the package testing": lossdsl.testing,
}
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if inspect.isfunction(thing) and name != "testing.registry"}
# The examples of other functions and classes show these.
SHOWN_ELSEWHERE = {
    "Diagnostic",
    "EMBEDDINGS",
    "Input",
    "Loss.breakdown",
    "LossWarning",
    "TermValue",
    "testing.registry",
}
WITH_EXAMPLES = [
    name
    for name, thing in PUBLIC.items()
    if name not in SHOWN_ELSEWHERE and not (inspect.isclass(thing) and issubclass(thing, Exception))
]
RAISES_NOTHING = {"check", "rediscover", "testing.names"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_described(name: str) -> None:
    text = documentation(name)
    arguments = [p for p in inspect.signature(FUNCTIONS[name]).parameters if p not in ("self", "more")]
    described = " ".join(line.partition(":")[0] for line in text.splitlines() if line.startswith("    "))
    assert [one for one in arguments if one not in described.replace(",", " ").split()] == []
    assert ("Args:" in text) == bool(arguments)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_it_returns_and_raises_is_described(name: str) -> None:
    text = documentation(name)
    assert ("Returns:" in text) == (inspect.signature(FUNCTIONS[name]).return_annotation != "None")
    assert ("Raises:" in text) == (name not in RAISES_NOTHING)


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_has_a_docstring(name: str) -> None:
    if name != "EMBEDDINGS":  # a tuple
        assert documentation(name)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_its_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(documentation(name), {}, name, None, None)
    assert examples.examples
    with temporary_registry():  # what an example registers stays here
        result = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(examples)
    assert result.failed == 0


def documentation(name: str) -> str:
    thing: Callable[..., Any] = PUBLIC[name]
    return inspect.getdoc(thing) or ""
