"""`Loss`: a torch module around an objective. It checks a call, finds the plan for its kind, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from lossdsl.checking.facts import Facts
from lossdsl.checking.resolved import Objective
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context
from lossdsl.proving.denominators import positive_denominators
from lossdsl.proving.findings import certain_errors
from lossdsl.proving.rounding import rounded_roots
from lossdsl.runtime import ops
from lossdsl.runtime.compiled import Runner, compiled
from lossdsl.runtime.heads import laid_out_with_pred, own_pairs, with_heads
from lossdsl.runtime.inspect import Looks, check_labels, check_values
from lossdsl.runtime.labels import are_classes, stop_at_no_class
from lossdsl.runtime.layout import (
    Call,
    arrange,
    check_classes,
    check_heads,
    check_lists,
    check_tensors,
    decide_task,
    fault,
    shape,
)
from lossdsl.runtime.lower import Plan, lower
from lossdsl.runtime.ready import Ready, remember, signature
from lossdsl.runtime.scales import Further, Given, outputs, with_scales
from lossdsl.runtime.sights import Sight, sights_of
from lossdsl.spec.model import Options
from lossdsl.stack import with_room
from lossdsl.syntax.limits import MAX_NUMBER


@dataclass(frozen=True, slots=True)
class TermValue:
    """One term of a breakdown: 0-d tensors with contribution = weight * value."""

    value: Tensor
    weight: Tensor
    contribution: Tensor


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A loss and its parts. `total` is differentiable; `terms` are in the order of the formula."""

    total: Tensor
    terms: Mapping[str, TermValue]

    def __reduce__(self) -> tuple[Callable[..., Breakdown], tuple[Any, ...]]:
        """Stored as numbers, without the graph of the gradient."""
        terms = {name: tuple(getattr(value, part).detach() for part in _PARTS) for name, value in self.terms.items()}
        return _stored, (self.total.detach(), terms)


_PARTS = ("value", "weight", "contribution")


def _stored(total: Tensor, terms: Mapping[str, tuple[Tensor, ...]]) -> Breakdown:
    return Breakdown(total, MappingProxyType({name: TermValue(*parts) for name, parts in terms.items()}))


class Loss(nn.Module):
    """A compiled loss. Made by `lossdsl.compile` and `lossdsl.load`.

    `loss(pred, target)` returns a 0-d tensor in the dtype of pred, float32 for half precision. Its parameters are the
    learned scalars of the formula, its state_dict holds nothing else.
    """

    class_weight: Tensor | None

    def __init__(self, objective: Objective, facts: Facts, options: Options, text: str):
        super().__init__()
        self.text = text
        self.options = options
        self._objective = objective
        self._facts = facts
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._runners: dict[tuple[Any, ...], Runner] = {}
        self._ready: dict[Any, Ready] = {}
        self._sights: dict[tuple[Any, ...], tuple[Sight, ...]] = {}
        self._looks = Looks()
        weight = options.class_weight
        self.register_buffer(
            "class_weight",
            None if weight is None else torch.tensor([float(w) for w in weight], dtype=torch.float64),
            persistent=False,
        )
        if facts.learned:
            self.learned = _learned(facts.learned)

    def forward(
        self,
        pred: Given,
        target: Given,
        *,
        mask: Tensor | None = None,
        epoch: float | Tensor | None = None,
        step: float | Tensor | None = None,
        **tensors: Tensor,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            pred: (N, C, *spatial), or (N, *spatial) for binary; logits, or probabilities with input="probs". For a
                formula with multiscale(...) a list of such tensors, the finest first.
            target: the same shape, or (N, *spatial) class indices for multiclass; for a list of outputs also a list.
            mask: what counts; bool or 0/1, broadcasts to (N, *spatial). What does not count is as if it were not there.
            epoch, step: numbers for the schedules of the formula.
            tensors: the tensors that the formula names.

        Raises:
            InputError: shapes, dtypes, devices or values do not fit.
        """
        total: Tensor = self._run(pred, target, mask, epoch, step, tensors, terms=False)[1][0]
        return total

    def breakdown(
        self,
        pred: Given,
        target: Given,
        *,
        mask: Tensor | None = None,
        epoch: float | Tensor | None = None,
        step: float | Tensor | None = None,
        **tensors: Tensor,
    ) -> Breakdown:
        """The loss with the value, weight and contribution of each term, from one pass. Takes what a call takes."""
        plan, (total, *parts) = self._run(pred, target, mask, epoch, step, tensors, terms=True)
        parts = [part if isinstance(part, Tensor) else torch.full_like(total.detach(), part) for part in parts]
        triples = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        terms = {name: TermValue(*triple) for name, triple in zip(plan.terms, triples, strict=True)}
        return Breakdown(total, MappingProxyType(terms))

    def _run(
        self,
        pred: Given,
        target: Given,
        mask: Tensor | None,
        epoch: float | Tensor | None,
        step: float | Tensor | None,
        tensors: Mapping[str, Tensor],
        terms: bool,
    ) -> tuple[Plan, tuple[Any, ...]]:
        kind = None if torch.compiler.is_compiling() else signature(pred, target, mask, tensors)
        repeated = None if kind is None else self._repeated(kind, pred, target, epoch, step, tensors, terms)
        if repeated is not None:
            return repeated
        self._check_names(tensors)
        first, truth, further = outputs(pred, target, self._facts.scales)
        call = self._arranged(first, truth, further, mask, tensors)
        self._prepare(call.key)
        plan = self._plans[call.key]
        check_lists(plan.lists, call)
        check_classes(plan.classes, call)
        scalars = {"scalar:epoch": epoch, "scalar:step": step}
        inputs = [
            call.tensors[name] if name in call.tensors else self._number(name, first, scalars) for name in plan.inputs
        ]
        sights = self._sights[call.key]
        if torch.compiler.is_compiling():
            for sight in sights:
                if sight.indexed and sight.target:
                    stop_at_no_class(sight, call.tensors, self.options.ignore_index)
            total, *parts = plan.module(*inputs)
        else:
            seen = self._looked(call, sights, mask)
            total, *parts = self._watched(call, sights, inputs, mask, terms)
            if kind is not None and seen:
                remember(self._ready, kind, plan, self._runners[call.key], call, sights)
        if not isinstance(total, Tensor):
            total = ops.constant(total, call.tensors["pred"])
        return plan, (total, *parts)

    def _repeated(
        self,
        kind: Any,
        pred: Any,
        target: Any,
        epoch: float | Tensor | None,
        step: float | Tensor | None,
        tensors: Mapping[str, Tensor],
        terms: bool,
    ) -> tuple[Plan, tuple[Any, ...]] | None:
        """A call of a kind that was checked before; None for another, and when it fails, so that it is told why."""
        known = self._ready.get(kind)
        if known is None:
            return None
        scalars = {"scalar:epoch": epoch, "scalar:step": step}
        given = {"pred": pred, "target": target, **tensors}
        for sight in known.labels:
            if not are_classes(sight, given, self.options.ignore_index):
                return None
        try:
            inputs = [
                self._number(name, pred, scalars) if source is None else given[source] for name, source in known.sources
            ]
            return known.plan, known.runner(*inputs, terms=terms, shapes=known.shapes)
        except (IndexError, RuntimeError):
            return None

    def _arranged(
        self, pred: Tensor, target: Tensor, further: Further, mask: Tensor | None, tensors: Mapping[str, Tensor]
    ) -> Call:
        options, facts = self.options, self._facts
        check_tensors(pred, target, mask, tensors)
        task = options.task or facts.task or decide_task(pred, target, facts.raw_only)
        own = own_pairs(task, pred, tensors, facts.pairs) if facts.pairs else ()
        alike = laid_out_with_pred(tensors, facts.pairs, own, facts.beside) if own else tensors
        ignoring = options.ignore_index is not None
        kind = options.input or "logits"
        weight, roles = self.class_weight, (facts.predictions, facts.targets)
        call = arrange(task, kind, ignoring, weight, pred, target, mask, alike, *roles)
        check_heads(call, *roles)
        if own:
            call = with_heads(call, own, tensors, mask)
        if facts.scales:
            call = with_scales(call, pred, target, further)
        return call

    def _check_names(self, tensors: Mapping[str, Tensor]) -> None:
        if tensors.keys() == self._facts.tensors:
            return
        for name in sorted(self._facts.tensors - tensors.keys()):
            raise fault("LD505", f"the formula needs the tensor `{name}`", f"loss(pred, target, {name}=...)")
        for name in sorted(tensors.keys() - self._facts.tensors):
            known = ", ".join(sorted(self._facts.tensors)) or "none"
            raise fault("LD505", f"the formula uses no tensor `{name}`", f"tensors of the formula: {known}")

    def _number(self, name: str, pred: Tensor, scalars: Mapping[str, float | Tensor | None]) -> Tensor:
        """A learned scalar or a number of the run, in the precision that the loss is computed in."""
        dtype = torch.promote_types(pred.dtype, torch.float32)
        kind, _, short = name.partition(":")
        if kind == "learned":
            learned: Tensor = self.learned[short]
            return learned.to(dtype)
        value = scalars[name]
        if value is None:
            raise fault("LD505", f"the formula uses `{short}`", f"loss(pred, target, {short}=...)")
        if not torch.compiler.is_compiling() and (isinstance(value, bool) or not isinstance(value, (Tensor, Real))):
            raise fault("LD501", f"`{short}` is {type(value).__name__}, not a number")
        if isinstance(value, Tensor):
            if value.dtype == torch.bool or value.dtype.is_complex:
                raise fault("LD503", f"`{short}` has dtype {value.dtype}; it is a real number")
            if value.ndim:
                raise fault("LD502", f"`{short}` has shape {shape(value)}; it is one number, a 0-d tensor")
            return value.to(device=pred.device, dtype=dtype)
        # Not torch.full: under torch.compile that would compile again for each new number.
        if torch.compiler.is_compiling():
            number = value if isinstance(value, (int, float)) else float(value)
        else:
            number = _finite(short, value)
        return torch.zeros((), dtype=dtype, device=pred.device) + number

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def _prepare(self, key: tuple[Any, ...]) -> bool:
        """Make the plan of a kind of call the first time. Under torch.compile this runs while tracing."""
        if key not in self._plans:
            context = Context(*key)
            plan = self._planned(context)
            self._runners[key] = compiled(plan, self.options.backend or "eager")
            self._sights[key] = sights_of(context, self._facts, plan.inputs)
            self._plans[key] = plan  # last: another thread takes a plan that it finds for a runner that is there
        return True

    @with_room
    def _planned(self, context: Context) -> Plan:
        built = self._built(context)
        looked_at = (self._objective, built, context, self._facts)
        return lower(built, positive_denominators(*looked_at), rounded_roots(*looked_at))

    def _built(self, context: Context) -> BuiltLoss:
        """The graph for a kind of call, in which nothing is wrong for its task, which may be known only now."""
        try:
            built = build(self._objective, context, self.options.ignore_index)
            faults = certain_errors(self._objective, built, context, self._facts)
            if faults:
                raise FormulaError(faults)
            return built
        except FormulaError as error:
            if self.options.task:
                raise
            if all(diagnostic.code == "LD307" for diagnostic in error.diagnostics):
                raise  # no other task would mend it
            message = f"the shapes of the first batch make the task {context.task}"
            why = Diagnostic(
                "LD508", message, hint='give the task where it is another: compile(..., task="multiclass")'
            )
            raise FormulaError([*error.diagnostics, why]) from None

    def _looked(self, call: Call, sights: tuple[Sight, ...], mask: Tensor | None) -> bool:
        """Look at the values of a batch before it is computed with; whether nothing is left to be looked at.

        So a target out of range is found at the start, not after a night.
        """
        check_labels(call, sights, self.options.ignore_index)
        return self._looks.see(call, sights, mask, self.options.ignore_index)

    def _watched(
        self, call: Call, sights: tuple[Sight, ...], inputs: list[Tensor], mask: Tensor | None, terms: bool
    ) -> tuple[Any, ...]:
        """Run a plan. The values of a batch that fails are looked at, whatever was seen before."""
        try:
            return self._runners[call.key](*inputs, terms=terms)
        except (IndexError, RuntimeError) as error:
            check_values(call, sights, mask, self.options.ignore_index)
            if "out of bounds" in str(error):
                message = "a class index is out of range"
                raise fault("LD506", message, f"labels are 0 to {call.tensors['pred'].shape[1] - 1}") from None
            raise

    def _apply(self, fn: Any, recurse: bool = True) -> Loss:
        """Moves the weights with the module and keeps them exact: `.half()` is for what is trained."""
        exact = self.class_weight
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if exact is not None and self.class_weight is not None:
            self.class_weight = exact.to(self.class_weight.device)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without the plans: they are made again from the formula."""
        return {**self.__dict__, "_plans": {}, "_runners": {}, "_ready": {}, "_sights": {}, "_looks": Looks()}

    def extra_repr(self) -> str:
        task = self.options.task or "decided by the first batch"
        return f"{self.text!r}, task={task}, input={self.options.input or 'logits'}"


def _finite(name: str, value: Any) -> int | float:
    """A number of the run; an integer stays one, as torch adds it up exactly."""
    try:
        number = value if isinstance(value, (int, float)) else float(value)
        if abs(number) < MAX_NUMBER:
            return number
    except (OverflowError, ValueError):
        pass
    raise fault("LD506", f"`{name}` is not a number that float32 holds")


def _learned(starts: Mapping[str, float]) -> nn.ParameterDict:
    """The learned scalars. torch keeps some names for itself, and which differs between its versions."""
    parameters = nn.ParameterDict()
    for name, start in starts.items():
        if hasattr(parameters, name):
            hint = "choose another name"
            raise FormulaError([Diagnostic("LD207", f"`{name}` cannot be the name of a learned scalar", hint=hint)])
        parameters[name] = nn.Parameter(torch.tensor(start))
    return parameters
