"""`reduction=none` of a loss that a process defines: its text may be another loss, a choice, or a mean."""

from __future__ import annotations

import pytest
import torch

import lossdsl
from lossdsl.registry.define import unregistered

# definition, its call, and the same written out
MEMBERS = [
    ("mine(w: [0, 10] = 3) -> [0, inf) = bce(pos_weight=w)", "mine", "bce(pos_weight=3, reduction={})"),
    ("mine(w: [0, 10] = 3) -> [0, inf) = bce(pos_weight=w)", "mine(w=2)", "bce(pos_weight=2, reduction={})"),
    (
        "mine(w: [0, 10] = 3) -> [0, inf) = where(w > 2, bce(pos_weight=w), l1(p, y))",
        "mine",
        "bce(pos_weight=3, reduction={})",
    ),
    ("mine(w: [0, 10] = 3) -> [0, inf) = where(w > 2, bce, l1(p, y))", "mine(w=1)", "l1(p, y, reduction={})"),
    ("mine() -> [0, inf) = mean(bce(reduction=none)**2)", "mine", "bce(reduction=none)**2"),
    ("mine() -> [0, inf) = dice(smooth=0)", "mine", "dice(smooth=0, reduction={})"),
]


@pytest.mark.parametrize("reduction", ["none", "sum"])
@pytest.mark.parametrize(("definition", "call", "written"), MEMBERS)
def test_a_loss_of_another_loss(definition: str, call: str, written: str, reduction: str) -> None:
    z, y = torch.randn(2, 1, 3, 4, dtype=torch.float64), torch.randint(0, 2, (2, 1, 3, 4)).double()
    with unregistered():
        lossdsl.define(definition)
        opened = f"{call.removesuffix(')')}{', ' if '(' in call else '('}reduction={reduction})"
        plain = written.format(reduction) if "{}" in written else f"sum({written})" if reduction == "sum" else written
        texts = (opened, plain) if reduction == "sum" else (f"mean({opened}**2)", f"mean(({plain})**2)")
        found, wanted = (lossdsl.compile(text, task="binary")(z, y) for text in texts)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-12)
