"""The Lovasz losses by hand, on hard predictions and of very many pixels."""

from __future__ import annotations

from typing import Any

import pytest
import torch


def test_by_hand(value: Any) -> None:
    """Three pixels, the first one an object, with the errors 0.6, 0.5 and 0.1.

    Sorted: 0.6 adds the object to the wrong ones, J = 1/1; 0.5 makes J = 2/2, 0.1 J = 3/3. So the loss is 0.6.
    With errors 0.2, 0.5, 0.1: J = 1/2, then 2/2, then 3/3, so 0.5/2 + 0.2/2 = 0.35.
    """
    y = torch.tensor([[0, 1, 1]])
    for object_error, expected in ((0.6, 0.6), (0.2, 0.35)):
        p = torch.tensor([[1 - object_error, 0.5, 0.1]], dtype=torch.float64)
        both = torch.stack([p, 1 - p], 1)
        only_first = "sum(w*lovasz_extension(abs(y - p), y, reduction=none))"
        weight = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        result = value(only_first, both, y, task="multiclass", input="probs", call={"w": weight})
        assert result.item() == pytest.approx(expected, rel=1e-12)


def test_of_hard_predictions_is_jaccard(value: Any) -> None:
    """On the corners of the cube the extension is the set function: 1 - IoU."""
    torch.manual_seed(0)
    for _ in range(20):
        p, y = (torch.rand(2, 1, 12, dtype=torch.float64) < 0.5).double(), (torch.rand(2, 1, 12) < 0.5).double()
        result = value("mean(lovasz_extension(abs(y - p), y, reduction=none))", p, y, task="binary", input="probs")
        expected = value("iou(smooth=0)", p, y, task="binary", input="probs")
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def test_many_pixels_in_single_precision(value_and_gradient: Any) -> None:
    """A weight is about one in a million; as a difference of two Jaccard losses it would be lost in float32."""
    torch.manual_seed(0)
    z, y = torch.randn(1, 1, 1024, 512), (torch.rand(1, 1, 1024, 512) < 0.3).float()
    single = value_and_gradient("lovasz", z, y, task="binary")
    double = value_and_gradient("lovasz", z.double(), y.double(), task="binary")
    torch.testing.assert_close(single[0].double(), double[0], rtol=1e-5, atol=0)
    error = (single[1].double() - double[1]).norm() / double[1].norm()
    assert error < 1e-5
