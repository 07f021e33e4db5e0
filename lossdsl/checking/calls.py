"""Calls of the language's own functions: arithmetic, where, clamp, reductions and multiscale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lossdsl import words
from lossdsl.checking.arguments import infinity, name_of_keyword
from lossdsl.checking.resolved import (
    Apply,
    Chain,
    Constant,
    ForClass,
    MultiScale,
    Neighbourhood,
    ParameterOf,
    PerClass,
    Reduction,
    Resolved,
    Where,
    Word,
)
from lossdsl.checking.text import Text
from lossdsl.checking.vocabulary import FUNCTIONS
from lossdsl.errors import Place, nearest, respelt
from lossdsl.syntax import tree
from lossdsl.syntax.tree import AXES

_EXAMPLE = "multiscale(0.5*bce + dice, weights=[1, 0.5, 0.25])"


def multiscale_call(scope: Text, node: tree.Call, origin: Place) -> Resolved:
    for keyword in node.keywords:
        if keyword.name != "weights":
            hint = nearest(keyword.name, ["weights"]) or "parameters: weights"
            return scope.wrong(keyword, "LD203", f"`multiscale` has no parameter `{keyword.name}`", hint)
    if len(node.arguments) != 1:
        return scope.wrong(node, "LD202", "multiscale takes one formula", _EXAMPLE)
    written = node.keywords[0].value if node.keywords else None
    if written is not None and not (isinstance(written, tree.Listing) and written.items):
        return scope.wrong(written, "LD205", "`weights` is a list with one number for each output", _EXAMPLE)
    items = written.items if isinstance(written, tree.Listing) else ()
    return MultiScale(scope.expression(node.arguments[0]), tuple(scope.expression(item) for item in items), origin)


def function_call(scope: Text, node: tree.Call, origin: Place) -> Resolved:
    name = node.function.text
    least, most = FUNCTIONS[name]
    if name == "clamp":
        return _clamp(scope, node, origin)
    if name == "softmax" and any(keyword.name == "over" for keyword in node.keywords):
        written = reduction_call(scope, node, origin)
        if isinstance(written, Reduction) and written.over == ("class",):
            return Apply(name, (written.value,), origin)  # the softmax of a prediction, whatever classes are chosen
        return written
    if node.keywords:
        return scope.wrong(node.keywords[0], "LD203", f"`{name}` has no parameter `{node.keywords[0].name}`")
    if not least <= len(node.arguments) <= (most or len(node.arguments)):
        wanted = f"{least}" if most == least else f"at least {least}"
        return scope.wrong(node, "LD202", f"`{name}` takes {wanted} argument{'s' * (wanted != '1')}")
    arguments = tuple(scope.expression(argument) for argument in node.arguments)
    if name not in ("min", "max"):
        return Apply(name, arguments, origin)
    smaller_or_larger = {"min": "minimum", "max": "maximum"}[name]
    return Chain(arguments[0], tuple((smaller_or_larger, argument) for argument in arguments[1:]), origin)


def _clamp(scope: Text, node: tree.Call, origin: Place) -> Resolved:
    """`clamp(x, min=0, max=1)`; one of the bounds is optional."""
    bounds = {keyword.name: keyword.value for keyword in node.keywords}
    if len(node.arguments) != 1 or not bounds or not bounds.keys() <= {"min", "max"}:
        return scope.wrong(node, "LD202", "clamp takes one value and min=, max= or both", "clamp(x, min=0, max=1)")
    words = tuple((bound, function) for bound, function in (("min", "maximum"), ("max", "minimum")) if bound in bounds)
    for bound, _ in words:
        if infinity(bounds[bound]) is not None:
            return scope.wrong(bounds[bound], "LD205", f"`{bounds[bound]}` is not a bound", f"leave {bound}= out")
    rest = tuple((function, scope.expression(bounds[bound])) for bound, function in words)
    return Chain(scope.expression(node.arguments[0]), rest, origin)


def where_call(scope: Text, node: tree.Call, origin: Place) -> Resolved:
    if len(node.arguments) != 3 or node.keywords or not isinstance(node.arguments[0], tree.Comparison):
        hint = "write where(condition, value_if_true, value_if_false) with a comparison first, such as y > 0.5"
        return scope.wrong(node, "LD202", "where takes a comparison and two values", hint)
    condition, chosen, otherwise = node.arguments
    assert isinstance(condition, tree.Comparison)
    left, right = (_compared(scope, side) for side in (condition.left, condition.right))
    return Where(condition.operator, left, right, scope.expression(chosen), scope.expression(otherwise), origin)


def _compared(scope: Text, side: tree.Expression) -> Resolved:
    """A side of a comparison, which can be `inf`."""
    infinite = None if scope.words & {"inf"} else infinity(side)
    return scope.expression(side) if infinite is None else Constant(infinite, Place(scope.source, side.span))


_REDUCTION_WORDS = {"mean": {"count", "weight"}, "topk": {"share", "rounding"}}


def reduction_call(scope: Text, node: tree.Call, origin: Place) -> Resolved:
    kind = node.function.text
    allowed = {"over"} if kind == "softmax" else {"over", "per"} | _REDUCTION_WORDS.get(kind, set())
    given = {keyword.name: keyword for keyword in node.keywords}
    for keyword in node.keywords:
        if keyword.name not in allowed:
            hint = _unknown_keyword(keyword.name, allowed)
            edit = respelt(
                scope.source, name_of_keyword(keyword.span, keyword.name), keyword.name, allowed, "parameter"
            )
            return scope.wrong(keyword, "LD203", f"`{kind}` has no parameter `{keyword.name}`", hint, edit)
    if len(node.arguments) != 1:
        return scope.wrong(node, "LD202", f"`{kind}` takes one value", f"{kind}(value, over=pixel)")
    if kind == "topk" and "share" not in given:
        message = "topk needs share=, the fraction of the elements to keep"
        return scope.wrong(node, "LD202", message, "topk(x, share=0.1)")
    if {"over", "per"} <= given.keys():
        return scope.wrong(given["per"], "LD203", "over and per cannot be combined")
    if {"count", "weight"} <= given.keys():
        message, hint = "count and weight cannot be combined", "mean(x, weight=w) is sum(w*x)/sum(w)"
        return scope.wrong(given["count"], "LD203", message, hint)
    inside = replace(scope, tensors=True)
    per = given.get("per")
    return Reduction(
        kind=kind,
        value=inside.expression(node.arguments[0]),
        over=_axes(scope, given["over"]) if "over" in given else None,
        per=_per(scope, per.value) if per else None,
        count=inside.expression(given["count"].value) if "count" in given else None,
        share=scope.expression(given["share"].value) if "share" in given else None,
        origin=origin,
        rounding=_rounding(scope, given["rounding"].value) if "rounding" in given else "up",
        weight=inside.expression(given["weight"].value) if "weight" in given else None,
    )


def _unknown_keyword(name: str, allowed: set[str]) -> str:
    word = words.word(name, "parameter")
    listed = f"parameters: {', '.join(sorted(allowed))}"
    return nearest(name, allowed) or (f"{word.hint}; {listed}" if word else listed)


def _rounding(scope: Text, value: tree.Expression) -> str:
    chosen = replace(scope, words=frozenset({"up", "down"}), choosing=True).expression(value)
    if isinstance(chosen, Word) and chosen.text in ("up", "down"):
        return chosen.text
    scope.report(value, "LD205", "`rounding` takes one of: up, down", "the default is up")
    return "up"


def _per(scope: Text, value: tree.Expression) -> Resolved:
    chosen = replace(scope, words=frozenset({"image", "batch"}), choosing=True).expression(value)
    if isinstance(chosen, ParameterOf) or (isinstance(chosen, Word) and chosen.text in ("image", "batch")):
        return chosen
    return scope.wrong(value, "LD205", "`per` takes one of: image, batch")


def _axes(scope: Text, keyword: tree.Keyword) -> tuple[str, ...]:
    value = keyword.value
    items = value.items if isinstance(value, tree.Listing) else (value,)
    axes = tuple(item.text for item in items if isinstance(item, tree.Name) and item.text in AXES)
    if len(axes) != len(items) or not axes:
        wrong = next((item for item in items if not isinstance(item, tree.Name) or item.text not in AXES), value)
        scope.report(wrong, "LD205", f"`{wrong}` is not an axis", f"axes are {', '.join(AXES)}, or a list of them")
    return tuple(axis for axis in AXES if axis in axes)


def neighbourhood_call(scope: Text, node: tree.Call, origin: Place) -> Resolved:
    name = node.function.text
    allowed = {"size", "outside"} | ({"sigma"} if name == "local_mean" else set())
    for keyword in node.keywords:
        if keyword.name not in allowed:
            hint = _unknown_keyword(keyword.name, allowed)
            return scope.wrong(keyword, "LD203", f"`{name}` has no parameter `{keyword.name}`", hint)
    given = {keyword.name: scope.expression(keyword.value) for keyword in node.keywords}
    if len(node.arguments) != 1 or "size" not in given:
        hint = f"{name}(y, size=31): a window of 31 pixels along each axis"
        return scope.wrong(node, "LD202", f"`{name}` takes one value and size=", hint)
    value = replace(scope, tensors=True).expression(node.arguments[0])
    return Neighbourhood(name, value, given["size"], given.get("sigma"), given.get("outside"), origin)


def per_class(scope: Text, node: tree.Listing, origin: Place) -> Resolved:
    """`[1, 2, 0.5]` as a value: one number for each class."""
    hint = "a list used as a value has one number for each class: [1, 2, 0.5]"
    if not node.items:
        return scope.wrong(node, "LD208", "the list is empty", hint)
    for item in node.items:
        if isinstance(item, tree.Listing):
            return scope.wrong(item, "LD208", "a list of lists cannot be used as a value", hint)
    return PerClass(tuple(scope.expression(item) for item in node.items), origin)


NO_CLASSES = "class numbers are whole numbers of at least 0"


def class_numbers(numbers: Iterable[float]) -> tuple[int, ...] | None:
    """The class numbers, each once; None if one is invalid."""
    wanted = sorted(set(numbers))
    if not wanted or not all(number >= 0 and float(number).is_integer() for number in wanted):
        return None
    return tuple(int(number) for number in wanted)


def for_class_call(scope: Text, node: tree.Call, origin: Place) -> Resolved:
    hint = "for_class(dice, [1, 3])"
    if len(node.arguments) != 2 or node.keywords:
        return scope.wrong(node, "LD202", "for_class takes a formula and a list of class numbers", hint)
    value, written = node.arguments
    if isinstance(written, tree.Name) and written.text in scope.parameters:
        return ForClass(scope.expression(value), ParameterOf(written.text, origin), origin)
    items = written.items if isinstance(written, tree.Listing) else (written,)
    numbers = [item.value if isinstance(item, tree.Number) else -1 for item in items]
    classes = class_numbers(numbers)
    if classes is None:
        return scope.wrong(written, "LD205", NO_CLASSES, hint)
    for place, item in enumerate(items):
        if numbers[place] in numbers[:place]:
            return scope.wrong(item, "LD205", f"the class {item} is listed twice", "each class counts once")
    return ForClass(scope.expression(value), classes, origin)
