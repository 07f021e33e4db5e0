"""Random configurations of a call: shapes, labels, masks, ignored labels, class weights, as a reference sees them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Each:
    """The map of a loss: the number of each element or group, its weight, what it counts for, whether it is there."""

    values: Tensor
    weight: Tensor
    count: Tensor
    there: Tensor

    def reduced(self, how: str) -> Tensor:
        """By `mean` or `sum`; for `none` the sum of the squares shows that each number is right."""
        values = torch.where(self.there, self.values, 0.0)
        if how != "mean":
            return (values if how == "sum" else values**2).sum()
        total = torch.where(self.there, self.weight * self.count, 0.0).sum()
        return (self.weight * values).sum() / total if total > 0 else 0 * values.sum()

    def mean(self) -> Tensor:
        return self.reduced("mean")


@dataclass(frozen=True)
class Case:
    """A call in double precision, of numbers that single precision has too, and the same laid out as (N, C, pixels).

    pred, target: as passed. z: what is passed, x its gradient is taken by. p: probabilities. y: labels, also where they
    are ignored. kept: which elements count, of the shape of y. w: weight of each class. space: the spatial axes.
    """

    task: str
    given: str
    pred: Tensor
    target: Tensor
    y: Tensor
    kept: Tensor
    w: Tensor
    options: dict[str, Any]
    call: dict[str, Tensor]

    @property
    def z(self) -> Tensor:
        return self.pred.reshape(self.y.shape)

    @property
    def p(self) -> Tensor:
        if self.given == "probs":
            return self.z
        return self.z.softmax(1) if self.exclusive else self.z.sigmoid()

    @property
    def exclusive(self) -> bool:
        return self.task in ("multiclass", "soft")

    @property
    def space(self) -> tuple[int, ...]:
        classless = self.pred.ndim < 2 or (self.task == "binary" and self.pred.shape[1] != 1)
        return tuple(self.pred.shape[1 if classless else 2 :]) or (1,)

    def total(self, x: Tensor, per: str) -> Tensor:
        """Sums over the elements that count: (N, C) per image, (1, C) per batch."""
        there = torch.where(self.kept, x, 0.0)
        return there.sum(2) if per == "image" else there.sum((0, 2)).unsqueeze(0)

    def each(self, values: Tensor, count: Tensor | float = 1.0) -> Each:
        """(N, C, pixels), or with 1 instead of what is pooled, as (N, C), (1, C), (N, 1, pixels), (N, 1).

        sum(weight * values) / sum(weight * count) is the mean; the weight is that of the class, where there is one.
        """
        there = self.kept if values.ndim == 3 else self.kept.any(2)
        for axis in (0, 1):
            if values.shape[axis] == 1:
                there = there.any(axis, keepdim=True)
        weight = self.w if values.shape[1] == len(self.w) else torch.ones(1, dtype=torch.float64)
        weight = weight.reshape(1, -1, *[1] * (values.ndim - 2)).expand_as(values)
        return Each(values, weight, torch.ones_like(values) * count, there.expand_as(values))

    def groups(self, loss: Callable[[Tensor, Tensor], Tensor], per: str) -> Tensor:
        """What `loss` gives for `pred` and labels, the elements that do not count removed: (N, C) or, pooled, (1, C).

        loss: of (N, C, *spatial), a row of numbers for each image, or one row for per="batch". Where nothing is left to
        call it with stand ones, which `each` does not count.
        """
        shape, rows = (*self.y.shape[:2], *self.space), len(self._images(per))
        if self.kept.all():
            return loss(self.z.reshape(shape), self.y.reshape(shape)).reshape(rows, -1)
        together = self.kept.eq(self.kept[:, :1]).all()
        classes = [slice(None)] if together else [slice(c, c + 1) for c in range(shape[1])]
        parts = [[self._removed(loss, images, some) for some in classes] for images in self._images(per)]
        widest = max(len(part) for row in parts for part in row)
        return torch.stack([torch.cat([part.expand(widest) for part in row]) for row in parts])

    def _images(self, per: str) -> list[slice]:
        return [slice(b, b + 1) for b in range(self.y.shape[0])] if per == "image" else [slice(None)]

    def _removed(self, loss: Callable[[Tensor, Tensor], Tensor], images: slice, classes: slice) -> Tensor:
        kept = self.kept[images, classes][:, 0]
        if not kept.any():
            return 1 + 0 * self.z.sum().reshape(1)
        return loss(*(x[images, classes].movedim(1, 0)[:, kept].unsqueeze(0) for x in (self.z, self.y))).reshape(-1)

    def foreground(self) -> Case:
        """Without the first class; probabilities are passed, because the others stay what they are."""
        fewer = {"y": self.y[:, 1:], "kept": self.kept[:, 1:], "w": self.w[1:]}
        return replace(self, given="probs", pred=self.p[:, 1:], **fewer)

    def __str__(self) -> str:
        mask = {name: f"{tuple(x.shape)} {x.dtype} {x.tolist()}" for name, x in self.call.items()}
        return f"{self.task} {self.given} {tuple(self.pred.shape)} -> {tuple(self.target.shape)} {self.options} {mask}"


def configure(
    rng: random.Random,
    task: str,
    given: str,
    *,
    weighted: bool = True,
    soft: bool = True,
    elementwise: bool = True,
    scales: tuple[float, ...] = (0.1, 1.0, 4.0),
    classes: int | None = None,
    targets: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Case:
    """A random case.

    weighted: with class weights, too. soft: labels between 0 and 1, too. elementwise: elements are ignored, not only
    pixels. scales: of the logits. classes: how many, where not 1 to 5. targets: other labels, from the prediction and
    those drawn.
    """
    torch.manual_seed(rng.getrandbits(32))
    space = tuple(rng.randint(1, 4) for _ in range(rng.randint(0, 3)))
    batch, least = rng.randint(1, 4), 2 if task in ("multiclass", "soft") else 1
    classes = 1 if task == "binary" else classes or rng.randint(least, 5)
    full = (batch, classes, *space)
    classless = task == "binary" and rng.random() < 0.5 and space[:1] != (1,)
    z = exact(torch.randn(full, dtype=torch.float64) * rng.choice(scales))
    y = exact(labels(rng, task, full, soft))
    if given == "probs":
        z = exact(z.softmax(1) if task in ("multiclass", "soft") else z.sigmoid())
    if targets is not None:
        y = exact(targets(z, y))
    target = y.argmax(1) if task == "multiclass" else y
    ignored, target, options = ignoring(rng, task, target, elementwise)
    kept = ~ignored.unsqueeze(1).expand(full) if task == "multiclass" else ~ignored
    call = {}
    if rng.random() < 0.4:
        call["mask"] = mask = masking(rng, task, full, elementwise)
        kept = kept & (mask if mask.shape == full else mask.reshape(batch, 1, *space)).bool().expand(full)
    w = torch.ones(classes, dtype=torch.float64)
    if weighted and rng.random() < 0.4:
        chosen = rng.choice([(0.5, 1.0, 3.0, 2.0, 0.25), (1.5, 0.0, 1.0, 4.0, 0.5)])[:classes]
        w, options = torch.tensor(chosen, dtype=torch.float64), options | {"class_weight": chosen}
    if classless:
        z, target = z.squeeze(1), target.squeeze(1)
    laid_out = partial(torch.reshape, shape=(batch, classes, -1))
    return Case(task, given, z.requires_grad_(), target, laid_out(y), laid_out(kept), w, options, call)


def exact(x: Tensor) -> Tensor:
    """Numbers that single precision has too."""
    return x.float().double()


def labels(rng: random.Random, task: str, full: tuple[int, ...], soft: bool) -> Tensor:
    """Of the shape of the prediction; empty and full targets, absent classes."""
    if task == "regression":
        return torch.randn(full, dtype=torch.float64) * 3
    if task == "soft":
        return torch.randn(full, dtype=torch.float64).mul(3).softmax(1)
    if task == "multiclass":
        index = torch.randint(0, full[1], (full[0], *full[2:])).clamp_max(rng.choice([full[1] - 1, full[1] - 1, 1, 0]))
        return functional.one_hot(index, full[1]).movedim(-1, 1).double()
    drawn = torch.rand(full, dtype=torch.float64)
    return drawn if soft and rng.random() < 0.25 else (drawn < rng.choice([0.0, 0.2, 0.5, 0.5, 0.8, 1.0])).double()


def ignoring(rng: random.Random, task: str, target: Tensor, elementwise: bool) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Which labels are ignored, the target that says so, and the option."""
    if rng.random() < 0.6:
        return torch.zeros_like(target, dtype=torch.bool), target, {}
    index = rng.choice([-100, -1, 0, 255] if task == "multiclass" else [-1, 255])
    together = task == "soft" or (not elementwise and task in ("multilabel", "regression"))
    drawn = torch.rand(target[:, :1].shape if together else target.shape) < rng.choice([0.0, 0.2, 0.5, 1.0])
    target = torch.where(drawn.expand_as(target), index, target)
    return target == index, target, {"ignore_index": index}


def masking(rng: random.Random, task: str, full: tuple[int, ...], elementwise: bool) -> Tensor:
    """Of (N, *spatial), and of the shape of the prediction where classes may have their own."""
    by_class = elementwise and task in ("multilabel", "regression") and full[1] > 1 and rng.random() < 0.5
    drawn = torch.rand(full if by_class else (full[0], *full[2:]))
    mask = drawn < rng.choice([0.3, 0.6, 0.6, 0.9, 0.9, 0.9, 1.0, 0.0])
    return mask.to(rng.choice([torch.bool, torch.float32, torch.uint8]))
