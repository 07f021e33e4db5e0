"""A loss under test: its call, its tasks, and its documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossdsl.api import compile
from lossdsl.api.loss_file import required_words
from lossdsl.checking.resolve import resolve
from lossdsl.config import read_formula
from lossdsl.errors import FormulaError, LossError
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.graphs import Graphs
from lossdsl.registry.discover import clash, default_registry
from lossdsl.registry.model import INPUTS, Loss
from lossdsl.syntax.parse import parse
from lossdsl.syntax.printing import number
from lossdsl.syntax.tree import Call, Name, Range
from lossdsl.tasks import Task, candidates, task_record
from lossdsl.testing.batches import Batch, Setting, edges


class Trial(NamedTuple):
    """A call, its value and its gradient in the prediction."""

    batch: Batch
    value: Tensor
    slope: Tensor


@dataclass(frozen=True, slots=True)
class Subject:
    """call: the tested formula. tensors: its named tensors. exceptions: the rules that it does not follow.

    inputs: what the model can return for each task, if the call does not support both logits and probabilities.
    """

    call: str
    loss: Loss
    tasks: tuple[str, ...]
    tensors: frozenset[str]
    inputs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    made: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)
    tried: dict[Setting, tuple[Trial, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def settings(self) -> Iterator[Setting]:
        """Every task with every input, and multiclass with class probabilities as the target."""
        sizes = self.loss.documentation.shape or (3, 6)
        for task in self.tasks:
            for given in dict(self.inputs).get(task, INPUTS) if task_record(task).has_labels else INPUTS[:1]:
                yield Setting(task, given, "hard", *sizes)
                if task_record(task).indices:
                    yield Setting(task, given, "soft", *sizes)

    @property
    def hard_settings(self) -> Iterator[Setting]:
        return (setting for setting in self.settings if setting.target == "hard")

    @property
    def each_task(self) -> Iterator[Setting]:
        """One setting per task, for tests in which the input has no effect."""
        return iter({setting.task: setting for setting in reversed(list(self.hard_settings))}.values())

    def reduced(self, how: str) -> str:
        """The call with a reduction."""
        if not self.call.endswith(")"):
            return f"{self.call}(reduction={how})"
        return f"{self.call[:-1]}{'' if self.call.endswith('(') else ', '}reduction={how})"

    def has_map(self, setting: Setting) -> bool:
        """Whether the loss has a map."""
        return self.works(f"max({self.reduced('none')})", setting)

    def works(self, formula: str, setting: Setting) -> bool:
        """Whether a formula can be compiled for a setting."""
        try:
            self.compiled(formula, setting)
        except FormulaError:
            return False
        return True

    def refuses(self, setting: Setting, batch: Batch, *, mask: Tensor | None = None, **options: Any) -> bool:
        """Whether a call with a mask or an option is an error, because the kernel does not support it."""
        try:
            self.value(setting, batch, mask=mask, **options)
        except FormulaError as error:
            return all(found.code == "LD306" for found in error.diagnostics)
        return False

    def compiled(self, formula: str, setting: Setting, **options: Any) -> Any:
        """The compiled formula, cached for the same text and options."""
        key = (formula, setting.task, setting.input, *sorted(options.items()))
        if key not in self.made:
            self.made[key] = compile(formula, task=setting.task, input=setting.input, **options)  # type: ignore[arg-type]
        return self.made[key]

    def value(
        self, setting: Setting, batch: Batch, *, formula: str = "", mask: Tensor | None = None, **options: Any
    ) -> Tensor:
        """The loss of a batch, or another formula of it."""
        module = self.compiled(formula or self.call, setting, **options)
        result: Tensor = module(batch.pred, batch.target, mask=mask, **batch.tensors)
        return result

    def value_and_slope(
        self, setting: Setting, batch: Batch, *, formula: str = "", mask: Tensor | None = None, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """The loss of a batch, or another formula of it, and the gradient of the prediction; 0 if it has none."""
        leaf = batch.pred.detach().clone().requires_grad_()
        result = self.value(setting, replace(batch, pred=leaf), formula=formula, mask=mask, **options)
        if not result.requires_grad:
            return result, torch.zeros_like(leaf)
        (slope,) = torch.autograd.grad(result, leaf, allow_unused=True)
        return result.detach(), torch.zeros_like(leaf) if slope is None else slope

    def at_edges(self, setting: Setting) -> tuple[Trial, ...]:
        """The loss for saturated predictions and empty or full targets."""
        if setting not in self.tried:
            batches = edges(setting, self.tensors)
            self.tried[setting] = tuple(Trial(batch, *self.value_and_slope(setting, batch)) for batch in batches)
        return self.tried[setting]

    def variants(self) -> Iterator[str]:
        """The call with other values of each parameter in turn: words, the ends of a range, numbers inside of it."""
        if self.call.endswith(")"):
            return
        for parameter in self.loss.parameters:
            if parameter.lists or parameter.decides_task or parameter.default is None:
                continue
            values = [*parameter.words, *(number(value) for value in _numbers(parameter.interval))]
            yield from (f"{self.call}({parameter.name}={value})" for value in values if value != str(parameter.default))


def _numbers(interval: Range | None) -> list[float]:
    if interval is None:
        return []
    return [value for value in dict.fromkeys((interval.low, 0.3, 2.0, interval.high)) if value in interval]


def subject_of(call: str, tasks: Iterable[str] | None = None) -> Subject:
    """The loss of a call. Raises LossError if it cannot be loaded or its call is wrong."""
    expression = parse(call).expression
    assert isinstance(expression, (Name, Call)), f"{call} is not a call of one loss"
    loss = _loaded(expression.text if isinstance(expression, Name) else expression.function.text)
    written = loss.documentation.example
    if isinstance(expression, Name):
        required = next(required_words(loss), "")
        call = written or (f"{call}({required})" if required else call)
    spec = read_formula(call).spec
    assert spec
    resolution = resolve(spec, default_registry())
    if resolution.objective is None:
        raise FormulaError(resolution.diagnostics)
    graphs = Graphs(resolution.objective, spec.options)
    built = graphs.working()
    working: tuple[Task, ...] = tuple(built)
    raw = tuple(task for task in working if task in candidates(raw_only=True))
    if graphs.facts.raw_only and raw:
        working = raw  # raw numbers are the same whatever they are called
    chosen = tuple(task for task in working if tasks is None or task in tuple(tasks))
    assert chosen, f"{call} works for {', '.join(working) or 'no task'}"
    inputs = tuple(_inputs(built[task], task) for task in chosen)
    return Subject(call, loss, chosen, graphs.facts.tensors, inputs)


def _inputs(built: BuiltLoss, task: str) -> tuple[str, tuple[str, ...]]:
    """What the model can return for a call of one loss."""
    taken = built.trace.used[-1].taken  # of the call itself, whose parts come before it
    return task, (taken.kind,) if taken else INPUTS


def _loaded(name: str) -> Loss:
    registry = default_registry()
    found = registry.candidates(name)
    if len(found) != 1:
        owners = f"`{name}` may be {clash(found)[0]}" if found else f"there is no loss `{name}`"
        raise LossError(owners)
    return registry.load(found[0])
