"""Example calls of a loss: values for the required parameters."""

from __future__ import annotations

from collections.abc import Iterator

from lossdsl.registry.model import Loss, Parameter
from lossdsl.syntax.printing import number
from lossdsl.syntax.tree import Range
from lossdsl.tasks import TASKS


def required_words(loss: Loss) -> Iterator[str]:
    """The required parameters with valid values; one example per task if a parameter decides the task."""
    required = [parameter for parameter in loss.parameters if parameter.default is None]
    for task in loss.tasks or TASKS if any(parameter.decides_task for parameter in required) else TASKS[:1]:
        yield ", ".join(f"{p.name}={task if p.decides_task else _example(p, loss)}" for p in required)


def _example(parameter: Parameter, loss: Loss) -> str:
    """A valid value of a parameter; a list of one, or of two if it is about the classes."""
    if parameter.interval is None:
        return parameter.words[0]
    inside = next(value for value in (1.0, *_ends(parameter.interval)) if value in parameter.interval)
    text, items = number(inside), 2 if parameter.name in loss.documentation.classes else 1
    for _ in range(parameter.lists):
        text = f"[{', '.join([text] * items)}]"
    return text


def _ends(interval: Range) -> Iterator[float]:
    """Numbers, at least one of which is in the range."""
    yield from (interval.low, interval.high, (interval.low + interval.high) / 2, interval.low + 1, interval.high - 1)
