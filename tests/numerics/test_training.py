"""A small net trained on an easy task, far beyond the point where all is right: with every built-in it gets there and
stays there. A slope that grows without bound near a perfect prediction would throw it out again."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import lossdsl
from lossdsl.registry.discover import default_registry

_WRITTEN = {"wasserstein_dice": "wasserstein_dice(distances=[[0, 1, 0.5], [1, 0, 0.5], [0.5, 0.5, 0]])"}
# Losses with half of the mistakes in view: everything, or one sure pixel, is right for them.
_ONE_SIDED = frozenset({"precision", "recall"})
# Pixels that are labelled one by one have no centre lines.
_OF_STRUCTURES = frozenset({"cldice"})
_SCORES = frozenset({"dice_coef", "iou_coef"})


def _rows() -> list[tuple[str, str]]:
    """The losses of the library that read labels, with each task that they are for."""
    registry = default_registry()
    found = []
    for candidate in (registry.candidates(name)[0] for name in sorted(registry.names()) if "." not in name):
        loss = registry.load(candidate)
        needed = [parameter for parameter in loss.parameters if parameter.default is None]
        labels = "regression" not in loss.tasks and loss.name not in _ONE_SIDED | _OF_STRUCTURES
        if candidate.own and hasattr(loss, "declaration") and labels and (not needed or loss.name in _WRITTEN):
            text = f"1 - {loss.name}" if loss.name in _SCORES else _WRITTEN.get(loss.name, loss.name)
            found += [(text, task) for task in loss.tasks]
    return found


ROWS = [*_rows(), *((text, "multiclass") for text in ("ce + dice", "ce**0.3", "dice**0.3", "-log(1 - dice)"))]


def _task(task: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Points of a plane in each pixel, labelled by the direction in which they lie."""
    points = torch.randn(4, 2, 12, 12, dtype=dtype)
    angle = torch.atan2(points[:, 1], points[:, 0])
    sector = ((angle + math.pi) / (2 * math.pi) * 3).floor().long().clamp(0, 2)
    # Points near a border between two labels are moved away from it, so that the task is an easy one.
    middle = (sector + 0.5) / 3 * 2 * math.pi - math.pi
    points = torch.stack((middle.cos(), middle.sin()), 1) + 0.05 * points
    if task == "multiclass":
        return points, sector
    one_hot = nn.functional.one_hot(sector, 3).movedim(-1, 1).to(dtype)
    return points, one_hot if task == "multilabel" else one_hot[:, :1]


def _share_right(logits: Tensor, target: Tensor) -> float:
    found = logits.argmax(1) if target.dtype == torch.long else (logits > 0).to(target.dtype)
    return (found == target).double().mean().item()


def _trained(text: str, task: str, dtype: torch.dtype, optimizer: str) -> tuple[float, float]:
    """The share of right pixels at the end, and the loss."""
    points, target = _task(task, dtype)
    net = nn.Sequential(nn.Conv2d(2, 8, 1), nn.Tanh(), nn.Conv2d(8, 1 if task == "binary" else 3, 1)).to(dtype)
    loss = lossdsl.compile(text, task=task)
    steps: torch.optim.Optimizer
    steps = torch.optim.Adam(net.parameters(), 0.1) if optimizer == "Adam" else torch.optim.SGD(net.parameters(), 0.5)
    for _ in range(150):
        value = loss(net(points), target)
        steps.zero_grad()
        value.backward()
        steps.step()
        assert value.isfinite()
    # Once all is right, on with ten times the scale, as after a long training.
    with torch.no_grad():
        for parameter in net[2].parameters():
            parameter *= 10
    for _ in range(20):
        value = loss(net(points), target)
        steps.zero_grad()
        value.backward()
        steps.step()
    assert all(parameter.isfinite().all() for parameter in net.parameters())
    return _share_right(net(points), target), value.item()


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("text", "task"), ROWS, ids=["-".join(row) for row in ROWS])
def test_to_the_end(text: str, task: str) -> None:
    share, _ = _trained(text, task, torch.float32, "Adam")
    assert share >= 0.99


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("text", ["exp_log", "unified_focal", "focal_tversky", "ce + dice", "ce**0.3", "dice**0.3"])
def test_by_plain_descent(text: str, dtype: torch.dtype) -> None:
    """One steep slope is enough to end plain gradient descent."""
    share, _ = _trained(text, "multiclass", dtype, "SGD")
    assert share >= 0.99
