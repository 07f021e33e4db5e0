"""A head: a prediction and its target in one layout of (batch, class, pixel), as `z p y pred target` see them,
with the elements and classes that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossdsl.errors import Place
from lossdsl.graph.context import Context
from lossdsl.graph.nodes import AXES, Graph, Node, in_order
from lossdsl.tasks import TaskRecord, task_record


@dataclass(frozen=True, slots=True)
class Classes:
    """Some classes, and the mask that leaves all others out. origin: where they were chosen."""

    numbers: frozenset[int]
    mask: Node
    origin: Place

    def __str__(self) -> str:
        return f"[{', '.join(map(str, sorted(self.numbers)))}]"

    def around(self, text: str) -> str:
        """The choice as it is written around a formula."""
        return f"for_class({text}, {self})"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A map of which only some classes count, until a reduction over the classes."""

    node: Node
    classes: Classes


def narrowed(graph: Graph, outer: Classes | None, inner: Classes | None) -> Classes | None:
    """The classes that count when both choices hold."""
    if outer is None or inner is None or outer.numbers == inner.numbers:
        return outer if inner is None else inner
    return Classes(outer.numbers & inner.numbers, graph.make("both", outer.mask, inner.mask), inner.origin)


def marked(node: Node, classes: Classes | None) -> Node | Chosen:
    """A value with its choice."""
    return node if classes is None else Chosen(node, classes)


def parted(value: Node | Chosen) -> tuple[Node, Classes | None]:
    """A value without its choice, and the choice."""
    return (value.node, value.classes) if isinstance(value, Chosen) else (value, None)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """One layout. Its tensors are the graph's inputs with `suffix` behind their names; `context` is about it alone."""

    graph: Graph
    context: Context
    ignore_index: int | None
    suffix: str
    prediction: Node
    truth: Node

    @property
    def task(self) -> str:
        return self.context.task

    @property
    def task_record(self) -> TaskRecord:
        return task_record(self.context.task)

    def layout(self) -> Node:
        """The prediction with its image axes apart, for operations that look at neighbours."""
        return self.graph.make("input", attributes=(f"layout{self.suffix}",), axes=AXES)

    def class_weight(self) -> Node | None:
        if not self.context.weighted:
            return None
        node = self.graph.make("input", attributes=("class_weight",), axes=("class",))
        return self.graph.make("cast_like", node, self.prediction)

    def valid(self, truth: Node) -> Node | None:
        """Which elements of a head with this target count, None when all do."""
        valid = []
        if self.context.mask is not None:
            valid.append(self.graph.make("input", attributes=(f"mask{self.suffix}",), axes=self.context.mask))
        if self.context.ignoring:
            valid.append(self.graph.make("differs", truth, attributes=(self.ignore_index,)))
        return self.graph.make("both", *valid) if len(valid) == 2 else next(iter(valid), None)

    def passed(self, name: str, axes: tuple[str, ...]) -> Node:
        """A tensor that the caller passes by name. Only one with pixels differs from output to output."""
        suffix = self.suffix if "pixel" in axes else ""
        return self.graph.make("input", attributes=(f"tensor:{name}{suffix}",), axes=axes)


def make_space(graph: Graph, context: Context, ignore_index: int | None, suffix: str = "") -> Space:
    """The space whose inputs have this suffix."""
    prediction = graph.make("input", attributes=(f"pred{suffix}",), axes=AXES)
    target_axes = ("batch", "pixel") if context.indexed else AXES
    truth = graph.make("input", attributes=(f"target{suffix}",), axes=target_axes)
    return Space(graph, context, ignore_index, suffix, prediction, truth)


def of_scale(scale: int) -> str:
    """The suffix of an output of a list; the first is the main one."""
    return f"@{scale}" if scale else ""


def of_pair(prediction: str, target: str) -> str:
    """The suffix of a head whose tensors have a layout of their own."""
    return f"@{prediction}/{target}"


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
