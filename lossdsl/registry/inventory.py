"""Every installed plugin and its state. To find the state, each loss is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from time import perf_counter
from typing import TypeAlias

from lossdsl.errors import Diagnostic, LossError
from lossdsl.registry.discover import Registry, clash
from lossdsl.registry.entry_points import BUILT_IN, provider_of
from lossdsl.registry.model import Formula

# What is wrong in the text of a definition, such as a name that nothing brings.
Look: TypeAlias = Callable[[Formula, Registry], Iterable[Diagnostic]]


@dataclass(frozen=True, slots=True)
class Part:
    """One entry point: its losses, their problems, and the seconds that loading took."""

    group: str
    name: str
    value: str
    losses: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed distribution that provides losses.

    state: `ready`; `broken`: a loss cannot be used; `left out`: LOSSDSL_PLUGINS excludes it, so it was not read.
    written_for: the interface version that it declares.
    """

    distribution: str
    version: str
    written_for: str | None
    state: str
    parts: tuple[Part, ...]


def plugins(registry: Registry, look: Look | None = None) -> tuple[Plugin, ...]:
    """All plugins, lossdsl first, then by name. look: returns the problems of a definition."""
    used = _by_distribution(registry.points)
    left_out = _by_distribution(registry.left_out)
    found = [_plugin(registry, who, points, look) for who, points in used.items()]
    found += [_left_out(registry, who, points) for who, points in left_out.items()]
    found += [_unreadable(who, problem) for who, problem in registry.unreadable]
    return tuple(sorted(found, key=lambda p: (p.distribution != BUILT_IN, p.distribution, p.version)))


def _by_distribution(points: Iterable[EntryPoint]) -> dict[tuple[str, str], list[EntryPoint]]:
    grouped: dict[tuple[str, str], list[EntryPoint]] = {}
    for point in points:
        provider = provider_of(point)
        grouped.setdefault((provider.distribution, provider.version), []).append(point)
    return grouped


def _plugin(registry: Registry, who: tuple[str, str], points: list[EntryPoint], look: Look | None) -> Plugin:
    parts = tuple(_part(registry, point, look) for point in points)
    state = "broken" if any(part.problems for part in parts) else "ready"
    return Plugin(*who, registry.versions.get(who[0]), state, parts)


def _left_out(registry: Registry, who: tuple[str, str], points: list[EntryPoint]) -> Plugin:
    parts = tuple(Part(point.group, point.name, point.value, (), (), 0.0) for point in points)
    return Plugin(*who, registry.versions.get(who[0]), "left out", parts)


def _unreadable(who: str, problem: str) -> Plugin:
    """A distribution whose losses are unknown, because its entry points cannot be read."""
    return Plugin(who, "", None, "broken", (Part("", "", "", (), (problem,), 0.0),))


def _part(registry: Registry, point: EntryPoint, look: Look | None) -> Part:
    started = perf_counter()
    names, problems = [], []
    for candidate in registry.brought_by(point):
        try:
            loss = registry.load(candidate)
        except LossError as error:
            problems += [found.message for found in error.diagnostics]
            continue
        faults = [*look(loss, registry)] if look and isinstance(loss, Formula) else []
        problems += [f"`{candidate.full_name}` cannot be used: {found.message}" for found in faults]
        if not faults:
            names.append(candidate.full_name)
        rivals = registry.candidates(candidate.full_name)
        if len(rivals) > 1:
            problems.append(f"`{candidate.full_name}` may be {clash(rivals)[0]}")
    seconds = perf_counter() - started
    return Part(point.group, point.name, point.value, tuple(names), tuple(dict.fromkeys(problems)), seconds)
