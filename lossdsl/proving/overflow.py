"""How large values become with inputs of usual size, and the part of the user's text in which float32 overflows."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from typing import TypeAlias

from lossdsl.checking.resolved import Apply, Chain, MultiScale, Neighbourhood, Reduction, Resolved, Use
from lossdsl.errors import Diagnostic, Place
from lossdsl.graph.nodes import Node, for_each_operation, in_order
from lossdsl.graph.trace import Used
from lossdsl.operations.functions import FUNCTIONS, LARGEST_LOG
from lossdsl.operations.row import Function
from lossdsl.proving.analysis import Proof
from lossdsl.proving.averages import average
from lossdsl.proving.idle import weight_place
from lossdsl.proving.interval import Known
from lossdsl.proving.messages import says, written

LARGEST = 3e38
LOGITS = 1e4
ELEMENTS = 1e9
_CLASSES = 1e5
_SCALARS = {"scalar:epoch": 1e4, "scalar:step": 1e7, "mask": 1.0}
_LEARNED = 20.0
_BORDER = 1e-19  # nothing nearer to 0 is divided by in float32, but for a number that is written
_OF_KERNELS = 1e12
_OF_LOSSES = 1e25  # those by name are tested to stay finite, bounds of their long formulas need not show it

_Sizes: TypeAlias = Mapping[Node, float]
_Growth: TypeAlias = Callable[[Node, Known, _Sizes], float]


def magnitudes(outputs: Iterable[Node], known: Known, trusted: Collection[Node] = ()) -> dict[Node, float]:
    """For each node a bound of its distance from 0, or of a sum that is computed on the way to it.

    After what overflows the bounds go on as from a usual size, which it will have once that is mended: so what
    overflows by itself is seen too. trusted: what is part of a loss by name, with parameters of a usual size.
    """
    found: dict[Node, float] = {}
    usual: dict[Node, float] = {}
    for node in in_order(outputs):
        size = min(_GROWTH[node.operation](node, known, usual), known[node].size)
        if node.operation in _ADDED_UP:
            added = usual[node.arguments[0]] * ELEMENTS
            size = added if added > LARGEST else size
        if node in trusted:
            size = min(size, _OF_LOSSES)
        found[node] = size
        usual[node] = size if size <= LARGEST else min(LOGITS, known[node].size)
    return found


def _largest(node: Node, _: Known, sizes: _Sizes) -> float:
    return max(sizes[argument] for argument in node.arguments)


def _first(node: Node, _: Known, sizes: _Sizes) -> float:
    return sizes[node.arguments[0]]


def _always(size: float) -> _Growth:
    return lambda _node, _known, _sizes: size


def _input(node: Node, _: Known, __: _Sizes) -> float:
    name = node.input_name
    return _LEARNED if name.startswith("learned:") else _SCALARS.get(name, LOGITS)


def _sum_of_two(node: Node, _: Known, sizes: _Sizes) -> float:
    return sum(sizes[argument] for argument in node.arguments)


def _multiply(node: Node, _: Known, sizes: _Sizes) -> float:
    return _product(*(sizes[argument] for argument in node.arguments))


def _divide(node: Node, known: Known, sizes: _Sizes) -> float:
    numerator, denominator = node.arguments
    quotient = _product(sizes[numerator], 1 / _least(denominator, known))
    mean = average(node, known)
    if mean is None:
        return quotient
    size = abs(mean.coefficient)
    for value in mean.values:
        size = _product(size, sizes[value])
    return min(quotient, size)


def _power(node: Node, known: Known, sizes: _Sizes) -> float:
    base, exponent = node.arguments
    raised, size = known[exponent], sizes[base]
    try:
        large = float(max(size, 1.0) ** min(max(raised.high, 0.0), sizes[exponent]))
        small = _least(base, known) ** max(raised.low, -sizes[exponent]) if raised.low < 0 else 0.0
    except OverflowError:
        return math.inf
    if size < 1 and raised.low >= 0:
        return 1.0
    return max(large, small)


def _of_function(function: Function) -> _Growth:
    """The rule of a function of one number."""
    return lambda node, known, sizes: function.growth(sizes[node.arguments[0]], known[node.arguments[0]].high)


def _log(node: Node, _: Known, sizes: _Sizes) -> float:
    return max(LARGEST_LOG, math.log(max(sizes[node.arguments[0]], 1)))


def _log_sum_exp(node: Node, _: Known, sizes: _Sizes) -> float:
    return sizes[node.arguments[0]] + math.log(ELEMENTS)


def _log_probability(node: Node, _: Known, sizes: _Sizes) -> float:
    return 2 * sizes[node.arguments[0]] + LARGEST_LOG


def _sqrt(node: Node, _: Known, sizes: _Sizes) -> float:
    return math.sqrt(sizes[node.arguments[0]])


def _sum(node: Node, _: Known, sizes: _Sizes) -> float:
    return _product(sizes[node.arguments[0]], ELEMENTS)


def _one_of(node: Node, _: Known, sizes: _Sizes) -> float:
    return max(sizes[argument] for argument in node.arguments[1:])


def _window(node: Node, _: Known, sizes: _Sizes) -> float:
    outside = node.attributes[-1]
    return max(sizes[node.arguments[0]], abs(outside) if isinstance(outside, float) else 0.0)


def _filled(node: Node, _: Known, __: _Sizes) -> float:
    number = node.attributes[0]
    assert isinstance(number, float)
    return abs(number)


def _product(a: float, b: float) -> float:
    return a * b if a and b else 0.0


def _least(node: Node, known: Known) -> float:
    """How near to 0 a denominator comes."""
    if node.is_constant and node.value:
        return abs(node.value)
    interval = known[node]
    least = interval.low if interval.low > 0 else -interval.high
    return max(least, _BORDER)


# What adds up all elements before it divides.
_ADDED_UP = frozenset({"mean", "topk"})
_GROWTH: Mapping[str, _Growth] = for_each_operation({
    "constant": lambda node, _known, _sizes: min(abs(node.value), LARGEST),  # larger ones are refused
    "input": _input,
    "add": _sum_of_two,
    "subtract": _sum_of_two,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    **{name: _of_function(function) for name, function in FUNCTIONS.items()},
    "log": _log,
    "log1p": _log,
    "logsumexp": _log_sum_exp,
    "sqrt": _sqrt,
    "sum": _sum,
    "size": _always(ELEMENTS),
    "classes": _always(_CLASSES),
    "kernel": _always(_OF_KERNELS),
    "filled_image": _filled,
    **dict.fromkeys(("log_softmax", "log_one_minus_softmax"), _log_probability),
    **dict.fromkeys(("where", "per_class"), _one_of),
    **dict.fromkeys(("minimum", "maximum"), _largest),
    **dict.fromkeys(("local_mean", "local_min", "local_max"), _window),
    **dict.fromkeys(("negative", "stop_gradient", "cast", "cast_like"), _first),
    **dict.fromkeys(("mean", "keep", "pick", "index", "reduce_max", "reduce_min", "topk"), _first),
    **dict.fromkeys(("softmax", "compare", "one_hot", "ones", "foreground"), _always(1.0)),
    **dict.fromkeys(("class_is_one_of", "differs", "both", "any", "any_of"), _always(1.0)),
})  # fmt: skip


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
