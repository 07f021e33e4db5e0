"""How findings and ranges are written for a part of the user's text."""

from __future__ import annotations

from collections.abc import Iterator

from lossdsl.checking.resolved import Constant
from lossdsl.errors import Diagnostic, Place, Severity, Source
from lossdsl.graph.nodes import AXES, Node
from lossdsl.proving.analysis import Proof
from lossdsl.proving.interval import Interval


def says(
    origin: Place,
    code: str,
    message: str,
    hint: str | None = None,
    severity: Severity = "warning",
    replacement: str | None = None,
) -> Diagnostic:
    """A finding at a place; replacement: the text that would mend it there."""
    edit = None if replacement is None else origin.replaced(replacement)
    return origin.says(code, message, hint, edit, severity)


def written(origin: Place) -> str:
    """What stands at a place, on one line."""
    return origin.text


def lies(value: Interval) -> str:
    """`in [0, 1]`, or the one number that it is."""
    return str(value) if value.is_number else f"in {value}"


_WIDEST = 60


def described(proof: Proof) -> str:
    """One row for each part: its text, indented as it is nested, its interval, and the axes that it has."""
    rows = [(f"{'  ' * depth}{_cut(written(origin))}", node) for depth, origin, node in _nested(proof)]
    rows.append(("total", proof.built.total))
    width = max(len(text) for text, _ in rows)
    lines = [f"    {text:{width}}  {proof.intervals[node]}{_axes(node)}" for text, node in rows]
    return "\n".join([f"ranges for {proof.context.task}:", *lines])


def _nested(proof: Proof) -> Iterator[tuple[int, Place, Node]]:
    """Every part once, in the order of the text, with the number of parts that it stands in."""
    seen: dict[tuple[Source, int, int], tuple[Place, Node]] = {}
    for expression, node in proof.built.trace.read:
        span = expression.origin.extent
        if not isinstance(expression, Constant) and span.end > span.start:
            seen.setdefault((expression.origin.source, span.start, -span.end), (expression.origin, node))
    sources = {source: number for number, source in enumerate(dict.fromkeys(source for source, _, _ in seen))}
    around: list[tuple[Source, int]] = []
    for source, start, end in sorted(seen, key=lambda place: (sources[place[0]], place[1], place[2])):
        while around and (around[-1][0] is not source or around[-1][1] <= start):
            around.pop()
        origin, node = seen[source, start, end]
        yield len(around), origin, node
        around.append((source, -end))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _axes(node: Node) -> str:
    named = [axis for axis in AXES if axis in node.axes]
    return f" for each {', '.join(named)}" if named else ""
