"""What is known of the operations of a formula is known of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossdsl.checking.resolve import resolve
from lossdsl.config import read_file, read_formula
from lossdsl.config.model import Spec
from lossdsl.errors import LossError
from lossdsl.graph.build import build
from lossdsl.graph.graphs import Graphs
from lossdsl.graph.nodes import OPERATIONS, for_each_operation, in_order
from lossdsl.proving import overflow as magnitude
from lossdsl.proving import slopes, transfer
from lossdsl.registry.discover import default_registry

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.yaml"))
# What the built-ins and recipes do not use.
OTHERS = (
    "mean(cosh(z)) + mean(tanh(z))", "mean(log(1 + z))", "mean(where(y > 0, p, 1)) - 1/(1 - classes)",
    "mean(local_max(p, size=3))", "mean(local_mean(1, size=3, outside=0)*p)", "for_class(bce, [0])", "[1, 2]*1e-3",
    "mean([1, 2]*p)", "min(p)", "max(p)", "mean(log(sum(exp(z), over=pixel)))", "mean(logsumexp(z, over=pixel))",
    "mean(log(1 - p))", "topk(p, share=0.5)", "mean(stop_gradient(p))", "mean(softplus(-z) + relu(z))",
    "mean(abs(p)**1.5)", "mean(p**0.5)", "mean(exp(z))", "mean(sum(y*p, over=class))", "mean(local_min(p, size=3))",
    "mean(logcosh(z))", "mean(sqrt(p))", "lovasz", "mean(sum(p, over=class), count=foreground)",
)  # fmt: skip


def specs() -> dict[str, Spec]:
    own = [loss.name for loss in default_registry().built_ins()]
    read = {text: read_formula(text).spec for text in (*own, *OTHERS)}
    read |= {path.stem: read_file(path).spec for path in RECIPES}
    return {name: spec for name, spec in read.items() if spec is not None}


def test_what_is_made_is_in_the_tables() -> None:
    """Of all that we ship, for all tasks, with and without a mask, ignored labels and class weights."""
    made: set[str] = set()
    for spec in specs().values():
        objective = resolve(spec, default_registry()).objective
        if objective is None:
            continue
        for working in Graphs(objective, spec.options).working().values():
            for mask, ignored in ((None, None), (("batch", "pixel"), None), (("batch", "pixel"), 255)):
                call = working.context._replace(mask=mask, ignoring=ignored is not None, weighted=mask is not None)
                try:
                    built = build(objective, call, ignored)
                except LossError:
                    continue
                made |= {node.operation for node in in_order([built.total])}
    assert made <= OPERATIONS
    assert OPERATIONS - made <= {"filled_image", "ones"}


def test_every_table_has_every_operation() -> None:
    for table in (transfer._TRANSFER, slopes._LOCAL, magnitude._GROWTH):
        assert table.keys() == OPERATIONS


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_missing_row_is_an_error(operation: str) -> None:
    with pytest.raises(LookupError, match=operation):
        for_each_operation({name: 0 for name in OPERATIONS if name != operation})


def test_a_row_for_nothing_is_an_error() -> None:
    with pytest.raises(LookupError, match="cube"):
        for_each_operation(dict.fromkeys((*OPERATIONS, "cube"), 0))
