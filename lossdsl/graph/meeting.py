"""What meets in one operation: one operand has all the axes of the others, and one choice of classes holds for all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lossdsl.errors import Diagnostic, Place
from lossdsl.graph.choices import Classes
from lossdsl.graph.frames import Fault, the_axes
from lossdsl.graph.nodes import NO_AXES, Node
from lossdsl.tasks import task_record


@dataclass(frozen=True, slots=True)
class Operand:
    """A value where it is written. classes: those of it that count, None for all."""

    origin: Place
    node: Node
    classes: Classes | None = None


def met(origin: Place, operands: Sequence[Operand], task: str) -> Classes | None:
    """The classes that count for the result of an operation, judged as a whole: `a*b*c` is one.

    Raises Fault where the axes or the classes of the operands do not fit: broadcasting a number for each class against
    one for each pixel would make a map that nobody wrote.
    """
    axes = NO_AXES.union(*(operand.node.axes for operand in operands))
    if all(operand.node.axes != axes for operand in operands):
        raise Fault(_apart(origin, operands, task))
    chosen = [operand.classes for operand in operands if operand.classes]
    for other in chosen[1:]:
        if other.numbers != chosen[0].numbers:
            one, two = chosen[0].origin.text, other.origin.text
            message = f"`{one}` uses the classes {chosen[0]}, `{two}` the classes {other}"
            raise Fault(origin.says("LD308", message, f"reduce each of them first: mean({one})"))
    return chosen[0] if chosen else None


def _apart(origin: Place, operands: Sequence[Operand], task: str) -> Diagnostic:
    """Two operands, neither of which has all axes of the other."""
    widest = max(operands, key=lambda operand: len(operand.node.axes))
    other = next(operand for operand in operands if not operand.node.axes <= widest.node.axes)
    first, second = sorted((widest, other), key=operands.index)
    message = ", but ".join(f"`{one.origin.text}` has {the_axes(one.node.axes)}" for one in (first, second))
    hint = "reduce one of them, or multiply both into a map that has all these axes"
    of_classes = [one for one in (first, second) if "class" in one.node.axes]
    if task_record(task).is_exclusive and len(of_classes) == 1:
        text = of_classes[0].origin.text
        text = f"({text})" if re.search(r"[-+ ]", re.sub(r"\[[^]]*\]|\([^)]*\)", "", text)) else text
        own = f"sum({text}*y, over=class) gives each element the number of its class"
        hint = f"{own}; class_weight= weights the classes and divides by the weights"
    return origin.says("LD308", message, hint)
