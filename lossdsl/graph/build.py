"""Objective to graph, for one context: definitions are opened, choices decided, reductions written out."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lossdsl.checking.resolved import (
    Apply,
    Chain,
    Constant,
    Learned,
    Local,
    Objective,
    ParameterOf,
    Reduction,
    Resolved,
    ScalarOf,
    TensorOf,
    Use,
    Where,
    Word,
)
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.context import Context
from lossdsl.graph.heads import Head
from lossdsl.graph.nodes import AXES, Graph, Node, Rewrite
from lossdsl.graph.reductions import Reducer
from lossdsl.graph.rewrites import RULES
from lossdsl.registry.model import Formula, Kernel, Parameter, full_name
from lossdsl.syntax import tree

Value: TypeAlias = Node | str

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_HEAD_TENSORS = ("z", "p", "y", "pred", "target")


class _Fault(Exception):
    def __init__(self, diagnostic: Diagnostic):
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


@dataclass(frozen=True, slots=True)
class BuiltTerm:
    """A term as nodes. contribution = weight * value."""

    name: str
    weight: Node
    value: Node
    contribution: Node


@dataclass(frozen=True, slots=True)
class BuiltLoss:
    """A whole loss as nodes, and the rewrites that led there."""

    terms: tuple[BuiltTerm, ...]
    total: Node
    rewrites: tuple[Rewrite, ...]


@dataclass(slots=True)
class _Frame:
    """One text being read: a user's formula, or a definition with its parameters."""

    head: Head
    bindings: dict[str, Resolved]
    parameters: dict[str, Value] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    locals: dict[str, Value] = field(default_factory=dict)


def build(objective: Objective, context: Context, ignore_index: int | None = None) -> BuiltLoss:
    """The graph of an objective for one kind of call.

    Raises FormulaError with everything that does not fit the task or the axes.
    """
    return _Builder(objective, context, ignore_index).loss()


class _Builder:
    def __init__(self, objective: Objective, context: Context, ignore_index: int | None):
        self.graph = Graph(RULES)
        self.objective = objective
        self.context = context
        self.ignore_index = ignore_index
        self.tensor_axes = dict(context.tensors)
        self.faults: list[Diagnostic] = []
        self.heads: list[Head] = []
        self.main = self._raw_head(*self._main_inputs())

    def _main_inputs(self) -> tuple[Node, Node]:
        target_axes = ("batch", "pixel") if self.context.indexed else AXES
        return (
            self.graph.make("input", attributes=("pred",), axes=AXES),
            self.graph.make("input", attributes=("target",), axes=target_axes),
        )

    def _raw_head(self, prediction: Node, truth: Node) -> Head:
        """A head of tensors as the caller passed them."""
        valid = []
        if self.context.mask is not None:
            valid.append(self.graph.make("input", attributes=("mask",), axes=self.context.mask))
        if self.context.ignoring:
            valid.append(self.graph.make("differs", truth, attributes=(self.ignore_index,)))
        joined = self.graph.make("both", *valid) if len(valid) == 2 else next(iter(valid), None)
        return self._remembered(Head(self.graph, self.context, prediction, truth, joined))

    def _remembered(self, head: Head) -> Head:
        self.heads.append(head)
        return head

    def loss(self) -> BuiltLoss:
        frame = _Frame(self.main, dict(self.objective.bindings))
        self._bind(frame)
        parts = [
            (term.name, self._scalar(term.weight, frame), self._scalar(term.value, frame))
            for term in self.objective.terms
        ]
        terms = [self._term(name, weight, value) for name, weight, value in parts]
        total = self._total(terms, frame)
        if self.faults:
            raise FormulaError(dict.fromkeys(self.faults))
        return BuiltLoss(tuple(terms), total, tuple(self.graph.rewrites))

    def _bind(self, frame: _Frame) -> None:
        """Evaluate the bindings in their order, so that a long chain of them is not a deep recursion."""
        for name in frame.bindings:
            try:
                self._local(name, frame)
            except _Fault as fault:
                self.faults.append(fault.diagnostic)

    def _term(self, name: str, weight: Node, value: Node) -> BuiltTerm:
        value = self._zero_without_elements(value)
        return BuiltTerm(name, weight, value, self.graph.make("multiply", weight, value))

    def _total(self, terms: list[BuiltTerm], frame: _Frame) -> Node:
        if self.objective.total is not None:
            frame.locals.update({term.name: term.contribution for term in terms})
            frame.bindings.update({term.name: Constant(0.0, self.objective.total.origin) for term in terms})
            return self._zero_without_elements(self._scalar(self.objective.total, frame))
        total = terms[0].contribution
        for term in terms[1:]:
            total = self.graph.make("add", total, term.contribution)
        return total

    def _zero_without_elements(self, value: Node) -> Node:
        """A call in which nothing counts has the loss 0."""
        valid = [head.valid for head in self.heads if head.valid is not None]
        if not valid or value.is_constant:
            return value
        return self.graph.make("keep", value, self.graph.make("any_of", *dict.fromkeys(valid), axes=()))

    def _scalar(self, expression: Resolved, frame: _Frame) -> Node:
        """A number without axes; faults are gathered so that all terms are looked at."""
        try:
            node = self._number(expression, frame)
            if node.axes:
                hint = f"reduce it: mean(...), or mean(..., over=[{', '.join(_sorted(node.axes))}])"
                message = f"a loss is one number, this has one for each {' and '.join(_sorted(node.axes))}"
                raise _Fault(expression.origin.says("LD303", message, hint))
        except _Fault as fault:
            self.faults.append(fault.diagnostic)
            return self.graph.constant(0.0)
        return node

    def _number(self, expression: Resolved, frame: _Frame) -> Node:
        value = self._value(expression, frame)
        if isinstance(value, str):
            raise _Fault(expression.origin.says("LD205", f"`{value}` is a word, not a number"))
        return value

    def _value(self, expression: Resolved, frame: _Frame) -> Value:
        match expression:
            case Constant():
                return self.graph.constant(expression.value)
            case Word():
                return expression.text
            case ParameterOf():
                frame.used.add(expression.name)
                return frame.parameters[expression.name]
            case Local():
                return self._local(expression.name, frame)
            case TensorOf():
                return self._tensor(expression, frame)
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
            case Use():
                return self._use(expression, frame)

    def _local(self, name: str, frame: _Frame) -> Value:
        if name not in frame.locals:
            frame.locals[name] = self._value(frame.bindings[name], frame)
        return frame.locals[name]

    def _scalar_of_run(self, name: str) -> Node:
        if name == "classes":
            return self.graph.make("size", self.main.prediction, attributes=("class",), axes=())
        return self.graph.make("input", attributes=(f"scalar:{name}",), axes=())

    def _tensor(self, expression: TensorOf, frame: _Frame) -> Node:
        name = expression.name
        if name == "class_weight":
            return self._class_weight() or self.graph.constant(1.0)
        if name not in _HEAD_TENSORS:
            node = self._named(expression)
            valid = frame.head.valid
            return self.graph.make("keep", node, valid) if valid and valid.axes <= node.axes else node
        if self.context.task == "regression" and name in ("z", "p", "y"):
            meaning = {"z": "logits", "p": "probabilities", "y": "labels"}[name]
            raise _Fault(
                expression.origin.says("LD301", f"a regression has no {meaning} `{name}`", "use pred and target")
            )
        if name in ("pred", "target") and frame.head.indexed:
            message = f"`{name}` cannot be compared element by element: the target holds class indices"
            raise _Fault(expression.origin.says("LD301", message, "for multiclass use p and y: mean((p - y)**2)"))
        return frame.head.of(name)

    def _named(self, expression: TensorOf) -> Node:
        """A tensor that the caller passes by name."""
        name = expression.name
        if name not in self.tensor_axes:
            raise _Fault(
                expression.origin.says(
                    "LD304", f"the tensor `{name}` is not passed", f"call loss(pred, target, {name}=...)"
                )
            )
        node = self.graph.make("input", attributes=(f"tensor:{name}",), axes=self.tensor_axes[name])
        return self.graph.make("cast_like", node, self.main.prediction)

    def _class_weight(self) -> Node | None:
        if not self.context.weighted:
            return None
        node = self.graph.make("input", attributes=("class_weight",), axes=("class",))
        return self.graph.make("cast_like", node, self.main.prediction)

    def _apply(self, expression: Apply, frame: _Frame) -> Node:
        arguments = [self._number(argument, frame) for argument in expression.arguments]
        return self._applied(expression.function, arguments, expression)

    def _chain(self, expression: Chain, frame: _Frame) -> Node:
        node = self._number(expression.first, frame)
        for function, operand in expression.rest:
            node = self._applied(function, [node, self._number(operand, frame)], expression)
        return node

    def _applied(self, function: str, arguments: list[Node], expression: Apply | Chain) -> Node:
        node = self.graph.make(function, *arguments)
        if node.arguments and all(argument.is_constant for argument in node.arguments):
            raise _Fault(expression.origin.says("LD302", f"`{function}` of these numbers is not a number"))
        return node

    def _where(self, expression: Where, frame: _Frame) -> Value:
        left, right = self._value(expression.left, frame), self._value(expression.right, frame)
        decided = self._decided(expression, left, right)
        if decided is not None:
            return self._value(expression.chosen if decided else expression.otherwise, frame)
        assert isinstance(left, Node)
        assert isinstance(right, Node)
        condition = self.graph.make("compare", left, right, attributes=(expression.comparison,))
        chosen, otherwise = self._number(expression.chosen, frame), self._number(expression.otherwise, frame)
        node = self.graph.make("where", condition, chosen, otherwise)
        if chosen.is_constant and otherwise.is_constant:
            return self.graph.make("cast_like", node, self.main.prediction)
        return node

    def _decided(self, expression: Where, left: Value, right: Value) -> bool | None:
        """The outcome of a comparison of words or constants, None when it depends on the data."""
        compare = _COMPARISONS[expression.comparison]
        if isinstance(left, str) or isinstance(right, str):
            if expression.comparison not in ("==", "!="):
                raise _Fault(expression.origin.says("LD205", "words are compared with == or !="))
            return compare(left, right)
        return compare(left.value, right.value) if left.is_constant and right.is_constant else None

    def _reduction(self, expression: Reduction, frame: _Frame) -> Node:
        value = self._number(expression.value, frame)
        over = self._over(expression, value, frame)
        reducer = self._reducer(frame)
        match expression.kind:
            case "sum":
                return reducer.sum(value, over)
            case "mean":
                return reducer.mean(value, over, self._count(expression, value, frame))
            case "topk":
                return reducer.topk(value, over, self._share(expression, frame))
            case kind:
                return reducer.extreme(kind, value, over)

    def _reducer(self, frame: _Frame) -> Reducer:
        return Reducer(self.graph, frame.head.valid, self._class_weight(), self.main.prediction)

    def _over(self, expression: Reduction, value: Node, frame: _Frame) -> frozenset[str]:
        """The axes that go; all of them must be there."""
        if expression.per is not None:
            over = frozenset({"pixel"} if self._value(expression.per, frame) == "image" else {"batch", "pixel"})
        else:
            over = value.axes if expression.over is None else frozenset(expression.over)
        if not value.axes:
            hint = "a loss by name is averaged already; reduction=none gives its map, as in bce(reduction=none)"
            raise _Fault(expression.origin.says("LD302", f"`{expression.kind}` of one number", hint))
        if not over <= value.axes:
            message = f"`{expression.kind}` over {' and '.join(_sorted(over))} of a value that has only {' and '.join(_sorted(value.axes))}"
            raise _Fault(expression.origin.says("LD302", message))
        return over

    def _count(self, expression: Reduction, value: Node, frame: _Frame) -> Node | None:
        if expression.count is None:
            return None
        count = self._number(expression.count, frame)
        if count.axes <= value.axes:
            return count
        extra = " and ".join(_sorted(count.axes - value.axes))
        raise _Fault(
            expression.count.origin.says("LD302", f"`count` has one number for each {extra}, the value has not")
        )

    def _share(self, expression: Reduction, frame: _Frame) -> float:
        assert expression.share is not None
        share = self._number(expression.share, frame)
        if share.is_constant and 0 < share.value <= 1:
            return share.value
        raise _Fault(
            expression.share.origin.says("LD204", "`share` of `topk` is a number in (0, 1]", "0.1 keeps a tenth")
        )

    def _use(self, use: Use, frame: _Frame) -> Node:
        reduction = "mean" if use.reduction is None else self._value(use.reduction, frame)
        given = {name: self._value(value, frame) for name, value in use.parameters}
        parameters = {parameter.name: self._default(parameter) for parameter in use.loss.parameters} | given
        assert isinstance(reduction, str)
        if isinstance(use.loss, Kernel):
            return self._kernel(use, use.loss, parameters, reduction, frame)
        return self._formula(use, use.loss, parameters, reduction, frame)

    def _default(self, parameter: Parameter) -> Value:
        match parameter.default:
            case tree.Name(text="inf"):
                return self.graph.constant(float("inf"))
            case tree.Name(text=word):
                return word
            case tree.Negative(operand=tree.Number(value=number)):
                return self.graph.constant(-number)
            case tree.Number(value=number):
                return self.graph.constant(number)
        raise AssertionError(f"default of {parameter.name}")

    def _formula(self, use: Use, loss: Formula, parameters: dict[str, Value], reduction: str, frame: _Frame) -> Node:
        body = self.objective.body(full_name(loss))
        case = body.case(self.context.task)
        if case is None:
            message = f"`{loss.name}` is for {' and '.join(loss.tasks)}; the task is {self.context.task}"
            raise _Fault(use.origin.says("LD301", message, _INSTEAD.get((loss.name, self.context.task))))
        inner = _Frame(self._head_for(use, frame), dict(body.bindings), parameters)
        result = self._reduced(use, loss, case, reduction, inner)
        self._refuse_unused(use, loss, inner)
        return result

    def _head_for(self, use: Use, frame: _Frame) -> Head:
        """The prediction and target that a loss is called with: its own tensors, else those of the text around it."""
        if not use.tensors:
            return frame.head
        written = [*use.tensors, TensorOf("target", use.origin)][:2]
        if all(self._is_raw(tensor) for tensor in written):
            return self._raw_head(*(self._raw(tensor, frame) for tensor in written))
        prediction, truth = (self._prepared(t, name, frame) for t, name in zip(written, ("pred", "y"), strict=True))
        return self._remembered(Head(self.graph, self.context, prediction, truth, frame.head.valid, prepared=True))

    def _is_raw(self, tensor: Resolved) -> bool:
        return isinstance(tensor, TensorOf) and tensor.name not in ("z", "p", "y", "class_weight")

    def _raw(self, tensor: Resolved, frame: _Frame) -> Node:
        """A tensor as the caller passed it."""
        assert isinstance(tensor, TensorOf)
        if tensor.name in ("pred", "target"):
            return frame.head.prediction if tensor.name == "pred" else frame.head.truth
        self._named(tensor)
        return self.graph.make("input", attributes=(f"tensor:{tensor.name}",), axes=self.tensor_axes[tensor.name])

    def _prepared(self, tensor: Resolved, role: str, frame: _Frame) -> Node:
        """The value of an expression, or a tensor of the caller made ready for its role."""
        if not self._is_raw(tensor):
            return self._number(tensor, frame)
        raw = self._raw(tensor, frame)
        ready = (raw, frame.head.truth) if role == "pred" else (frame.head.prediction, raw)
        return Head(self.graph, self.context, *ready, frame.head.valid).of(role)

    def _reduced(self, use: Use, loss: Formula, case: Resolved, reduction: str, frame: _Frame) -> Node:
        """The value of a definition's text with its outer mean kept, left out, or made a sum."""
        if reduction == "mean":
            return self._number(case, frame)
        if isinstance(case, Reduction) and case.kind == "mean" and case.over is None and case.per is None:
            value = self._number(case.value, frame)
            return value if reduction == "none" else self._reducer(frame).sum(value, value.axes)
        if isinstance(case, Use):
            written = Word(reduction, use.origin)
            return self._number(Use(case.loss, case.tensors, case.parameters, written, case.origin), frame)
        message = f"`{loss.name}` has no map: its text is not a mean"
        raise _Fault(use.origin.says("LD302", message, f"lossdsl show {loss.name} prints the text"))

    def _refuse_unused(self, use: Use, loss: Formula, frame: _Frame) -> None:
        for name, written in use.parameters:
            if name not in frame.used:
                message = f"`{name}` of `{loss.name}` has no effect for {self.context.task}"
                raise _Fault(written.origin.says("LD305", message, f"lossdsl show {loss.name} prints the text"))

    def _kernel(self, use: Use, kernel: Kernel, parameters: dict[str, Value], reduction: str, frame: _Frame) -> Node:
        valid = frame.head.valid
        if valid is not None and not kernel.takes_mask:
            message = f"`{kernel.name}` cannot leave elements out: it takes no mask"
            raise _Fault(use.origin.says("LD306", message, "use it without mask and ignore_index"))
        tensors = self._kernel_tensors(use, kernel, frame)
        numbers = [(name, value) for name, value in parameters.items() if isinstance(value, Node)]
        words = tuple((name, value) for name, value in parameters.items() if isinstance(value, str))
        arguments = (*tensors, *(node for _, node in numbers), *([valid] if valid is not None else []))
        attributes = (kernel, len(tensors), tuple(name for name, _ in numbers), words, valid is not None)
        keeps = kernel.keeps - ({"batch"} if parameters.get("per") == "batch" else set())
        value = self.graph.make("kernel", *arguments, attributes=attributes, axes=keeps)
        if reduction == "none" or not value.axes:
            return value
        reducer = self._reducer(frame)
        return reducer.sum(value, value.axes) if reduction == "sum" else reducer.mean(value, value.axes)

    def _kernel_tensors(self, use: Use, kernel: Kernel, frame: _Frame) -> list[Node]:
        """What is written, then what the call provides under the names of the kernel's own arguments."""
        if use.tensors and all(name in _HEAD_TENSORS for name in kernel.inputs):
            head = self._head_for(use, frame)
            return [head.of(name) for name in kernel.inputs]
        tensors = [self._number(tensor, frame) for tensor in use.tensors]
        for name in kernel.inputs[len(tensors) :]:
            if name not in _HEAD_TENSORS:
                wanted = ", ".join(kernel.inputs)
                raise _Fault(
                    use.origin.says("LD202", f"`{kernel.name}` needs {wanted}", f"write {kernel.name}({wanted})")
                )
            tensors.append(self._tensor(TensorOf(name, use.origin), frame))
        return tensors


# What to write instead when a loss is not defined for the task.
_INSTEAD = {
    ("bce", "multiclass"): "use ce, or task=multilabel for one independent outcome per class",
    ("ce", "binary"): "use bce",
    ("ce", "multilabel"): "use bce",
}


def _sorted(axes: frozenset[str]) -> list[str]:
    return [axis for axis in AXES if axis in axes]
