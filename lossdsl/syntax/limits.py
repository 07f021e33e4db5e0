"""Limits of the text, so that the cost of parsing is bounded."""

from __future__ import annotations

from lossdsl.errors import FormulaError, Place, Source, Span
from lossdsl.syntax import tree

MAX_LENGTH = 65_536
MAX_DEPTH = 64
MAX_NODES = 20_000
MAX_NAME = 64
MAX_NUMBER = 2.0**128 - 2.0**103
"""From here on a number is infinite in float32, in which losses of half and single precision are computed."""
MIN_NUMBER = 2.0**-150
"""Down to here a number is 0 in float32."""


def check_length(source: Source) -> None:
    if len(source.text) > MAX_LENGTH:
        message = f"the text has {len(source.text):,} characters; the limit is {MAX_LENGTH:,}"
        raise FormulaError([Place(source, Span(MAX_LENGTH, MAX_LENGTH + 1)).says("LD110", message)])


def check_size(source: Source, result: tree.Program | tuple[tree.Declaration, ...]) -> None:
    """Depth, number of nodes and length of names, found without recursion."""
    roots = result if isinstance(result, tuple) else (result,)
    for count, (node, depth) in enumerate(pair for root in roots for pair in tree.walk(root)):
        fault, hint = _fault(node, depth, count)
        if fault:
            raise FormulaError([Place(source, node.span).says("LD110", fault, hint)])


def _fault(node: tree.Node, depth: int, count: int) -> tuple[str, str | None]:
    if depth > MAX_DEPTH:
        return f"the formula is nested more than {MAX_DEPTH} levels deep", "give the inner parts names: inner = ..."
    if count >= MAX_NODES:
        return f"the formula has more than {MAX_NODES:,} parts", None
    name = node.text if isinstance(node, tree.Name) else getattr(node, "name", "")
    if len(name) > MAX_NAME:
        return f"the name `{name[:16]}...` has {len(name)} characters; the limit is {MAX_NAME}", None
    return "", None
