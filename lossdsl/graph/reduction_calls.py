"""Reductions as they are written: over which axes they go, which classes count, and what a mean is divided by."""

from __future__ import annotations

from collections.abc import Iterable

from lossdsl.checking.resolved import Reduction
from lossdsl.graph.frames import Fault, Frame, Operand, listed, met, the_axes, without_the_mean
from lossdsl.graph.heads import Chosen, Classes, marked
from lossdsl.graph.nodes import AXES, NO_AXES, Node
from lossdsl.graph.reader import Reader
from lossdsl.graph.trace import Applied

_LAYOUTS = {
    ("pixel",): "`pred` is (N, C) here, its second axis is class: over=class; P pixels of one class are (N, 1, P)",
    ("class",): '`pred` is (N, *spatial) here; (N, C) is read as classes with task="multilabel"',
    ("class", "pixel"): "`pred` is (N,) here",
}


# Reductions that are not 0 where all elements are, and those that depend on how many elements there are.
_EXPONENTIAL = frozenset({"logsumexp", "softmax"})
_COUNTED = _EXPONENTIAL | {"sum"}


def reduced(reader: Reader, expression: Reduction, frame: Frame) -> Node | Chosen:
    """The value of a reduction. The choice of a map ends where its classes are put together."""
    value, classes = reader.mapped(expression.value, frame)
    if value.is_constant and frame.is_definition:
        if value.value == 0 and expression.kind not in _EXPONENTIAL:
            return value
        if expression.kind in _COUNTED or expression.per or expression.over:
            value = reader.everywhere(value, frame)
    over = _over(reader, expression, value, frame)
    if not value.axes:
        return value
    if expression.kind == "mean":
        result, classes = _mean(reader, expression, Operand(expression.value.origin, value, classes), over, frame)
    else:
        reducer = reader.reducer(frame, classes)
        match expression.kind:
            case "sum":
                result = reducer.sum(value, over)
            case "logsumexp":
                result = reducer.log_sum_exp(value, over)
            case "softmax":
                return marked(reducer.softmax(value, over), classes)
            case "topk":
                result = reducer.topk(value, over, _share(reader, expression, frame), expression.rounding)
            case kind:
                result = reducer.extreme(kind, value, over)
    return marked(result, None if "class" in over else classes)


def without_its_mean(reader: Reader, expression: Reduction, frame: Frame) -> tuple[Node, Classes | None]:
    """What a mean over everything adds up before it divides: the map of a loss."""
    value, classes = reader.mapped(expression.value, frame)
    if expression.weight is None:
        return value, classes
    weight = _divisor(reader, expression, value, frame)
    assert weight is not None
    classes = met(expression.origin, [Operand(expression.value.origin, value, classes), weight], frame.space.task)
    return reader.graph.make("multiply", weight.node, value), classes


def _mean(
    reader: Reader, expression: Reduction, value: Operand, over: frozenset[str], frame: Frame
) -> tuple[Node, Classes | None]:
    divisor = _divisor(reader, expression, value.node, frame)
    if divisor is None:
        return reader.reducer(frame, value.classes).mean(value.node, over), value.classes
    classes = met(expression.origin, [value, divisor], frame.space.task)
    added = reader.graph.make("multiply", divisor.node, value.node) if expression.weight else value.node
    result = reader.reducer(frame, classes).mean(added, over, divisor.node)
    if frame.place is None and result.operation == "divide":
        word = "count" if expression.count else "weight"
        arguments, origins = (value.node, divisor.node, result.arguments[1]), (expression.origin, divisor.origin)
        # A comparison of single elements says nothing of their sum.
        guards = tuple(g for g in reader.trace.guards if g.left.axes | g.right.axes <= result.axes)
        reader.trace.applied.append(Applied(word, arguments, result, origins, guards))
    return result, classes


def _over(reader: Reader, expression: Reduction, value: Node, frame: Frame) -> frozenset[str]:
    """The axes that go; all of them must be there."""
    if expression.per is not None:
        over = frozenset({"pixel"} if reader.value(expression.per, frame) == "image" else {"batch", "pixel"})
    else:
        over = value.axes if expression.over is None else frozenset(expression.over)
    if not value.axes and not frame.is_definition:
        hint = "a named loss is already averaged; reduction=none gives its map, as in bce(reduction=none)"
        message = f"`{expression.kind}` of a scalar"
        raise Fault(expression.origin.says("LD302", message, hint, without_the_mean(expression)))
    absent = absent_axes(frame)
    missing = over - value.axes
    if expression.over is not None or (expression.per is not None and over <= absent):
        missing |= over & absent
    if missing:
        there = listed(value.axes - absent)
        message = f"`{expression.kind}` over {listed(over)} of a value with {the_axes(value.axes - absent)}"
        hint = f"reduce over {there}, or remove over=" if there else "remove the reduction"
        layout = _LAYOUTS[tuple(axis for axis in AXES if axis in absent)] if missing & absent else hint
        raise Fault(expression.origin.says("LD302", message, layout))
    return over


def absent_axes(frame: Frame) -> frozenset[str]:
    """The axes that the tensors of the call do not have, where the user's own text asks; a definition is written for
    all layouts, and there an axis that is absent has size 1.
    """
    return frozenset(frame.space.context.absent) if frame.place is None else NO_AXES


def _divisor(reader: Reader, expression: Reduction, value: Node, frame: Frame) -> Operand | None:
    """The `count` or the `weight` of a mean."""
    written = expression.divisor
    if written is None:
        return None
    node, classes = reader.mapped(written, frame)
    if node.axes <= value.axes:
        return Operand(written.origin, node, classes)
    word, extra = "count" if expression.count else "weight", the_axes(node.axes - value.axes)
    message = f"`{word}` has {extra}, which the value does not have"
    hint = f"reduce it first: mean({written.origin.text}, over={_as_argument(node.axes - value.axes)})"
    raise Fault(written.origin.says("LD302", message, hint))


def _as_argument(axes: Iterable[str]) -> str:
    names = listed(axes)
    return f"[{names}]" if ", " in names else names


def _share(reader: Reader, expression: Reduction, frame: Frame) -> float:
    assert expression.share is not None
    share = reader.number(expression.share, frame)
    if share.is_constant and 0 < share.value <= 1:
        return share.value
    message = "`share` of `topk` must be a number in (0, 1]"
    raise Fault(expression.share.origin.says("LD204", message, "0.1 keeps one tenth"))
