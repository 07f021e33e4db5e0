"""Resolved expressions to nodes: names become tensors, choices are decided, reductions are written out."""

from __future__ import annotations

from dataclasses import replace

from lossdsl.checking.resolved import (
    Apply,
    Chain,
    Constant,
    ForClass,
    Learned,
    Local,
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
from lossdsl.graph.heads import Head
from lossdsl.graph.nodes import AXES, Graph, Node
from lossdsl.graph.reductions import Reducer
from lossdsl.graph.rewrites import COMPARISONS, RULES
from lossdsl.graph.trace import Applied, Trace
from lossdsl.graph.uses import use_loss


class Evaluator:
    """Makes the nodes of one loss for one context. `heads`: every pair of prediction and target that was read."""

    def __init__(self, objective: Objective, context: Context, ignore_index: int | None):
        self.graph = Graph(RULES)
        self.objective = objective
        self.context = context
        self.ignore_index = ignore_index
        self.tensor_axes = dict(context.tensors)
        self.heads: list[Head] = []
        self.trace = Trace()
        self.main = self.raw_head(*self._main_inputs())

    def _main_inputs(self) -> tuple[Node, Node]:
        target_axes = ("batch", "pixel") if self.context.indexed else AXES
        return (
            self.graph.make("input", attributes=("pred",), axes=AXES),
            self.graph.make("input", attributes=("target",), axes=target_axes),
        )

    def raw_head(self, prediction: Node, truth: Node) -> Head:
        """A head of tensors as the caller passed them."""
        valid = []
        if self.context.mask is not None:
            valid.append(self.graph.make("input", attributes=("mask",), axes=self.context.mask))
        if self.context.ignoring:
            valid.append(self.graph.make("differs", truth, attributes=(self.ignore_index,)))
        joined = self.graph.make("both", *valid) if len(valid) == 2 else next(iter(valid), None)
        return self.remembered(Head(self.graph, self.context, prediction, truth, joined))

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
                return self._per_class(expression, frame)
            case ParameterOf():
                frame.used.add(expression.name)
                return frame.parameters[expression.name]
            case Local():
                return self.local(expression.name, frame)
            case TensorOf():
                return self.tensor(expression, frame)
            case ScalarOf():
                return self._scalar_of_run(expression.name)
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
                return self._neighbourhood(expression, frame)
            case ForClass():
                return self._for_class(expression, frame)
            case Use():
                return use_loss(self, expression, frame)

    def local(self, name: str, frame: Frame) -> Value:
        if name not in frame.locals:
            frame.locals[name] = self.value(frame.bindings[name], frame)
        return frame.locals[name]

    def _per_class(self, expression: PerClass, frame: Frame) -> Node:
        items = [self.number(item, frame) for item in expression.items]
        for item, written in zip(items, expression.items, strict=True):
            if item.axes:
                message = f"a list holds one number for each class, this has one for each {listed(item.axes)}"
                raise Fault(written.origin.says("LD303", message))
        return self.graph.make("per_class", self.main.prediction, *items, axes=("class",))

    def _scalar_of_run(self, name: str) -> Node:
        if name == "classes":
            return self.graph.make("size", self.main.prediction, attributes=("class",), axes=())
        return self.graph.make("input", attributes=(f"scalar:{name}",), axes=())

    def tensor(self, expression: TensorOf, frame: Frame) -> Node:
        name = expression.name
        if name == "class_weight":
            return self.class_weight() or self.graph.constant(1.0)
        if name == "foreground":
            if self.context.task == "binary":
                raise Fault(expression.origin.says("LD301", "a binary task has no background class"))
            return self.graph.make("foreground", self.main.prediction, axes=("class",))
        if name not in HEAD_TENSORS:
            node = self.graph.make("cast_like", self.passed(expression), self.main.prediction)
            valid = Reducer(self.graph, frame.head.valid, None, self.main.prediction).valid_for(node)
            return node if valid is None else self.graph.make("keep", node, valid)
        if self.context.task == "regression" and name in ("z", "p", "y"):
            meaning = {"z": "logits", "p": "probabilities", "y": "labels"}[name]
            raise Fault(
                expression.origin.says("LD301", f"a regression has no {meaning} `{name}`", "use pred and target")
            )
        if name in ("pred", "target") and frame.head.indexed:
            message = f"`{name}` cannot be compared element by element: the target holds class indices"
            raise Fault(expression.origin.says("LD301", message, "for multiclass use p and y: mean((p - y)**2)"))
        return frame.head.of(name)

    def passed(self, expression: TensorOf) -> Node:
        """A tensor that the caller passes by name, as it is."""
        name = expression.name
        if name not in self.tensor_axes:
            hint = f"call loss(pred, target, {name}=...)"
            raise Fault(expression.origin.says("LD304", f"the tensor `{name}` is not passed", hint))
        return self.graph.make("input", attributes=(f"tensor:{name}",), axes=self.tensor_axes[name])

    def class_weight(self) -> Node | None:
        if not self.context.weighted:
            return None
        node = self.graph.make("input", attributes=("class_weight",), axes=("class",))
        return self.graph.make("cast_like", node, self.main.prediction)

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
        node = self.graph.make("where", condition, chosen, otherwise)
        if chosen.is_constant and otherwise.is_constant:
            return self.graph.make("cast_like", node, self.main.prediction)
        return node

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
                return reducer.topk(value, over, self._share(expression, frame))
            case kind:
                return reducer.extreme(kind, value, over)

    def _neighbourhood(self, expression: Neighbourhood, frame: Frame) -> Node:
        value = self.number(expression.value, frame)
        size = self.number(expression.size, frame)
        if not (size.is_constant and size.value % 2 == 1 and size.value > 0):
            raise Fault(
                expression.size.origin.says("LD204", f"`size` of `{expression.kind}` is an odd number of pixels")
            )
        if "pixel" not in value.axes:
            raise Fault(expression.origin.says("LD302", f"`{expression.kind}` of a value without pixels"))
        valid = [] if frame.head.valid is None else [frame.head.valid]
        return self.graph.make(
            expression.kind, value, self.layout(), *valid, attributes=(int(size.value),), axes=value.axes
        )

    def layout(self) -> Node:
        """The prediction with its image axes apart, for operations that look at neighbours."""
        return self.graph.make("input", attributes=("layout",), axes=AXES)

    def _for_class(self, expression: ForClass, frame: Frame) -> Value:
        """Read the value anew with fewer classes: names bound outside are read anew too."""
        classes = self.graph.make(
            "class_is_one_of", self.main.prediction, attributes=expression.classes, axes=("class",)
        )
        both = classes if frame.classes is None else self.graph.make("both", frame.classes, classes)
        inner = replace(frame, locals={}, classes=both)
        return self.value(expression.value, inner)

    def reducer(self, frame: Frame) -> Reducer:
        valid = [node for node in (frame.head.valid, frame.classes) if node is not None]
        counts = self.graph.make("both", *valid) if len(valid) == 2 else next(iter(valid), None)
        return Reducer(self.graph, counts, self.class_weight(), self.main.prediction)

    def _over(self, expression: Reduction, value: Node, frame: Frame) -> frozenset[str]:
        """The axes that go; all of them must be there."""
        if expression.per is not None:
            over = frozenset({"pixel"} if self.value(expression.per, frame) == "image" else {"batch", "pixel"})
        else:
            over = value.axes if expression.over is None else frozenset(expression.over)
        if not value.axes and not frame.is_definition:
            hint = "a loss by name is averaged already; reduction=none gives its map, as in bce(reduction=none)"
            raise Fault(expression.origin.says("LD302", f"`{expression.kind}` of one number", hint))
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
