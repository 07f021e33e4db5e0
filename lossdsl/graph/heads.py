"""A prediction and its target as the names `z p y pred target` see them, and which of their elements count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossdsl.graph.choices import Classes
from lossdsl.graph.nodes import AXES, Graph, Node, in_order
from lossdsl.graph.spaces import Space


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A prediction with its target. `valid`: which elements count, None when all do.

    Elements that do not count are set to 0 at the entry, so nothing they hold, not even a NaN, reaches a value or a
    gradient. `prepared`: both are values of expressions, on which that is done. `choices`: the classes of each that
    count, None for all.
    """

    space: Space
    prediction: Node
    truth: Node
    valid: Node | None = None
    prepared: bool = False
    choices: tuple[Classes | None, Classes | None] = (None, None)

    @property
    def choice(self) -> Classes | None:
        """The classes that count for the two together."""
        return self.choices[0] or self.choices[1]

    def choice_of(self, name: str) -> Classes | None:
        """The classes that count for `z p y pred target`."""
        return self.choices[name in ("y", "target")]

    def is_softmax(self, name: str) -> bool:
        """Whether a name stands for values that are put together over the classes, or are to be."""
        return name in ("z", "p") and self.space.task_record.is_exclusive and self.space.context.input == "logits"

    @property
    def graph(self) -> Graph:
        return self.space.graph

    @property
    def indexed(self) -> bool:
        """Whether the target holds class indices."""
        return self.space.task_record.indices and "class" not in self.truth.axes

    def of(self, name: str) -> Node:
        """`z p y pred target`, or one of them as another tensor provides it."""
        logits = self.space.context.input == "logits"
        match name:
            case "pred":
                return self._kept(self._cast(self.prediction))
            case "target":
                return self._kept(self.graph.make("cast_like", self.truth, self.prediction))
            case "y":
                return self._labels()
            case "z":
                return self.of("pred") if logits else self._logit(self.of("pred"))
            case _:
                return self._probability() if logits else self.of("pred")

    def _cast(self, node: Node) -> Node:
        if node is self.space.truth:  # labels that stand as a prediction may be whole numbers
            return self.graph.make("cast_like", node, self.space.prediction)
        return node if self.prepared else self.graph.make("cast", node)

    def _kept(self, node: Node) -> Node:
        if self.valid is None or self.prepared:
            return node
        return self.graph.make("keep", node, self.valid)

    def _probability(self) -> Node:
        return self.graph.make(self.space.task_record.activation or "sigmoid", self.of("z"))

    def _logit(self, probability: Node) -> Node:
        logarithm = self.graph.make("log", probability)
        if self.space.task_record.is_exclusive:
            return logarithm
        rest = self.graph.make("subtract", self.graph.constant(1.0), probability)
        return self.graph.make("subtract", logarithm, self.graph.make("log", rest))

    def _labels(self) -> Node:
        if self.prepared or not self.indexed:
            return self._kept(self.graph.make("cast_like", self.truth, self.prediction))
        index = self._kept(self.graph.make("index", self.truth))
        return self.graph.make("one_hot", index, self.prediction, axes=AXES)


def raw_head(space: Space, prediction: Node, truth: Node) -> Head:
    """A head of tensors as the caller passed them."""
    return Head(space, prediction, truth, space.valid(truth))


def zero_without_elements(value: Node, heads: Sequence[Head]) -> Node:
    """A value that reads only heads in which nothing counts is 0. One that reads none goes with all of them."""
    if value.is_constant or all(head.valid is None for head in heads):
        return value
    nodes = set(in_order([value]))
    read = [head for head in heads if (head.valid or head.prediction) in nodes]
    valid = dict.fromkeys(head.valid for head in read or heads)
    if None in valid:
        return value
    graph = heads[0].graph
    return graph.make("keep", value, graph.make("any_of", *(node for node in valid if node), axes=()))
