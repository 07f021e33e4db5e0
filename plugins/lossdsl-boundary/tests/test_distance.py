"""The distance transform against all pairs of pixels, with spacing, masks and images that have no boundary."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lossdsl
from lossdsl_boundary.kernels import cross_mean, distance_map
from lossdsl_boundary.transform import distance

SIZES = [(1,), (7,), (5, 6), (1, 9), (3, 4, 5)]


def flat(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(2)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_all_pairs(maps, size, share):
    images = (torch.rand(3, 2, *size) < share).double()
    found = distance_map(flat(images), spatial=size)
    torch.testing.assert_close(found, flat(torch.from_numpy(maps(images))), rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", SIZES[1:], ids=str)
def test_spacing_belongs_to_the_axes_in_their_order(maps, size):
    images = (torch.rand(2, 2, *size) < 0.3).double()
    spacing = (0.7, 2.5, 1.3)[: len(size)]
    expected = flat(torch.from_numpy(maps(images, spacing)))
    torch.testing.assert_close(distance_map(flat(images), spatial=size, spacing=spacing), expected, rtol=1e-12, atol=0)


def test_masked_pixels_are_not_there(maps):
    images, mask = torch.rand(4, 2, 6, 5).double(), torch.rand(4, 1, 6, 5) < 0.6
    mask[0] = False
    found = distance_map(flat(images), spatial=(6, 5), mask=flat(mask).expand(-1, 2, -1))
    torch.testing.assert_close(found, flat(torch.from_numpy(maps(images, counts=mask))), rtol=1e-12, atol=0)
    assert not found[~flat(mask).expand(-1, 2, -1)].any()


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5, float("nan")])
def test_one_side_only_has_no_distance(value):
    assert not distance_map(torch.full((2, 3, 12), value), spatial=(3, 4)).any()


def test_half_is_outside():
    assert distance_map(torch.tensor([[[0.5, 0.6, 1.0, 0.0]]]), spatial=(4,)).tolist() == [[[1, 1, 1, 1]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_gradient(dtype):
    images = torch.rand(2, 1, 12, dtype=dtype, requires_grad=True)
    found = distance_map(images, spatial=(3, 4))
    assert (found.dtype, found.requires_grad) == (dtype, False)


def test_a_call_without_image_axes_or_without_images():
    assert not distance_map(torch.ones(3, 2, 1)).any()
    assert distance_map(torch.ones(0, 2, 12), spatial=(3, 4)).shape == (0, 2, 12)
    assert distance_map(torch.ones(2, 2, 0), spatial=(0, 4)).shape == (2, 2, 0)


def test_a_spacing_without_its_axis():
    with pytest.raises(lossdsl.InputError, match=r"`spacing` has 3 sizes; the images have 2 axes"):
        lossdsl.compile("boundary.hausdorff(spacing=[1, 1, 2])")(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))


def test_a_value_without_pixels():
    with pytest.raises(lossdsl.InputError, match="needs a value with one number for each pixel"):
        lossdsl.compile("distance_map(sum(p, over=pixel))")(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))


def test_the_function_for_datasets():
    found = distance(np.array([[0, 0, 1, 1]]), spacing=(1, 0.5))
    assert found.tolist() == [[1, 0.5, 0.5, 1]]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cross_mean(size):
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), *[(1, 1)] * len(size)])
    core = tuple(slice(1, -1) for _ in size)
    total = padded[(..., *core)].copy()
    for axis in range(len(size)):
        for step in (slice(0, -2), slice(2, None)):
            total += padded[(..., *core[:axis], step, *core[axis + 1 :])]
    found = cross_mean(flat(images), spatial=size)
    np.testing.assert_allclose(found.numpy(), total.reshape(2, 3, -1) / (1 + 2 * len(size)), rtol=1e-12)
