"""Formulas to graphs, without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from lossdsl.checking.resolve import resolve
from lossdsl.checking.resolved import Objective
from lossdsl.config import read_formula, read_mapping
from lossdsl.errors import FormulaError
from lossdsl.graph import verify
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context, from_plain
from lossdsl.graph.nodes import Node, in_order
from lossdsl.registry.discover import default_registry


@pytest.fixture
def objective_of() -> Callable[..., Objective]:
    """A formula or a mapping, read and looked up. Raises FormulaError with what is wrong."""

    def read(source: Any) -> Objective:
        reading = read_formula(source) if isinstance(source, str) else read_mapping(source)
        if reading.spec is None:
            raise FormulaError(reading.diagnostics)
        resolution = resolve(reading.spec, default_registry())
        if resolution.objective is None:
            raise FormulaError(resolution.diagnostics)
        return resolution.objective

    return read


@pytest.fixture
def built(objective_of: Any) -> Callable[..., BuiltLoss]:
    """The graph of a formula: built(formula, task, ignore_index=None, **fields of the context)."""

    def make(source: Any, task: str = "binary", ignore_index: int | None = None, **fields: Any) -> BuiltLoss:
        fields.setdefault("indexed", task == "multiclass")
        context = from_plain(Context(task=task, ignoring=ignore_index is not None, **fields))
        return build(objective_of(source), context, ignore_index)

    return make


@pytest.fixture
def nodes_of() -> Callable[[BuiltLoss], tuple[Node, ...]]:
    """Every node that the total and the terms need."""

    def every(loss: BuiltLoss) -> tuple[Node, ...]:
        parts = [part for term in loss.terms for part in (term.value, term.weight, term.contribution)]
        return in_order([loss.total, *parts])

    return every


@pytest.fixture
def count(nodes_of: Any) -> Callable[[BuiltLoss], Counter[str]]:
    """How often each operation stands in a graph."""
    return lambda loss: Counter(node.operation for node in nodes_of(loss))


@pytest.fixture(autouse=True)
def legal_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every graph that a test makes must be legal, after each pass, and so must the stages that it is cut into."""
    monkeypatch.setattr(verify, "checked", verify.verify)
    monkeypatch.setattr(verify, "checked_stages", verify.verify_stages)
