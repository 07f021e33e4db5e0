"""Resolved expressions to nodes: names become tensors, choices are decided, reductions are written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lossdsl.checking.bindings import needed
from lossdsl.checking.calls import NO_CLASSES, class_numbers
from lossdsl.checking.lists import flat
from lossdsl.checking.resolved import (
    Apply,
    Chain,
    Constant,
    ForClass,
    Learned,
    Local,
    MultiScale,
    Neighbourhood,
    Numbers,
    Objective,
    Origin,
    ParameterOf,
    PerClass,
    Reduction,
    Resolved,
    ScalarOf,
    TensorOf,
    Use,
    Where,
    Word,
)
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.choices import Chosen, Classes, marked, narrowed, parted
from lossdsl.graph.context import Context
from lossdsl.graph.frames import HEAD_TENSORS, Fault, Frame, Value, listed, node_of, too_large, without_result
from lossdsl.graph.heads import Head, raw_head
from lossdsl.graph.meeting import Operand, met
from lossdsl.graph.mending import with_its_mean
from lossdsl.graph.nodes import Graph, Node, in_order
from lossdsl.graph.reducing import reduced
from lossdsl.graph.reductions import Reducer
from lossdsl.graph.rewrites import COMPARISONS, RULES
from lossdsl.graph.scales import multiscale
from lossdsl.graph.spaces import Space, make_space, of_pair, of_scale
from lossdsl.graph.trace import Applied, Trace
from lossdsl.graph.uses import use_loss
from lossdsl.graph.windows import neighbourhood
from lossdsl.stack import in_own_stack, is_deep
from lossdsl.syntax.limits import MAX_NUMBER

MOST_PARTS = 200_000
"""What a formula may come to when its names are opened: some seconds of work."""
_BETWEEN_LOOKS = 16


class TooLarge(FormulaError):
    """A formula that comes to too much when its names are opened, whatever the task is."""

    def __init__(self, origin: Origin):
        message = f"the formula has more than {MOST_PARTS:,} parts when all names and losses in it are opened"
        super().__init__([origin.says("LD110", message, "use fewer names that stand for others more than once")])


class Evaluator:
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
        self._met = self._depth = 0
        self._main: dict[str, Head] = {}
        self.main = self.scale(0)

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
        return _map_of(expression, self.value(expression, frame))

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
            hint = f"reduce it: mean(...), or mean(..., over=[{listed(node.axes, ', ')}])"
            message = f"{what} is one number, this has one for each {listed(node.axes)}"
            raise Fault(expression.origin.says("LD303", message, hint, with_its_mean(expression)))
        return node

    def value(self, expression: Resolved, frame: Frame) -> Value:
        """The value of an expression. Those inside each other may be many: definitions stand in definitions."""
        self._met += 1
        if self._met > MOST_PARTS:
            raise TooLarge(frame.place or expression.origin)
        self._depth += 1
        try:
            deep = self._depth % _BETWEEN_LOOKS == 0 and is_deep()
            value = in_own_stack(self._value, expression, frame) if deep else self._value(expression, frame)
        finally:
            self._depth -= 1
        node = node_of(value)
        if frame.place is None and node is not None:
            self.trace.read.append((expression, node))
        return value

    def _value(self, expression: Resolved, frame: Frame) -> Value:
        match expression:
            case Constant():
                return self.graph.constant(expression.value)
            case Word():
                return expression.text
            case Numbers():
                return expression.values
            case PerClass():
                return self.per_class(expression, frame, frame.space)
            case ParameterOf():
                frame.used.add(expression.name)
                return frame.parameters[expression.name]
            case Local():
                return self.local(expression.name, frame)
            case TensorOf():
                return self.tensor(expression, frame)
            case ScalarOf():
                return self._scalar_of_run(expression.name, frame)
            case Learned():
                return self.graph.make("input", attributes=(f"learned:{expression.name}",), axes=())
            case Apply():
                return self._apply(expression, frame)
            case Chain():
                return self._chain(expression, frame)
            case Where():
                return self._where(expression, frame)
            case Reduction():
                return reduced(self, expression, frame)
            case Neighbourhood():
                return neighbourhood(self, expression, frame)
            case ForClass():
                return self._for_class(expression, frame)
            case MultiScale():
                return multiscale(self, expression, frame)
            case Use():
                return use_loss(self, expression, frame)

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
                message = f"a list holds one number for each class, this has one for each {listed(item.axes)}"
                raise Fault(written.origin.says("LD303", message))
        return self.graph.make("per_class", space.prediction, *items, axes=("class",))

    def _scalar_of_run(self, name: str, frame: Frame) -> Node:
        if name == "classes":
            return self.graph.make("classes", frame.space.prediction, axes=())
        return self.graph.make("input", attributes=(f"scalar:{name}",), axes=())

    def tensor(self, expression: TensorOf, frame: Frame) -> Node | Chosen:
        name, space = expression.name, frame.space
        if name == "class_weight":
            return space.class_weight() or self.graph.constant(1.0)
        if name == "foreground":
            if space.task == "binary":
                raise Fault(expression.origin.says("LD301", "a binary task has no background class"))
            return self.graph.make("foreground", space.prediction, axes=("class",))
        if name not in HEAD_TENSORS:
            node = self.graph.make("cast_like", self.passed(expression, space), space.prediction)
            valid = Reducer(self.graph, frame.head.valid, None, space.prediction).valid_for(node)
            return node if valid is None else self.graph.make("keep", node, valid)
        if space.task == "regression" and name in ("z", "p", "y"):
            meaning = {"z": "logits", "p": "probabilities", "y": "labels"}[name]
            raise Fault(
                expression.origin.says("LD301", f"a regression has no {meaning} `{name}`", "use pred and target")
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
            message = f"a softmax adds up over all classes, of the prediction here only the classes {classes} count"
            hint = f"choose them of the whole: {classes.around('...')}"
            raise Fault(expression.origin.says("LD302", message, hint))
        return head.of(name), classes

    def passed(self, expression: TensorOf, space: Space) -> Node:
        """A tensor that the caller passes by name, as it is."""
        name, origin = expression.name, expression.origin
        if name not in self.tensor_axes and any(name in pair for pair in self.own):
            message = f"`{name}` has a layout of its own, other than `pred`"
            raise Fault(origin.says("LD307", message, "it stands only with its partner: loss(prediction, target)"))
        axes = self.tensor_axes[name]
        if axes and space.context is not self.context:
            message = f"`{name}` is laid out as `pred`; it cannot be read for a head with a layout of its own"
            raise Fault(origin.says("LD307", message))
        return space.passed(name, axes)

    def _apply(self, expression: Apply, frame: Frame) -> Node | Chosen:
        operands = [self.operand(argument, frame) for argument in expression.arguments]
        classes = met(expression.origin, operands, frame.space.task)
        if expression.function == "softmax" and classes:
            message = (
                f"a softmax adds up over all classes, of `{operands[0].origin.text}` only the classes {classes} count"
            )
            hint = f"choose them of the result: {classes.around('softmax(...)')}"
            raise Fault(expression.origin.says("LD302", message, hint))
        if expression.function == "softmax" and "class" not in operands[0].node.axes:
            message = f"a softmax is over the classes, and `{operands[0].origin.text}` has none"
            raise Fault(expression.origin.says("LD302", message, "softmax(z), of a value for each class"))
        origins = tuple(operand.origin for operand in operands)
        node = self._applied(expression.function, [one.node for one in operands], expression, origins, frame)
        return marked(node, classes)

    def _chain(self, expression: Chain, frame: Frame) -> Node | Chosen:
        operands = [self.operand(expression.first, frame)]
        node = operands[0].node
        for function, written in expression.rest:
            operands.append(self.operand(written, frame))
            origins = (expression.origin, written.origin)
            node = self._applied(function, [node, operands[-1].node], expression, origins, frame)
        return marked(node, met(expression.origin, operands, frame.space.task))

    def _applied(
        self,
        function: str,
        arguments: list[Node],
        expression: Apply | Chain,
        origins: tuple[Origin, ...],
        frame: Frame,
    ) -> Node:
        node = self.graph.make(function, *arguments)
        if node.arguments and all(argument.is_constant for argument in node.arguments):
            raise Fault(without_result(function, arguments, expression.origin))
        if node.is_constant and abs(node.value) >= MAX_NUMBER:
            raise Fault(too_large(f"`{function}` of these numbers", node, expression.origin))
        if frame.place is None:
            self.trace.applied.append(Applied(function, tuple(arguments), node, origins, self.trace.guards))
        return node

    def _where(self, expression: Where, frame: Frame) -> Value:
        values = self._compared(expression, frame)
        branch = self._decided(expression, *values)
        if branch is not None:
            return self.value(branch, frame)
        sides = zip((expression.left, expression.right), values, strict=True)
        compared = [Operand(side.origin, *_map_of(side, value)) for side, value in sides]
        left, right = (side.node for side in compared)
        condition = self.graph.make("compare", left, right, attributes=(expression.comparison,))
        branches = []
        for written, holds in ((expression.chosen, True), (expression.otherwise, False)):
            self.trace.inside(expression, left, right, holds=holds)
            branches.append(self.operand(written, frame))
            self.trace.outside()
        chosen, otherwise = (side.node for side in branches)
        if chosen.is_constant and otherwise.is_constant:
            chosen = self.graph.make("cast_like", chosen, frame.space.prediction)
        classes = met(expression.origin, [*compared, *branches], frame.space.task)
        return marked(self.graph.make("where", condition, chosen, otherwise), classes)

    def branch(self, expression: Where, frame: Frame) -> Resolved | None:
        """What a comparison of words or constants chooses, None when it depends on the data."""
        return self._decided(expression, *self._compared(expression, frame))

    def _compared(self, expression: Where, frame: Frame) -> tuple[Value, Value]:
        """Both sides of a comparison, each read once: a comparison may stand in a comparison, and so on."""
        return self.value(expression.left, frame), self.value(expression.right, frame)

    def _decided(self, expression: Where, left: Value, right: Value) -> Resolved | None:
        """What the comparison of two words or constants chooses, None when it depends on the data."""
        left, right = (side.node if isinstance(side, Chosen) else side for side in (left, right))
        compare = COMPARISONS[expression.comparison]
        if isinstance(left, Node) and isinstance(right, Node):
            if not (left.is_constant and right.is_constant):
                return None
            return expression.chosen if compare(left.value, right.value) else expression.otherwise
        if expression.comparison not in ("==", "!="):
            raise Fault(expression.origin.says("LD205", "words are compared with == or !="))
        return expression.chosen if compare(left, right) else expression.otherwise

    def _for_class(self, expression: ForClass, frame: Frame) -> Value:
        """Read the value anew with fewer classes: names bound outside are read anew too."""
        numbers = self._chosen_classes(expression, frame)
        if numbers is None:
            return self.value(expression.value, frame)
        mask = self.graph.make("class_is_one_of", frame.space.prediction, attributes=numbers, axes=("class",))
        here = Classes(frozenset(numbers), mask, expression.origin)
        classes = self._counting(narrowed(self.graph, frame.classes, here), expression)
        value = self.value(expression.value, self.anew(frame, expression.value, classes=classes))
        node = node_of(value)
        if node is None or "class" not in node.axes:
            if frame.place is None and not (node and mask in in_order([node])):
                message = f"`{expression.value.origin.text}` adds up no classes: for_class changes nothing of it"
                raise Fault(expression.origin.says("LD302", message, "leave for_class out"))
            return value
        inner = value.classes if isinstance(value, Chosen) else None
        return marked(node, self._counting(narrowed(self.graph, classes, inner), expression))

    def _counting(self, classes: Classes | None, expression: ForClass) -> Classes | None:
        if classes and not classes.numbers:
            message = f"`{expression.origin.text}` counts no class: it stands with a for_class of others"
            raise Fault(expression.origin.says("LD302", message, "one for_class with the classes that are meant"))
        return classes

    def anew(self, frame: Frame, expression: Resolved, **changes: Any) -> Frame:
        """A frame in which names bound outside are read anew.

        Those of a formula in their order, so that a long chain of them is not a deep recursion. A definition reads only
        what its parameters ask for.
        """
        inner = replace(frame, locals={}, faults={}, **changes)
        for name in () if frame.is_definition else needed(frame.bindings, [expression]):
            self.local(name, inner)
        return inner

    def _chosen_classes(self, expression: ForClass, frame: Frame) -> tuple[int, ...] | None:
        """The classes of `for_class`, None for all of them."""
        if isinstance(expression.classes, tuple):
            return expression.classes
        given = self.value(expression.classes, frame)
        if isinstance(given, str):
            return None
        classes = class_numbers(flat(given)) if isinstance(given, tuple) else None
        if classes is None:
            raise Fault(expression.origin.says("LD205", NO_CLASSES))
        return classes

    def reducer(self, frame: Frame, classes: Classes | None = None) -> Reducer:
        """Reductions of a value. classes: those of the value itself that count, beside those of the text around it."""
        counting = narrowed(self.graph, frame.classes, classes)
        mask = None if counting is None else counting.mask
        space = frame.space
        return Reducer(self.graph, frame.head.valid, space.class_weight(), space.prediction, mask)


def _chosen_map(expression: Resolved, classes: Classes) -> Diagnostic:
    message = f"of `{expression.origin.text}` only the classes {classes} count, here all of them are read"
    return expression.origin.says("LD308", message, f"write {classes.around('...')} around the whole")


def _map_of(expression: Resolved, value: Value) -> tuple[Node, Classes | None]:
    """A value that is a number or map, and the classes of it that count."""
    if isinstance(value, str):
        raise Fault(expression.origin.says("LD205", f"`{value}` is a word, not a number"))
    if isinstance(value, tuple):
        raise Fault(expression.origin.says("LD205", "a list stands where one number belongs"))
    return parted(value)
