"""Names and parameters: a spec becomes an objective in which every name is known, or a list of all that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lossdsl.checking.arguments import bind_parameters
from lossdsl.checking.bindings import cycle, needed
from lossdsl.checking.resolved import (
    Apply,
    Body,
    CaseBody,
    Chain,
    Constant,
    Learned,
    Local,
    Objective,
    Origin,
    ParameterOf,
    Reduction,
    Resolved,
    ScalarOf,
    Term,
    TensorOf,
    Use,
    Where,
    Word,
)
from lossdsl.checking.terms import terms_of
from lossdsl.checking.vocabulary import AXES, COMBINATORS, FUNCTIONS, REDUCTIONS, RESERVED, SCALARS, TENSORS
from lossdsl.errors import Diagnostic, LossError, Source, nearest
from lossdsl.registry.discover import BUILT_IN, Registry
from lossdsl.registry.model import Formula, Loss, full_name
from lossdsl.spec.model import NamedExpression, Sourced, Spec
from lossdsl.syntax import tree

_NO_SOURCE = Source("")
_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome: an objective unless something is wrong, and everything that is."""

    objective: Objective | None
    diagnostics: tuple[Diagnostic, ...]


def resolve(spec: Spec, registry: Registry) -> Resolution:
    """Look up every name of a spec and check every parameter."""
    memory = _Memory(registry)
    definitions = spec.definitions
    terms = terms_of(spec)
    scope = _Scope(memory, names=frozenset(definition.name for definition in definitions))
    bindings = {d.name: scope.binding(d) for d in definitions}
    _report_cycle(memory, bindings)
    resolved = tuple(Term(term.name, scope.of(term.weight), scope.of(term.value)) for term in terms)
    total = None
    if spec.terms and spec.total:
        total = replace(scope, names=scope.names | {term.name for term in terms}).of(spec.total)
    if any(diagnostic.severity == "error" for diagnostic in memory.diagnostics):
        return Resolution(None, _distinct(memory.diagnostics))
    roots = [part for term in resolved for part in (term.weight, term.value)] + ([total] if total else [])
    order = needed(bindings, roots)
    objective = Objective(
        tuple((name, bindings[name]) for name in order), resolved, total, tuple(memory.bodies.items())
    )
    return Resolution(objective, _distinct(memory.diagnostics))


def _report_cycle(memory: _Memory, bindings: Mapping[str, Resolved]) -> None:
    names = cycle(bindings)
    if names:
        shown = " -> ".join(names)
        memory.diagnostics.append(
            bindings[names[0]].origin.says("LD210", f"the names are defined by each other: {shown}")
        )


def _distinct(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """In reading order, each once: a term is read both alone and in the total."""
    return tuple(dict.fromkeys(diagnostics))


@dataclass(slots=True)
class _Memory:
    """What one resolution gathers: findings, and the bodies of the formulas that are used."""

    registry: Registry
    diagnostics: list[Diagnostic] = field(default_factory=list)
    bodies: dict[str, Body] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the names in one text mean. `tensors`: an unknown name may be a tensor that the caller passes."""

    memory: _Memory
    names: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    home: str = BUILT_IN
    source: Source = _NO_SOURCE
    tensors: bool = False
    choosing: bool = False

    def of(self, written: Sourced) -> Resolved:
        return replace(self, source=written.source).expression(written.expression)

    def binding(self, definition: NamedExpression) -> Resolved:
        """The value of `name = value`."""
        scope = replace(self, source=definition.value.source)
        value = definition.value.expression
        if definition.name in RESERVED or self._is_loss(definition.name):
            kind = "a loss" if self._is_loss(definition.name) else "a word of the language"
            scope._report(value, "LD206", f"`{definition.name}` is {kind} already", "choose another name")
        if isinstance(value, tree.Call) and value.function.text == "learn":
            return scope._learned(definition.name, value)
        return replace(scope, tensors=True).expression(value)

    def expression(self, node: tree.Expression) -> Resolved:
        origin = Origin(self.source, node.span)
        match node:
            case tree.Number():
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
                return self._wrong(node, "LD104", "a comparison stands only as the first argument of where")
            case tree.Listing():
                return self._wrong(node, "LD208", "a list stands only as the value of a parameter")

    def _chain(self, node: tree.Sum | tree.Product, origin: Origin) -> Resolved:
        first, *rest = node.parts
        operands = tuple((_ARITHMETIC[part.operator], self.expression(part.operand)) for part in rest)
        return Chain(self.expression(first.operand), operands, origin)

    def _name(self, node: tree.Name, origin: Origin) -> Resolved:
        name = node.text
        if name in self.parameters:
            return ParameterOf(name, origin)
        if name in self.names:
            return Local(name, origin)
        if name in TENSORS:
            return TensorOf(name, origin)
        if name in SCALARS:
            return ScalarOf(name, origin)
        if name == "inf":
            return Constant(float("inf"), origin)
        if name in self.words or self.choosing:
            return Word(name, origin)
        if name in FUNCTIONS or name in REDUCTIONS or name in COMBINATORS:
            return self._wrong(node, "LD202", f"`{name}` is a function", f"write {name}(...)")
        loss = self._loss(node)
        if loss:
            return self._use(loss, tree.Call(node, (), (), node.span), origin)
        return self._unknown(node, origin)

    def _unknown(self, node: tree.Name, origin: Origin) -> Resolved:
        """A word that names nothing: a tensor where one can stand, else a misspelt loss."""
        if self.tensors and "." not in node.text:
            return TensorOf(node.text, origin)
        known = {*self.memory.registry.names(), *self.names, *self.parameters, *TENSORS, *SCALARS}
        hint = (
            nearest(node.text, known)
            or "lossdsl list shows all; a tensor of the call stands inside mean(...) or sum(...)"
        )
        return self._wrong(node, "LD201", f"unknown loss `{node.text}`", hint)

    def _call(self, node: tree.Call, origin: Origin) -> Resolved:
        name = node.function.text
        if name in ("min", "max") and len(node.arguments) == 1:
            return self._reduction(node, origin)
        if name == "where":
            return self._where(node, origin)
        if name in FUNCTIONS:
            return self._function(node, origin)
        if name in REDUCTIONS:
            return self._reduction(node, origin)
        if name == "learn":
            return self._wrong(node, "LD207", "learn needs a name of its own", "s = learn(0) on a line before")
        if name in COMBINATORS:
            return self._wrong(node, "LD209", f"`{name}` is not available yet")
        if name in self.names or name in TENSORS or name in SCALARS or name in self.parameters:
            return self._wrong(node, "LD202", f"`{name}` is a value; it takes no brackets", f"write {name}")
        loss = self._loss(node.function)
        if loss:
            return self._use(loss, node, origin)
        known = {*self.memory.registry.names(), *FUNCTIONS, *REDUCTIONS}
        hint = nearest(name, known) or "lossdsl list shows all losses"
        return self._wrong(node.function, "LD201", f"unknown loss or function `{name}`", hint)

    def _function(self, node: tree.Call, origin: Origin) -> Resolved:
        name = node.function.text
        least, most = FUNCTIONS[name]
        if name == "clamp":
            return self._clamp(node, origin)
        if node.keywords:
            return self._wrong(node.keywords[0], "LD203", f"`{name}` has no parameter `{node.keywords[0].name}`")
        if not least <= len(node.arguments) <= (most or len(node.arguments)):
            wanted = f"{least}" if most == least else f"at least {least}"
            return self._wrong(node, "LD202", f"`{name}` takes {wanted} argument{'s' * (wanted != '1')}")
        arguments = tuple(self.expression(argument) for argument in node.arguments)
        if name not in ("min", "max"):
            return Apply(name, arguments, origin)
        result, *rest = arguments
        for argument in rest:
            result = Apply({"min": "minimum", "max": "maximum"}[name], (result, argument), origin)
        return result

    def _clamp(self, node: tree.Call, origin: Origin) -> Resolved:
        """`clamp(x, min=0, max=1)`: either bound may be left out."""
        bounds = {keyword.name: keyword.value for keyword in node.keywords}
        if len(node.arguments) != 1 or not bounds or not bounds.keys() <= {"min", "max"}:
            return self._wrong(node, "LD202", "clamp takes one value and min=, max= or both", "clamp(x, min=0, max=1)")
        result = self.expression(node.arguments[0])
        for bound, function in (("min", "maximum"), ("max", "minimum")):
            if bound in bounds:
                result = Apply(function, (result, self.expression(bounds[bound])), origin)
        return result

    def _where(self, node: tree.Call, origin: Origin) -> Resolved:
        if len(node.arguments) != 3 or node.keywords or not isinstance(node.arguments[0], tree.Comparison):
            hint = "where(condition, value_if_true, value_if_false), the condition a comparison such as y > 0.5"
            return self._wrong(node, "LD202", "where takes a comparison and two values", hint)
        condition, chosen, otherwise = node.arguments
        assert isinstance(condition, tree.Comparison)
        left, right = self.expression(condition.left), self.expression(condition.right)
        return Where(condition.operator, left, right, self.expression(chosen), self.expression(otherwise), origin)

    def _reduction(self, node: tree.Call, origin: Origin) -> Resolved:
        kind = node.function.text
        allowed = {"over", "per"} | ({"count"} if kind == "mean" else set()) | ({"share"} if kind == "topk" else set())
        given = {keyword.name: keyword for keyword in node.keywords}
        for keyword in node.keywords:
            if keyword.name not in allowed:
                hint = nearest(keyword.name, allowed) or f"parameters: {', '.join(sorted(allowed))}"
                return self._wrong(keyword, "LD203", f"`{kind}` has no parameter `{keyword.name}`", hint)
        if len(node.arguments) != 1:
            return self._wrong(node, "LD202", f"`{kind}` takes one value", f"{kind}(value, over=pixel)")
        if kind == "topk" and "share" not in given:
            return self._wrong(
                node, "LD202", "topk needs share=, the part of the elements to keep", "topk(x, share=0.1)"
            )
        if {"over", "per"} <= given.keys():
            return self._wrong(given["per"], "LD203", "over and per exclude each other")
        inside = replace(self, tensors=True)
        per = given.get("per")
        return Reduction(
            kind=kind,
            value=inside.expression(node.arguments[0]),
            over=self._axes(given["over"]) if "over" in given else None,
            per=self._per(per.value) if per else None,
            count=inside.expression(given["count"].value) if "count" in given else None,
            share=self.expression(given["share"].value) if "share" in given else None,
            origin=origin,
        )

    def _per(self, value: tree.Expression) -> Resolved:
        chosen = replace(self, words=frozenset({"image", "batch"}), choosing=True).expression(value)
        if isinstance(chosen, ParameterOf) or (isinstance(chosen, Word) and chosen.text in ("image", "batch")):
            return chosen
        return self._wrong(value, "LD205", "`per` takes one of: image, batch")

    def _axes(self, keyword: tree.Keyword) -> tuple[str, ...]:
        value = keyword.value
        items = value.items if isinstance(value, tree.Listing) else (value,)
        axes = tuple(item.text for item in items if isinstance(item, tree.Name) and item.text in AXES)
        if len(axes) != len(items) or not axes:
            wrong = next((item for item in items if not isinstance(item, tree.Name) or item.text not in AXES), value)
            self._report(wrong, "LD205", f"`{wrong}` is not an axis", f"axes are {', '.join(AXES)}, or a list of them")
        return tuple(axis for axis in AXES if axis in axes)

    def _use(self, loss: Loss, node: tree.Call, origin: Origin) -> Resolved:
        if isinstance(loss, Formula):
            self._read_body(loss)
        tensors = tuple(replace(self, tensors=True).expression(argument) for argument in node.arguments)
        limit = 2 if isinstance(loss, Formula) else max(2, len(loss.inputs))
        if len(tensors) > limit:
            text = f"`{loss.name}` takes at most {limit} tensors: {loss.name}(prediction, target)"
            return self._wrong(node.arguments[limit], "LD202", text, "parameters are written name=value")
        parameters, reduction, faults = bind_parameters(
            loss,
            node,
            lambda value, words: replace(self, words=words, choosing=bool(words)).expression(value),
            self.source,
        )
        self.memory.diagnostics.extend(faults)
        return Use(loss, tensors, parameters, reduction, origin)

    def _read_body(self, loss: Formula) -> None:
        """Look up the names in a definition's own text, once."""
        memory, key = self.memory, full_name(loss)
        if key in memory.bodies or key in memory.open:
            if key in memory.open:
                memory.diagnostics.append(
                    Diagnostic("LD210", f"`{loss.name}` is defined by itself", loss.source, loss.declaration.span)
                )
            return
        memory.open.append(key)
        declaration = loss.declaration
        scope = _Scope(
            memory,
            names=frozenset(binding.name for binding in declaration.bindings),
            parameters=frozenset(parameter.name for parameter in declaration.parameters),
            words=frozenset(word for parameter in declaration.parameters for word in parameter.words),
            home=loss.namespace,
            source=loss.source,
        )
        inside = replace(scope, tensors=True)
        bindings = {binding.name: inside.expression(binding.value) for binding in declaration.bindings}
        _report_cycle(memory, bindings)
        cases = tuple(CaseBody(case.tasks, scope.expression(case.expression)) for case in declaration.cases)
        memory.open.pop()
        memory.bodies[key] = Body(tuple(bindings.items()), cases)

    def _learned(self, name: str, call: tree.Call) -> Resolved:
        value = call.arguments[0] if len(call.arguments) == 1 and not call.keywords else None
        number = -value.operand.value if _is_negative_number(value) else getattr(value, "value", None)  # type: ignore[union-attr]
        if not isinstance(number, float):
            return self._wrong(call, "LD207", "learn takes the number to start from", f"{name} = learn(0)")
        return Learned(name, number, Origin(self.source, call.span))

    def _is_loss(self, name: str) -> bool:
        return bool(self.memory.registry.candidates(name, self.home))

    def _loss(self, node: tree.Name) -> Loss | None:
        """The loss of this name, None if there is none. Clashes and broken plugins are reported."""
        found = self.memory.registry.candidates(node.text, self.home)
        if len(found) > 1:
            owners = " and ".join(f"{c.provider} ({c.namespace}.{c.name})" for c in found)
            hint = f"write {' or '.join(f'{c.namespace}.{c.name}' for c in found)}"
            self._report(node, "LD601", f"`{node.text}` comes from {owners}", hint)
        if not found:
            return None
        try:
            return self.memory.registry.load(found[0])
        except LossError as error:
            here = Origin(self.source, node.span)
            self.memory.diagnostics.extend(
                d if d.source else here.says("LD602", d.message, d.hint) for d in error.diagnostics
            )
            return None

    def _report(self, node: tree.Node, code: str, message: str, hint: str | None = None) -> None:
        self.memory.diagnostics.append(Diagnostic(code, message, self.source, node.span, hint))

    def _wrong(self, node: tree.Node, code: str, message: str, hint: str | None = None) -> Resolved:
        """Report, and stand in for the value so that the rest is still checked."""
        self._report(node, code, message, hint)
        return Constant(1.0, Origin(self.source, node.span))


def _is_negative_number(node: tree.Expression | None) -> bool:
    return isinstance(node, tree.Negative) and isinstance(node.operand, tree.Number)
