"""What does not fit into float32 for inputs of a usual size, wherever it is computed: at the part of the text that it
belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from lossdsl.checking.resolved import Apply, Chain, MultiScale, Neighbourhood, Reduction, Resolved, Use
from lossdsl.errors import Diagnostic, Place
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.trace import Used
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.proving.analysis import Proof
from lossdsl.proving.idle import weight_place
from lossdsl.proving.magnitude import LARGEST, LOGITS, magnitudes
from lossdsl.proving.saying import says, written

# Losses by name are tested to stay finite for parameters of such a size, and for inputs far beyond logits.
_USUAL = (1e-12, 1e12)
_LARGE = 1e9
_HIGHEST_POWER = 8
_ADDING = "bound the terms of the sum: min(x, 1e6)"
_GROWING = "bound it with min(x, 50), or use a function that grows more slowly"
_FASTEST = [name for name, function in FUNCTIONS.items() if function.growth(LOGITS, LOGITS) > LARGEST]
_HINTS = {**dict.fromkeys((*_FASTEST, "power"), _GROWING), **dict.fromkeys(("sum", "mean", "topk"), _ADDING)}
_OTHERWISE = "use numbers of usual size, and bound large values: min(x, 1e6)"


def overflow_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Each part of the text that overflows by itself."""
    total = proof.built.total  # what a stable form stands for is not computed
    sizes = magnitudes([total], proof.intervals)
    if all(size <= LARGEST for size in sizes.values()):
        return
    sizes = magnitudes([total], proof.intervals, _trusted(proof, sizes))
    too_large = {node for node, size in sizes.items() if size > LARGEST}
    for what, origin in dict.fromkeys(_places(proof, too_large)):
        message = f"`{what}` overflows float32 for large logits, late epochs or many elements"
        yield says(origin, "LD706", message, _HINTS.get(what, _OTHERWISE))


def _trusted(proof: Proof, sizes: dict[Node, float]) -> set[Node]:
    """What the losses by name are made of, where they get what they are tested for."""
    return {
        node
        for used in proof.built.trace.used
        if used.by_user and _is_usual(used, sizes)
        for node in {*in_order([used.node], known=_given(used))} - _given(used)
        if not _is_high_power(node)
    }


def _is_high_power(node: Node) -> bool:
    """A parameter of a usual size is large as an exponent."""
    return node.operation == "power" and node.arguments[1].is_constant and node.arguments[1].value > _HIGHEST_POWER


def _is_usual(used: Used, sizes: dict[Node, float]) -> bool:
    tensors = (used.head.prediction, used.head.truth)
    if any(sizes.get(tensor, 0.0) > _LARGE for tensor in tensors):
        return False
    least, most = _USUAL
    return all(not sizes.get(number) or least <= sizes[number] <= most for number in _numbers(used))


def _numbers(used: Used) -> Iterator[Node]:
    for _, node in used.parameters:
        yield from node.arguments[1:] if node.operation == "per_class" else (node,)


def _given(used: Used) -> frozenset[Node]:
    return frozenset((used.head.prediction, used.head.truth, *(node for _, node in used.parameters)))


def _places(proof: Proof, nodes: Set[Node]) -> Iterator[tuple[str, Place]]:
    """The innermost part of the text that each node is computed for, with the word for what is done there."""
    trace = proof.built.trace
    applied = {one.result: one for one in reversed(trace.applied)}
    known: set[Node] = set()
    for expression, value in trace.read:
        for node in _new(value, known):
            if node in nodes and node in applied:
                yield applied[node].function, applied[node].origins[0]
            elif node in nodes:
                yield _word(expression), expression.origin
    terms = list(zip(proof.built.terms, proof.objective.terms, strict=True))
    for built, term in terms:
        if nodes & set(_new(built.contribution, known)):
            yield "multiply", weight_place(term)
    if nodes & set(_new(proof.built.total, known)):
        yield "add", terms[-1][1].value.origin


def _new(value: Node, known: set[Node]) -> tuple[Node, ...]:
    """What a value is made of that was not met before."""
    if value in known:
        return ()
    found = tuple(node for node in in_order([value], known) if node not in known)
    known.update(found)
    return found


def _word(expression: Resolved) -> str:
    match expression:
        case Use():
            return expression.loss.name
        case Reduction() | Neighbourhood():
            return expression.kind
        case Apply():
            return expression.function
        case Chain():
            return expression.rest[-1][0]
        case MultiScale():
            return "multiscale"
    return written(expression.origin)
