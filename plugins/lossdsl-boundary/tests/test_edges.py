"""Gradients against finite differences, and finite values and gradients where calls are extreme."""

from __future__ import annotations

import pytest
import torch

import lossdsl

NAMES = ["hausdorff", "log_hausdorff", "hausdorff_erosion", "boundary", "distance_ce", "shape_aware"]
TASKS = ["binary", "multilabel", "multiclass"]
ZERO = {"hausdorff", "log_hausdorff", "boundary"}


@pytest.mark.parametrize("given", ["logits", "probs"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", [*NAMES, "hausdorff(alpha=0.5, spacing=3)", "boundary(edge=0)"])
def test_gradient(call, name, task, given):
    z, target, _, _ = call(task, (4, 4))
    z[:, 0, :3, :3] += 3
    p = z.softmax(1) if task == "multiclass" else z.sigmoid()
    pred = (z if given == "logits" else p).clone().requires_grad_()
    loss = lossdsl.compile(f"boundary.{name}", task=task, input=given)
    assert torch.autograd.gradcheck(lambda tensor: loss(tensor, target), (pred,), fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_map_adds_up(call, name):
    """reduction=none is the map of which the loss is the mean; log_hausdorff has none."""
    z, target, _, _ = call("binary")
    if name == "log_hausdorff":
        with pytest.raises(lossdsl.LossError, match="has no map"):
            lossdsl.compile("mean(boundary.log_hausdorff(reduction=none))", task="binary")
        return
    whole, mean = (
        lossdsl.compile(text, task="binary")(z, target)
        for text in (f"boundary.{name}", f"mean(boundary.{name}(reduction=none))")
    )
    torch.testing.assert_close(whole, mean)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("size", [(), (1, 1), (8, 8), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("scale", [0.0, 20.0, 1e4])
@pytest.mark.parametrize("name", NAMES)
def test_extremes(name, scale, size, share, dtype):
    shape = (1, 1, *size)
    target = torch.zeros(shape, dtype=dtype) if share < 1 else torch.ones(shape, dtype=dtype)
    target.view(-1)[0] = 1.0 if share else 0.0
    pred = (scale * torch.randn(shape, dtype=dtype).sign()).requires_grad_()
    value = lossdsl.compile(f"boundary.{name}", task="binary")(pred, target)
    assert value.dtype == dtype
    assert torch.isfinite(value)
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, pred)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("full", [0.0, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_no_boundary(name, full):
    """Without a boundary the distances are 0: the cross-entropies are plain, the others 0."""
    pred, target = torch.randn(2, 1, 4, 4).abs(), torch.full((2, 1, 4, 4), full)
    value = lossdsl.compile(f"boundary.{name}", task="binary")(pred, target)
    if name in ZERO:
        assert value == 0
    elif name != "hausdorff_erosion":
        torch.testing.assert_close(value, lossdsl.compile("bce", task="binary")(pred, target))


@pytest.mark.parametrize("name", NAMES)
def test_precision(call, name):
    z, target, _, _ = call("binary", (12, 12))
    loss = lossdsl.compile(f"boundary.{name}", task="binary")
    torch.testing.assert_close(loss(z.float(), target.float()).double(), loss(z, target), rtol=1e-5, atol=1e-6)
    half = loss(z.bfloat16(), target.bfloat16())
    assert half.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_see_the_others(call, name):
    """All are means over images of equal size, so a batch is the mean of its images; the logarithm is outside."""
    z, target, _, _ = call("multilabel")
    loss = lossdsl.compile(f"boundary.{name.removeprefix('log_')}", task="multilabel")
    alone = [loss(z[i : i + 1], target[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(loss(z, target), sum(alone) / 2)


# torch's own tracing of a torch.autograd.Function.
@pytest.mark.filterwarnings("ignore:<class 'torch.autograd.function.Function'>:DeprecationWarning")
def test_torch_compile_reads_it_whole(call):
    z, target, _, _ = call("multiclass")
    loss = lossdsl.compile(" + ".join(f"boundary.{name}" for name in NAMES), task="multiclass")
    whole = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(whole(z, target), loss(z, target))
