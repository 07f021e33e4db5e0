"""What a loss compares with what: a target that is there twice, and logits that are compared with labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lossdsl.checking.heads import is_raw, reads_of_loss, takes_head
from lossdsl.checking.resolved import Apply, Chain, Local, Resolved, TensorOf, every
from lossdsl.checking.vocabulary import TENSORS
from lossdsl.errors import Diagnostic
from lossdsl.graph.nodes import Node
from lossdsl.graph.trace import Applied, Used
from lossdsl.operations.functions import FUNCTIONS
from lossdsl.operations.row import Even
from lossdsl.proving.analysis import Proof
from lossdsl.proving.messages import says, written
from lossdsl.tasks import task_record

_TARGETS = frozenset({"y", "target"})
_DISTANCES = frozenset(name for name, function in FUNCTIONS.items() if isinstance(function.course, Even))
# What `pred` and `target` are called elsewhere.
_USUAL_NAMES = frozenset({
    "y_pred", "y_hat", "yhat", "y_score", "preds", "prediction", "predictions", "output", "outputs", "logit", "logits",
    "prob", "probs", "probabilities", "y_true", "targets", "label", "labels", "gt", "ground_truth", "truth", "y_gt",
})  # fmt: skip


def comparison_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Losses by name whose own comparison with the target is not the one that the text looks like."""
    yield from _under_usual_names(proof)
    yield from _written_out(proof)
    bindings = dict(proof.objective.bindings)
    reads: dict[str, frozenset[str]] = {}
    for used in proof.built.trace.used:
        if not used.by_user or not takes_head(used.use.loss):
            continue
        name = used.use.loss.name
        if name not in reads:
            reads[name] = frozenset(reads_of_loss(proof.objective, used.use.loss))
        if not reads[name] & _TARGETS:
            continue
        raw = is_raw({*reads[name]}) and "pred" in reads[name]
        if raw and _of_logits(used):
            yield _with_labels(used)
        if len(used.use.tensors) == 1:
            yield from _twice(used, raw, bindings)


def _under_usual_names(proof: Proof) -> Iterator[Diagnostic]:
    """A loss of a prediction and a target that are passed by name, under names by which `pred` and `target` go."""
    used = [one for one in proof.built.trace.used if one.by_user and takes_head(one.use.loss)]
    text = [one for one, _ in proof.built.trace.read if isinstance(one, TensorOf)]
    if any(not one.use.tensors for one in used) or any(one.name in TENSORS for one in text):
        return
    for one in used:
        tensors = one.use.tensors
        names = [tensor.name for tensor in tensors if isinstance(tensor, TensorOf)]
        if len(names) == len(tensors) and _USUAL_NAMES.issuperset(names):
            needed = " and ".join(f"`{name}`" for name in names)
            message = f"`{written(one.use.origin)}` needs the tensors {needed} by name in every call"
            hint = f"a call passes `pred` and `target` by position: {one.use.loss.name}(pred, target)"
            yield says(one.use.origin, "LD737", message, hint)


def _written_out(proof: Proof) -> Iterator[Diagnostic]:
    """The same in the text itself: the distance of the logits from the labels, as in (z - y)**2."""
    if not task_record(proof.context.task).has_labels or proof.context.input != "logits":
        return
    for applied in proof.built.trace.applied:
        value = applied.arguments[0]
        if not _is_distance(applied) or value.operation != "subtract":
            continue
        names = {_tensor(argument) for argument in value.arguments}
        if names == {"pred", "target"}:
            text = written(applied.origins[0])
            message = f"`{text}` compares the logits with the labels"
            hint = "p - y compares the probabilities; if you mean the logits, write mse(z, y) or l1(z, y)"
            yield says(applied.origins[0], "LD726", message, hint)


def _is_distance(applied: Applied) -> bool:
    """Whether an operation makes a distance of a difference."""
    match applied.function:
        case "power":
            exponent = applied.arguments[1]
            return exponent.is_constant and exponent.value % 2 == 0
        case "multiply":
            return applied.arguments[0] is applied.arguments[1]
    return applied.function in _DISTANCES


def _tensor(node: Node) -> str:
    """`pred` or `target` where a node is that and nothing else, as logits or as labels."""
    while node.operation in ("cast", "cast_like", "keep", "one_hot", "index"):
        node = node.arguments[0]
    return node.input_name


def _of_logits(used: Used) -> bool:
    """Whether a loss that takes pred and target as they are takes logits and labels, without saying so with `z`."""
    space = used.head.space
    if not space.task_record.has_labels or space.context.input != "logits":
        return False
    names = [tensor.name if isinstance(tensor, TensorOf) else "" for tensor in used.use.tensors]
    return all(name in known for name, known in zip(names, ({"pred"}, _TARGETS), strict=False))


def _with_labels(used: Used) -> Diagnostic:
    name = used.use.loss.name
    message = f"`{name}` compares the logits with the labels"
    hint = f"{name}(p, y) compares the probabilities; if you mean the logits, write {name}(z, y)"
    return says(used.use.origin, "LD726", message, hint)


def _twice(used: Used, raw: bool, bindings: Mapping[str, Resolved]) -> Iterator[Diagnostic]:
    """A single tensor that has the target in it, given to a loss that brings the target itself.

    Of a difference no loss of pred and target can be meant. A product may be a mask; a part of the labels taken off the
    logits, `ce(z - 0.35*y)`, is a margin.
    """
    (tensor,) = used.use.tensors
    pair = _joined(tensor, bindings)
    if pair is None:
        return
    if not raw and not isinstance(_opened(pair.truth, bindings), TensorOf):
        return
    name, text = used.use.loss.name, written(tensor.origin)
    message = f"`{name}` compares its tensor with the target, but `{text}` already contains the target"
    hint = f"write {name}: it compares the prediction with the target"
    if raw and pair.alone:
        both = f"{name}({written(pair.prediction.origin)}, {written(pair.truth.origin)})"
        hint = f"write {name} or {both}" if both == f"{name}(pred, target)" else f"write {both}"
    elif raw:
        hint = f"pass the two sides of the difference, {name}(prediction, target), with a factor in front"
    yield says(tensor.origin, "LD725", message, hint, "error" if raw and pair.is_difference else "warning")


@dataclass(frozen=True, slots=True)
class _Joined:
    """Two parts of a sum or a product. alone: there are no others, and no factor before them."""

    prediction: Resolved
    truth: Resolved
    is_difference: bool
    alone: bool


def _joined(value: Resolved, bindings: Mapping[str, Resolved]) -> _Joined | None:
    """The prediction and the target of which a value is the sum, difference or product.

    Functions of it and factors without the target do not count. None for anything else, such as a choice by `where`.
    """
    alone, opened = True, set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Local):
            if value.name in opened or value.name not in bindings:
                continue
            opened.add(value.name)
            waiting.append(bindings[value.name])
        elif isinstance(value, Apply) and (len(value.arguments) == 1 or value.function == "power"):
            waiting.append(value.arguments[0])
        elif isinstance(value, Chain):
            signed = [_signed(function, operand, bindings) for function, operand in (("add", value.first), *value.rest)]
            kinds = [_kind(operand, bindings) for _, operand in signed]
            if "prediction" in kinds and "target" in kinds:
                (sign, prediction), (other, truth) = signed[kinds.index("prediction")], signed[kinds.index("target")]
                is_sum = value.rest[0][0] in ("add", "subtract")
                return _Joined(prediction, truth, is_sum and sign != other, alone and len(signed) == 2)
            alone = False
            waiting += [operand for _, operand in reversed(signed)]
    return None


def _signed(function: str, operand: Resolved, bindings: Mapping[str, Resolved]) -> tuple[bool, Resolved]:
    """Whether an operand of a sum is taken off, and the operand without its own sign."""
    negative = function == "subtract"
    while isinstance(inner := _opened(operand, bindings), Apply) and inner.function == "negative":
        negative, operand = not negative, inner.arguments[0]
    return negative, operand


def _opened(value: Resolved, bindings: Mapping[str, Resolved]) -> Resolved:
    """What a name stands for."""
    while isinstance(value, Local) and value.name in bindings:
        value = bindings[value.name]
    return value


def _kind(value: Resolved, bindings: Mapping[str, Resolved]) -> str:
    """Whether a value is of the `prediction` alone, of the `target` alone, of `both` or of neither."""
    names: set[str] = set()
    waiting, seen = [value], set()
    while waiting:
        for part in every([waiting.pop()]):
            if isinstance(part, TensorOf):
                names.add(part.name)
            elif isinstance(part, Local) and part.name in bindings and part.name not in seen:
                seen.add(part.name)
                waiting.append(bindings[part.name])
    predicts = bool(names & {"z", "p", "pred"})
    if names & _TARGETS:
        return "both" if predicts else "target"
    return "prediction" if names - {"class_weight", "foreground"} else ""
