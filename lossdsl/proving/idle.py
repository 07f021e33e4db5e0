"""Parts of a loss that do nothing: constants, weights of 0, schedules, terms that are there twice, unused names."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from lossdsl.checking.resolve import repeated_terms
from lossdsl.checking.resolved import Constant, Local, Term, Use, every
from lossdsl.config.model import Spec
from lossdsl.errors import Diagnostic, Place
from lossdsl.graph.build import BuiltTerm
from lossdsl.graph.nodes import Node, in_order
from lossdsl.proving import interval as of
from lossdsl.proving.analysis import Proof
from lossdsl.proving.interval import Interval, Known
from lossdsl.proving.messages import says, written
from lossdsl.proving.relations import same_up_to_a_factor
from lossdsl.proving.slopes import moves
from lossdsl.proving.transfer import again
from lossdsl.registry.discover import Registry
from lossdsl.syntax.printing import number

_TIMES = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000, 1_000_000)


def first_time_outside(node: Node, allowed: Interval, known: Known) -> str | None:
    """`at epoch 3 it is -1` for a number that depends on the epoch or the step alone and is not in `allowed` then."""
    clocks = [part for part in in_order([node]) if part.operation == "input"]
    if len(clocks) != 1 or not clocks[0].input_name.startswith("scalar:"):
        return None
    for time in _TIMES:
        value = again(node, {clocks[0]: of.point(time)}, known)
        if not of.overlap(value, allowed):
            name = clocks[0].input_name.removeprefix("scalar:")
            return f"at {name} {time} it is {value}"
    return None


def idle_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Terms without an effect on the training."""
    terms = list(zip(proof.built.terms, proof.objective.terms, strict=True))
    falling = any(proof.intervals[built.weight].negative for built, _ in terms if not built.value.is_constant)
    restored, trained = _taken_off(proof), proof.trained | _second_predictions(proof)
    seen: dict[Hashable, tuple[str, float]] = {}
    for built, term in terms:
        if built.value.is_constant and built.value.value and falling:
            continue  # 1 - a score
        if built.value in restored:
            continue  # abs(bce - b) + b
        finding = _without_effect(proof, built, term, trained)
        if finding:
            yield finding
            continue
        core, factor = same_up_to_a_factor(proof.forms, built.value)
        if core in seen:
            yield _repeated(built, term, *seen[core], factor)
        else:
            seen[core] = (built.name, factor)


def _taken_off(proof: Proof) -> frozenset[Node]:
    """What the text takes off a value that trains, inside of another operation: to add it again keeps the scale."""
    values = {term.value for term in proof.built.terms}
    return frozenset(
        applied.arguments[1]
        for applied in proof.built.trace.applied
        if applied.function == "subtract"
        and applied.result not in values
        and moves(applied.arguments[0], proof.trained)
        and proof.intervals[applied.arguments[1]] != of.ZERO
    )


def _second_predictions(proof: Proof) -> frozenset[Node]:
    """The target where nothing compares the prediction with it: what a discriminator says of the real images, say."""
    if not proof.facts.raw_only:
        return frozenset()
    targets = frozenset(node for node in proof.order if node.input_name == "target")
    of_prediction = [moves(term.value, proof.trained) for term in proof.built.terms]
    of_target = [moves(term.value, targets) for term in proof.built.terms]
    together = any(map(all, zip(of_prediction, of_target, strict=True)))
    return targets if any(of_prediction) and not together else frozenset()


def _without_effect(proof: Proof, built: BuiltTerm, term: Term, trained: frozenset[Node]) -> Diagnostic | None:
    if proof.intervals[built.weight] == of.ZERO:
        return says(weight_place(term), "LD732", f"the weight of `{built.name}` is always 0", "remove the term")
    if proof.intervals[built.value] == of.ZERO:
        return says(term.value.origin, "LD732", f"`{built.name}` is always 0", "remove the term")
    constant = proof.intervals[built.value]
    if constant.is_number and not built.value.is_constant:
        message = f"`{built.name}` is always {constant}: it trains nothing"
        return says(term.value.origin, "LD731", message, "remove the term")
    if not moves(built.contribution, trained):
        message = f"`{built.name}` does not depend on the prediction: it trains nothing"
        return says(term.value.origin, "LD731", message, "remove the term, or make it the weight of another")
    return None


def _repeated(built: BuiltTerm, term: Term, other: str, before: float, factor: float) -> Diagnostic:
    ratio = factor / before
    same = "the same as" if ratio == 1 else f"{number(float(f'{ratio:.6g}'))} times"
    message = f"`{built.name}` is {same} `{other}`: use one term with the sum of the weights"
    return says(term.value.origin, "LD733", message, "remove one of them")


def weight_place(term: Term) -> Place:
    """Where a weight is written; a weight of 1 that is not written has the place of its term."""
    weight = term.weight.origin
    return weight if weight.extent.end > weight.extent.start else term.value.origin


def name_findings(spec: Spec, proof: Proof, registry: Registry) -> Iterator[Diagnostic]:
    """Terms written twice, definitions and tensors that nothing reads, and terms under the name of another loss."""
    used = {name for name, _ in proof.objective.bindings}
    for repeated in repeated_terms(spec):
        message = f"`{repeated.name}` is added twice: use one term with the sum of the weights"
        yield _of_name(repeated.place, "LD733", message, "remove one of them")
    for definition in spec.definitions:
        if definition.name not in used:
            yield _of_name(definition.place, "LD734", f"`{definition.name}` is defined and never used", "remove it")
    for passed in spec.tensors or ():
        if passed.name not in proof.facts.tensors:
            message = f"the tensor `{passed.name}` is passed and never used"
            yield _of_name(passed.place, "LD736", message, "use it, or remove it from `tensors:`")
    total = proof.objective.total
    read = {part.name for part in every([total]) if isinstance(part, Local)} if total else {t.name for t in spec.terms}
    for term, entry in zip(proof.objective.terms, spec.terms, strict=True) if spec.terms else ():
        if not _is_named(term) and registry.candidates(term.name):
            message, hint = (
                f"the term `{term.name}` has the name of a loss, but is not that loss",
                "give the term another name",
            )
            if isinstance(term.value, Constant):
                hint = f"write a weight as {term.name}: {{expr: {term.name}, weight: {written(term.value.origin)}}}"
            yield _of_name(entry.place, "LD735", message, hint)
        if term.name not in read:
            message = f"the term `{term.name}` is not in the total: it trains nothing"
            yield _of_name(entry.place, "LD734", message, "add it to total, or remove it")


def _of_name(place: Place, code: str, message: str, hint: str) -> Diagnostic:
    return place.says(code, message, hint, severity="warning")


def _is_named(term: Term) -> bool:
    return isinstance(term.value, Use) and term.value.loss.name == term.name
