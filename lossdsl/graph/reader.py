"""What is read of a text on the way to nodes: the tensors and heads of the call, and the values of expressions.

What opens a loss, a reduction or a window knows no more than this; `evaluate.py` knows all kinds of expressions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from lossdsl.checking.arguments import needed
from lossdsl.checking.resolved import Objective, PerClass, Resolved, TensorOf, Where
from lossdsl.errors import Diagnostic
from lossdsl.graph.context import Context
from lossdsl.graph.frames import HEAD_TENSORS, Fault, Frame, Operand, Value, listed, the_axes, with_its_mean
from lossdsl.graph.heads import (
    Chosen,
    Classes,
    Head,
    Space,
    make_space,
    marked,
    narrowed,
    of_pair,
    of_scale,
    parted,
    raw_head,
)
from lossdsl.graph.nodes import AXES, Graph, Node
from lossdsl.graph.reducer import Reducer
from lossdsl.graph.rewrites import RULES
from lossdsl.graph.trace import Trace


class Reader(ABC):
    """Makes the nodes of one loss for one context. `heads`: every pair of prediction and target that was read."""

    def __init__(self, objective: Objective, context: Context, ignore_index: int | None):
        self.graph = Graph(RULES)
        self.objective = objective
        self.context = context
        self.ignore_index = ignore_index
        self.tensor_axes = dict(context.tensors)
        self.own = {(head.prediction, head.target): head.context for head in context.heads}
        self.heads: list[Head] = []
        self.trace = Trace()
        self._main: dict[str, Head] = {}
        self.main = self.scale(0)

    @abstractmethod
    def value(self, expression: Resolved, frame: Frame) -> Value:
        """The value of an expression."""

    @abstractmethod
    def branch(self, expression: Where, frame: Frame) -> Resolved | None:
        """What a comparison of words or constants chooses, None when it depends on the data."""

    def scale(self, number: int) -> Head:
        """An output of the call with its target; 0 is the main one."""
        return self._main_of(self.context, of_scale(number))

    def own_head(self, prediction: str, target: str) -> Head | None:
        """The head of two tensors of the caller in a space of its own; None when they are laid out as `pred` is."""
        context = self.own.get((prediction, target))
        return None if context is None else self._main_of(context, of_pair(prediction, target))

    def _main_of(self, context: Context, suffix: str) -> Head:
        if suffix not in self._main:
            space = make_space(self.graph, context, self.ignore_index, suffix)
            self._main[suffix] = self.raw_head(space, space.prediction, space.truth)
        return self._main[suffix]

    def raw_head(self, space: Space, prediction: Node, truth: Node) -> Head:
        return self.remembered(raw_head(space, prediction, truth))

    def remembered(self, head: Head) -> Head:
        self.heads.append(head)
        return head

    def mapped(self, expression: Resolved, frame: Frame) -> tuple[Node, Classes | None]:
        """A number or map, and the classes of it that count."""
        return map_of(expression, self.value(expression, frame))

    def number(self, expression: Resolved, frame: Frame) -> Node:
        """A value of which all classes count."""
        node, classes = self.mapped(expression, frame)
        if classes and "class" in node.axes:
            raise Fault(_chosen_map(expression, classes))
        return node

    def operand(self, expression: Resolved, frame: Frame) -> Operand:
        """A value that meets others."""
        return Operand(expression.origin, *self.mapped(expression, frame))

    def scalar(self, expression: Resolved, frame: Frame, what: str) -> Node:
        """A number without axes."""
        node, _ = self.mapped(expression, frame)
        if node.axes:
            hint = f"reduce it: mean(...), or mean(..., over=[{listed(node.axes)}])"
            message = f"{what} must be a scalar; this has {the_axes(node.axes)}"
            raise Fault(expression.origin.says("LD303", message, hint, with_its_mean(expression)))
        return node

    def local(self, name: str, frame: Frame) -> Value:
        if name in frame.faults:
            raise Fault(frame.faults[name])
        if name not in frame.locals:
            try:
                frame.locals[name] = self.value(frame.bindings[name], frame)
            except Fault as fault:
                frame.faults[name] = fault.diagnostic
                raise
        return frame.locals[name]

    def per_class(self, expression: PerClass, frame: Frame, space: Space) -> Node:
        """A list as a value: one number for each class of a space."""
        items = [self.number(item, frame) for item in expression.items]
        for item, written in zip(items, expression.items, strict=True):
            if item.axes:
                message = f"an item of a list must be a scalar; this has {the_axes(item.axes)}"
                raise Fault(written.origin.says("LD303", message))
        return self.graph.make("per_class", space.prediction, *items, axes=("class",))

    def tensor(self, expression: TensorOf, frame: Frame) -> Node | Chosen:
        name, space = expression.name, frame.space
        if name == "class_weight":
            return space.class_weight() or self.graph.constant(1.0)
        if name == "foreground":
            if space.task_record.has_one_class:
                raise Fault(expression.origin.says("LD301", f"a {space.task} task has no background class"))
            return self.graph.make("foreground", space.prediction, axes=("class",))
        if name not in HEAD_TENSORS:
            node = self.graph.make("cast_like", self.passed(expression, space), space.prediction)
            valid = Reducer(self.graph, frame.head.valid, None, space.prediction).valid_for(node)
            return node if valid is None else self.graph.make("keep", node, valid)
        if not space.task_record.has_labels and name in ("z", "p", "y"):
            meaning = {"z": "logits", "p": "probabilities", "y": "labels"}[name]
            raise Fault(
                expression.origin.says("LD301", f"a {space.task} has no {meaning} `{name}`", "use pred and target")
            )
        if name == "target" and frame.head.indexed:
            message = "`target` cannot be compared element by element: it holds class indices"
            raise Fault(expression.origin.says("LD301", message, "for multiclass use p and y: mean((p - y)**2)"))
        return marked(*self.of_head(expression, frame))

    def of_head(self, expression: TensorOf, frame: Frame) -> tuple[Node, Classes | None]:
        """One of `z p y pred target`."""
        name, head = expression.name, frame.head
        classes = head.choice_of(name)
        if classes and head.is_softmax(name):
            message = f"a softmax sums over all classes, but only the classes {classes} of the prediction count here"
            hint = f"apply for_class to the whole: {classes.around('...')}"
            raise Fault(expression.origin.says("LD302", message, hint))
        return head.of(name), classes

    def passed(self, expression: TensorOf, space: Space) -> Node:
        """A tensor that the caller passes by name, as it is."""
        name, origin = expression.name, expression.origin
        if name not in self.tensor_axes and any(name in pair for pair in self.own):
            message = f"`{name}` has another layout than `pred`"
            raise Fault(origin.says("LD307", message, "use it only together with its target: loss(prediction, target)"))
        axes = self.tensor_axes[name]
        if axes and space.context is not self.context:
            message = f"`{name}` has the layout of `pred`; a head with its own layout cannot use it"
            raise Fault(origin.says("LD307", message))
        return space.passed(name, axes)

    def everywhere(self, number: Node, frame: Frame) -> Node:
        """A number as a map, for what comes out constant for some parameters only, such as p**gamma with gamma=0."""
        ones = self.graph.make("ones", frame.space.prediction, axes=AXES)
        if number.is_constant and number.value == 0:  # a product with 0 would be a number again
            return self.graph.make("subtract", ones, self.graph.constant(1.0))
        return self.graph.make("multiply", number, ones)

    def anew(self, frame: Frame, expression: Resolved, **changes: Any) -> Frame:
        """A frame in which names bound outside are read anew.

        Those of a formula in their order, so that a long chain of them is not a deep recursion. A definition reads only
        what its parameters ask for.
        """
        inner = replace(frame, locals={}, faults={}, **changes)
        for name in () if frame.is_definition else needed(frame.bindings, [expression]):
            self.local(name, inner)
        return inner

    def reducer(self, frame: Frame, classes: Classes | None = None) -> Reducer:
        """Reductions of a value. classes: those of the value itself that count, beside those of the text around it."""
        counting = narrowed(self.graph, frame.classes, classes)
        mask = None if counting is None else counting.mask
        space = frame.space
        return Reducer(self.graph, frame.head.valid, space.class_weight(), space.prediction, mask)


def _chosen_map(expression: Resolved, classes: Classes) -> Diagnostic:
    message = f"of `{expression.origin.text}` only the classes {classes} count, here all of them are read"
    return expression.origin.says("LD308", message, f"write {classes.around('...')} around the whole")


def map_of(expression: Resolved, value: Value) -> tuple[Node, Classes | None]:
    """A value that is a number or map, and the classes of it that count."""
    if isinstance(value, str):
        raise Fault(expression.origin.says("LD205", f"`{value}` is a word, not a number"))
    if isinstance(value, tuple):
        raise Fault(expression.origin.says("LD205", "expected a number, not a list"))
    return parted(value)
