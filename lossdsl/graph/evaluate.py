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
from lossdsl.graph.context import Context
from lossdsl.graph.frames import HEAD_TENSORS, Fault, Frame, Value, listed
from lossdsl.graph.heads import Head, raw_head
from lossdsl.graph.mending import with_its_mean, without_the_mean
from lossdsl.graph.nodes import AXES, Graph, Node
from lossdsl.graph.reductions import Reducer
from lossdsl.graph.rewrites import COMPARISONS, RULES
from lossdsl.graph.scales import multiscale
from lossdsl.graph.spaces import Space, make_space, of_pair, of_scale
from lossdsl.graph.trace import Applied, Trace
from lossdsl.graph.uses import use_loss
from lossdsl.graph.windows import neighbourhood


class Evaluator:
    """Makes the nodes of one loss for one context. `heads`: every pair of prediction and target that was read."""

    def __init__(self, objective: Objective, context: Context, ignore_index: int | None):
        self.graph = Graph(RULES)
        self.objective = objective
        self.context = context
        self.ignore_index = ignore_index
        self.tensor_axes = dict(context.tensors)
        self.own = {(prediction, target): fields for prediction, target, fields in context.heads}
        self.heads: list[Head] = []
        self.trace = Trace()
        self._main: dict[str, Head] = {}
        self.main = self.scale(0)

    def scale(self, number: int) -> Head:
        """An output of the call with its target; 0 is the main one."""
        return self._main_of(self.context, of_scale(number))

    def own_head(self, prediction: str, target: str) -> Head | None:
        """The head of two tensors of the caller in a space of its own; None when they are laid out as `pred` is."""
        fields = self.own.get((prediction, target))
        return None if fields is None else self._main_of(Context(*fields), of_pair(prediction, target))

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

    def number(self, expression: Resolved, frame: Frame) -> Node:
        value = self.value(expression, frame)
        if isinstance(value, str):
            raise Fault(expression.origin.says("LD205", f"`{value}` is a word, not a number"))
        if isinstance(value, tuple):
            raise Fault(expression.origin.says("LD205", "a list stands where one number belongs"))
        return value

    def scalar(self, expression: Resolved, frame: Frame, what: str) -> Node:
        """A number without axes."""
        node = self.number(expression, frame)
        if node.axes:
            hint = f"reduce it: mean(...), or mean(..., over=[{listed(node.axes, ', ')}])"
            message = f"{what} is one number, this has one for each {listed(node.axes)}"
            raise Fault(expression.origin.says("LD303", message, hint, with_its_mean(expression)))
        return node

    def value(self, expression: Resolved, frame: Frame) -> Value:
        value = self._value(expression, frame)
        if frame.place is None and isinstance(value, Node):
            self.trace.read.append((expression, value))
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
                return self._reduction(expression, frame)
            case Neighbourhood():
                return neighbourhood(self, expression, frame)
            case ForClass():
                return self._for_class(expression, frame)
            case MultiScale():
                return multiscale(self, expression, frame)
            case Use():
                return use_loss(self, expression, frame)

    def local(self, name: str, frame: Frame) -> Value:
        if name not in frame.locals:
            frame.locals[name] = self.value(frame.bindings[name], frame)
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

    def tensor(self, expression: TensorOf, frame: Frame) -> Node:
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
        return frame.head.of(name)

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

    def _apply(self, expression: Apply, frame: Frame) -> Node:
        arguments = [self.number(argument, frame) for argument in expression.arguments]
        origins = tuple(argument.origin for argument in expression.arguments)
        return self._applied(expression.function, arguments, expression, origins, frame)

    def _chain(self, expression: Chain, frame: Frame) -> Node:
        node = self.number(expression.first, frame)
        for function, operand in expression.rest:
            origins = (expression.origin, operand.origin)
            node = self._applied(function, [node, self.number(operand, frame)], expression, origins, frame)
        return node

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
            raise Fault(expression.origin.says("LD302", f"`{function}` of these numbers is not a number"))
        if frame.place is None:
            self.trace.applied.append(Applied(function, tuple(arguments), node, origins, self.trace.guards))
        return node

    def _where(self, expression: Where, frame: Frame) -> Value:
        branch = self.branch(expression, frame)
        if branch is not None:
            return self.value(branch, frame)
        left, right = self.number(expression.left, frame), self.number(expression.right, frame)
        condition = self.graph.make("compare", left, right, attributes=(expression.comparison,))
        self.trace.inside(expression, left, right, holds=True)
        chosen = self.number(expression.chosen, frame)
        self.trace.outside()
        self.trace.inside(expression, left, right, holds=False)
        otherwise = self.number(expression.otherwise, frame)
        self.trace.outside()
        if chosen.is_constant and otherwise.is_constant:
            chosen = self.graph.make("cast_like", chosen, frame.space.prediction)
        return self.graph.make("where", condition, chosen, otherwise)

    def branch(self, expression: Where, frame: Frame) -> Resolved | None:
        """What a comparison of words or constants chooses, None when it depends on the data."""
        left, right = self.value(expression.left, frame), self.value(expression.right, frame)
        decided = self._decided(expression, left, right)
        if decided is None:
            return None
        return expression.chosen if decided else expression.otherwise

    def _decided(self, expression: Where, left: Value, right: Value) -> bool | None:
        """The outcome of a comparison of words or constants, None when it depends on the data."""
        compare = COMPARISONS[expression.comparison]
        if not isinstance(left, Node) or not isinstance(right, Node):
            if expression.comparison not in ("==", "!="):
                raise Fault(expression.origin.says("LD205", "words are compared with == or !="))
            return compare(left, right)
        return compare(left.value, right.value) if left.is_constant and right.is_constant else None

    def _reduction(self, expression: Reduction, frame: Frame) -> Node:
        value = self.number(expression.value, frame)
        if value.is_constant and frame.is_definition:
            if value.value == 0:
                return value
            if expression.kind == "sum" or expression.per or expression.over:
                value = self._everywhere(value, frame)
        over = self._over(expression, value, frame)
        if not value.axes:
            return value
        reducer = self.reducer(frame)
        match expression.kind:
            case "sum":
                return reducer.sum(value, over)
            case "mean":
                return reducer.mean(value, over, self._count(expression, value, frame))
            case "topk":
                return reducer.topk(value, over, self._share(expression, frame), expression.rounding)
            case "logsumexp":
                return reducer.log_sum_exp(value, over)
            case "softmax":
                return reducer.softmax(value, over)
            case kind:
                return reducer.extreme(kind, value, over)

    def _everywhere(self, number: Node, frame: Frame) -> Node:
        """A number as a map, for what comes out constant for some parameters only, such as p**gamma with gamma=0."""
        ones = self.graph.make("ones", frame.space.prediction, axes=AXES)
        return self.graph.make("multiply", number, ones)

    def _for_class(self, expression: ForClass, frame: Frame) -> Value:
        """Read the value anew with fewer classes: names bound outside are read anew too."""
        chosen = self._chosen_classes(expression, frame)
        if chosen is None:
            return self.value(expression.value, frame)
        classes = self.graph.make("class_is_one_of", frame.space.prediction, attributes=chosen, axes=("class",))
        both = classes if frame.classes is None else self.graph.make("both", frame.classes, classes)
        return self.value(expression.value, self.anew(frame, expression.value, classes=both))

    def anew(self, frame: Frame, expression: Resolved, **changes: Any) -> Frame:
        """A frame in which names bound outside are read anew.

        Those of a formula in their order, so that a long chain of them is not a deep recursion. A definition reads only
        what its parameters ask for.
        """
        inner = replace(frame, locals={}, **changes)
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
        classes = None if isinstance(given, Node) else class_numbers(flat(given))
        if classes is None:
            raise Fault(expression.origin.says("LD205", NO_CLASSES))
        return classes

    def reducer(self, frame: Frame) -> Reducer:
        valid = [node for node in (frame.head.valid, frame.classes) if node is not None]
        counts = self.graph.make("both", *valid) if len(valid) == 2 else next(iter(valid), None)
        return Reducer(self.graph, counts, frame.space.class_weight(), frame.space.prediction)

    def _over(self, expression: Reduction, value: Node, frame: Frame) -> frozenset[str]:
        """The axes that go; all of them must be there."""
        if expression.per is not None:
            over = frozenset({"pixel"} if self.value(expression.per, frame) == "image" else {"batch", "pixel"})
        else:
            over = value.axes if expression.over is None else frozenset(expression.over)
        if not value.axes and not frame.is_definition:
            hint = "a loss by name is averaged already; reduction=none gives its map, as in bce(reduction=none)"
            message = f"`{expression.kind}` of one number"
            raise Fault(expression.origin.says("LD302", message, hint, without_the_mean(expression)))
        if not over <= value.axes:
            message = f"`{expression.kind}` over {listed(over)} of a value that has only {listed(value.axes)}"
            raise Fault(expression.origin.says("LD302", message))
        return over

    def _count(self, expression: Reduction, value: Node, frame: Frame) -> Node | None:
        if expression.count is None:
            return None
        count = self.number(expression.count, frame)
        if count.axes <= value.axes:
            return count
        extra = listed(count.axes - value.axes)
        raise Fault(
            expression.count.origin.says("LD302", f"`count` has one number for each {extra}, the value has not")
        )

    def _share(self, expression: Reduction, frame: Frame) -> float:
        assert expression.share is not None
        share = self.number(expression.share, frame)
        if share.is_constant and 0 < share.value <= 1:
            return share.value
        raise Fault(
            expression.share.origin.says("LD204", "`share` of `topk` is a number in (0, 1]", "0.1 keeps a tenth")
        )
