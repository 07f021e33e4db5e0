"""What a kernel says that it reads decides what is wrong to give it, as the text of a formula does."""

from __future__ import annotations

import pytest
import torch

import lossdsl
from lossdsl.registry.define import unregistered


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("labels(z, 2*y - 1)", [("LD721", 11)]),
        ("labels(z, 3*y)", [("LD721", 11)]),
        ("labels(z, y)", []),
        ("numbers(z, 2*y - 1)", []),
    ],
)
def test_targets_of_kernels(text: str, found: list[tuple[str, int]]) -> None:
    with unregistered():

        @lossdsl.loss(name="labels")
        def labels(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (p - y).abs().mean()

        @lossdsl.loss(name="numbers")
        def numbers(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (pred - target).abs().mean()

        report = lossdsl.check(text, task="binary")
    assert [(finding.code, finding.column) for finding in report.diagnostics] == found
