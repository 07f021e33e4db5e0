"""The same text gives the same graph: twice in one process, and whatever the hash seed is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import lossdsl
import lossdsl.testing
from lossdsl.checking.facts import facts_of
from lossdsl.checking.resolve import resolve
from lossdsl.config import read_formula
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.nodes import Node
from lossdsl.registry import define as local
from lossdsl.registry.discover import default_registry
from lossdsl.runtime.lower import lower

FORMULAS = {
    "0.5*bce + 0.5*(-log(1 - dice))": "binary",
    "a = dice\nb = iou*a\ns = learn(0)\nexp(-s)*b + s + a + mean(w*v*u*bce(reduction=none))": "multilabel",
    "ce(label_smoothing=0.1) + focal + lovasz + dice(per=batch) + mean(max(p, over=[batch, pixel]))": "multiclass",
    "huber + l1 + mean(mean(abs(pred - target), over=[pixel, class]))": "regression",
}
TENSORS = (("u", ("batch", "class")), ("v", ("batch", "pixel")), ("w", ("batch", "class", "pixel")))


def listing(loss: BuiltLoss, nodes_of: Any) -> list[tuple[Any, ...]]:
    """The graph as text: each node with the numbers of its arguments."""
    nodes: tuple[Node, ...] = nodes_of(loss)
    number = {node: index for index, node in enumerate(nodes)}
    return [
        (node.operation, [number[a] for a in node.arguments], str(node.attributes), sorted(node.axes)) for node in nodes
    ]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("fields", [{}, {"mask": ("batch", "pixel"), "weighted": True}], ids=["", "mask and weights"])
def test_built_twice(formula: str, fields: Any, built: Any, nodes_of: Any) -> None:
    first, second = (built(formula, FORMULAS[formula], tensors=TENSORS, **fields) for _ in range(2))
    assert listing(first, nodes_of) == listing(second, nodes_of)
    assert lower(first).module.code == lower(second).module.code
    assert [term.name for term in first.terms] == [term.name for term in second.terms]
    assert [str(rewrite.rule) for rewrite in first.rewrites] == [str(rewrite.rule) for rewrite in second.rewrites]


def test_definitions_that_are_kept_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read for the first time in a registry, and again. With losses of the process's own, none are kept."""
    monkeypatch.setattr(local, "_REGISTERED", {})
    names = [
        loss.name for loss in default_registry().built_ins() if not any(p.default is None for p in loss.parameters)
    ]
    with lossdsl.testing.registry() as registry:
        for text in (" + ".join(names[::2]), *names):
            spec = read_formula(text).spec
            assert spec
            first, second = (resolve(spec, registry).objective for _ in range(2))
            assert first
            assert second
            assert [name for name, _ in first.bodies] == [name for name, _ in second.bodies]
            assert all(old is new for (_, old), (_, new) in zip(first.bodies, second.bodies, strict=True))
            assert [loss.name for loss in facts_of(first).losses] == [loss.name for loss in facts_of(second).losses]


_SCRIPT = """
import torch, lossdsl
torch.manual_seed(0)
for formula, task in {formulas!r}.items():
    shape = (2, 3, 4)
    pred = torch.randn(shape)
    target = torch.randint(3, (2, 4)) if task == "multiclass" else torch.rand(shape)
    loss = lossdsl.compile(formula, task=task, ignore_index=255, class_weight=None if task == "binary" else [1, 2, 3])
    tensors = dict(u=torch.rand(2, 3), v=torch.rand(2, 4), w=torch.rand(shape)) if "mean(w*" in formula else dict()
    value = loss(pred, target, mask=torch.ones(2, 1, 4), **tensors)
    print(value.item(), *loss.state_dict(), *loss.breakdown(pred, target, **tensors).terms)
    for plan in loss._plans.values():
        print(plan.inputs, plan.module.code)
    print(lossdsl.explain(formula))
report = lossdsl.check("bec + dise + focal(gama=1, alpha=7) + mean(q*dice) + ce(label_smoothing=2)")
print(report)
"""


@pytest.mark.long
def test_no_hash_seed_matters() -> None:
    outputs = set()
    for seed in ("0", "4242"):
        code = _SCRIPT.format(formulas=FORMULAS)
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert not done.stderr
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert "def forward" in outputs.pop()
