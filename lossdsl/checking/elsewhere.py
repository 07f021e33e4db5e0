"""Hints for names of a Python library that are missing here, or have another name."""

from __future__ import annotations

from collections.abc import Iterable

from lossdsl.registry.discover import Registry


def written_elsewhere(name: str, kind: str, registry: Registry, known: Iterable[str]) -> tuple[str, str] | None:
    """A message and a hint for a name that is missing here, or has a longer path there; None for any other name.

    known: what may be written here. A short name that differs from one of these by its capitals alone is that name,
    and one that other libraries have is theirs.
    """
    if "." not in name and (registry.namesakes(name) or name.lower() in {other.lower() for other in known}):
        return None
    absence = registry.absence(name)
    if absence:
        return f"there is no `{name}`: {absence.reason}", absence.instead
    short = registry.shortened(name)
    absence = registry.absence(short) if short else None
    if absence:
        return f"there is no `{name}`: {absence.reason}", absence.instead
    if short:
        return f"unknown {kind} `{name}`", f"write {short}"
    rivals = registry.absences(name)
    if rivals:
        ways = [f"for {full}: {absence.instead}" for full, absence in rivals.items()]
        same = len({absence.instead for absence in rivals.values()}) == 1
        return f"unknown {kind} `{name}`", next(iter(rivals.values())).instead if same else "; ".join(ways)
    return None
