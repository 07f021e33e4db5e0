"""`explain --cost` counts what a call runs, and not what might have been run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import lossdsl
from lossdsl.graph.factored_form import is_wide
from lossdsl.registry.discover import default_registry
from lossdsl.runtime import sweeps

TASKS = ("binary", "multilabel", "multiclass", "regression")
BUILT_INS = [loss.name for loss in default_registry().built_ins()]
COMPOSITIONS = ["bce + dice", "0.3*l1 + huber", "ce(label_smoothing=0.1) + dice", "s = learn(0.3)\nexp(-s)*dice + s"]
# Boxes, embeddings, images that a window of ten pixels fits into, and what takes arguments that have no default.
OF_OTHER_TENSORS = {
    *("barlow_twins", "class_distance", "giou", "lovasz_extension", "ms_ssim", "nt_xent", "soft_skeleton", "ssim"),
    *("tempered_sigmoid", "tempered_softmax", "wasserstein_dice"),
}
LEFT = ["not run in stages"] * 2


def told(text: str, task: str) -> list[str]:
    section = lossdsl.explain(text, task=task, cost=True).rpartition("passes over memory")[2]
    return [line.rpartition("  ")[2].strip() for line in section.splitlines()[3:]]


def counted(text: str, task: str) -> list[str]:
    """From the steps of the program that a call made."""
    loss: Any = lossdsl.compile(text, task=task)
    torch.manual_seed(0)
    pred = torch.randn(3, 1 if task == "binary" else 3, 5, 7, requires_grad=True)
    target = torch.randn(pred.shape) if task == "regression" else (torch.rand(pred.shape) < 0.4).float()
    loss(pred, torch.randint(0, 3, (3, 5, 7)) if task == "multiclass" else target)
    (runner,) = loss._runners.values()
    (program,) = runner.programs.values()
    if program is None:
        return LEFT
    return [
        str(sum(is_wide(node) for step in steps if step.sweep for node in (*step.inputs, *step.outputs)))
        for steps in (program.forward, program.backward)
    ]


@pytest.mark.parametrize("text", [*BUILT_INS, *COMPOSITIONS])
def test_explain_counts_what_is_run(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "PIECE", 6)
    tried = 0
    for task in TASKS:
        if not lossdsl.check(text, task=task).ok:
            continue
        try:
            found = counted(text, task)
        except lossdsl.LossError:  # for other tensors than these
            continue
        assert told(text, task) == found, task
        tried += 1
    assert bool(tried) == (text not in OF_OTHER_TENSORS)
