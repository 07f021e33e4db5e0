"""What a number means: a probability is no logit, a label lies in [0, 1], a parameter in its range."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite

from lossdsl.checking.resolved import Resolved, TensorOf, Use
from lossdsl.errors import Diagnostic, Place, Severity
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.nodes import Node, in_order
from lossdsl.graph.trace import Used
from lossdsl.proving import interval as of
from lossdsl.proving.analysis import Proof
from lossdsl.proving.idle import first_time_outside
from lossdsl.proving.interval import UNIT, Interval, interval
from lossdsl.proving.messages import lies, says, written
from lossdsl.proving.slopes import moves
from lossdsl.registry.model import Kernel, Taken, allowed_values, full_name
from lossdsl.syntax.printing import number
from lossdsl.tasks import task_record

_ACTIVATIONS = frozenset({"sigmoid", "softmax", "log_sigmoid", "log_softmax", "log_one_minus_softmax"})
_KINDS = {"logits": "logits", "probs": "probabilities"}
_SAME_KIND = frozenset(
    {"cast", "cast_like", "keep", "stop_gradient", "pick", "negative", "local_mean", "minimum", "maximum"}
)


def activation_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Second sigmoids and softmaxes. Asks for no intervals."""
    probabilities = _activated_twice(proof)
    for applied in proof.built.trace.applied if probabilities else ():
        if applied.function in ("sigmoid", "softmax") and applied.arguments[0] in probabilities:
            text = written(applied.origins[0])
            message = f"`{applied.function}` of `{text}`, which is already a probability"
            yield says(applied.origins[0], "LD720", message, "z is the prediction before it", "error", _logits(text))
    for used in proof.built.trace.used if probabilities else ():
        if used.by_user:
            yield from _second_activation(used, probabilities)


def label_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Targets that are no labels, and labels in the place of the prediction."""
    for used in proof.built.trace.used:
        if used.by_user:
            yield from _labels(proof, used)
            yield from _exchanged(proof, used)


def parameter_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Parameters that leave their range, as far as the intervals of `scheduled` tell."""
    for used in proof.built.trace.used:
        if used.parameters:
            yield from _parameters(proof, used)


def input_findings(proof: Proof) -> Iterator[Diagnostic]:
    """Losses that take the prediction as it is and get the other kind; else the parts of a loss that do."""
    whole: dict[Place, Used] = {}
    told = set()
    for used in reversed(proof.built.trace.used):  # a loss before its parts
        if used.by_user:
            whole[used.place] = used
        severity = _of_the_other_kind(used, proof)
        if severity == "error" or (severity and used.by_user):
            if used.by_user or used.place not in told:
                yield _other_kind(used, whole.get(used.place, used), severity, proof)
            told.add(used.place)
        elif used.by_user and used.taken is None and _is_z(used) and _reads_labels(proof, used):
            yield _logits_of_probabilities(used)


def taken_as_they_are(built: BuiltLoss) -> list[Node]:
    """The predictions whose intervals `input_findings` asks for."""
    return [used.head.prediction for used in built.trace.used if used.taken]


def scheduled(built: BuiltLoss) -> list[Node]:
    """The parameters that are not just a number."""
    return [node for used in built.trace.used for _, node in used.parameters if not node.is_constant]


def is_probability(node: Node, proof: Proof) -> bool:
    """A sigmoid or softmax, the prediction where the model returns probabilities, or one minus such."""
    while True:
        if node.operation in ("sigmoid", "softmax"):
            return True
        if node.operation == "input":
            return node.input_name == "pred" and proof.context.input == "probs"
        if node.operation == "subtract" and node.arguments[0].is_constant:
            node = node.arguments[1]
        elif node.operation in _SAME_KIND:
            node = node.arguments[0]
        else:
            return False


def _activated_twice(proof: Proof) -> frozenset[Node]:
    """The probabilities that go through a sigmoid or softmax."""
    outputs = [proof.built.total, *(used.node for used in proof.built.trace.used)]
    outputs += [applied.result for applied in proof.built.trace.applied]
    activated = {
        argument
        for node in in_order(outputs)
        if node.operation in _ACTIVATIONS
        for argument in (node.arguments[0], *node.arguments[0].arguments)
    }
    return frozenset(node for node in activated if is_probability(node, proof))


def _second_activation(used: Used, activated: frozenset[Node]) -> Iterator[Diagnostic]:
    if used.head.prepared and used.head.prediction in activated and used.use.tensors:
        place = used.use.tensors[0].origin
        name, text = used.use.loss.name, written(place)
        message = f"`{name}` takes logits, but `{text}` is already a probability: this is a second sigmoid or softmax"
        hint = f"{name}(z, ...) or {name} alone; or input=probs if the model returns probabilities"
        yield says(place, "LD720", message, hint, "error", _logits(text))


def _of_the_other_kind(used: Used, proof: Proof) -> Severity | None:
    """`error` where the prediction is of the other kind, `warning` where an expression is not known to be of this."""
    head = used.head
    if used.taken is None:
        return None
    if used.taken.kind == "logits":
        return "error" if head.space.context.input == "probs" else None
    if proof.intervals[head.prediction].within(UNIT):
        return None
    return "error" if _as_passed(head.prediction) or _is_z(used) else "warning"


def _is_z(used: Used) -> bool:
    """Whether `z` is given to a loss that takes what it is given for probabilities."""
    given, space = used.use.tensors[:1], used.head.space
    if not used.head.prepared or space.context.input == "logits" or not space.task_record.has_labels:
        return False
    return any(isinstance(tensor, TensorOf) and tensor.name == "z" for tensor in given)


def _logits_of_probabilities(used: Used) -> Diagnostic:
    name, place = used.use.loss.name, used.use.tensors[0].origin
    message = f"`{name}` takes probabilities because of input=probs, but `z` is logits"
    return says(place, "LD724", message, "p is the prediction as probabilities", "error")


def _as_passed(node: Node) -> bool:
    """Whether a node is what the caller passes, or that without the elements that do not count."""
    while node.operation in ("cast", "cast_like", "keep"):
        node = node.arguments[0]
    return node.operation == "input"


def _other_kind(used: Used, whole: Used, severity: Severity, proof: Proof) -> Diagnostic:
    """whole: the loss in the user's text that `used` is, or is a part of."""
    assert used.taken
    part = used is not whole
    name = f"the part `{used.use.loss.name}` of `{whole.use.loss.name}`" if part else f"`{used.use.loss.name}`"
    given = used.use.tensors[0].origin if used.use.tensors and not part else None
    if used.taken.kind == "logits":
        task = used.head.space.task
        message = f"{name} needs logits for {task}, but with input=probs the prediction is probabilities"
    else:
        value = "logits" if severity == "error" else lies(proof.intervals[used.head.prediction])
        what = f"`{written(given)}` is {value}" if given else "the model returns logits"
        message = f"{name} needs probabilities, but {what}"
    expression = written(given) if given and used.taken.kind == "probs" else ""
    ways = _probabilities(expression, used.head.space.task) if expression else _right_inputs(used.taken, whole, part)
    return says(given or whole.place, "LD724", message, ", or ".join(ways), "warning" if part else severity)


def _right_inputs(taken: Taken, whole: Used, part: bool) -> Iterator[str]:
    """The ways out for a loss of the prediction, the nearest first."""
    words = {(parameter.name, word) for parameter in whole.use.loss.parameters for word in parameter.words}
    activations = [f"{name}={word}" for name, word in taken.unless if (name, word) in words]
    if activations:
        yield " or ".join(activations)
    elif taken.kind == "probs" and not part:
        yield f"{written(whole.use.origin).partition('(')[0]}(p, y)"
    yield f"input={taken.kind} if the model returns {_KINDS[taken.kind]}"


def _probabilities(given: str, task: str) -> Iterator[str]:
    """The ways out for a loss of an expression."""
    if given in ("z", "pred"):
        yield "p is the prediction as probabilities"
    else:
        yield f"{task_record(task).activation or 'sigmoid'}({given}) of logits"
        yield f"clamp({given}, min=0, max=1) of what lies there already"


_CALL = re.compile(r"(?:sigmoid|softmax)\((?P<inner>[^()]*(?:\([^()]*\)[^()]*)*)\)")


def _logits(text: str) -> str | None:
    """What stands before the sigmoid or softmax."""
    call = _CALL.fullmatch(text)
    return call["inner"] if call else {"p": "z", "1 - p": "-z"}.get(text)


def _labels(proof: Proof, used: Used) -> Iterator[Diagnostic]:
    """A target that is an expression must lie where labels do."""
    head = used.head
    if not head.space.task_record.has_labels or not head.prepared or len(used.use.tensors) < 2:
        return
    labels = proof.intervals[head.truth]
    if not labels.within(UNIT) and _reads_labels(proof, used):
        place = used.use.tensors[1].origin
        message = f"the labels of `{used.use.loss.name}` must be in [0, 1], but `{written(place)}` is {lies(labels)}"
        yield says(place, "LD721", message, "y is 0 or 1")


def _exchanged(proof: Proof, used: Used) -> Iterator[Diagnostic]:
    """A target that stands first: it would get the sigmoid or softmax."""
    if len(used.use.tensors) != 2 or not _reads_labels(proof, used):
        return
    first, second = used.use.tensors
    if isinstance(first, TensorOf) and first.name in ("y", "target") and moves(used.head.truth, proof.trained):
        name, here, there = used.use.loss.name, written(first.origin), _as_prediction(used, second.origin)
        message = f"`{name}` takes the prediction here, not the target `{here}`"
        yield says(first.origin, "LD721", message, f"the prediction comes first: {name}({there}, {here})")
    elif _is_plain_prediction(second) and isinstance(first, TensorOf) and first.name in proof.facts.tensors:
        name, here, there = used.use.loss.name, written(first.origin), written(second.origin)
        message = f"`{name}` takes the target here, not the prediction `{there}`"
        right = f"{name}({_as_prediction(used, second.origin)}, {here})"
        hint = f"the prediction comes first: {right}; to train `{here}`, write stop_gradient({there})"
        yield says(second.origin, "LD721", message, hint)


def _as_prediction(used: Used, origin: Place) -> str:
    """What stands for the prediction, as a loss of logits takes it."""
    there = written(origin)
    return "z" if there == "p" and used.head.space.context.input == "logits" else there


def _is_plain_prediction(tensor: Resolved) -> bool:
    return isinstance(tensor, TensorOf) and tensor.name in ("z", "p", "pred")


def _reads_labels(proof: Proof, used: Used) -> bool:
    """Whether a loss takes its target for labels; `mse` takes it as it is."""
    loss = used.use.loss
    if isinstance(loss, Kernel):
        return "y" in loss.inputs
    body = proof.objective.body(full_name(loss))
    return any(isinstance(p, Use) or (isinstance(p, TensorOf) and p.name in ("y", "p")) for p in body.parts)


def _parameters(proof: Proof, used: Used) -> Iterator[Diagnostic]:
    """Parameters that come from a schedule or are learned."""
    known = {parameter.name: parameter for parameter in used.use.loss.parameters}
    places = dict(used.use.parameters)
    for name, node in used.parameters:
        declared = known[name].interval
        if declared is None or node.is_constant:
            continue
        allowed = interval(declared.low, declared.high, declared.low_open, declared.high_open)
        value = proof.intervals[node]
        if value.within(allowed):
            continue
        origin = places[name].origin
        certain = not of.overlap(value, allowed)
        verb = "is always" if certain else "can be"
        where = f"outside {allowed_values(known[name])}: it is {lies(value)}"
        message = f"`{name}` of `{used.use.loss.name}` {verb} {where}"
        when = first_time_outside(node, allowed, proof.intervals)
        kept = f"clamp({written(origin)}, {_bounds(allowed)}) keeps it inside"
        hint = (when or kept) if certain or not when else f"{when}; {kept}"
        yield says(origin, "LD722", message, hint, "error" if certain else "warning")


def _bounds(allowed: Interval) -> str:
    """The keywords of `clamp`; an open end has no last number inside, which is left to the user."""
    ends = (("min", allowed.low, allowed.low_open), ("max", allowed.high, allowed.high_open))
    return ", ".join(f"{word}={'...' if is_open else number(end)}" for word, end, is_open in ends if isfinite(end))
