"""The same numbers as MONAI and kornia, on random configurations; skipped where they are not installed."""

from __future__ import annotations

import random
import warnings

import pytest
import torch

import lossdsl


def library(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, exc_type=ImportError)


def close(given, expected, dtype):
    rtol = 1e-7 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(given, expected.to(dtype), rtol=rtol, atol=rtol / 10)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", range(200))
def test_monai(call, seed):
    losses = library("monai.losses")
    rng = random.Random(seed)
    task = rng.choice(["binary", "multilabel", "multiclass"])
    size = rng.choice([(5, 6), (9, 4), (1, 7), (4, 5, 3)])
    dtype = rng.choice([torch.float32, torch.float64])
    alpha, background = rng.choice([1.0, 2.0, 3.0, 0.5]), task == "binary" or rng.random() < 0.5
    logarithm = rng.random() < 0.5
    z, target, _, y = call(task, size, batch=rng.randint(1, 3), seed=seed, dtype=dtype)
    if rng.random() < 0.2:
        target.zero_()
        y[:], y[:, 0] = 0, float(task == "multiclass")
    options = {"alpha": alpha, "include_background": background}
    options |= {"softmax": True} if task == "multiclass" else {"sigmoid": True}
    theirs = (losses.LogHausdorffDTLoss if logarithm else losses.HausdorffDTLoss)(**options)
    words = f"alpha={alpha}" + ("" if background else ", include_background=false")
    ours = lossdsl.compile(f"boundary.{'log_' * logarithm}hausdorff({words})", task=task)
    first, second = z.clone().requires_grad_(), z.clone().requires_grad_()
    given, expected = ours(first, target), theirs(second, torch.from_numpy(y))
    close(given, expected, dtype)
    (slope,) = torch.autograd.grad(given, first)
    (wanted,) = torch.autograd.grad(expected, second)
    torch.testing.assert_close(slope, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(40))
def test_kornia(call, seed):
    losses = library("kornia.losses")
    rng = random.Random(seed)
    size, dtype = rng.choice([(12, 11), (7, 8, 6)]), rng.choice([torch.float32, torch.float64])
    z, target, _, _ = call("multiclass", size, batch=2, seed=seed, dtype=dtype)
    corner = (slice(None), slice(0, rng.randint(3, 7)), slice(0, rng.randint(3, 7)))
    target[corner], z[corner[0], 0, corner[1], corner[2]] = 1, 6.0
    p, iterations, alpha = z.softmax(1), rng.randint(1, 10), rng.choice([1.0, 2.0, 2.5])
    theirs = (losses.HausdorffERLoss if len(size) == 2 else losses.HausdorffERLoss3D)(alpha=alpha, k=iterations)
    cross = theirs.kernel > 0
    theirs.kernel = cross.to(dtype) / cross.sum()  # 0.2 in float32 has an error of 1e-8
    text = f"boundary.hausdorff_erosion(alpha={alpha}, iterations={iterations})"
    close(lossdsl.compile(text, task="multiclass", input="probs")(p, target), theirs(p, target[:, None]), dtype)
