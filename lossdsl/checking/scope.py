"""Resolve the names in one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lossdsl.checking.arguments import bind_parameters, constant_value, cycle_faults
from lossdsl.checking.body_cache import Memory, keep, kept
from lossdsl.checking.calls import (
    for_class_call,
    function_call,
    multiscale_call,
    neighbourhood_call,
    per_class,
    reduction_call,
    where_call,
)
from lossdsl.checking.resolved import (
    Apply,
    Body,
    CaseBody,
    Chain,
    Constant,
    Learned,
    Local,
    ParameterOf,
    Resolved,
    ScalarOf,
    TensorOf,
    Use,
    Word,
)
from lossdsl.checking.text import Text
from lossdsl.checking.unknown_names import similar
from lossdsl.checking.vocabulary import (
    CALL_WORDS,
    COMBINATORS,
    DEFINITION_WORDS,
    FUNCTIONS,
    NEIGHBOURHOODS,
    PROVIDED,
    REDUCTIONS,
    SCALARS,
    TENSORS,
    as_word,
    is_reserved,
)
from lossdsl.config.model import NamedExpression, Sourced
from lossdsl.errors import Diagnostic, LossError, Place, near_miss
from lossdsl.registry.discover import Registry
from lossdsl.registry.model import Formula, Loss, Parameter, full_name
from lossdsl.stack import with_room
from lossdsl.syntax import tree
from lossdsl.syntax.parse import MAX_NUMBER, MIN_NUMBER

_SMALLEST = "the smallest float32 number is 1.4e-45, the smallest with full precision 1.2e-38"
_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


@dataclass(frozen=True, slots=True)
class Scope(Text):
    """Resolve the names in one text."""

    def of(self, written: Sourced) -> Resolved:
        return replace(self, source=written.source).expression(written.expression)

    def definitions(self, written: Sequence[NamedExpression]) -> dict[str, Resolved]:
        """The values of all `name = value`, after the roots: a value stands where its name stands. Only where a number
        is wanted, a name that is nearly a known one is misspelt; in the brackets of mean(...) it is a tensor."""
        values: dict[str, Resolved] = {}
        waiting: dict[str, list[NamedExpression]] = {}
        for one in written:
            waiting.setdefault(one.name, []).append(one)
        for name in self.memory.as_numbers:  # grows
            values |= {one.name: self._definition(one, as_number=True) for one in waiting.pop(name, ())}
        values |= {one.name: self._definition(one, as_number=False) for rest in waiting.values() for one in rest}
        return {one.name: values[one.name] for one in written}

    def _definition(self, definition: NamedExpression, *, as_number: bool) -> Resolved:
        """A plugin's loss has its full name, so a short one may be given to a value: what is installed beside lossdsl
        does not change what a text means."""
        scope = replace(self, source=definition.value.source)
        value = definition.value.expression
        own = any(candidate.own for candidate in self.memory.registry.candidates(definition.name))
        if own or is_reserved(definition.name):
            kind = "a loss" if own else "a word of the language"
            found = definition.place.says("LD206", f"`{definition.name}` is already {kind}", "choose another name")
            self.memory.diagnostics.append(found)
        if isinstance(value, tree.Call) and value.function.text == "learn":
            return scope._learned(definition.name, value)
        return replace(scope, in_definition=as_number, tensors=not as_number, defining=definition.name).expression(
            value
        )

    def expression(self, node: tree.Expression) -> Resolved:
        origin = Place(self.source, node.span)
        match node:
            case tree.Number():
                self._check_number(node)
                return Constant(node.value, origin)
            case tree.Name():
                return self._name(node, origin)
            case tree.Negative():
                return Apply("negative", (self.expression(node.operand),), origin)
            case tree.Power():
                return Apply("power", (self.expression(node.base), self.expression(node.exponent)), origin)
            case tree.Sum() | tree.Product():
                return self._chain(node, origin)
            case tree.Call():
                return self._call(node, origin)
            case tree.Comparison():
                return self.wrong(node, "LD104", "a comparison is only allowed as the first argument of where")
            case tree.Listing():
                return per_class(self, node, origin)

    def _check_number(self, node: tree.Number) -> None:
        """Report numbers that float32 cannot represent, because losses are computed in float32."""
        if abs(node.value) >= MAX_NUMBER:
            self.report(node, "LD209", f"{node} is infinite in float32", "the largest float32 number is 3.4e38")
        elif 0 < abs(node.value) <= MIN_NUMBER:
            place = Place(self.source, node.span)
            found = place.says("LD209", f"{node} is 0 in float32", _SMALLEST, severity="warning")
            self.memory.diagnostics.append(found)

    def _chain(self, node: tree.Sum | tree.Product, origin: Place) -> Resolved:
        first, *rest = node.parts
        start = self.expression(first.operand)
        return Chain(start, tuple((_ARITHMETIC[p.operator], self.expression(p.operand)) for p in rest), origin)

    def _name(self, node: tree.Name, origin: Place) -> Resolved:
        name = node.text
        if name in self.parameters:
            return ParameterOf(name, origin)
        if name in self.names:
            if not self.tensors:
                self.memory.as_numbers.append(name)
            return Local(name, origin)
        if name in TENSORS or (name in self.passed and not self.choosing):
            return TensorOf(name, origin)
        if name in SCALARS:
            return ScalarOf(name, origin)
        if name in self.words or self.choosing:
            return Word(name, origin)
        if as_word(name):
            return self._no_value(node)
        if name in (*FUNCTIONS, *REDUCTIONS, *NEIGHBOURHOODS, *COMBINATORS):
            return self.wrong(node, "LD202", f"`{name}` is a function", f"write {name}(...)")
        found = self.memory.registry.candidates(name, self.home)
        # Where a tensor may stand, a bare name is one whatever plugins bring: they do not change what a text means.
        if found and (not self.tensors or "." in name or any(c.own or c.namespace == self.home for c in found)):
            return self._use(tree.Call(node, (), (), node.span), origin)
        return self._unknown(node, origin)

    def _no_value(self, node: tree.Name, name: str = "", loss: Loss | None = None) -> Resolved:
        """Report a word such as `none` or `inf` that is used as a value. name, loss: the call around it."""
        word = as_word(node.text)
        if word == "inf":
            hint = "it is only allowed for a parameter whose range includes it; write a finite number"
            return self.wrong(node, "LD205", f"`{node.text}` cannot be used in arithmetic", hint)
        if word == "nan":
            return self.wrong(node, "LD205", f"`{node.text}` is not a number", "write a number")
        hint = "write it with the name of its parameter, as in dice(squared=true)"
        if loss is not None:
            choices = [f"{name}({p.name}={word})" for p in loss.parameters if word in p.words]
            hint = f"write {' or '.join(choices)}" if choices else f"`{name}` takes tensors: {name}(pred, y)"
        return self.wrong(node, "LD205", f"`{node.text}` is a choice of a parameter, not a tensor or a number", hint)

    def _tensor(self, argument: tree.Expression, name: str, loss: Loss) -> Resolved:
        """A positional argument of a loss."""
        if isinstance(argument, tree.Name) and as_word(argument.text):
            return self._no_value(argument, name, loss)
        return replace(self, tensors=True).expression(argument)

    def _unknown(self, node: tree.Name, origin: Place) -> Resolved:
        """An unknown name: a tensor where one is allowed, else a misspelt loss."""
        if node.text in CALL_WORDS:
            message = f"no tensor can be passed as `{node.text}`: every call uses this name itself"
            return self.wrong(node, "LD206", message, "pass it under another name, such as seg")
        written_here = {*self.names, *self.parameters, *TENSORS, *SCALARS, *self.passed} - {self.defining}
        if "." not in node.text and (self.tensors or self.in_definition):
            meant = near_miss(node.text, {*self.memory.own_names(), *written_here})
            if self.tensors or not meant:
                if meant and self.doubts:
                    self._doubt(node, meant)
                return TensorOf(node.text, origin)
        known = {*self.memory.names(), *written_here}
        hint = (
            similar(node.text, known)
            or "lossdsl list shows the losses; define numbers first, w = 0.5; use tensors inside mean(...) or sum(...)"
        )
        return self._no_loss(node, "loss", hint, known)

    def _doubt(self, node: tree.Name, meant: str) -> None:
        message = f"the tensor `{node.text}` has almost the same name as `{meant}`"
        hint = f"write {meant}, or list it under `tensors:` if the call passes {node.text}"
        self.memory.diagnostics.append(Place(self.source, node.span).says("LD212", message, hint, severity="warning"))

    def _call(self, node: tree.Call, origin: Place) -> Resolved:
        name = node.function.text
        if name in ("min", "max") and len(node.arguments) == 1:
            return reduction_call(self, node, origin)
        if name == "where":
            return where_call(self, node, origin)
        if name in FUNCTIONS:
            return function_call(self, node, origin)
        if name in REDUCTIONS:
            return reduction_call(self, node, origin)
        if name == "learn":
            return self.wrong(node, "LD207", "learn must be given a name", "write s = learn(0) on a line before")
        if name in NEIGHBOURHOODS:
            return neighbourhood_call(self, node, origin)
        if name == "for_class":
            return for_class_call(self, node, origin)
        if name == "multiscale":
            return multiscale_call(self, node, origin)
        if name in self.names or name in TENSORS or name in SCALARS or name in self.parameters:
            return self.wrong(node, "LD202", f"`{name}` is a value and cannot be called", f"write {name}")
        if self.is_loss(name):
            return self._use(node, origin)
        known = {*self.memory.names(), *FUNCTIONS, *REDUCTIONS, *NEIGHBOURHOODS, *COMBINATORS}
        hint = similar(name, known) or "lossdsl list shows all losses"
        return self._no_loss(node.function, "loss or function", hint, known, node)

    def _no_loss(
        self, node: tree.Name, kind: str, hint: str, known: set[str], call: tree.Call | None = None
    ) -> Resolved:
        """Report a name that no library has."""
        from lossdsl.checking.unknown_names import unknown_name  # a right formula needs none of it

        found = unknown_name(self.source, node, call, kind, hint, known, self.names, self.memory.registry)
        self.memory.diagnostics.append(found)
        return Constant(1.0, Place(self.source, node.span))

    def _use(self, node: tree.Call, origin: Place) -> Resolved:
        loss = self._loss(node.function)
        if loss is None:
            return Constant(1.0, origin)
        if isinstance(loss, Formula):
            self._read_body(loss)
        tensors = tuple(self._tensor(argument, node.function.text, loss) for argument in node.arguments)
        limit = 2 if isinstance(loss, Formula) else max(2, len(loss.inputs))
        if len(tensors) > limit:
            text = f"`{loss.name}` takes at most {limit} tensors: {loss.name}(prediction, target)"
            return self.wrong(node.arguments[limit], "LD202", text, "write parameters as name=value")
        parameters, reduction, faults = bind_parameters(
            loss,
            node,
            lambda value, words: replace(self, words=words, choosing=bool(words)).expression(value),
            self.source,
        )
        self.memory.diagnostics.extend(faults)
        return Use(loss, tensors, parameters, reduction, origin)

    @with_room
    def _read_body(self, loss: Formula) -> None:
        """Resolve the names in the text of a definition, once."""
        memory, key = self.memory, full_name(loss)
        if key in memory.bodies or key in memory.open:
            if key in memory.open:
                memory.diagnostics.append(
                    Place(loss.source, loss.declaration.span).says(
                        "LD210",
                        f"circular definition: {' -> '.join([*memory.open[memory.open.index(key) :], key])}",
                        "a definition cannot refer to itself",
                    )
                )
            return
        known = kept(memory.registry, loss)
        if known is None:
            before = len(memory.diagnostics)
            known = self._new_body(loss)
            if len(memory.diagnostics) == before:
                keep(memory.registry, loss, known)
        else:
            for part in known.parts:
                if isinstance(part, Use) and isinstance(part.loss, Formula):
                    self._read_body(part.loss)
        memory.bodies[key] = known

    def _new_body(self, loss: Formula) -> Body:
        memory, declaration = self.memory, loss.declaration
        memory.open.append(full_name(loss))
        scope = Scope(
            memory,
            names=frozenset(binding.name for binding in declaration.bindings),
            parameters=frozenset(parameter.name for parameter in declaration.parameters),
            words=frozenset(word for parameter in declaration.parameters for word in parameter.words),
            home=loss.namespace,
            source=loss.source,
            doubts=False,
        )
        inside = replace(scope, tensors=True)
        for parameter in declaration.parameters:
            if parameter.name in PROVIDED:
                message = f"`{parameter.name}` is reserved in every call"
                scope.report(parameter, "LD206", message, "choose another name")
            scope._check_default(parameter)
        for binding in declaration.bindings:
            if is_reserved(binding.name) or binding.name in scope.words | scope.parameters:
                message = f"`{binding.name}` is already defined"
                scope.report(binding, "LD206", message, "choose another name")
        bindings = {binding.name: inside.expression(binding.value) for binding in declaration.bindings}
        memory.diagnostics += cycle_faults(bindings)
        cases = tuple(CaseBody(case.tasks, scope.expression(case.expression)) for case in declaration.cases)
        memory.open.pop()
        return Body(tuple(bindings.items()), cases)

    def _check_default(self, parameter: Parameter) -> None:
        for node, _ in tree.walk(parameter.default) if parameter.default else ():
            if isinstance(node, tree.Number):
                self._check_number(node)

    def _learned(self, name: str, call: tree.Call) -> Resolved:
        only = call.arguments[0] if len(call.arguments) == 1 and not call.keywords else None
        start = constant_value(self.expression(only)) if only else None
        if start is None or not abs(start) < MAX_NUMBER:
            return self.wrong(call, "LD207", "learn takes the initial value", f"{name} = learn(0)")
        return Learned(name, start, Place(self.source, call.span))

    def is_loss(self, name: str) -> bool:
        return bool(self.memory.registry.candidates(name, self.home))

    def _loss(self, node: tree.Name) -> Loss | None:
        """The loss of a known name; None after reporting an ambiguous name or a broken plugin."""
        found = self.memory.registry.candidates(node.text, self.home)
        if len(found) > 1:
            from lossdsl.checking.unknown_names import several

            self.memory.diagnostics.append(several(self.source, node, found))
            return None
        try:
            return self.memory.registry.load(found[0])
        except LossError as error:
            here = Place(self.source, node.span)
            self.memory.diagnostics.extend(
                d if d.source else here.says("LD602", d.message, d.hint) for d in error.diagnostics
            )
            return None


def name_fault(loss: Formula) -> Diagnostic | None:
    """The finding if this name cannot be defined, because it is a word of the language; else None."""
    if not (is_reserved(loss.name) or loss.name in (*CALL_WORDS, *DEFINITION_WORDS)):
        return None
    message = f"`{loss.name}` is already a word of the language"
    return Place(loss.source, loss.declaration.span).says("LD206", message, "choose another name")


def definition_faults(loss: Formula, registry: Registry) -> tuple[Diagnostic, ...]:
    """The findings in the text of a definition."""
    memory = Memory(registry)
    Scope(memory)._read_body(loss)
    return tuple(dict.fromkeys(memory.diagnostics))
