"""What every loss keeps to: about its values. Each rule yields what breaks it, with the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lossdsl.errors import InputError
from lossdsl.testing.batches import BATCH, Batch, Setting, holding, off_target, perfect, random_batch
from lossdsl.testing.subjects import Subject

FOUND = Iterator[str]
WIDE = 60
EPS = {torch.float32: torch.finfo(torch.float32).eps, torch.float64: torch.finfo(torch.float64).eps}


def example(formula: str, setting: Setting, batch: Batch, said: str) -> str:
    """A counterexample: the formula, the call, and the numbers."""
    return f"{formula} ({setting})\n{batch}\n{said}"


def slack(*values: float, dtype: torch.dtype = torch.float64) -> float:
    """How far rounding may take a value of this size."""
    return 64 * EPS[dtype] * max([1.0, *(abs(value) for value in values if value == value)])


def gradient(subject: Subject) -> FOUND:
    """The slope along a direction is what differences of the value along it are, also for the squares of its map."""
    moved, mapped = False, tuple(subject.each_task)
    for seed, setting in enumerate(subject.settings):
        batch = random_batch(setting, subject.tensors, seed)
        squared = f"sum({subject.reduced('none')}**2)"
        for formula in (subject.call, *((squared,) if setting in mapped and subject.works(squared, setting) else ())):
            slope = subject.value_and_slope(setting, batch, formula=formula)[1]
            moved = moved or bool(slope.any())
            yield from _slope_along(subject, setting, batch, formula, slope, 97 + seed)
        moved = moved or bool(subject.value_and_slope(setting, off_target(setting, batch, 0.9))[1].any())
    if not moved:
        yield example(subject.call, setting, batch, "the gradient in pred is 0 or missing, here and everywhere else")


def _slope_along(subject: Subject, setting: Setting, batch: Batch, formula: str, slope: Tensor, seed: int) -> FOUND:
    direction = torch.randn(slope.shape, generator=torch.Generator().manual_seed(seed), dtype=slope.dtype)
    step = 1e-6 if setting.input == "logits" else 1e-7
    moved = (replace(batch, pred=batch.pred + s * direction) for s in (step, -step))
    ends = [subject.value(setting, each, formula=formula) for each in moved]
    numeric = ((ends[0] - ends[1]) / (2 * step)).item()
    analytic = (slope * direction).sum().item()
    if not abs(numeric - analytic) <= 1e-4 * max(abs(numeric), abs(analytic)) + 1e-6:
        said = f"along a direction the gradient is {analytic:g}, differences of the value give {numeric:g}"
        yield example(formula, setting, batch, said)


def _extremes(subject: Subject, setting: Setting, seed: int) -> Iterator[Batch]:
    """Random and adversarial calls in both precisions; where any image can be taken, also of one pixel and of many."""
    kinds = [(torch.float64, False, 1.0, 0), (torch.float32, False, 10.0, 0), (torch.float32, True, 1.0, 0)]
    if subject.loss.documentation.shape is None:
        kinds += [(torch.float64, True, 1.0, 1), (torch.float32, False, 100.0, 200)]
    for dtype, adversarial, scale, pixels in kinds:
        sized = replace(setting, pixels=pixels or setting.pixels)
        yield random_batch(sized, subject.tensors, seed, scale=scale, adversarial=adversarial).to(dtype)


def declared_range(subject: Subject) -> FOUND:
    """From random and adversarial predictions in both precisions, for the loss, its map, and other parameters."""
    declared = subject.loss.range

    def outside(result: float, dtype: torch.dtype) -> str:
        near = slack(result, dtype=dtype)
        inside = declared.low - near <= result <= declared.high + near
        return "" if inside else f"the value {result:.12g} is outside {declared}"

    mapped = tuple(subject.each_task)
    for seed, setting in enumerate(subject.settings):
        whole = setting in mapped and subject.has_map(setting)
        maps = [f"{extreme}({subject.reduced('none')})" for extreme in ("max", "min")] if whole else []
        variants = [formula for formula in subject.variants() if subject.works(formula, setting)] if seed == 0 else []
        for batch in _extremes(subject, setting, seed):
            for formula in (subject.call, *maps, *variants):
                try:
                    result = subject.value(setting, batch, formula=formula).item()
                except InputError:  # a value that the signature allows and the loss refuses
                    continue
                if said := outside(result, batch.pred.dtype):
                    yield example(formula, setting, batch, said)
        for trial in subject.at_edges(setting):
            if said := outside(trial.value.item(), trial.batch.pred.dtype):
                yield example(subject.call, setting, trial.batch, said)


def best(subject: Subject) -> FOUND:
    """No prediction has a better value than the target itself."""
    higher = subject.loss.documentation.better == "higher"
    for setting in subject.hard_settings:
        for seed in range(3):
            batch = random_batch(setting, subject.tensors, seed)
            right = subject.value(setting, perfect(setting, batch)).item()
            other = subject.value(setting, batch).item()
            if not (right >= other - slack(right, other) if higher else right <= other + slack(right, other)):
                said = f"its value is {other:.12g}, that of the perfect prediction {right:.12g}"
                yield example(subject.call, setting, batch, said)
                break


def worse(subject: Subject) -> FOUND:
    """A prediction that moves away from the target in every element never gets a better value."""
    higher = subject.loss.documentation.better == "higher"
    for setting in subject.hard_settings:
        batch = random_batch(setting, subject.tensors, 5)
        shares = (0.0, 0.1, 0.3, 0.45, 0.6, 0.8, 0.95)
        batches = [off_target(setting, batch, share) for share in shares]
        values = [subject.value(setting, each).item() for each in batches]
        for before, after, at in zip(values, values[1:], batches[1:], strict=False):
            if not (after <= before + slack(before) if higher else after >= before - slack(before)):
                yield example(
                    subject.call, setting, at, f"its value is {after:.12g}, nearer to the target {before:.12g}"
                )
                break


def finite(subject: Subject) -> FOUND:
    """Saturated predictions, probabilities 0 and 1, empty and full targets: values and gradients are finite."""
    for setting in subject.settings:
        for batch, result, slope in subject.at_edges(setting):
            if not (result.isfinite() and slope.isfinite().all()):
                said = f"the value is {result.item()}, the gradient {slope.tolist()}"
                yield example(subject.call, setting, batch, said)


def _kept(setting: Setting, anywhere: bool) -> Tensor:
    """Which pixels count: half of them, and one image not at all. Anywhere: others in each image, where that can be."""
    pixels = torch.arange(setting.pixels)
    counts = (pixels % 2 == 0 if anywhere else pixels < (setting.pixels + 1) // 2).expand(BATCH, -1).clone()
    counts[1] = False
    if anywhere and setting.pixels % 2 == 0:
        counts[2] = ~counts[2]
    return counts


def _removed(subject: Subject, anywhere: bool) -> FOUND:
    """Each setting once, and once more with weights of the classes."""
    weights = (0.5, 1.0, 3.0)
    for setting in subject.settings:
        yield from _removed_in(subject, setting, _kept(setting, anywhere), {})
    for setting in subject.hard_settings:
        if setting.input == "logits":
            yield from _removed_in(
                subject, setting, _kept(setting, anywhere), {"class_weight": weights[: setting.classes]}
            )


def _removed_in(subject: Subject, setting: Setting, counts: Tensor, options: dict[str, Any]) -> FOUND:
    batch = random_batch(setting, subject.tensors, 7)
    if subject.refuses(setting, batch, mask=counts, **options):
        return
    wanted, wanted_slope = subject.value_and_slope(setting, batch.kept(counts), **options)
    there = counts.unsqueeze(1)
    result, slope = subject.value_and_slope(setting, holding(batch, counts, float("nan")), mask=counts, **options)
    said = ""
    if not torch.isclose(result, wanted, rtol=1e-10, atol=1e-12):
        said = f"with the mask the value is {result.item():.12g}, without these elements {wanted.item():.12g}"
    elif not torch.allclose(replace(batch, pred=slope).kept(counts).pred, wanted_slope, rtol=1e-8, atol=1e-12):
        said = "the gradient differs"
    elif slope.masked_select(~there).any():
        said = "elements that do not count have a gradient"
    if said:
        yield example(subject.call, setting, batch, f"mask = {counts.tolist()}\n{said}")


def _no_part(subject: Subject) -> FOUND:
    """What masked elements hold matters to no other element, nor do they matter to each other if all are masked."""
    for setting in subject.settings:
        batch = random_batch(setting, subject.tensors, 9)
        counts = _kept(setting, anywhere=True)
        if subject.refuses(setting, batch, mask=counts):
            continue
        nothing = torch.zeros_like(counts)
        cases = [(counts, float("nan"), subject.value_and_slope(setting, batch, mask=counts))]
        zero = torch.zeros((), dtype=batch.pred.dtype)
        cases += [(nothing, held, (zero, torch.zeros_like(batch.pred))) for held in (0.5, float("nan"), float("inf"))]
        for there, held, (wanted, wanted_slope) in cases:
            result, slope = subject.value_and_slope(setting, holding(batch, there, held), mask=there)
            if not (torch.equal(result, wanted) and torch.equal(slope, wanted_slope)):
                said = f"mask = {there.tolist()}\nit hides {held}: the value is {result.item():.12g}, not"
                said += f" {wanted.item():.12g}; the gradient {slope.tolist()}, not {wanted_slope.tolist()}"
                yield example(subject.call, setting, batch, said)


def mask(subject: Subject) -> FOUND:
    """Images and the last pixels of all images masked out are as if they were not there, whatever they hold."""
    yield from _removed(subject, anywhere=False)
    yield from _no_part(subject)


def mask_anywhere(subject: Subject) -> FOUND:
    """The same for pixels between others: where a pixel lies does not matter."""
    yield from _removed(subject, anywhere=True)
    if subject.loss.documentation.shape is None:
        for setting in subject.hard_settings:  # neighbours in a wide window
            wide = replace(setting, pixels=WIDE)
            yield from _removed_in(subject, wide, _kept(wide, anywhere=True), {})


def ignore_index(subject: Subject) -> FOUND:
    """Elements whose label is ignored are those of a mask; if nothing counts the value is 0."""
    for setting in subject.hard_settings:
        counts = _kept(setting, anywhere=False)
        batch = random_batch(setting, subject.tensors, 11)
        if subject.refuses(setting, batch, mask=counts):
            continue
        there = counts if setting.record.indices else counts.unsqueeze(1)
        ignored = replace(holding(batch, counts, float("nan")), target=batch.target.masked_fill(~there, 255))
        wanted, wanted_slope = subject.value_and_slope(setting, batch, mask=counts)
        result, slope = subject.value_and_slope(setting, ignored, ignore_index=255)
        if not torch.isclose(result, wanted, rtol=1e-10, atol=1e-12):
            said = f"ignore_index=255 gives {result.item():.12g}, the mask of the same elements {wanted.item():.12g}"
            yield example(subject.call, setting, ignored, said)
        elif not torch.allclose(slope, wanted_slope, rtol=1e-8, atol=1e-12):
            yield example(subject.call, setting, ignored, "the gradient is not that with the mask of the same elements")
        nothing = replace(batch, target=torch.full_like(batch.target, 255))
        result = subject.value(setting, nothing, ignore_index=255)
        if result.item() != 0:
            yield example(subject.call, setting, nothing, f"all is ignored, and the value is {result.item()}")


def reductions(subject: Subject) -> FOUND:
    """The mean and the sum are those of the map that reduction=none gives."""
    for setting in subject.each_task:
        if not subject.has_map(setting):
            continue
        batch = random_batch(setting, subject.tensors, 13)
        inner = subject.reduced("none")
        pairs = ((subject.call, f"mean({inner})"), (subject.reduced("sum"), f"sum({inner})"))
        for whole, by_hand in (pair for pair in pairs if subject.works(pair[0], setting)):
            result, wanted = (subject.value(setting, batch, formula=formula) for formula in (whole, by_hand))
            if not torch.isclose(result, wanted, rtol=1e-9, atol=1e-12):
                yield example(whole, setting, batch, f"it is {result.item():.12g}, {by_hand} is {wanted.item():.12g}")


def permutation(subject: Subject) -> FOUND:
    """The order of the images in a batch does not matter."""
    order = torch.tensor([2, 0, 1])
    for setting in subject.settings:
        batch = random_batch(setting, subject.tensors, 17)
        wanted = subject.value(setting, batch).item()
        result = subject.value(setting, batch.picked(order, torch.arange(setting.pixels))).item()
        if not abs(result - wanted) <= slack(result, wanted):
            said = f"its value is {result:.12g} with the images in the order 2, 0, 1, and {wanted:.12g} as they are"
            yield example(subject.call, setting, batch, said)
