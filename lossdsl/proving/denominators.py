"""Denominators that cannot come near 0, so that what is run need not make the division safe."""

from __future__ import annotations

from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.graphs import Graphs
from lossdsl.graph.nodes import Node, in_order
from lossdsl.proving.analysis import prove

# Far above where a division begins to be unsafe in single precision, 1e-19, and below the smallest `smooth` in use.
_WELL_ABOVE = 1e-12


def positive_denominators(graphs: Graphs, built: BuiltLoss) -> frozenset[Node]:
    """Those of the loss and its terms, for labels and probabilities in [0, 1]."""
    terms = [part for term in built.terms for part in (term.value, term.weight, term.contribution)]
    nodes = in_order([built.total, *terms])
    divisors = dict.fromkeys(node.arguments[1] for node in nodes if node.operation == "divide")
    if not divisors:
        return frozenset()
    intervals = prove(graphs, built, related=divisors, nodes=tuple(divisors)).intervals
    return frozenset(node for node in divisors if intervals[node].low >= _WELL_ABOVE)
