"""Run stages on tensors: wide values piece by piece, in a few buffers that stay in the cache."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn

from lossdsl.graph.factored_form import is_number, is_wide
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.stages import MERGING, Part, Stage
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.runtime.derivative_ops import like_index
from lossdsl.runtime.lower import call, lower_part
from lossdsl.runtime.named import named
from lossdsl.runtime.ops import least_log

Into = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A function of the values of the inputs, then one destination for each wide output, then the buffers.

    buffers: for each whether it has the class axis. Wide outputs are written, the others are returned.
    """

    run: Callable[..., tuple[Any, ...]]
    buffers: tuple[bool, ...]


def lower_sweep(part: Part) -> Sweep:
    return _Lowering(part).sweep()


class _Lowering:
    def __init__(self, part: Part):
        self.part = part
        self.graph, self.root = fx.Graph(), nn.Module()
        self.made: dict[Node, Any] = {}
        for index, node in enumerate(part.inputs):
            self.made[node] = self.graph.placeholder(f"value_{index}")
        self.targets = {
            node: self.graph.placeholder(f"target_{index}") for index, node in enumerate(part.outputs) if is_wide(node)
        }
        self.nodes = [node for node in in_order(part.outputs, known=self.made) if node not in self.made]
        self.last = {argument: index for index, node in enumerate(self.nodes) for argument in node.arguments}
        self.free: dict[bool, list[fx.Node]] = {False: [], True: []}
        self.held: dict[fx.Node, int] = {}
        self.within: dict[Node, frozenset[fx.Node]] = {}
        self.buffers: dict[fx.Node, bool] = {}
        self.start = next((node for node in reversed(self.graph.nodes)), None)

    def sweep(self) -> Sweep:
        for index, node in enumerate(self.nodes):
            self._add(index, node)
        self.graph.output(tuple(self.made[node] for node in self.part.outputs if not is_wide(node)))
        run: Callable[..., tuple[Any, ...]] = fx.GraphModule(self.root, self.graph).forward
        return Sweep(run, tuple(self.buffers.values()))

    def _add(self, index: int, node: Node) -> None:
        arguments = [self.made[argument] for argument in node.arguments]
        into = _into(node) if is_wide(node) else None
        target = self.targets.get(node)
        if into is None:
            self.made[node] = call(self.root, self.graph, node, arguments)
            if target is not None:
                self.graph.call_method("copy_", (target, self.made[node]))
            kept = [self.within.get(argument, frozenset()) for argument in node.arguments]
            self.within[node] = frozenset().union(*kept) if is_wide(node) else frozenset()
            self._release(index, node)
            return
        # Released first: an operation may write over its own argument, each element is read before it is written.
        self._release(index, node, node.operation not in _READS_ALL)
        buffer = target if target is not None else self._buffer("class" in node.axes)
        self.made[node] = self.graph.call_function(into, tuple(arguments), {"out": buffer})
        self.within[node] = frozenset() if target is not None else frozenset({buffer})
        if target is None:
            self.held[buffer] = self.last[node]
        if node.operation in _READS_ALL:
            self._release(index, node)

    def _buffer(self, classes: bool) -> fx.Node:
        if self.free[classes]:
            return self.free[classes].pop()
        assert self.start is not None
        with self.graph.inserting_after(self.start):
            buffer = self.graph.placeholder(f"buffer_{len(self.buffers)}")
        self.start = buffer
        self.buffers[buffer] = classes
        return buffer

    def _release(self, index: int, node: Node, now: bool = True) -> None:
        """Free the buffers that no later node reads; a result that may share memory with one holds it longer."""
        for buffer in self.within.get(node, frozenset()):
            self.held[buffer] = max(self.held[buffer], self.last.get(node, index))
        if now:
            for buffer in [buffer for buffer, until in self.held.items() if until <= index]:
                del self.held[buffer]
                self.free[self.buffers[buffer]].append(buffer)


def _log(x: Tensor, *, out: Tensor) -> Tensor:
    return torch.clamp_min(x, torch.finfo(x.dtype).tiny, out=out).log_()


def _log1p(x: Tensor, *, out: Tensor) -> Tensor:
    return torch.clamp_min(x, -1, out=out).log1p_().clamp_min_(least_log(x.dtype))


def _finite(x: Tensor, *, out: Tensor) -> Tensor:
    least = least_log(x.dtype)
    return torch.nan_to_num(x, nan=math.nan, posinf=-least, neginf=least, out=out)


def _sqrt(x: Tensor, *, out: Tensor) -> Tensor:
    return torch.clamp_min(x, 0, out=out).sqrt_()


def _softmax(x: Tensor, *, out: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten._softmax.out(x, 1, False, out=out)
    return result


def _log_softmax(x: Tensor, *, out: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten._log_softmax.out(x, 1, False, out=out)
    return result


def _add(a: Any, b: Any, *, out: Tensor) -> Tensor:
    return torch.add(a, b, out=out) if isinstance(a, Tensor) else torch.add(b, a, out=out)


def _multiply(a: Any, b: Any, *, out: Tensor) -> Tensor:
    return torch.mul(a, b, out=out) if isinstance(a, Tensor) else torch.mul(b, a, out=out)


def _subtract(a: Any, b: Any, *, out: Tensor) -> Tensor:
    return torch.sub(a if isinstance(a, Tensor) else torch.tensor(a, dtype=torch.float64, device="cpu"), b, out=out)


def _add_product(x: Tensor, a: Any, b: Any, *, out: Tensor) -> Tensor:
    return _scaled(x, a, b, 1, out)


def _subtract_product(x: Tensor, a: Any, b: Any, *, out: Tensor) -> Tensor:
    return _scaled(x, a, b, -1, out)


def _scaled(x: Tensor, a: Any, b: Any, sign: int, out: Tensor) -> Tensor:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.addcmul(x, a, b, value=sign, out=out)
    number, tensor = (b, a) if isinstance(a, Tensor) else (a, b)
    return torch.add(x, tensor, alpha=sign * number, out=out)


def _scaled_difference(half: Tensor, a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten.mse_loss_backward.grad_input(half, a, b, 0, grad_input=out)
    return result


def _squared_difference(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten.mse_loss.out(a, b, 0, out=out)
    return result


def _add_at_class(base: Tensor, x: Tensor | float, index: Tensor, *, out: Tensor) -> Tensor:
    return (out if base is out else out.copy_(base)).scatter_add_(1, index, like_index(x, index, out))


def _minimum(a: Tensor, b: Tensor | float, *, out: Tensor) -> Tensor:
    return torch.minimum(a, b, out=out) if isinstance(b, Tensor) else torch.clamp_max(a, b, out=out)


def _maximum(a: Tensor, b: Tensor | float, *, out: Tensor) -> Tensor:
    return torch.maximum(a, b, out=out) if isinstance(b, Tensor) else torch.clamp_min(a, b, out=out)


_INTO: Mapping[str, Into] = {
    "add": _add, "subtract": _subtract, "multiply": _multiply, "quotient": torch.div, "negative": torch.neg,
    **{name: named(function.into) for name, function in FUNCTIONS.items() if function.into is not None},
    "log": _log, "sqrt": _sqrt, "sign": torch.sign, "raw_log1p": torch.log1p, "log1p": _log1p, "finite": _finite,
    "scaled_difference": _scaled_difference, "squared_difference": _squared_difference,
    "interpolate": torch.lerp, "add_product": _add_product, "subtract_product": _subtract_product,
    "softmax": _softmax, "log_softmax": _log_softmax, "add_at_class": _add_at_class,
}  # fmt: skip
_READS_ALL = frozenset({"softmax", "log_softmax"})


def _into(node: Node) -> Into | None:
    """The form of an operation that writes into given memory, where it has one."""
    numbers = [is_number(argument) for argument in node.arguments]
    match node.operation:
        case "power":
            whole = node.arguments[1].is_constant and node.arguments[1].value in (2, 3)
            return torch.pow if whole else None
        case "minimum" | "maximum":
            return (_minimum if node.operation == "minimum" else _maximum) if not numbers[0] else None
        case "quotient" | "interpolate":
            return _INTO[node.operation] if not any(numbers) else None
        case "add" | "subtract" | "multiply":
            return _INTO[node.operation]
        case operation:
            return _INTO.get(operation)


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
