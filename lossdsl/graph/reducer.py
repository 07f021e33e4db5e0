"""The one place where elements are added up, and so the one place where masks and class weights act.

mean = sum(weight * value) / sum(weight * count) over the elements that count. The weight is the class weight where
the class axis is averaged, else 1. A group in which no element counts, such as an image that is masked out entirely,
does not count in a later mean either: it is as if it were not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from lossdsl.graph.exponentials import log_sum_exp, relative_power
from lossdsl.graph.nodes import AXES, NO_AXES, Graph, Node


@dataclass(frozen=True, slots=True)
class Reducer:
    """Reductions for one head: `valid` says which elements count, `class_weight` how much each class does.

    classes: those that count where classes are put together; None for all.
    """

    graph: Graph
    valid: Node | None
    class_weight: Node | None
    shape_of: Node
    classes: Node | None = None

    def sum(self, value: Node, over: frozenset[str]) -> Node:
        return self._add_up(self._kept(value, over), over)

    def mean(self, value: Node, over: frozenset[str], count: Node | None = None) -> Node:
        counted = [count] if count and not (count.is_constant and count.value == 1) else []
        weights = [*counted, *self._weights(value, over)]
        if not weights:
            return self.graph.make("mean", value, attributes=(_ordered(over),), axes=value.axes - over)
        weighted = self._kept(value, over)
        if self.class_weight and "class" in over:
            weighted = self.graph.make("multiply", self.class_weight, weighted)
        return self.graph.make("divide", self._add_up(weighted, over), self._total(weights, over))

    def extreme(self, kind: str, value: Node, over: frozenset[str]) -> Node:
        """Largest or smallest element that counts; 0 where none does."""
        valid = self.valid_for(value, over)
        arguments = (value,) if valid is None else (value, valid)
        return self.graph.make(f"reduce_{kind}", *arguments, attributes=(_ordered(over),), axes=value.axes - over)

    def log_sum_exp(self, value: Node, over: frozenset[str]) -> Node:
        """log(sum(exp(x))) of the elements that count."""
        return log_sum_exp(self.graph, value, self.valid_for(value, over), _ordered(over))

    def softmax(self, value: Node, over: frozenset[str]) -> Node:
        """exp(x)/sum(exp(x)): the shares of the elements that count, 0 for the others."""
        total = self.log_sum_exp(value, over)
        return self._kept(relative_power(self.graph, value, total, self.valid_for(value, over)), over)

    def topk(self, value: Node, over: frozenset[str], share: float, rounding: str) -> Node:
        """Mean of the largest `share` of the elements that count, at least one of them."""
        valid = self.valid_for(value, over)
        arguments = (value,) if valid is None else (value, valid)
        attributes = (_ordered(over), share, rounding)
        return self.graph.make("topk", *arguments, attributes=attributes, axes=value.axes - over)

    def _weights(self, value: Node, over: frozenset[str]) -> list[Node]:
        """What an element counts for besides its `count`."""
        weights = []
        valid = self.valid_for(value, over)
        if valid is not None and valid.axes & over:
            weights.append(self.graph.make("cast_like", valid, self.shape_of))
        if self.class_weight and "class" in over:
            weights.append(self.class_weight)
        return weights

    def _total(self, weights: list[Node], over: frozenset[str]) -> Node:
        """Sum of the product of the weights over `over`; an axis that none of them has counts its size."""
        product = weights[0]
        for weight in weights[1:]:
            product = self.graph.make("multiply", product, weight)
        total = self._add_up(product, over & product.axes)
        for axis in _ordered(over - product.axes):
            size = self.graph.make("size", self.shape_of, attributes=(axis,), axes=())
            total = self.graph.make("multiply", total, size)
        return total

    def _kept(self, value: Node, over: frozenset[str]) -> Node:
        valid = self.valid_for(value, over)
        if valid is None or not valid.axes & over:
            return value
        return self.graph.make("keep", value, valid)

    def valid_for(self, value: Node, over: frozenset[str] = NO_AXES) -> Node | None:
        """Which elements of `value` count: those with anything that counts along the axes that it no longer has."""
        valid = self.valid
        if self.classes is not None and "class" in (over if valid is None else over | valid.axes):
            valid = self.classes if valid is None else self.graph.make("both", valid, self.classes)
        if valid is None:
            return None
        gone = valid.axes - value.axes
        if not gone:
            return valid
        if gone == valid.axes:
            return None
        return self.graph.make("any", valid, attributes=(_ordered(gone),), axes=valid.axes - gone)

    def _add_up(self, value: Node, over: frozenset[str]) -> Node:
        if not over:
            return value
        return self.graph.make("sum", value, attributes=(_ordered(over),), axes=value.axes - over)


def _ordered(axes: frozenset[str]) -> tuple[str, ...]:
    return tuple(axis for axis in AXES if axis in axes)
