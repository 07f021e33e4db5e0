"""How large values become with inputs of a usual size, to see what overflows in float32."""

from __future__ import annotations

import math
from collections.abc import Collection

from lossdsl.graph.nodes import Node, in_order
from lossdsl.proving.interval import Known

LARGEST = 3e38
LOGITS = 1e4
ELEMENTS = 1e9
_SCALARS = {"scalar:epoch": 1e4, "scalar:step": 1e7}
_LEARNED = 50.0
_BORDER = 1e-19  # of a denominator in float32
_OF_KERNELS = 1e12
_OF_LOSSES = 1e30  # by name: they are tested to stay small, bounds of their long formulas need not
_LOG = 104.0


def magnitudes(outputs: list[Node], known: Known, losses: Collection[Node] = ()) -> dict[Node, float]:
    """For each node a bound of its distance from 0. losses: the values of losses by name."""
    found: dict[Node, float] = {}
    for node in in_order(outputs):
        largest = min(known[node].size, _OF_LOSSES if node in losses else math.inf)
        found[node] = min(_magnitude(node, known, [found[a] for a in node.arguments]), largest)
    return found


def _magnitude(node: Node, known: Known, sizes: list[float]) -> float:
    match node.operation:
        case "constant":
            return abs(node.value)
        case "input":
            name = node.input_name
            return _LEARNED if name.startswith("learned:") else _SCALARS.get(name, LOGITS)
        case "add" | "subtract":
            return sizes[0] + sizes[1]
        case "multiply":
            return _product(*sizes)
        case "divide":
            return _product(sizes[0], 1 / _least(node.arguments[1], known))
        case "power":
            return _power(node, known, sizes)
        case "exp" | "cosh":
            largest = known[node.arguments[0]].high if node.operation == "exp" else math.inf
            return _exp(min(sizes[0], largest))
        case "log" | "log1p":
            return max(_LOG, math.log(max(sizes[0], 1)))
        case "logsumexp":
            return sizes[0] + math.log(ELEMENTS)
        case "sqrt":
            return math.sqrt(sizes[0])
        case "sum":
            return _product(sizes[0], ELEMENTS)
        case "size":
            return ELEMENTS
        case "kernel":
            return _OF_KERNELS
        case "log_softmax" | "log_one_minus_softmax" | "softplus" | "log_sigmoid":
            return 2 * sizes[0] + _LOG
        case "where" | "per_class":
            return max(sizes[1:])
    return max(sizes, default=LOGITS)


def _product(a: float, b: float) -> float:
    return a * b if a and b else 0.0


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _least(node: Node, known: Known) -> float:
    """How near to 0 a denominator comes."""
    interval = known[node]
    least = interval.low if interval.low > 0 else -interval.high
    return max(least, _BORDER)


def _power(node: Node, known: Known, sizes: list[float]) -> float:
    exponent = known[node.arguments[1]]
    base = sizes[0]
    try:
        large = float(max(base, 1.0) ** min(max(exponent.high, 0.0), sizes[1]))
        small = _least(node.arguments[0], known) ** max(exponent.low, -sizes[1]) if exponent.low < 0 else 0.0
    except OverflowError:
        return math.inf
    if base < 1 and exponent.low >= 0:
        return 1.0
    return max(large, small)
