"""Each formula against a NumPy transcription of its paper, on distances by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lossdsl

TASKS = ["binary", "multilabel", "multiclass"]
SIZES = [(5, 6), (3, 4, 3)]
NAMES = ["hausdorff", "log_hausdorff", "hausdorff_erosion", "boundary", "distance_ce", "shape_aware"]


def cross_entropy(p, y):
    """Per pixel and class; of classes that exclude each other only the true one has any."""
    positive = -y * np.log(p)
    return positive if p.shape[1] == 3 and np.all(y.sum(1) == 1) else positive - (1 - y) * np.log(1 - p)


def per_pixel(task, p, weighted):
    return weighted.sum(1).mean() if task == "multiclass" else weighted.mean()


def hausdorff(task, p, y, maps, spacing=(), alpha=2.0):
    return np.mean((p - y) ** 2 * (maps(p, spacing) ** alpha + maps(y, spacing) ** alpha))


def log_hausdorff(task, p, y, maps, spacing=()):
    return np.log(1 + hausdorff(task, p, y, maps, spacing))


def signed(y, maps, spacing=(), edge=1.0):
    d = maps(y, spacing)
    return np.where(d == 0, 0, np.where(y == 1, edge - d, d))


def boundary(task, p, y, maps, spacing=()):
    return np.mean(p * signed(y, maps, spacing))


def distance_ce(task, p, y, maps, spacing=()):
    d = maps(y, spacing)
    phi = d.max(axis=tuple(range(2, d.ndim)), keepdims=True) - d
    return per_pixel(task, p, (1 + phi) * cross_entropy(p, y))


def curve_of(inside):
    """The pixels of one object with a neighbour, also diagonal, that is in the image and not in the object."""
    found = np.zeros(inside.shape, bool)
    for place in np.argwhere(inside):
        window = tuple(slice(max(0, at - 1), at + 2) for at in place)
        found[tuple(place)] = not inside[window].all()
    return found


def shape_aware(task, p, y, maps, spacing=()):
    weights = np.ones(p.shape)
    for index in np.ndindex(p.shape[:2]):
        found, there = p[index] > 0.5, y[index] > 0.5
        truth = curve_of(there)
        points = np.argwhere(curve_of(found))
        scale = np.array(spacing or [1.0] * found.ndim)
        apart = [np.sqrt((((np.argwhere(truth) - at) * scale) ** 2).sum(-1)).min() for at in points if truth.any()]
        weights[index] += (np.mean(apart) if apart else 0.0) * (found != there)
    return per_pixel(task, p, weights * cross_entropy(p, y))


def hausdorff_erosion(task, p, y, maps, spacing=()):
    total, left = 0.0, (p - y) ** 2
    axes = tuple(range(2, p.ndim))
    for k in range(1, 11):
        padded = np.pad(left, [(0, 0), (0, 0), *[(1, 1)] * len(axes)])
        moved = [np.roll(padded, step, axis) for axis in axes for step in (-1, 1)]
        mean = (padded + sum(moved))[(..., *[slice(1, -1)] * len(axes))] / (1 + 2 * len(axes))
        core = np.maximum(mean - 0.5, 0)
        low, high = core.min(axes, keepdims=True), core.max(axes, keepdims=True)
        left = np.where(high > low, (core - low) / np.where(high > low, high - low, 1), core)
        total += (left * k**2).mean()
    return total


def block(p):
    """Predictions that are wrong in a whole block, so that something is left after an erosion."""
    index = (slice(None), slice(0, 1), *[slice(0, 4)] * (p.ndim - 2))
    p[index] = 9.0
    return p


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_transcription(call, maps, name, task, size, seed):
    z, target, _, y = call(task, size, seed=seed)
    z = block(z)
    if task == "multiclass":
        target[0] = 1
        y = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).numpy()
    p = (z.softmax(1) if task == "multiclass" else z.sigmoid()).numpy()
    expected = globals()[name](task, p, y, maps)
    assert lossdsl.compile(f"boundary.{name}", task=task)(z, target).item() == pytest.approx(expected, rel=1e-9)
    assert name != "hausdorff_erosion" or task != "multiclass" or expected > 0.01


@pytest.mark.parametrize("name", ["hausdorff", "log_hausdorff", "boundary", "distance_ce", "shape_aware"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_anisotropic_spacing(call, maps, name, size):
    z, target, p, y = call("binary", size)
    spacing = (2.0, 0.5, 0.7)[: len(size)]
    value = lossdsl.compile(f"boundary.{name}(spacing={[*spacing]})", task="binary")(z, target)
    assert value.item() == pytest.approx(globals()[name]("binary", p, y, maps, spacing), rel=1e-9)
    assert value.item() != pytest.approx(globals()[name]("binary", p, y, maps), rel=1e-3)


@pytest.mark.parametrize("name", ["hausdorff", "log_hausdorff", "hausdorff_erosion", "boundary"])
def test_without_background(call, name):
    z, target, _, y = call("multiclass")
    given, expected = (
        lossdsl.compile(text, task=task, input="probs")
        for text, task in (
            (f"boundary.{name}(include_background=false)", "multiclass"),
            (f"boundary.{name}", "multilabel"),
        )
    )
    p, labels = z.softmax(1), torch.from_numpy(y)
    torch.testing.assert_close(given(p, target), expected(p[:, 1:], labels[:, 1:]))
    with pytest.raises(lossdsl.LossError, match="no effect for binary"):
        lossdsl.compile(f"boundary.{name}(include_background=false)", task="binary")


def test_fewer_iterations_and_other_powers(call):
    z, target, _, _ = call("binary", (9, 9))
    z[:, :, :6, :6], target[:, :, :6, :6] = 9.0, 0.0

    def value(text):
        return lossdsl.compile(f"boundary.hausdorff_erosion({text})", task="binary")(z, target).item()

    first = value("iterations=1")
    assert first == pytest.approx(value("alpha=5, iterations=1"))
    second = value("iterations=2") - first
    assert second > 0
    assert value("alpha=3, iterations=2") == pytest.approx(first + 2 * second)


def test_edge_of_the_boundary_loss(call, maps):
    z, target, p, y = call("binary")
    loss = lossdsl.compile("boundary.boundary(edge=0)", task="binary")
    assert loss(z, target).item() == pytest.approx(np.mean(p * signed(y, maps, edge=0)))
    assert loss(1e4 * (2 * target - 1), target) < 0


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_a_map_of_the_caller(call, maps, task, size):
    z, target, _, y = call(task, size)
    phi = torch.from_numpy(signed(y, maps))
    given = lossdsl.compile("mean(p*phi)", task=task)(z, target, phi=phi)
    torch.testing.assert_close(given, lossdsl.compile("boundary.boundary", task=task)(z, target))
    dt = torch.from_numpy(maps(y))
    text = "mean((p - y)**2*(distance_map(p, reduction=none)**2 + dt**2))"
    given = lossdsl.compile(text, task=task)(z, target, dt=dt)
    torch.testing.assert_close(given, lossdsl.compile("boundary.hausdorff", task=task)(z, target))


def test_a_map_for_all_classes(call, maps):
    z, target, p, y = call("multiclass")
    phi = torch.rand(2, 5, 6, dtype=torch.float64)
    value = lossdsl.compile("mean((1 + phi)*ce(reduction=none))", task="multiclass")(z, target, phi=phi)
    assert value.item() == pytest.approx(np.mean((1 + phi.numpy()) * cross_entropy(p, y).sum(1)))


def test_scheduled_beside_dice(call):
    z, target, _, _ = call("binary")
    loss = lossdsl.compile("dice + min(0.5, epoch/100)*boundary.boundary", task="binary")
    terms = loss.breakdown(z, target, epoch=10).terms
    assert float(terms["boundary.boundary"].weight) == pytest.approx(0.1)


@pytest.mark.parametrize("name", NAMES)
def test_masked_pixels_are_not_there(call, name):
    z, target, _, _ = call("multiclass", (6, 7))
    z = block(z)
    mask = torch.ones(2, 6, 7)
    mask[..., 4:] = 0
    z[..., 4:] = float("nan")
    loss = lossdsl.compile(f"boundary.{name}", task="multiclass")
    torch.testing.assert_close(loss(z, target, mask=mask), loss(z[..., :4], target[..., :4]))
    ignoring = lossdsl.compile(f"boundary.{name}", task="multiclass", ignore_index=255)
    torch.testing.assert_close(ignoring(z, target.masked_fill(mask == 0, 255)), loss(z[..., :4], target[..., :4]))
    assert loss(z, target, mask=torch.zeros(2, 6, 7)) == 0
