"""A pixel that is masked out is as if it were not there: the same value and gradient as physically removing it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import lossdsl

INPUTS = ("logits", "probs")
SPATIAL = ((), (6,), (3, 4), (2, 2, 3))
IMAGES = SPATIAL[1:]


def shapes(formula: str) -> tuple[tuple[int, ...], ...]:
    """Those for which a formula can be read: one that reduces over pixels needs some."""
    return IMAGES if "pixel" in formula else SPATIAL


CLOSE = {"rtol": 1e-9, "atol": 1e-12}
GARBAGE = ((math.nan,), (math.inf, -math.inf, 1e30))


def inputs_of(task: str) -> tuple[str, ...]:
    return INPUTS[:1] if task == "regression" else INPUTS


def random_mask(batch: Any, kept: int) -> Tensor:
    """A mask of (N, *spatial) that keeps `kept` random pixels in each image."""
    samples, pixels = len(batch.pred), math.prod(batch.spatial)
    order = torch.rand(samples, pixels).argsort(1)
    mask = torch.zeros(samples, pixels, dtype=torch.bool).scatter_(1, order[:, :kept], True)
    return mask.reshape(samples, *batch.spatial)


def of_elements(mask: Tensor, tensor: Tensor) -> Tensor:
    """A mask of pixels as one of the elements of pred or of target."""
    return mask if tensor.ndim == mask.ndim else mask.unsqueeze(1).expand_as(tensor)


def without(batch: Any, mask: Tensor, kept: int) -> Any:
    """The batch with what the mask leaves out removed, as an image of one dimension."""
    shrunk = {}
    for name in ("pred", "target"):
        tensor = getattr(batch, name)
        axes = tensor.shape[: 1 if batch.indexed and name == "target" else 2]
        shrunk[name] = tensor[of_elements(mask, tensor)].reshape(*axes, kept)
    return batch.with_(**shrunk)


def assert_same_as_removed(full: tuple[Tensor, Tensor], small: tuple[Tensor, Tensor], kept: Tensor) -> None:
    """Values agree, gradients agree where elements were kept, and are exactly 0 elsewhere."""
    assert_close(full[0], small[0], **CLOSE)
    assert_close(full[1][kept], small[1].flatten(), **CLOSE)
    assert torch.count_nonzero(full[1][~kept]) == 0
    assert torch.isfinite(full[1]).all()


def test_tasks_are_those_that_work(built_ins: dict[str, tuple[str, ...]]) -> None:
    tasks = ("binary", "multilabel", "multiclass", "regression")
    for name, listed in built_ins.items():
        assert {task for task in tasks if lossdsl.check(name, task=task).ok} == set(listed), name


@pytest.mark.sampled(3)
def test_masked_pixels_are_removed(formula: str, task: str, make_batch: Any, run: Any, shared_for: Any) -> None:
    for kind in inputs_of(task):
        for spatial in IMAGES:
            for soft in (False, True):
                batch = make_batch(task, spatial, input=kind, soft=soft)
                loss = shared_for(formula, batch)
                mask = random_mask(batch, kept=4)
                full = run(loss, batch, mask=mask)
                small = run(loss, without(batch, mask, 4))
                assert_same_as_removed(full, small, of_elements(mask, batch.pred))


@pytest.mark.sampled(3)
def test_masked_images_are_removed(formula: str, task: str, make_batch: Any, run: Any, shared_for: Any) -> None:
    there = torch.tensor([True, False, True, False])
    for kind in inputs_of(task):
        for spatial in shapes(formula):
            batch = make_batch(task, spatial, input=kind)
            loss = shared_for(formula, batch)
            mask = there.view(-1, *[1] * len(spatial)).expand(-1, *spatial)
            full = run(loss, batch, mask=mask)
            small = run(loss, batch.with_(pred=batch.pred[there], target=batch.target[there]))
            assert_same_as_removed(full, small, of_elements(mask, batch.pred))


def test_masked_images_and_pixels_together(formula: str, task: str, make_batch: Any, run: Any, shared_for: Any) -> None:
    there = torch.tensor([False, True, True, False])
    batch = make_batch(task, (3, 4))
    loss = shared_for(formula, batch)
    mask = random_mask(batch, kept=5) & there.view(-1, 1, 1)
    left = batch.with_(pred=batch.pred[there], target=batch.target[there])
    small = run(loss, without(left, mask[there], 5))
    assert_same_as_removed(run(loss, batch, mask=mask), small, of_elements(mask, batch.pred))


def test_masked_columns_are_removed(make_batch: Any, run: Any, shared_for: Any) -> None:
    """Means over the batch before those over pixels: what is left out is the same in each image."""
    formulas = ("mean(mean(p, over=batch)*mean(y, over=batch))", "mean(max(abs(p - y), over=[batch, class]))")
    columns = torch.tensor([True, False, True, True, False])
    for task in ("binary", "multilabel", "multiclass"):
        for formula in formulas:
            batch = make_batch(task, (2, 5))
            loss = shared_for(formula, batch)
            full = run(loss, batch, mask=columns)
            small = run(loss, batch.with_(pred=batch.pred[..., columns], target=batch.target[..., columns]))
            assert_same_as_removed(full, small, columns.expand_as(batch.pred))


def test_masked_elements_are_removed(
    formula: str, task: str, make_batch: Any, run: Any, shared_for: Any, mixes_classes: Any
) -> None:
    """Where classes are independent a mask may have the shape of pred, and ignore_index acts on single elements."""
    if task not in ("multilabel", "regression") or mixes_classes(formula):
        return
    for spatial in IMAGES:
        batch = make_batch(task, spatial)
        order = torch.rand(batch.pred.flatten(2).shape).argsort(2)
        mask = torch.zeros_like(order, dtype=torch.bool).scatter_(2, order[..., :4], True).view_as(batch.pred)
        loss = shared_for(formula, batch)
        small = run(loss, without(batch, mask, 4))
        assert_same_as_removed(run(loss, batch, mask=mask), small, mask)
        ignoring = shared_for(formula, batch, ignore_index=255)
        marked = batch.with_(target=batch.target.masked_fill(~mask, 255.0))
        assert_same_as_removed(run(ignoring, marked), small, mask)


@pytest.mark.sampled(4)
def test_ignore_index_is_a_mask(formula: str, task: str, make_batch: Any, run: Any, shared_for: Any) -> None:
    for kind in inputs_of(task):
        for spatial in shapes(formula):
            for ignored in (255, -100):
                batch = make_batch(task, spatial, input=kind)
                mask = random_mask(batch, 4) if spatial else torch.tensor([True, False, True, True])
                plain, ignoring = shared_for(formula, batch), shared_for(formula, batch, ignore_index=ignored)
                hidden = ~of_elements(mask, batch.target)
                marked = batch.with_(target=batch.target.masked_fill(hidden, ignored))
                value, gradient = run(plain, batch, mask=mask)
                for got in (run(ignoring, marked), run(ignoring, marked, mask=torch.ones_like(mask))):
                    assert_close(got[0], value, **CLOSE)
                    assert_close(got[1], gradient, **CLOSE)


def test_mask_and_ignore_index_join(formula: str, task: str, make_batch: Any, run: Any, shared_for: Any) -> None:
    batch = make_batch(task, (3, 4))
    mask, other = random_mask(batch, 8), random_mask(batch, 8)
    marked = batch.with_(target=batch.target.masked_fill(~of_elements(other, batch.target), 255))
    value, gradient = run(shared_for(formula, batch), batch, mask=mask & other)
    got = run(shared_for(formula, batch, ignore_index=255), marked, mask=mask)
    assert_close(got[0], value, **CLOSE)
    assert_close(got[1], gradient, **CLOSE)


@pytest.mark.sampled(4)
def test_what_masked_pixels_hold_changes_nothing(
    formula: str, task: str, make_batch: Any, run: Any, compile_for: Any, shared_for: Any
) -> None:
    """Value and gradient are equal to the last bit, whatever stands in the prediction and the target there."""
    for kind in inputs_of(task):
        for mask_of in (lambda batch: random_mask(batch, 4), lambda batch: torch.arange(4).view(4, 1, 1) % 2 > 0):
            batch = make_batch(task, (3, 4), input=kind)
            mask = mask_of(batch).expand(4, 3, 4)
            loss = shared_for(formula, batch)
            value, gradient = run(loss, batch, mask=mask)
            assert torch.count_nonzero(gradient[~of_elements(mask, gradient)]) == 0
            for pattern in GARBAGE:
                numbers = torch.tensor(pattern, dtype=torch.float64).repeat(batch.pred.numel() // len(pattern))
                pred = batch.pred.where(of_elements(mask, batch.pred), numbers.view_as(batch.pred))
                labels = 10**6 if batch.indexed else pattern[0]
                target = batch.target.masked_fill(~of_elements(mask, batch.target), labels)
                got = run(compile_for(formula, batch), batch.with_(pred=pred, target=target), mask=mask)
                assert torch.equal(got[0], value)
                assert torch.equal(got[1], gradient)


@pytest.mark.sampled(3)
def test_nothing_counts(formula: str, task: str, make_batch: Any, run: Any, shared_for: Any) -> None:
    """The loss is exactly 0 with the gradient exactly 0, also by parts, also for an empty batch and on garbage."""
    for kind in inputs_of(task):
        for spatial in shapes(formula):
            batch = make_batch(task, spatial, input=kind)
            garbage = batch.with_(pred=batch.pred.masked_fill(torch.rand_like(batch.pred) > 0.5, math.nan))
            ignored = batch.with_(target=torch.full_like(batch.target, 255))
            empty = batch.with_(pred=batch.pred[:0], target=batch.target[:0])
            nothing = torch.zeros(len(batch.pred), *spatial, dtype=torch.bool)
            for given, call, options in (
                (batch, {"mask": nothing}, {}),
                (garbage, {"mask": nothing}, {}),
                (ignored, {}, {"ignore_index": 255}),
                (empty, {}, {}),
            ):
                loss = shared_for(formula, batch, **options)
                value, gradient = run(loss, given, **call)
                assert value == 0
                assert torch.equal(gradient, torch.zeros_like(gradient))
                parts = loss.breakdown(given.pred, given.target, **call)
                assert parts.total == 0
                assert all(term.value == 0 and term.contribution == 0 for term in parts.terms.values())


def test_a_mask_of_ones_is_no_mask(formula: str, task: str, make_batch: Any, run: Any, shared_for: Any) -> None:
    for kind in inputs_of(task):
        for spatial in shapes(formula):
            batch = make_batch(task, spatial, input=kind)
            loss = shared_for(formula, batch)
            value, gradient = run(loss, batch)
            got = run(loss, batch, mask=torch.ones(len(batch.pred), *spatial, dtype=torch.bool))
            assert_close(got[0], value, **CLOSE)
            assert_close(got[1], gradient, **CLOSE)


@pytest.mark.parametrize("weight", [[1, 2, 3], [0, 1, 0.5], [0.1, 0, 0]], ids=str)
def test_masks_act_with_class_weights(weight: list[float], make_batch: Any, run: Any, compile_for: Any) -> None:
    formulas = {"ce + dice": "multiclass", "bce + iou(per=batch)": "multilabel", "mse": "regression"}
    for formula, task in formulas.items():
        batch = make_batch(task, (3, 4))
        mask = random_mask(batch, 4)
        loss = compile_for(formula, batch, class_weight=weight)
        small = run(loss, without(batch, mask, 4))
        assert_same_as_removed(run(loss, batch, mask=mask), small, of_elements(mask, batch.pred))
