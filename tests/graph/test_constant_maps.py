"""A map that comes out constant for some parameters, such as p**gamma with gamma = 0, is reduced like any other."""

from __future__ import annotations

import math

import pytest
import torch

import lossdsl
from lossdsl.registry.define import unregistered

# The text of a definition: its value for two images of three classes and 20 pixels, of which 7 and 20 count.
MEMBERS = {
    "mean(sum(p**gamma, over=pixel))": (7 + 20) / 2,
    "sum(p**gamma)": 3 * 27,
    "sum(2*p**gamma)": 6 * 27,
    "mean(sum(p**gamma, per=batch))": 27,
    "mean(sum(2*p**gamma, over=class))": 6,
    "mean(max(2*p**gamma, over=class))": 2,
    "mean(mean(p**gamma, per=image))": 1,
    "mean(topk(3*p**gamma, share=0.5, over=pixel))": 3,
    "mean(logsumexp(0*p**gamma, over=class))": math.log(3),
    "mean(logsumexp(p**gamma, over=class))": 1 + math.log(3),
    "logsumexp(p**gamma - 1)": math.log(3 * 27),
    "mean(log(sum(exp(p**gamma), over=class)))": 1 + math.log(3),
    "mean(softmax(0*p**gamma, over=class))": 1 / 3,
    "mean(softmax(p**gamma, over=class))": 1 / 3,
    "mean(softmax(p**gamma - 1, over=pixel))": 2 / 27,
    "mean(softmax(p**gamma))": 1 / 3,
}


@pytest.mark.parametrize("text", MEMBERS)
def test_a_map_of_ones(text: str) -> None:
    z, y = torch.randn(2, 3, 20, dtype=torch.float64), torch.ones(2, 3, 20, dtype=torch.float64)
    mask = torch.ones(2, 20, dtype=torch.bool)
    mask[0, 7:] = False
    with unregistered():
        lossdsl.define(f"mine(gamma: [0, 5] = 0) = {text}")
        loss = lossdsl.compile("mine", task="multilabel")
    assert loss(z, y, mask=mask).item() == pytest.approx(MEMBERS[text], rel=1e-12)
