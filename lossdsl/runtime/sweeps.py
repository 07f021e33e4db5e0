"""Stages run on tensors: wide values piece by piece, so that what is between input and sum stays in the cache."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossdsl.graph.nodes import Node
from lossdsl.graph.products import is_wide
from lossdsl.graph.stages import MERGING, Part, Stage
from lossdsl.runtime.lower import lower_part

PIECE = 1 << 18
"""Elements of a piece. Fewer cost more calls, more leave the cache."""


@dataclass(frozen=True, slots=True)
class Step:
    """A lowered part. A sweep runs once for each piece, and writes wide outputs where they belong."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    run: Callable[..., tuple[Any, ...]]
    sweeps: bool


def steps(stages: Iterable[Stage]) -> tuple[Step, ...]:
    result = []
    for stage in stages:
        for part, sweeps in ((stage.narrow, False), (stage.sweep, True)):
            if part.outputs:
                result.append(Step(part.inputs, part.outputs, lower_part(part), sweeps))
    return tuple(result)


def whole(part: Part) -> tuple[Step, ...]:
    """Everything at once."""
    return (Step(part.inputs, part.outputs, lower_part(part), sweeps=False),)


def run(
    todo: Sequence[Step], values: dict[Node, Any], destinations: Mapping[Node, Sequence[Tensor]], piece: int
) -> None:
    """Add the outputs of the steps to the values. A wide output of a sweep is written to its destinations instead."""
    for step in todo:
        given = [values[node] for node in step.inputs]
        if not step.sweeps:
            values.update(zip(step.outputs, step.run(*given), strict=True))
            continue
        pieces = _Pieces.of(step.inputs, given, piece)
        written = [[pieces.split(t, wide=True) for t in destinations[node]] for node in step.outputs if is_wide(node)]
        summed = [node for node in step.outputs if not is_wide(node)]
        parts: list[list[Any]] = [[] for _ in summed]
        arguments = [pieces.cut(node, value) for node, value in zip(step.inputs, given, strict=True)]
        targets = [zip(*copies, strict=True) for copies in written]
        for number, cut in enumerate(zip(*arguments, strict=False)):
            results = iter(zip(step.outputs, step.run(*cut), strict=True))
            _store(results, targets, parts)
            assert number < pieces.count
        values.update((node, pieces.merged(node, found)) for node, found in zip(summed, parts, strict=True))


def _store(results: Iterable[tuple[Node, Any]], targets: list[Any], parts: list[list[Any]]) -> None:
    writers, sums = iter(targets), iter(parts)
    for node, result in results:
        if is_wide(node):
            for destination in next(next(writers)):
                destination.copy_(result)
        else:
            next(sums).append(result)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Blocks of images, and of the pixels of one image where an image is larger than a piece."""

    images: int
    pixels: int
    rows: int
    columns: int

    @property
    def count(self) -> int:
        return self.rows * self.columns

    @staticmethod
    def of(nodes: Sequence[Node], values: Sequence[Any], piece: int) -> _Pieces:
        batch, _, pixels = next(value.shape for node, value in zip(nodes, values, strict=True) if is_wide(node))
        classes = max(value.shape[1] for node, value in zip(nodes, values, strict=True) if is_wide(node))
        images = max(1, min(batch, piece // (classes * pixels)))
        width = pixels if images > 1 else max(1, min(pixels, piece // classes))
        return _Pieces(images, width, -(-batch // images), -(-pixels // width))

    def cut(self, node: Node, value: Any) -> Iterable[Any]:
        if "batch" not in node.axes:
            return itertools.repeat(value, self.count)
        return self.split(value, is_wide(node))

    def split(self, value: Tensor, wide: bool) -> list[Tensor]:
        rows = value.split(self.images, 0) if self.rows > 1 else (value,)
        if self.columns == 1:
            return list(rows)
        if not wide:
            return [row for row in rows for _ in range(self.columns)]
        return [block for row in rows for block in row.split(self.pixels, 2)]

    def merged(self, node: Node, parts: list[Tensor]) -> Tensor:
        """The result for all pieces: along the images where it still has them, else over all."""
        if len(parts) == 1:
            return parts[0]
        kind = MERGING[node.operation]
        if "batch" not in node.axes:
            return _merge(kind, parts)
        rows = [parts[i : i + self.columns] for i in range(0, len(parts), self.columns)]
        return torch.cat([_merge(kind, row) if len(row) > 1 else row[0] for row in rows])


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
