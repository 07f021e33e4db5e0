"""A space is one layout of (batch, class, pixel): a prediction with its target, mask and tensors, and their task.

The main output is one, each further output of a list is one, and so is a head whose tensors have another layout than
`pred`. Values of two spaces meet only as numbers without axes.
"""

from __future__ import annotations

from dataclasses import dataclass

from lossdsl.graph.context import Context
from lossdsl.graph.nodes import AXES, Graph, Node
from lossdsl.tasks import TaskRecord, task_record


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
