"""Parameters that are lists of numbers: `spacing=[1, 1, 2.5]`, `distances=[[0, 1], [1, 0]]`."""

from __future__ import annotations

from collections.abc import Callable

from lossdsl.checking.resolved import NumberList, Numbers
from lossdsl.errors import Place, Source
from lossdsl.registry.model import Parameter
from lossdsl.registry.signatures import plain_number
from lossdsl.syntax import tree

_NO_SOURCE = Source("")
Number = Callable[[tree.Expression], float | None]


def written_list(parameter: Parameter, written: tree.Expression, number: Number, origin: Place) -> Numbers | None:
    """The list, None if it does not have the right depth. A single number is a list of one."""
    items: tree.Expression = written
    if parameter.lists == 1 and not isinstance(written, tree.Listing):
        items = tree.Listing((written,), written.span)
    values = _values(items, parameter.lists, number)
    return None if values is None else Numbers(values, origin)


def default_list(parameter: Parameter) -> NumberList:
    """The list that is the default in a signature."""
    assert parameter.default is not None
    found = written_list(parameter, parameter.default, plain_number, Place(_NO_SOURCE, parameter.span))
    assert found is not None, f"default of {parameter.name}"
    return found.values


def flat(values: NumberList) -> tuple[float, ...]:
    """All numbers of a list of any depth."""
    return tuple(number for value in values for number in (flat(value) if isinstance(value, tuple) else (value,)))


def flat_items(written: tree.Expression) -> tuple[tree.Expression, ...]:
    """The items of a list of any depth; an expression that is not a list is its own item."""
    if not isinstance(written, tree.Listing):
        return (written,)
    return tuple(item for inner in written.items for item in flat_items(inner))


def _values(written: tree.Expression, depth: int, number: Number) -> NumberList | None:
    if not isinstance(written, tree.Listing) or not written.items:
        return None
    read = [number(item) if depth == 1 else _values(item, depth - 1, number) for item in written.items]
    values = tuple(value for value in read if value is not None)
    return values if len(values) == len(read) else None
