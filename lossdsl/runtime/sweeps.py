"""Stages run on tensors: wide values piece by piece, so that what is between input and sum stays in the cache."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from lossdsl.graph.nodes import Node
from lossdsl.graph.products import is_wide
from lossdsl.graph.stages import MERGING, Part, Stage
from lossdsl.runtime.buffers import Sweep, lower_sweep
from lossdsl.runtime.lower import lower_part

PIECE = 1 << 18
"""Elements of a piece for each thread. Fewer cost more calls, more leave the cache."""


class _Scratch(threading.local):
    """Memory of a thread for what is between inputs and sums, kept because fresh memory costs more than its use."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, torch.dtype], Tensor] = {}

    def of(self, number: int, size: int, dtype: torch.dtype) -> Tensor:
        space = self.held.get((number, dtype))
        if space is None or space.numel() < size:
            with torch.inference_mode(False):
                space = self.held[number, dtype] = torch.empty(size, dtype=dtype, device="cpu")
        return space


_SCRATCH = _Scratch()


@dataclass(frozen=True, slots=True)
class Step:
    """A lowered part. A sweep runs once for each piece, and writes wide outputs where they belong."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    run: Callable[..., tuple[Any, ...]]
    sweep: Sweep | None = None


Compiler: TypeAlias = Callable[[fx.GraphModule], Callable[..., tuple[Any, ...]]]
"""Makes a faster function of a module."""


def steps(stages: Iterable[Stage], compiler: Compiler | None = None) -> tuple[Step, ...]:
    """The stages lowered; what is computed at once goes through the compiler."""
    result: list[Step] = []
    for stage in stages:
        if stage.narrow.outputs:
            result.append(_at_once(stage.narrow, compiler))
        if stage.sweep.outputs:
            sweep = lower_sweep(stage.sweep)
            result.append(Step(stage.sweep.inputs, stage.sweep.outputs, sweep.run, sweep))
    return tuple(result)


def _at_once(part: Part, compiler: Compiler | None) -> Step:
    module = lower_part(part)
    return Step(part.inputs, part.outputs, compiler(module) if compiler else module.forward)


def run(
    todo: Sequence[Step], values: dict[Node, Any], destinations: Mapping[Node, Tensor], piece: int, dtype: torch.dtype
) -> None:
    """Add the outputs of the steps to the values. A wide output of a sweep is written to its destination instead.

    piece: elements of a piece. dtype: of what is computed.
    """
    for step in todo:
        given = [values[node] for node in step.inputs]
        if step.sweep is None:
            values.update(zip(step.outputs, step.run(*given), strict=True))
        else:
            values.update(_swept(step, step.sweep, given, destinations, piece, dtype))


def _swept(
    step: Step, sweep: Sweep, given: list[Any], destinations: Mapping[Node, Tensor], piece: int, dtype: torch.dtype
) -> Iterable[tuple[Node, Any]]:
    pieces = _Pieces.of(step.inputs, given, piece)
    arguments = [pieces.cut(node, value) for node, value in zip(step.inputs, given, strict=True)]
    arguments += [pieces.split(destinations[node], wide=True) for node in step.outputs if is_wide(node)]
    arguments += pieces.buffers(sweep.buffers, dtype)
    parts = list(itertools.starmap(step.run, zip(*arguments, strict=True)))
    summed = [node for node in step.outputs if not is_wide(node)]
    return [(node, pieces.merged(node, [part[index] for part in parts])) for index, node in enumerate(summed)]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Blocks of images, and of the pixels of one image where an image is larger than a piece."""

    batch: int
    classes: int
    width: int
    images: int
    pixels: int

    @property
    def rows(self) -> int:
        return -(-self.batch // self.images)

    @property
    def columns(self) -> int:
        return -(-self.width // self.pixels)

    @property
    def count(self) -> int:
        return self.rows * self.columns

    @staticmethod
    def of(nodes: Sequence[Node], values: Sequence[Any], piece: int) -> _Pieces:
        tensors = [value for value in values if isinstance(value, Tensor) and value.ndim == 3]
        batch, _, width = next(value.shape for node, value in zip(nodes, values, strict=True) if is_wide(node))
        classes = max(value.shape[1] for value in tensors)
        images = max(1, min(batch, piece // (classes * width)))
        pixels = width if images > 1 else max(1, min(width, piece // classes))
        return _Pieces(batch, classes, width, images, pixels)

    def cut(self, node: Node, value: Any) -> Iterable[Any]:
        if "batch" not in node.axes:
            return [value] * self.count
        return self.split(value, is_wide(node))

    def split(self, value: Tensor, wide: bool) -> list[Tensor]:
        rows = torch.split(value, self.images, 0) if self.rows > 1 else (value,)
        if self.columns == 1:
            return list(rows)
        if not wide:
            return [row for row in rows for _ in range(self.columns)]
        return [block for row in rows for block in torch.split(row, self.pixels, 2)]

    def buffers(self, classes: Sequence[bool], dtype: torch.dtype) -> list[list[Tensor]]:
        """Memory for one piece, seen in the shape of each piece."""
        sizes = [self.images * (self.classes if has else 1) * self.pixels for has in classes]
        memory = [_SCRATCH.of(number, size, dtype) for number, size in enumerate(sizes)]
        shapes = [
            (min(self.images, self.batch - row), min(self.pixels, self.width - column))
            for row in range(0, self.batch, self.images)
            for column in range(0, self.width, self.pixels)
        ]
        return [
            [_view(space, (images, self.classes if has else 1, pixels)) for images, pixels in shapes]
            for space, has in zip(memory, classes, strict=True)
        ]

    def merged(self, node: Node, parts: list[Tensor]) -> Tensor:
        """The result for all pieces: along the images where it still has them, else over all."""
        if len(parts) == 1:
            return parts[0]
        kind = MERGING[node.operation]
        if "batch" not in node.axes:
            return _merge(kind, parts)
        rows = [parts[i : i + self.columns] for i in range(0, len(parts), self.columns)]
        return torch.cat([_merge(kind, row) if len(row) > 1 else row[0] for row in rows])


def _view(space: Tensor, shape: tuple[int, ...]) -> Tensor:
    return space[: math.prod(shape)].view(shape)


def _merge(kind: str, parts: list[Tensor]) -> Tensor:
    stacked = torch.stack(parts)
    match kind:
        case "sum":
            return stacked.sum(0, dtype=torch.float64).to(stacked.dtype)
        case "any":
            return stacked.any(0)
        case "max":
            return stacked.amax(0)
        case _:
            return stacked.amin(0)
