"""Check the keywords of `compile`, join them with those of a config, and document them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import Parameter, cleandoc, signature
from typing import Any, ParamSpec, TypeVar

from lossdsl import words
from lossdsl.config.options import OPTIONS, ROWS, Keywords, Options, read_given
from lossdsl.config.python_data import value_of
from lossdsl.config.values import Entry
from lossdsl.errors import ConfigError, Diagnostic, Place, Source, nearest

P = ParamSpec("P")
T = TypeVar("T")


def merged(base: Options, given: Mapping[str, Any]) -> Options:
    """The options of a config, overridden by the given keywords; None means not given.

    Raises ConfigError with all problems.
    """
    faults = [_unknown(name) for name in given if name not in OPTIONS]
    entries: dict[str, Entry] = {}
    for name in OPTIONS:
        if given.get(name) is not None:
            value = value_of(given[name], name)
            entries[name] = Entry(name, Place(Source(name, path=name)), value.value)
            faults += value.findings
    read = read_given(entries)
    if faults or read.findings:
        raise ConfigError([*faults, *read.findings])
    return replace(base, **read.value)


def _unknown(name: str) -> Diagnostic:
    word = words.word(name, "key")
    hint = nearest(name, OPTIONS) or (word.hint if word else None) or f"options are {', '.join(OPTIONS)}"
    return Diagnostic("LD402", f"unknown option `{name}`", hint=hint)


def with_options(function: Callable[P, T]) -> Callable[P, T]:
    """A function that takes `**options`, with each of them in its signature and its documentation."""
    plain = signature(function)
    *before, _ = plain.parameters.values()
    types = Keywords.__annotations__
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=types[name].__forward_arg__)
        for name in OPTIONS
    ]
    vars(function)["__signature__"] = plain.replace(parameters=[*before, *options])
    if function.__doc__:  # which Python leaves out where it is told to
        lines = cleandoc(function.__doc__).split("\n")
        (place,) = (number for number, line in enumerate(lines) if line.startswith("    options:"))
        lines[place : place + 1] = [line for name in OPTIONS for line in _documentation(name)]
        function.__doc__ = "\n".join(lines)
    return function


def _documentation(name: str) -> list[str]:
    row = ROWS[name]
    text = f"{name}: {row.doc}; {row.values}. Without it {row.without}."
    return textwrap.wrap(text, 116, initial_indent=" " * 4, subsequent_indent=" " * 8)
