"""How many classes there are, by all that says so: options, lists, class numbers, tables of distances, and the task.

Whether they agree is seen without a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lossdsl.checking.arguments import flat
from lossdsl.checking.calls import class_numbers
from lossdsl.checking.resolved import ForClass, Numbers, PerClass
from lossdsl.errors import Diagnostic, Place
from lossdsl.graph.build import BuiltLoss
from lossdsl.graph.heads import of_pair
from lossdsl.graph.nodes import Node, in_order
from lossdsl.proving.messages import written
from lossdsl.proving.study import Study
from lossdsl.tasks import task_record

_MORE = "for more classes use the task multilabel, or multiclass if they are mutually exclusive"


@dataclass(frozen=True, slots=True)
class _Count:
    """What one place says: there are `count` classes, or at least so many where it only names one of them.

    what: the beginning of a sentence about it, `the class weights are`.
    """

    count: int
    exact: bool
    what: str
    place: Place

    @property
    def sentence(self) -> str:
        return f"{self.what} for {self.count} class{'es' * (self.count != 1)}"

    def contradicts(self, other: _Count) -> bool:
        if self.exact and other.exact:
            return self.count != other.count
        exact, least = (self, other) if self.exact else (other, self)
        return exact.exact and least.count > exact.count


def class_findings(study: Study, built: BuiltLoss) -> tuple[Diagnostic, ...]:
    """Counts of classes that contradict each other or the task. built: the graph for the first task that works.

    What depends on the task is said where it is given, or holds for every task that is possible.
    """
    ragged = tuple(_ragged(built))
    counts = _counts(study, built)
    if ragged or not counts:
        return ragged
    found: list[Diagnostic] = []
    for head, said in counts.items():
        tasks = _tasks_of(head, study)
        found += _contradictions(said, tasks[0] if len(tasks) == 1 else None)
        if not found and not head and not tasks and any(_against(built.context.task, said)):
            possible = [other.context.task for other in study.also_working(built.context.task)]
            if all(any(_against(task, said)) for task in possible):
                found += _why_no_other(study, said) or _against(built.context.task, said)
    return tuple(dict.fromkeys(found))


def _why_no_other(study: Study, said: list[_Count]) -> tuple[Diagnostic, ...]:
    """What keeps a loss from the tasks with room for so many classes, other than that it is not written for them."""
    roomy = (task for task in study.candidate_tasks if not any(_against(task, said)))
    faults = (fault for task in roomy for fault in study.faults_for(task))
    return tuple(dict.fromkeys(fault for fault in faults if fault.code != "LD301"))


def _tasks_of(head: str, study: Study) -> tuple[str, ...]:
    """The tasks that a prediction can have whatever the shapes are; empty where they decide."""
    if not head:
        task = study.options.task or study.facts.task
        return (task,) if task else ()
    return next(pair.tasks for pair in study.facts.pairs if of_pair(*pair.names) == head)


def _contradictions(said: list[_Count], task: str | None) -> Iterator[Diagnostic]:
    """What contradicts the task, else the first that gives a number."""
    against_the_task = list(_against(task, said)) if task else []
    if against_the_task:
        yield from against_the_task
        return
    known = next((one for one in said if one.exact), None)
    for one in said if known else ():
        if known and one.contradicts(known):
            yield _told(one, known.sentence, "all numbers of classes must be that of the prediction")


def _against(task: str, said: list[_Count]) -> Iterator[Diagnostic]:
    """What a task has no room for: more than one class, or just one."""
    fewest, most = task_record(task).classes
    for one in said:
        if one.count > most:
            hint = _MORE
            if one.exact and one.count == 2 and one.what.startswith("the class weights"):
                hint = f"weight the positives with pos_weight, as in bce(pos_weight=10); {_MORE}"
            yield _told(one, f"a {task} task has one class", hint)
        elif one.exact and one.count < fewest:
            message = f"{one.sentence}, and a softmax over one class is always 1"
            yield one.place.says("LD730", message, "for one channel use the task binary")


def _told(one: _Count, other: str, hint: str) -> Diagnostic:
    if not one.exact:
        message = f"there is no class {one.count - 1}: {other}"
        return one.place.says("LD723", message, f"classes are counted from 0{f'; {hint}' if hint == _MORE else ''}")
    return one.place.says("LD723", f"{one.sentence}, but {other}", hint)


def _counts(study: Study, built: BuiltLoss) -> dict[str, list[_Count]]:
    """All that is said about the classes of each prediction, by the suffix of its inputs; in the order of the text.

    The outputs of a list are one prediction, whose inputs have no suffix.
    """
    first = study.objective.terms[0].value.origin
    counts: dict[str, list[_Count]] = {}
    if study.options.class_weight is not None:
        place = study.spec.places.get("class_weight", Place(first.source, first.span))
        weights = _Count(len(tuple(study.options.class_weight)), True, "the class weights are", place)
        counts[""] = [weights]
    for prediction, one in sorted(_in_text(built, first), key=lambda found: _position(found[1].place)):
        counts.setdefault(_head(prediction), []).append(one)
    return counts


def _position(place: Place) -> tuple[str, int, int]:
    line, column = place.source.place(place.span.start) if place.span else (0, 0)
    return place.source.file or place.source.path, line, column


def _in_text(built: BuiltLoss, first: Place) -> Iterator[tuple[Node, _Count]]:
    """The lists of a formula, and the classes that it names, each with the prediction that it is about."""
    origins: dict[object, Place] = {}
    for expression, node in built.trace.read:
        if isinstance(expression, PerClass):
            origins.setdefault(node, expression.origin)
        elif isinstance(expression, ForClass):
            origins.setdefault(expression.classes, expression.origin)
    for used in built.trace.used:
        if not used.by_user:
            continue
        places = {name: value.origin for name, value in used.use.parameters}
        for name, node in used.parameters:
            origins.setdefault(node, places[name])
        for name, value in used.use.parameters:
            if isinstance(value, Numbers) and name in used.use.loss.documentation.classes:
                what = f"`{name}` of `{used.use.loss.name}` is"
                place = Place(value.origin.source, value.origin.span)
                yield used.head.space.prediction, _Count(len(value.values), True, what, place)
            elif isinstance(value, Numbers):
                origins.setdefault(class_numbers(flat(value.values)), value.origin)
    for node in in_order([built.total, *(node for node in origins if isinstance(node, Node))]):
        if node.operation == "per_class":
            origin = origins.get(node) or _user_of(node, built, first)
            what = f"`{written(origin)}` is"
            yield node.arguments[0], _Count(len(node.arguments) - 1, True, what, Place(origin.source, origin.span))
        elif node.operation == "class_is_one_of":
            classes = tuple(int(str(number)) for number in node.attributes)
            origin = origins.get(classes) or _user_of(node, built, first)
            yield node.arguments[0], _Count(max(classes) + 1, False, "", Place(origin.source, origin.span))


def _user_of(node: Node, built: BuiltLoss, first: Place) -> Place:
    """The loss in the user's text that something inside of a definition belongs to."""
    users = (used.use.origin for used in built.trace.used if used.by_user and node in in_order([used.node]))
    return next(users, first)


def _head(prediction: Node) -> str:
    """The suffix of the inputs of a prediction with a layout of its own, empty for `pred` and its scales."""
    _, at, pair = str(prediction.attributes[0]).partition("@")
    return f"{at}{pair}" if "/" in pair else ""


def _ragged(built: BuiltLoss) -> Iterator[Diagnostic]:
    """Tables for pairs of classes that are not square."""
    for used in built.trace.used:
        for name, value in used.use.parameters if used.by_user else ():
            if not isinstance(value, Numbers) or name not in used.use.loss.documentation.classes:
                continue
            rows = len(value.values)
            for number, row in enumerate(value.values, 1):
                if isinstance(row, tuple) and len(row) != rows:
                    message = f"`{name}` has {rows} row{'s' * (rows != 1)}, and {len(row)} numbers in row {number}"
                    hint = "it needs a row and a column for each class"
                    yield value.origin.says("LD208", message, hint)
                    break
