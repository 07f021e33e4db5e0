"""The rules by name, and the test of a loss against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lossdsl.errors import LossError
from lossdsl.runtime.kernel_guard import unwatched
from lossdsl.testing import module_rules, rules
from lossdsl.testing.subjects import Subject, subject_of

RULES: dict[str, Callable[[Subject], Iterator[str]]] = {
    "gradient": rules.gradient,
    "range": rules.declared_range,
    "finite": rules.finite,
    "best": rules.best,
    "worse": rules.worse,
    "mask": rules.mask,
    "mask_anywhere": rules.mask_anywhere,
    "ignore_index": rules.ignore_index,
    "reductions": rules.reductions,
    "permutation": rules.permutation,
    "no_broadcast": module_rules.no_broadcast,
    "half_precision": module_rules.half_precision,
    "dtype_and_device": module_rules.dtype_and_device,
    "inputs_unchanged": module_rules.inputs_unchanged,
    "no_state": module_rules.no_state,
    "stored": module_rules.stored,
    "full_graph": module_rules.full_graph,
    "import_cost": module_rules.import_cost,
}
_OF_LOSSES = ("best", "worse")
"""These rules need a loss with `Better: lower` or `Better: higher`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A broken rule, with a small example."""

    rule: str
    who: str
    told: str

    def __str__(self) -> str:
        sentence = " ".join((RULES[self.rule].__doc__ or "").split()) if self.rule in RULES else ""
        lines = [f"{self.who} breaks the rule `{self.rule}`: {sentence}".rstrip(": "), *self.told.splitlines()]
        return "\n    ".join(lines)


def rules_for(call: str) -> tuple[str, ...]:
    """The names of the rules that a loss must follow."""
    return _rules_of(subject_of(call))


def _rules_of(subject: Subject) -> tuple[str, ...]:
    excepted = {word for word, _ in subject.loss.documentation.exceptions}
    if subject.loss.documentation.better == "neither":
        excepted |= set(_OF_LOSSES)
    return tuple(name for name in RULES if name not in excepted)


def check(call: str, wanted: Iterable[str] | None, tasks: Iterable[str] | None) -> None:
    """Raise AssertionError with all broken rules."""
    found = list(failures(call, wanted, tasks))
    if found:
        raise AssertionError("\n\n".join(map(str, found)))


def failures(call: str, wanted: Iterable[str] | None = None, tasks: Iterable[str] | None = None) -> Iterator[Failure]:
    """All broken rules, each with its first example. Raises LossError if the loss cannot be loaded."""
    wanted = None if wanted is None else tuple(wanted)
    unknown = sorted(set(wanted or ()) - set(RULES))
    if unknown:
        raise LossError(f"there is no rule `{unknown[0]}`; rules are {', '.join(RULES)}")
    subject = subject_of(call, tasks)
    who = f"`{subject.call}` of {subject.loss.provider.exactly}"
    for word, reason in subject.loss.documentation.exceptions:
        if word not in RULES:
            yield Failure("declarations", who, f"`Except: {word} -- {reason}`: there is no rule `{word}`")
    told = set()
    for rule in _rules_of(subject):
        if wanted is None or rule in wanted:
            for failure in _broken(rule, subject, who):
                if failure.told not in told:  # a loss that raises at every call is told of once
                    yield failure
                told.add(failure.told)


def _broken(rule: str, subject: Subject, who: str) -> Iterator[Failure]:
    try:
        with unwatched():
            told = next(RULES[rule](subject), None)
    except Exception as cause:  # a kernel can raise anything; that breaks the rule too
        said = f"{type(cause).__name__}: {cause}" if isinstance(cause, LossError) else repr(cause)
        told = f"{subject.call}\nit raised {said}"
    if told is not None:
        yield Failure(rule, who, told)
