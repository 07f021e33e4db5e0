"""Check the keywords of `compile`, and join them with those of a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lossdsl import words
from lossdsl.errors import ConfigError, Diagnostic, Place, Source, nearest
from lossdsl.spec.data import value_of
from lossdsl.spec.model import Options
from lossdsl.spec.options import OPTIONS, read_options
from lossdsl.spec.values import Entry


def merged(base: Options, given: Mapping[str, Any]) -> Options:
    """The options of a config, overridden by the given keywords; None means not given.

    Raises ConfigError with all problems.
    """
    faults = [_unknown(name) for name, value in given.items() if value is not None and name not in OPTIONS]
    entries: dict[str, Entry] = {}
    for name in OPTIONS:
        if given.get(name) is not None:
            value = value_of(given[name], name)
            entries[name] = Entry(name, Place(Source(name, path=name)), value.value)
            faults += value.findings
    read = read_options(entries)
    if faults or read.findings:
        raise ConfigError([*faults, *read.findings])
    return replace(base, **{name: getattr(read.value, name) for name in entries})


def _unknown(name: str) -> Diagnostic:
    word = words.word(name, "key")
    hint = nearest(name, OPTIONS) or (word.hint if word else None) or f"options are {', '.join(OPTIONS)}"
    return Diagnostic("LD402", f"unknown option `{name}`", hint=hint)
