"""The tasks, one record each: all that the package knows of a task stands here, and nowhere else is one asked by name.

A new task is a record, its name in `Task`, and the definitions of the losses that it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Task: TypeAlias = Literal["binary", "multilabel", "multiclass", "regression"]
TASKS: tuple[Task, ...] = get_args(Task)
"""The names, in the order in which they are shown."""

Shape: TypeAlias = Sequence[int]


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What is known of one task.

    activation: what makes probabilities of logits, None where the prediction is raw numbers and the target no labels.
    classes: the fewest and the most. indices: the target may hold class indices instead of a number for each class.
    fits: whether a prediction and a target of these shapes look like it, None for the plainest, which has what is left.
    instead: what to write for a loss that is not for it, where the loss does not say so itself.
    """

    name: Task
    activation: Literal["sigmoid", "softmax"] | None
    classes: tuple[int, float]
    indices: bool
    fits: Callable[[Shape, Shape], bool] | None = None
    instead: str | None = None

    @property
    def has_labels(self) -> bool:
        """Whether the target is labels and the prediction, as one wants it, logits or probabilities."""
        return self.activation is not None

    @property
    def is_exclusive(self) -> bool:
        """Whether classes exclude each other: their probabilities add up to 1, and a mask is about pixels."""
        return self.activation == "softmax"

    @property
    def has_one_class(self) -> bool:
        """Whether there is never more than one class, so that the prediction needs no axis for them."""
        return self.classes == (1, 1)


def _lacks_classes(pred: Shape, target: Shape) -> bool:
    """(N, C, *spatial) and (N, *spatial)."""
    return len(pred) >= 2 and pred[1] > 1 and tuple(target) == (pred[0], *pred[2:])


def _images_of_classes(pred: Shape, target: Shape) -> bool:
    """(N, C, H, W, ...) twice."""
    return len(pred) >= 4 and pred[1] > 1 and tuple(pred) == tuple(target)


_ANY = (1, math.inf)
_RECORDS = (  # the plainest first: in this order they are tried where nothing says the task
    TaskRecord("binary", "sigmoid", (1, 1), False),
    TaskRecord("multiclass", "softmax", (2, math.inf), True, _lacks_classes),
    TaskRecord("multilabel", "sigmoid", _ANY, False, _images_of_classes),
    TaskRecord("regression", None, _ANY, False, instead="use a loss of a regression, such as mse, l1 or huber"),
)
_BY_NAME = {record.name: record for record in _RECORDS}
assert sorted(_BY_NAME) == sorted(TASKS), "each task is one record"
_CANDIDATES = {
    raw_only: tuple(record.name for record in _RECORDS if record.has_labels is not raw_only)
    for raw_only in (True, False)
}


def task_record(name: str) -> TaskRecord:
    """What is known of a task."""
    return _BY_NAME[name]  # type: ignore[index]  # a context holds the name as a plain text


def candidates(raw_only: bool) -> tuple[Task, ...]:
    """The tasks of a formula that does not say one. raw_only: it reads only the raw prediction and target."""
    return _CANDIDATES[raw_only]


def decide_task(pred: Shape, target: Shape, raw_only: bool) -> Task:
    """The task of a call whose task is not given: the candidate that its shapes fit, else the plainest."""
    plainest, *others = _CANDIDATES[raw_only]
    for name in others:
        fits = _BY_NAME[name].fits
        if fits and fits(pred, target):
            return name
    return plainest
