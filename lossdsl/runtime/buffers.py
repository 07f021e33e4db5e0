"""A sweep lowered so that its pieces are computed in a few buffers that are used again and again.

Fresh memory for each result costs more than the arithmetic: the system hands it out page by page. So each operation
that can write into given memory does, and memory is given back as soon as the last reader of its value is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.products import is_number, is_wide
from lossdsl.graph.stages import Part
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.runtime.lower import call
from lossdsl.runtime.named import named
from lossdsl.runtime.ops import least_log
from lossdsl.runtime.slopes import like_index

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
