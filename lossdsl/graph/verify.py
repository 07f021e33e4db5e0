"""Whether a graph is legal. Tests ask so of every graph between two passes; for users nothing is asked."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence

from lossdsl.graph.factored_form import is_wide
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.signatures import SIGNATURES, Kind, Phase
from lossdsl.graph.stages import Part, Stage


class IllegalGraph(AssertionError):
    """A pass made a graph that has no meaning."""


def checked(roots: Sequence[Node], phase: Phase) -> None:
    """Called with what a graph computes after each pass. It does nothing: tests put `verify` here."""


def checked_stages(stages: Sequence[Stage], known: Collection[Node], wanted: Sequence[Node]) -> None:
    """Called with the stages that compute what is wanted from what is known; tests put `verify_stages` here."""


def verify(roots: Sequence[Node], phase: Phase) -> None:
    """Raise IllegalGraph for the first node that is not legal in a graph of this phase."""
    known: dict[Hashable, Node] = {}
    kinds: dict[Node, Kind] = {}
    for node in in_order(roots):
        for wrong in _wrong(node, kinds, phase):
            raise IllegalGraph(f"{node.operation}{_described(node)}: {wrong}")
        kinds[node] = _kind(node, kinds)
        key = (node.operation, *map(id, node.arguments), *node.attributes)
        if known.setdefault(key, node) is not node:
            raise IllegalGraph(f"{node.operation}{_described(node)}: there is a second node of the same arguments")


def _wrong(node: Node, kinds: dict[Node, Kind], phase: Phase) -> Iterator[str]:
    signature = SIGNATURES.get(node.operation)
    if signature is None:
        yield "no operation has this name"
        return
    if not signature.since <= phase <= signature.until:
        yield f"it does not stand in a graph that is {phase.name.lower()}"
    count, least = len(node.arguments), len(signature.takes)
    if count < least or (signature.most is not None and count > signature.most):
        most = "any number" if signature.most is None else signature.most
        yield f"it has {count} arguments, and takes {least} to {most}"
    axes = [argument.axes for argument in node.arguments]
    if not signature.attributes(node.attributes, axes):
        yield f"the attributes {node.attributes} are not those of the operation"
    further = (signature.further,) if signature.further else ()
    taken = [*signature.takes, *further * (count - least)]
    for argument, kind in zip(node.arguments, taken, strict=True):
        if kind is not Kind.ANY and kinds[argument] not in (kind, Kind.ANY):
            yield f"an argument, {argument.operation}, holds {kinds[argument].value}, and must hold {kind.value}"
    expected = signature.axes(axes, node.attributes, node.axes)
    if node.axes != expected:
        yield f"it has the axes {sorted(node.axes)}, and its arguments give it {sorted(expected)}"


def _kind(node: Node, kinds: dict[Node, Kind]) -> Kind:
    """Only a mask is given as truth values; class indices are made from numbers."""
    if node.operation == "input":
        return Kind.TRUTH if node.input_name == "mask" else Kind.NUMBER
    gives = SIGNATURES[node.operation].gives
    return kinds[node.arguments[0]] if gives is None else gives


def _described(node: Node) -> str:
    return f"({', '.join(argument.operation for argument in node.arguments)})"


def verify_stages(stages: Sequence[Stage], known: Collection[Node], wanted: Sequence[Node]) -> None:
    """Raise IllegalGraph for a part that is not given what it is made of, or is given what it does not need.

    known: what was computed before. Where there are sweeps, only they compute wide values.
    """
    computed = set(known)
    swept = any(stage.sweep.outputs for stage in stages)
    for stage in stages:
        for part, wide_too in ((stage.narrow, not swept), (stage.sweep, True)):
            for node, wrong in _wrong_in_part(part, computed, wide_too):
                raise IllegalGraph(f"{node.operation}{_described(node)}: {wrong}")
            computed.update(part.outputs)
    for node in wanted:
        if node not in computed and node.operation != "input":
            raise IllegalGraph(f"{node.operation}{_described(node)}: no stage computes it")


def _wrong_in_part(part: Part, computed: Collection[Node], wide_too: bool) -> Iterator[tuple[Node, str]]:
    nodes = in_order(part.outputs, known=part.inputs)
    for node in part.inputs:
        if node not in computed and node.operation != "input":
            yield node, "a part is given it before it is computed"
        if node not in nodes:
            yield node, "a part is given it and does not need it"
    for node in nodes:
        if node not in part.inputs and node.operation == "input":
            yield node, "a part reads it and is not given it"
        if node not in part.inputs and is_wide(node) and not wide_too:
            yield node, "it is wide, and stands outside of a sweep"
