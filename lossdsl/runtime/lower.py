"""Graph to torch.fx: each node becomes one call, in order, as plain torch code that torch.compile reads whole."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from lossdsl.errors import Diagnostic, LossError, PluginError
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.factored_form import is_number, wants_a_tensor
from lossdsl.graph.nodes import AXES, OPERATIONS, Node, for_each_operation, in_order
from lossdsl.graph.rewrites import COMPARISONS
from lossdsl.graph.stable_form import computed
from lossdsl.graph.stages import Part
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.registry.model import Kernel
from lossdsl.registry.passing import is_passing
from lossdsl.runtime import kernel_guard as conduct
from lossdsl.runtime import ops, windows
from lossdsl.runtime.accepted_tensors import can_be_read
from lossdsl.runtime.derivative_ops import SLOPES
from lossdsl.runtime.named import named
from lossdsl.runtime.no_aliases import is_saved

_Made: TypeAlias = Callable[[fx.Graph, Node, list[Any]], Any]

# Operations that are one torch function of their arguments. Constants arrive as Python numbers.
_DIRECT: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": ops.quotient,
    "power": ops.power,
    "negative": operator.neg,
    **{name: named(function.torch) for name, function in FUNCTIONS.items()},
    "log": ops.log,
    "log1p": ops.log1p,
    "sqrt": ops.sqrt,
    "minimum": ops.minimum,
    "maximum": ops.maximum,
    "where": torch.where,
    "stop_gradient": torch.detach,
    "log_one_minus_softmax": ops.log_one_minus_softmax,
    "cast": ops.cast,
    "cast_like": ops.cast_like,
    "classes": ops.classes,
    "ones": ops.ones,
    "one_hot": ops.one_hot,
    "foreground": ops.foreground,
    "keep": ops.keep,
    "finite": ops.finite,
    "pick": ops.pick,
    "both": operator.and_,
    "any_of": ops.any_of,
    **SLOPES,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled call: the module, the names of its inputs in order, and the names of the terms that it returns.

    The module returns the total, then value, weight and contribution of each term. lists: inputs whose classes a list
    of the formula counts, with its length. classes: inputs of which the formula names a class, with its number.
    positive: denominators that are well above 0 for all labels and probabilities. saved: as in `owned.copied`.
    """

    module: fx.GraphModule
    inputs: tuple[str, ...]
    terms: tuple[str, ...]
    lists: tuple[tuple[str, int], ...]
    classes: tuple[tuple[str, int], ...]
    outputs: tuple[Node, ...]
    positive: frozenset[Node]
    saved: bool


def lower(loss: BuiltLoss, positive: frozenset[Node] = frozenset(), rounded: frozenset[Node] = frozenset()) -> Plan:
    """The plan of a built loss. rounded: roots of what is known to a rounding error only."""
    form = computed(loss, positive, rounded)
    nodes = in_order(form.outputs)
    graph, root = fx.Graph(), nn.Module()
    given = {
        name: graph.placeholder(f"{re.sub(r'[^0-9A-Za-z_]', '_', name)}_{index}")
        for index, name in enumerate(form.inputs)
    }
    made: dict[Node, Any] = {node: given[str(node.attributes[0])] for node in nodes if node.operation == "input"}
    prediction = next((made[node] for node in nodes if node.input_name == "pred"), given.get("pred"))
    for node in nodes:
        if node.operation == "input":
            continue
        arguments = [made[argument] for argument in node.arguments]
        if wants_a_tensor(node):
            arguments[0] = graph.call_function(ops.cast_like, (arguments[0], prediction))
        made[node] = call(root, graph, node, arguments)
    graph.output(tuple(made[output] for output in form.outputs))
    lists = dict.fromkeys(
        (str(node.arguments[0].attributes[0]), len(node.arguments) - 1)
        for node in nodes
        if node.operation == "per_class"
    )
    classes = dict.fromkeys(
        (str(node.arguments[0].attributes[0]), int(str(number)))
        for node in nodes
        if node.operation == "class_is_one_of"
        for number in node.attributes
    )
    terms = tuple(term.name for term in loss.terms)
    module = fx.GraphModule(root, graph)
    saved = is_saved(form.outputs[0])
    return Plan(module, form.inputs, terms, tuple(lists), tuple(classes), form.outputs, form.positive, saved)


def lower_part(part: Part) -> fx.GraphModule:
    """A module from the values of a part's inputs to those of its outputs."""
    graph, root = fx.Graph(), nn.Module()
    made: dict[Node, Any] = {node: graph.placeholder(f"value_{i}") for i, node in enumerate(part.inputs)}
    for node in in_order(part.outputs, known=made):
        if node not in made:
            made[node] = call(root, graph, node, [made[argument] for argument in node.arguments])
    graph.output(tuple(made[output] for output in part.outputs))
    return fx.GraphModule(root, graph)


def call(root: nn.Module, graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    """One node as an fx call; constants stay Python numbers."""
    if node.is_constant:
        return node.value
    if node.operation == "kernel":
        name = f"kernel_{sum(1 for _ in root.children())}"
        root.add_module(name, KernelCall(node))
        return graph.call_module(name, tuple(arguments))
    made = _WITH_ATTRIBUTES.get(node.operation)
    if made is not None:
        return made(graph, node, arguments)
    return graph.call_function(_DIRECT[node.operation], tuple(arguments))


def _along_axes(function: Callable[..., Any]) -> _Made:
    def made(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
        if not node.axes:
            return graph.call_function(function, (arguments[0],))
        return graph.call_function(function, (arguments[0], _dims(node), True))

    return made


def _extreme(kind: str) -> _Made:
    return lambda graph, node, arguments: graph.call_function(
        ops.extreme, (kind, *_with_valid(arguments), _dims(node), not node.axes)
    )


def _topk(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    share = Fraction(str(node.attributes[1])).limit_denominator(10**9).as_integer_ratio()
    how = (_dims(node), share, str(node.attributes[2]), not node.axes)
    return graph.call_function(ops.topk_mean, (*_with_valid(arguments), *how))


def _perhaps_rounded(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    how: Any = {"rounded": True} if node.attributes else {}
    return graph.call_function(_DIRECT[node.operation], tuple(arguments), how)


def _any_along(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    return graph.call_function(ops.any_along, (arguments[0], _dims(node)))


def _size_of(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    return graph.call_function(size, (arguments[0], AXES.index(str(node.attributes[0]))))


def _along_classes(function: Callable[..., Any]) -> _Made:
    return lambda graph, _node, arguments: graph.call_function(function, (arguments[0],), {"dim": 1})


def _with_settings(function: Callable[..., Any]) -> _Made:
    """A function of the arguments and then of the attributes."""

    def made(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
        settings: Any = node.attributes
        return graph.call_function(function, (*arguments, *settings))

    return made


def _window(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    window: Any = node.attributes
    valid = arguments[2] if len(arguments) > 2 else None
    return graph.call_function(windows.neighbourhood, (node.operation, *arguments[:2], valid, *window))


def _differs(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    ignored: Any = node.attributes[0]
    return graph.call_function(ops.differs, (arguments[0], ignored))


def _compare(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    return graph.call_function(COMPARISONS[str(node.attributes[0])], tuple(arguments))


def _with_product(graph: fx.Graph, node: Node, arguments: list[Any]) -> Any:
    """x + left*right or x - left*right."""
    x, left, right = arguments
    sign = 1 if node.operation == "add_product" else -1
    if not any(is_number(argument) for argument in node.arguments[1:]):
        return graph.call_function(torch.addcmul, (x, left, right), {"value": sign})
    number, tensor = (left, right) if is_number(node.arguments[1]) else (right, left)
    return graph.call_function(torch.add if sign > 0 else torch.sub, (x, tensor), {"alpha": number})


def _dims(node: Node) -> tuple[int, ...]:
    over = node.attributes[0]
    assert isinstance(over, tuple)
    return tuple(AXES.index(axis) for axis in over)


def _with_valid(arguments: list[Any]) -> tuple[Any, Any]:
    return arguments[0], arguments[1] if len(arguments) > 1 else None


def size(x: Tensor, dim: int) -> int:
    return x.shape[dim]


# Operations that are made with their attributes or axes.
_WITH_ATTRIBUTES: dict[str, _Made] = {
    "sum": _along_axes(torch.sum),
    "mean": _along_axes(torch.mean),
    "add_product": _with_product,
    "subtract_product": _with_product,
    "reduce_max": _extreme("max"),
    "reduce_min": _extreme("min"),
    "topk": _topk,
    **dict.fromkeys(("power", "sqrt", "bounded"), _perhaps_rounded),
    "any": _any_along,
    "size": _size_of,
    "softmax": _along_classes(functional.softmax),
    "log_softmax": _along_classes(functional.log_softmax),
    "index": lambda graph, _node, arguments: graph.call_method("long", (arguments[0],)),
    "class_is_one_of": _with_settings(ops.class_is_one_of),
    "per_class": lambda graph, _node, arguments: graph.call_function(ops.per_class, tuple(arguments)),
    **dict.fromkeys(("local_mean", "local_min", "local_max"), _window),
    "filled_image": _with_settings(windows.filled_image),
    "differs": _differs,
    "compare": _compare,
}
# No function that is called, and what `stable` makes of other operations before.
_NO_FUNCTION = frozenset({"constant", "kernel", "input", "logsumexp"})
_LOWERED = _DIRECT.keys() | _WITH_ATTRIBUTES.keys() | _NO_FUNCTION
for_each_operation(dict.fromkeys(OPERATIONS & _LOWERED))


def _for_sizes(mask: Tensor, full: Sequence[int]) -> Tensor:
    """A mask of these sizes; along an axis that a value no longer has, what counts is made of anything that does."""
    gone = [dim for dim, size in enumerate(full) if size == 1 and mask.shape[dim] > 1]
    return (mask.any(gone, keepdim=True) if gone else mask).expand(full)


class KernelCall(nn.Module):
    """Calls a kernel with full-size tensors and checks the shape that it returns.

    In the first call, with and without gradients, also what no shape tells: whether the kernel leaves torch and its
    tensors as they are, and returns finite numbers for finite tensors.
    """

    def __init__(self, node: Node):
        super().__init__()
        kernel, count, names, settings = node.attributes
        assert isinstance(kernel, Kernel)
        assert isinstance(count, int)
        self.kernel = kernel
        self.function = kernel.function
        self.count = count
        self.names = cast(tuple[str, ...], names)
        self.settings = cast(tuple[tuple[str, Any], ...], settings)
        self.kept = tuple(axis in node.axes for axis in AXES)
        self.watched: set[bool] = set()

    def forward(self, *arguments: Tensor) -> Tensor:
        tensors = arguments[: self.count]
        if self.kernel.full_size:
            tensors = torch.broadcast_tensors(*tensors)  # type: ignore[no-untyped-call]
        full = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))  # type: ignore[no-untyped-call]
        keywords: dict[str, Any] = dict(self.settings) | dict(zip(self.names, arguments[self.count :], strict=True))
        if "mask" in keywords:
            keywords["mask"] = _for_sizes(keywords["mask"], full)
        if "spatial" in keywords:
            keywords["spatial"] = tuple(keywords["spatial"].shape[2:])
        if torch.compiler.is_compiling():
            return self._shaped(self.function(*tensors, **keywords), tensors, full)
        kind = torch.is_grad_enabled()
        if kind in self.watched or not conduct.is_watched():
            return self._shaped(self._called(tensors, keywords), tensors, full)
        given = dict(zip(self._inputs(), tensors, strict=True))
        given |= {name: value for name, value in keywords.items() if isinstance(value, Tensor)}
        result = self._shaped(self._watched(tensors, keywords, given), tensors, full)
        if can_be_read(result) and all(map(can_be_read, given.values())):
            self._check_values(result, given)
            self.watched.add(kind)
        return result

    def _shaped(self, result: Any, tensors: tuple[Tensor, ...], full: tuple[int, ...]) -> Tensor:
        wanted = tuple(size if kept else 1 for kept, size in zip(self.kept, full, strict=True))
        one = isinstance(result, Tensor) and result.numel() == 1 and not any(self.kept)
        if not one and (not isinstance(result, Tensor) or tuple(result.shape) != wanted):
            given = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise self._broken(f"returned {given}; it declares {wanted}")
        if (result.dtype, result.device) != (tensors[0].dtype, tensors[0].device):
            given, wanted_too = (f"{x.dtype} on {x.device}" for x in (result, tensors[0]))
            raise self._broken(f"returned {given} for {wanted_too}")
        checked: Tensor = result.reshape(()) if one else result
        return checked

    def _called(self, tensors: tuple[Tensor, ...], keywords: Mapping[str, Any]) -> Any:
        try:
            return self.function(*tensors, **keywords)
        except LossError:
            raise
        except (Exception, SystemExit) as cause:
            if is_passing(cause):
                raise
            raise self._broken(f"raised {cause!r}") from cause

    def _watched(self, tensors: tuple[Tensor, ...], keywords: Mapping[str, Any], given: Mapping[str, Tensor]) -> Any:
        """Call the kernel. What it changes of torch is put back, also where it raises."""
        marks, settings = conduct.marks(given), conduct.settings()
        try:
            result = self._called(tensors, keywords)
        finally:
            changed = conduct.put_back(settings)
        if changed:
            raise self._broken(changed)
        if written := conduct.written_to(marks, given):
            raise self._broken(f"wrote to `{written}`, which it was given to read")
        return result

    def _check_values(self, result: Tensor, given: Mapping[str, Tensor]) -> None:
        """Raise PluginError for a number that is not finite where all that was given is.

        What is left out of a result that holds each element by itself is not known here, so there it is told when no
        element is finite.
        """
        counts = given.get("mask")
        counts = counts if counts is not None and counts.shape == result.shape else None
        if self.kernel.elementwise and result.isfinite().any():
            return
        if told := conduct.not_finite(result, given, counts, float("inf") in self.kernel.range):
            raise self._broken(f"returned {told} for tensors of finite numbers")

    def _inputs(self) -> tuple[str, ...]:
        names = self.kernel.inputs
        return names if len(names) == self.count else tuple(f"tensor {number + 1}" for number in range(self.count))

    def _broken(self, what: str) -> PluginError:
        who = f"`{self.kernel.name}` of {self.kernel.provider.exactly}"
        return PluginError([Diagnostic("LD602", f"{who} {what}")])
