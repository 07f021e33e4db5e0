"""Resolved expressions to nodes: names become tensors, choices are decided, reductions are written out."""

from __future__ import annotations

from dataclasses import replace

from lossdsl.checking.arguments import flat
from lossdsl.checking.calls import NO_CLASSES, class_numbers
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
from lossdsl.errors import FormulaError, Place
from lossdsl.graph.context import Context
from lossdsl.graph.frames import Fault, Frame, Operand, Value, met, node_of, too_large, without_result
from lossdsl.graph.heads import Chosen, Classes, marked, narrowed
from lossdsl.graph.loss_calls import use_loss
from lossdsl.graph.multiscale import multiscale
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.reader import Reader, map_of
from lossdsl.graph.reduction_calls import reduced
from lossdsl.graph.rewrites import COMPARISONS
from lossdsl.graph.trace import Applied
from lossdsl.graph.windows import neighbourhood
from lossdsl.stack import in_own_stack, is_deep
from lossdsl.syntax.parse import MAX_NUMBER

MOST_PARTS = 200_000
"""What a formula may come to when its names are opened: some seconds of work."""
_BETWEEN_LOOKS = 16


class TooLarge(FormulaError):
    """A formula that comes to too much when its names are opened, whatever the task is."""

    def __init__(self, origin: Place):
        message = f"the formula has more than {MOST_PARTS:,} parts when all names and losses in it are expanded"
        super().__init__([origin.says("LD110", message, "use fewer names that repeat other names")])


class Evaluator(Reader):
    """Reads expressions of every kind."""

    def __init__(self, objective: Objective, context: Context, ignore_index: int | None):
        super().__init__(objective, context, ignore_index)
        self._met = self._depth = 0

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

    def _scalar_of_run(self, name: str, frame: Frame) -> Node:
        if name == "classes":
            return self.graph.make("classes", frame.space.prediction, axes=())
        return self.graph.make("input", attributes=(f"scalar:{name}",), axes=())

    def _apply(self, expression: Apply, frame: Frame) -> Node | Chosen:
        operands = [self.operand(argument, frame) for argument in expression.arguments]
        if expression.function == "softmax" and frame.is_definition:
            operands = [self._with_classes(operand, frame) for operand in operands]
        classes = met(expression.origin, operands, frame.space.task)
        if expression.function == "softmax" and classes:
            message = (
                f"a softmax adds up over all classes, of `{operands[0].origin.text}` only the classes {classes} count"
            )
            hint = f"apply for_class to the result: {classes.around('softmax(...)')}"
            raise Fault(expression.origin.says("LD302", message, hint))
        if expression.function == "softmax" and "class" not in operands[0].node.axes:
            message = f"a softmax needs the axis class, and `{operands[0].origin.text}` has none"
            raise Fault(expression.origin.says("LD302", message, "write softmax(z), of one value for each class"))
        origins = tuple(operand.origin for operand in operands)
        node = self._applied(expression.function, [one.node for one in operands], expression, origins, frame)
        return marked(node, classes)

    def _with_classes(self, operand: Operand, frame: Frame) -> Operand:
        node = operand.node
        return replace(operand, node=self.everywhere(node, frame)) if node.is_constant else operand

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
        origins: tuple[Place, ...],
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
        compared = [Operand(side.origin, *map_of(side, value)) for side, value in sides]
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
            raise Fault(expression.origin.says("LD205", "words can only be compared with == or !="))
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
                message = f"`{expression.value.origin.text}` does not reduce over classes: for_class has no effect"
                raise Fault(expression.origin.says("LD302", message, "remove for_class"))
            return value
        inner = value.classes if isinstance(value, Chosen) else None
        return marked(node, self._counting(narrowed(self.graph, classes, inner), expression))

    def _counting(self, classes: Classes | None, expression: ForClass) -> Classes | None:
        if classes and not classes.numbers:
            message = f"`{expression.origin.text}` counts no class: it is combined with for_class of other classes"
            raise Fault(expression.origin.says("LD302", message, "use one for_class with all classes that you mean"))
        return classes

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
