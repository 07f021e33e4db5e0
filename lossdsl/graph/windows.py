"""`local_mean`, `local_min`, `local_max`: a window around each pixel, the same at every call."""

from __future__ import annotations

import math

from lossdsl.checking.resolved import Neighbourhood, Resolved
from lossdsl.graph.frames import Fault, Frame
from lossdsl.graph.heads import Chosen, Space, marked
from lossdsl.graph.nodes import Node
from lossdsl.graph.reader import Reader
from lossdsl.graph.reduction_calls import absent_axes

LARGEST_WINDOW = 1001
"""The image gets a margin of half a window, so the memory of a call grows with the window."""


def neighbourhood(reader: Reader, expression: Neighbourhood, frame: Frame) -> Node | Chosen:
    """The node of a window function. A number with `outside=` is an image of that number."""
    kind, (value, classes) = expression.kind, reader.mapped(expression.value, frame)
    size = _fixed(reader, expression.size, frame)
    if size is None or size % 2 != 1 or not 0 < size <= LARGEST_WINDOW:
        message = f"`size` of `{kind}` must be an odd number of pixels, at most {LARGEST_WINDOW:,}"
        raise Fault(expression.size.origin.says("LD204", message))
    sigma = _fixed(reader, expression.sigma, frame)
    if expression.sigma and not (sigma and 0 < sigma < math.inf):
        raise Fault(expression.sigma.origin.says("LD204", f"`sigma` of `{kind}` must be a number of pixels above 0"))
    outside = _fixed(reader, expression.outside, frame)
    if expression.outside and (outside is None or not math.isfinite(outside)):
        raise Fault(expression.outside.origin.says("LD204", f"`outside` of `{kind}` must be a number"))
    if value.is_constant and outside is not None:
        value = _filled(frame.space, value.value, int(size))
    if "pixel" not in value.axes - absent_axes(frame):
        hint = f"a window needs pixels: {kind}(p, size=3)"
        raise Fault(expression.origin.says("LD302", f"`{kind}` of a value without the axis pixel", hint))
    valid = [] if frame.head.valid is None else [frame.head.valid]
    axes = value.axes.union(*(node.axes for node in valid))
    attributes = (int(size), sigma, outside)
    node = reader.graph.make(kind, value, frame.space.layout(), *valid, attributes=attributes, axes=axes)
    return marked(node, classes)


def _filled(space: Space, number: float, size: int) -> Node:
    arguments = (space.prediction, space.layout())
    return space.graph.make("filled_image", *arguments, attributes=(number, size), axes=("pixel",))


def _fixed(reader: Reader, expression: Resolved | None, frame: Frame) -> float | None:
    """The number that an expression is at every call, None when there is none."""
    if expression is None:
        return None
    node = reader.number(expression, frame)
    return node.value if node.is_constant else None
