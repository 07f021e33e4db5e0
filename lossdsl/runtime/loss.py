"""`Loss`: a torch module around an objective. It checks a call, finds the plan for its kind, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Never

import torch
from torch import Tensor, nn

from lossdsl.config.model import Options
from lossdsl.errors import Diagnostic, FormulaError
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.context import Context, from_plain
from lossdsl.proving.edges import positive_denominators
from lossdsl.proving.findings import certain_errors
from lossdsl.proving.rounding import rounded_roots
from lossdsl.proving.study import Study
from lossdsl.runtime import ops
from lossdsl.runtime.accepted_tensors import check_together, gathered, of_one_type, without_types
from lossdsl.runtime.breakdown import Breakdown, TermValue
from lossdsl.runtime.call_cache import Ready, as_given, remember, signature
from lossdsl.runtime.compiled import Runner, compiled
from lossdsl.runtime.declared_ranges import all_within, check_ranges, declared
from lossdsl.runtime.layout import Call, arrange, check_classes, check_heads, check_lists, check_tensors, fault
from lossdsl.runtime.lower import Plan, lower
from lossdsl.runtime.no_aliases import copied, filled
from lossdsl.runtime.outputs import Further, Given, laid_out_with_pred, outputs, own_pairs, with_heads, with_scales
from lossdsl.runtime.scalars import LearnedNumbers, learned, of_run, shown
from lossdsl.runtime.validate_values import (
    Looks,
    Sight,
    are_classes,
    check_labels,
    check_values,
    sights_of,
    stop_at_no_class,
)
from lossdsl.stack import with_room
from lossdsl.tasks import decide_task


class Loss(nn.Module):
    r"""A compiled loss, made by `lossdsl.compile` or `lossdsl.load`.

    `loss(pred, target)` returns a 0-d tensor with the dtype of pred, or float32 for half precision. It never shares
    memory with an input. The parameters of the module are the learned scalars of the formula, each of shape (1,), and
    its state_dict has nothing else.

    >>> import torch, lossdsl
    >>> loss = lossdsl.compile("s = learn(0)\nexp(-s)*bce + s", task="binary")
    >>> [name for name, _ in loss.named_parameters()]
    ['learned.s']
    """

    class_weight: Tensor | None

    def __init__(self, study: Study, text: str):
        super().__init__()
        options, facts = study.options, study.facts
        self.text = text
        self.options = options
        self._study = study
        self._ranges = declared(facts.ranges)
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._runners: dict[tuple[Any, ...], Runner] = {}
        self._ready: dict[Any, Ready] = {}
        self._sights: dict[tuple[Any, ...], tuple[Sight, ...]] = {}
        self._looks = Looks()
        weight = None if options.class_weight is None else _weights(options)
        self.register_buffer("class_weight", weight, persistent=False)
        if facts.learned:
            self.learned = LearnedNumbers(facts.learned)

    def forward(
        self,
        pred: Given,
        target: Given,
        *more: Never,
        mask: Tensor | None = None,
        epoch: float | Tensor | None = None,
        step: float | Tensor | None = None,
        **tensors: Tensor,
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            pred: (N, C, *spatial), or (N, *spatial) for binary; logits, or probabilities with input="probs". For a
                formula with multiscale(...), a list of such tensors, the finest first.
            target: the same shape, or (N, *spatial) with class indices for multiclass. For a list of outputs it can be
                a list.
            mask: the valid elements, bool or 0 and 1; it broadcasts to (N, *spatial). Other elements have no effect.
            epoch, step: numbers for the schedules of the formula.
            tensors: the named tensors of the formula.

        DTensors are gathered: the result is the loss of the whole tensor, a plain 0-d tensor that is equal on all
        ranks.

        Returns:
            The loss, a 0-d tensor.

        Raises:
            InputError: the shapes, dtypes, devices or values do not match.

        >>> import torch, lossdsl
        >>> loss = lossdsl.compile("min(1, epoch/10)*mse")
        >>> loss(torch.zeros(2, 1, 4), torch.ones(2, 1, 4), epoch=5)
        tensor(0.5000)
        """
        self._check_places(more)
        total: Tensor = self._run(pred, target, mask, epoch, step, tensors, terms=False)[1][0]
        return total

    def breakdown(
        self,
        pred: Given,
        target: Given,
        *more: Never,
        mask: Tensor | None = None,
        epoch: float | Tensor | None = None,
        step: float | Tensor | None = None,
        **tensors: Tensor,
    ) -> Breakdown:
        """Compute the loss together with the value, weight and contribution of each term, in one pass.

        Args:
            pred, target, mask, epoch, step, tensors: as in a call of the loss.

        Returns:
            A `Breakdown` with the total and the terms by name.

        Raises:
            InputError: the shapes, dtypes, devices or values do not match.
        """
        self._check_places(more)
        plan, (total, *parts) = self._run(pred, target, mask, epoch, step, tensors, terms=True)
        parts = [p if isinstance(p, Tensor) else filled(p, total, index) for index, p in enumerate(parts)]
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
        kind, pred, target, mask, tensors = _of_one_kind(kind, pred, target, mask, tensors)
        first, truth, further = outputs(pred, target, self._study.facts.scales)
        call = self._arranged(first, truth, further, mask, tensors)
        if self._ranges:
            check_ranges(self._ranges, tensors, call.tensors, self.options.ignore_index)
        self._prepare(call.key)
        plan = self._plans[call.key]
        check_lists(plan.lists, call)
        check_classes(plan.classes, call)
        scalars = {"scalar:epoch": epoch, "scalar:step": step}
        inputs = [
            call.tensors[name] if name in call.tensors else self._bare_number(name, first, scalars)
            for name in plan.inputs
        ]
        sights = self._sights[call.key]
        if torch.compiler.is_compiling():
            for sight in sights:
                if sight.indexed and sight.target:
                    stop_at_no_class(sight, call.tensors, self.options.ignore_index)
            total, *parts = copied(plan.module(*inputs), plan.saved, terms)
        else:
            seen = self._looked(call, sights, mask)
            runner = self._runners[call.key]
            ready = None if kind is None else as_given(plan, runner, call, sights)
            run = partial(runner, *inputs, terms=terms)
            if ready is not None:  # as every later call: torch's checkpointing compares what two calls store
                given = {"pred": pred, "target": target, **tensors}
                run = partial(self._run_as_given, ready, given, scalars, terms)
            total, *parts = self._watched(run, call, sights, mask, inputs)
            if ready is not None and seen:
                remember(self._ready, kind, ready)
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
        if known is None or (self._ranges and not all_within(self._ranges, tensors)):
            return None
        scalars = {"scalar:epoch": epoch, "scalar:step": step}
        given = {"pred": pred, "target": target, **tensors}
        for sight in known.labels:
            if not are_classes(sight, given, self.options.ignore_index):
                return None
        try:
            return known.plan, self._run_as_given(known, given, scalars, terms)
        except torch.OutOfMemoryError:
            raise
        except (IndexError, RuntimeError):
            return None

    def _run_as_given(
        self, ready: Ready, given: Mapping[str, Any], scalars: Mapping[str, float | Tensor | None], terms: bool
    ) -> tuple[Any, ...]:
        """Run a kind of call on its arguments."""
        inputs = [
            self._number(name, given["pred"], scalars) if source is None else given[source]
            for name, source in ready.sources
        ]
        return ready.runner(*inputs, terms=terms, shapes=ready.shapes)

    def _arranged(
        self, pred: Tensor, target: Tensor, further: Further, mask: Tensor | None, tensors: Mapping[str, Tensor]
    ) -> Call:
        options, facts = self.options, self._study.facts
        check_tensors(pred, target, mask, tensors)
        task = options.task or facts.task or decide_task(pred.shape, target.shape, facts.raw_only)
        own = own_pairs(task, pred, tensors, facts.pairs) if facts.pairs else ()
        alike = laid_out_with_pred(tensors, facts.pairs, own, facts.beside) if own else tensors
        ignoring = options.ignore_index is not None
        kind = options.input
        weight, roles = self.class_weight, (facts.predictions, facts.targets)
        call = arrange(task, kind, ignoring, weight, pred, target, mask, alike, *roles)
        check_heads(call, *roles)
        if own:
            call = with_heads(call, own, tensors, mask)
        if facts.scales:
            call = with_scales(call, pred, target, further)
        return call

    def _check_places(self, more: tuple[Any, ...]) -> None:
        if more:
            names = ["mask", *sorted(self._study.facts.tensors), *sorted(self._study.facts.scalars)]
            message = f"a call takes 2 arguments by position, `pred` and `target`; {2 + len(more)} were given"
            raise fault(
                "LD505", message, f"pass others by name: loss(pred, target, {', '.join(f'{n}=...' for n in names)})"
            )

    def _check_names(self, tensors: Mapping[str, Tensor]) -> None:
        if tensors.keys() == self._study.facts.tensors:
            return
        for name in sorted(self._study.facts.tensors - tensors.keys()):
            raise fault("LD505", f"the formula needs the tensor `{name}`", f"loss(pred, target, {name}=...)")
        for name in sorted(tensors.keys() - self._study.facts.tensors):
            known = ", ".join(sorted(self._study.facts.tensors)) or "none"
            raise fault("LD505", f"the formula does not use the tensor `{name}`", f"tensors of the formula: {known}")

    def _number(self, name: str, pred: Tensor, scalars: Mapping[str, float | Tensor | None]) -> Tensor:
        """A learned number, of shape (1,), or one of the run, in the precision that the loss is computed in."""
        kind, _, short = name.partition(":")
        return learned(short, self.learned[short], pred) if kind == "learned" else of_run(short, scalars[name], pred)

    def _bare_number(self, name: str, pred: Tensor, scalars: Mapping[str, float | Tensor | None]) -> Tensor:
        """A number without axes."""
        number = self._number(name, pred, scalars)
        try:
            return number.reshape(())
        except RuntimeError:  # it is the part of a machine
            check_together({shown(name): number, "pred": pred})
            raise

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def _prepare(self, key: tuple[Any, ...]) -> bool:
        """Make the plan of a kind of call the first time. Under torch.compile this runs while tracing."""
        if key not in self._plans:
            context = from_plain(key)
            plan = self._planned(context)
            self._runners[key] = compiled(plan, self.options.backend)
            self._sights[key] = sights_of(context, self._study.facts, plan.inputs)
            self._plans[key] = plan  # last: another thread takes a plan that it finds for a runner that is there
        return True

    @with_room
    def _planned(self, context: Context) -> Plan:
        built = self._built(context)
        plan = lower(built, positive_denominators(self._study, built), rounded_roots(self._study, built))
        self._study.forget()  # a plan holds all that is needed of a graph
        return plan

    def _built(self, context: Context) -> BuiltLoss:
        """The graph for a kind of call, in which nothing is wrong for its task, which may be known only now."""
        try:
            built = self._study.graph(context)
            faults = certain_errors(self._study, built)
            if faults:
                raise FormulaError(faults)
            return built
        except FormulaError as error:
            if self.options.task:
                raise
            if all(diagnostic.code == "LD307" for diagnostic in error.diagnostics):
                raise  # no other task would mend it
            message = f"the shapes of the first batch imply the task {context.task}"
            why = Diagnostic("LD508", message, hint='if this is wrong, give the task: compile(..., task="multiclass")')
            raise FormulaError([*error.diagnostics, why]) from None

    def _looked(self, call: Call, sights: tuple[Sight, ...], mask: Tensor | None) -> bool:
        """Look at the values of a batch before it is computed with; whether nothing is left to be looked at.

        So a target out of range is found at the start, not after a night.
        """
        check_labels(call, sights, self.options.ignore_index)
        return self._looks.see(call, sights, mask, self.options.ignore_index)

    def _watched(
        self,
        run: Callable[[], tuple[Any, ...]],
        call: Call,
        sights: tuple[Sight, ...],
        mask: Tensor | None,
        inputs: list[Tensor],
    ) -> tuple[Any, ...]:
        """Run a plan. The values of a batch that fails are looked at, whatever was seen before."""
        try:
            return run()
        except torch.OutOfMemoryError:
            raise
        except (IndexError, RuntimeError) as error:
            check_together(dict(zip(map(shown, self._plans[call.key].inputs), inputs, strict=True)))
            check_values(call, sights, mask, self.options.ignore_index)
            if "out of bounds" in str(error):
                message = "a class index is out of range"
                raise fault("LD506", message, f"labels are 0 to {call.tensors['pred'].shape[1] - 1}") from None
            raise

    def reset_parameters(self) -> None:
        """Reset learned numbers and class weights to the values of the formula, for example after `to_empty`."""
        if self.class_weight is not None:
            self.class_weight = _weights(self.options, self.class_weight.device)
        if self._study.facts.learned:
            self.learned.reset_parameters()

    def _apply(self, fn: Any, recurse: bool = True) -> Loss:
        """Moves the weights of classes with the module and keeps them exact: `.half()` is for what is trained.

        On meta they have no values. When they leave it they are made again from the text.
        """
        weight, self.class_weight = self.class_weight, None
        try:
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        finally:
            self.class_weight = weight
        if weight is not None:
            exact = _weights(self.options, "cpu") if weight.is_meta else weight
            try:
                device = fn(weight).device
            except NotImplementedError:  # torch moves nothing away from meta
                device = fn(exact).device
            self.class_weight = exact.to(device)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without the plans, which are made again from the formula, and without what `.compile()` made."""
        state = super().__getstate__()  # type: ignore[no-untyped-call]
        return {**state, "_plans": {}, "_runners": {}, "_ready": {}, "_sights": {}, "_looks": Looks()}

    def extra_repr(self) -> str:
        task = self.options.task or "decided by the first batch"
        return f"{self.text!r}, task={task}, input={self.options.input}"


def _weights(options: Options, device: torch.device | str | None = None) -> Tensor:
    """The class weights of the text, on torch's default device unless one is given."""
    return torch.tensor([float(w) for w in options.class_weight or ()], dtype=torch.float64, device=device)


def _of_one_kind(kind: Any, pred: Any, target: Any, mask: Any, tensors: Mapping[str, Any]) -> tuple[Any, ...]:
    """The signature and the arguments of a call, as tensors that torch computes with together."""
    if kind is None:  # which no DTensor has
        whole = gathered({"pred": pred, "target": target, **({} if mask is None else {"mask": mask}), **tensors})
        pred, target, mask = whole["pred"], whole["target"], whole.get("mask")
        tensors = {name: whole[name] for name in tensors}
    if torch.compiler.is_compiling() or of_one_type((pred, target, mask, *tensors.values())):
        return kind, pred, target, mask, tensors
    plain = {name: without_types(tensor) for name, tensor in tensors.items()}
    return None, without_types(pred), without_types(target), without_types(mask), plain
