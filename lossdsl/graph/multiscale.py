"""Entering another space and leaving it: the outputs of a list, and heads with a layout of their own."""

from __future__ import annotations

from collections.abc import Mapping

from lossdsl.checking.resolved import MultiScale, PerClass, Use
from lossdsl.graph.frames import Fault, Frame, Value, node_of, the_axes
from lossdsl.graph.heads import zero_without_elements
from lossdsl.graph.nodes import Node
from lossdsl.graph.reader import Reader


def multiscale(reader: Reader, expression: MultiScale, frame: Frame) -> Node:
    """sum_k weights[k] * value at output k. The value is read anew for each, names bound outside are too."""
    _check_place(reader, expression, frame)
    graph, scales = reader.graph, max(reader.context.scales, 1)
    weights = [reader.scalar(weight, frame, "a weight") for weight in expression.weights]
    if weights and len(weights) != scales:
        message = f"{len(weights)} weight{'s' * (len(weights) != 1)} for {scales} output{'s' * (scales != 1)}"
        raise Fault(expression.origin.says("LD307", message, "give one weight for each tensor of pred"))
    total = graph.constant(0.0)
    for scale, weight in enumerate(weights or [graph.constant(1.0)] * scales):
        inner = reader.anew(frame, expression.value, head=reader.scale(scale), scaled=True)
        value = reader.scalar(expression.value, inner, "the value of multiscale")
        value = zero_without_elements(value, [head for head in reader.heads if head.space is inner.space])
        total = graph.make("add", total, graph.make("multiply", weight, value))
    return total


def _check_place(reader: Reader, expression: MultiScale, frame: Frame) -> None:
    if frame.scaled:
        raise Fault(expression.origin.says("LD307", "multiscale cannot be nested", "use one multiscale"))
    if frame.head is not reader.main:
        message = "multiscale uses the outputs of `pred`, which another head replaces here"
        raise Fault(expression.origin.says("LD307", message))
    for name, value in frame.parameters.items():
        node = node_of(value)
        if node is not None and "pixel" in node.axes:
            message = f"`{name}` has one value for each pixel of the first output, but multiscale uses all outputs"
            raise Fault(expression.origin.says("LD307", message))


def check_entry(use: Use, given: Mapping[str, Value], outer: Frame, inner: Frame) -> None:
    """A head with a layout of its own shares neither pixels nor classes with what stands around it."""
    if inner.space is outer.space:
        return
    shown = use_text(use)
    if outer.scaled:
        message = f"`{shown}` has its own layout and only one scale"
        raise Fault(use.origin.says("LD307", message, "write it outside of multiscale(...)"))
    if outer.classes is not None:
        message = f"`{shown}` has its own layout; for_class selects from the classes of `pred`"
        raise Fault(use.origin.says("LD307", message, "write it outside of for_class(...)"))
    for name, written in use.parameters:
        node = node_of(given[name])
        if node is not None and node.axes and not isinstance(written, PerClass):
            message = f"`{name}` has {the_axes(node.axes)} of `pred`; `{shown}` has another layout"
            raise Fault(written.origin.says("LD307", message))


def check_exit(use: Use, value: Node, outer: Frame, inner: Frame) -> None:
    """Out of a space come only numbers without axes."""
    if value.axes and inner.space is not outer.space:
        axes = the_axes(value.axes)
        message = f"`{use_text(use)}` has its own layout; its map with {axes} fits no other value"
        raise Fault(use.origin.says("LD307", message, "without reduction=none it is a scalar"))


def use_text(use: Use) -> str:
    """The text of a loss with its tensors, without its parameters."""
    return f"{use.loss.name}({', '.join(getattr(tensor, 'name', '...') for tensor in use.tensors)})"
