"""Read the annotations of a kernel's parameters, which give ranges and choices."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args, get_origin

from lossdsl.errors import PluginError
from lossdsl.syntax import tree
from lossdsl.syntax.parse import parse_range


def parameter_of(name: str, parameter: inspect.Parameter, hint: Any) -> tree.ParameterSyntax:
    """The parameter of a kernel `name`.

    Raises PluginError if the annotation has neither a range nor choices.
    """
    words: tuple[str, ...] = ()
    interval, lists = None, 0
    if get_origin(hint) is Literal:
        words = tuple(str(word) for word in get_args(hint))
    elif get_origin(hint) is Annotated and isinstance(get_args(hint)[1], str):
        numbers, text, *_ = get_args(hint)
        kind, lists = _numbers(numbers)
        interval = replace(interval_of(name, text), whole=kind is int)
    else:
        example = 'Annotated[float, "[0, inf)"] or Literal["image", "batch"]'
        example = 'Literal["true", "false"]' if hint is bool else example
        raise PluginError(f"the parameter `{parameter.name}` of `{name}` needs a range: annotate it {example}")
    try:
        default = None if parameter.default is parameter.empty else _written(parameter.default)
    except (TypeError, ValueError):
        raise PluginError(
            f"the default of `{parameter.name}` of `{name}` is {parameter.default!r}, which is not a number"
        ) from None
    return tree.ParameterSyntax(parameter.name, interval, words, default, lists)


def interval_of(name: str, text: str) -> tree.Range:
    """Parse a range such as `[0, inf)`. Raises PluginError with the name of the kernel if it is not one."""
    if not isinstance(text, str):
        raise PluginError(f"the range of `{name}` must be a string, not {type(text).__name__}; for example [0, inf)")
    found = parse_range(text)
    if found is None:
        raise PluginError(f"`{text}` of `{name}` is not a range; for example [0, inf)")
    return found


def _numbers(hint: Any) -> tuple[Any, int]:
    """The type of the numbers, and 0 for float, 1 for Sequence[float] or the like, 2 for Sequence[Sequence[float]]."""
    depth = 0
    while isinstance(origin := get_origin(hint), type) and issubclass(origin, Sequence):
        hint = get_args(hint)[0]
        depth += 1
    return hint, depth


def _written(default: Any) -> tree.Expression:
    if isinstance(default, str):
        return tree.Name(default)
    if isinstance(default, Sequence):
        return tree.Listing(tuple(_written(item) for item in default))
    return tree.Number(float(default))
