"""LOSSDSL_PLUGINS: the plugins that a process can use. Unset means all, empty means none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import NamedTuple

from lossdsl.errors import nearest
from lossdsl.registry.contract import API, BUILT_IN, LIBRARIES, namespaced, provider_of

VARIABLE = "LOSSDSL_PLUGINS"


class Unknown(NamedTuple):
    """A name in the list that is not installed. near: the hint with a similar name, if there is one."""

    word: str
    near: str | None

    def __str__(self) -> str:
        told = f"{VARIABLE} lists `{self.word}`, but nothing with this name is installed"
        return f"{told}: {self.near}" if self.near else told


def limited(
    points: Iterable[EntryPoint], environment: Mapping[str, str]
) -> tuple[tuple[EntryPoint, ...], tuple[EntryPoint, ...], tuple[Unknown, ...]]:
    """The usable entry points, the excluded ones, and the names that are not installed.

    The list has names of distributions or namespaces.
    """
    points = tuple(points)
    written = environment.get(VARIABLE)
    if written is None:
        return points, (), ()
    words = [word.strip() for word in written.split(",") if word.strip()]
    wanted = {_normal(word) for word in words} | {BUILT_IN}
    used = tuple(point for point in points if point.group == API or wanted & _names(point))
    known = {BUILT_IN}.union(*map(_names, points))
    missing = (word for word in dict.fromkeys(words) if _normal(word) not in known)
    unknown = tuple(Unknown(word, nearest(_normal(word), known)) for word in missing)
    return used, tuple(point for point in points if point not in used), unknown


def _names(point: EntryPoint) -> set[str]:
    provider = provider_of(point)
    namespace = point.name if point.group == LIBRARIES else namespaced(point, provider)[0]
    return {_normal(provider.distribution)} | ({_normal(namespace)} - {BUILT_IN})


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip().lower())
