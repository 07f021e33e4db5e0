"""A prediction and its target as the names `z p y pred target` see them, and which of their elements count."""

from __future__ import annotations

from dataclasses import dataclass

from lossdsl.graph.context import Context
from lossdsl.graph.nodes import AXES, Graph, Node


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A prediction with its target. `valid`: which elements count, None when all do.

    Elements that do not count are set to 0 at the entry, so nothing they hold, not even a NaN, reaches a value or a
    gradient. `prepared`: both are values of expressions, on which that is done.
    """

    graph: Graph
    context: Context
    prediction: Node
    truth: Node
    valid: Node | None = None
    prepared: bool = False

    @property
    def indexed(self) -> bool:
        """Whether the target holds class indices."""
        return self.context.task == "multiclass" and "class" not in self.truth.axes

    def of(self, name: str) -> Node:
        """`z p y pred target`, or one of them as another tensor provides it."""
        match name:
            case "pred":
                return self._kept(self._cast(self.prediction))
            case "target":
                return self._kept(self.graph.make("cast_like", self.truth, self.prediction))
            case "y":
                return self._labels()
            case "z":
                return self.of("pred") if self.context.input == "logits" else self._logit(self.of("pred"))
            case _:
                return self._probability() if self.context.input == "logits" else self.of("pred")

    def _cast(self, node: Node) -> Node:
        return node if self.prepared else self.graph.make("cast", node)

    def _kept(self, node: Node) -> Node:
        if self.valid is None or self.prepared:
            return node
        return self.graph.make("keep", node, self.valid)

    def _probability(self) -> Node:
        return self.graph.make("softmax" if self.context.task == "multiclass" else "sigmoid", self.of("z"))

    def _logit(self, probability: Node) -> Node:
        logarithm = self.graph.make("log", probability)
        if self.context.task == "multiclass":
            return logarithm
        rest = self.graph.make("subtract", self.graph.constant(1.0), probability)
        return self.graph.make("subtract", logarithm, self.graph.make("log", rest))

    def _labels(self) -> Node:
        if self.prepared or not self.indexed:
            return self._kept(self.graph.make("cast_like", self.truth, self.prediction))
        index = self._kept(self.graph.make("index", self.truth))
        return self.graph.make("one_hot", index, self.prediction, axes=AXES)
