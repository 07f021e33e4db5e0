"""Calls of `multiscale`."""

from __future__ import annotations

from lossdsl.checking.resolved import MultiScale, Resolved
from lossdsl.checking.text import Text
from lossdsl.errors import Place, nearest
from lossdsl.syntax import tree

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
