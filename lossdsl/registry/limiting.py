"""LOSSDSL_PLUGINS: which plugins a process may use. Unset means all, empty means none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint

from lossdsl.registry.contract import API, BUILT_IN, LIBRARIES, namespaced, provider_of

VARIABLE = "LOSSDSL_PLUGINS"


def limited(
    points: Iterable[EntryPoint], environment: Mapping[str, str]
) -> tuple[tuple[EntryPoint, ...], tuple[EntryPoint, ...]]:
    """The entry points that may be used, and those that are left out. A list names distributions or namespaces."""
    points = tuple(points)
    written = environment.get(VARIABLE)
    if written is None:
        return points, ()
    wanted = {_normal(word) for word in written.split(",")} | {BUILT_IN}
    used = tuple(point for point in points if point.group == API or wanted & _names(point))
    return used, tuple(point for point in points if point not in used)


def _names(point: EntryPoint) -> set[str]:
    provider = provider_of(point)
    namespace = point.name if point.group == LIBRARIES else namespaced(point, provider)[0]
    return {_normal(provider.distribution)} | ({_normal(namespace)} - {BUILT_IN})


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip().lower())
