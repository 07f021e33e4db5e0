"""The entry points of all installed distributions, even if the files of one of them are damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points


def installed_points(groups: Sequence[str]) -> tuple[tuple[EntryPoint, ...], tuple[tuple[str, str], ...]]:
    """The entry points of the given groups, and the distributions whose entry points cannot be read, with the reason.

    If a file of one package is damaged, Python fails for all, so each distribution is then read separately.
    """
    try:
        installed = entry_points()  # once: every call reads the metadata of all distributions
        return tuple(point for group in groups for point in installed.select(group=group)), ()
    except Exception:  # a parser of text that anyone can have written
        return _one_by_one(groups)


def _one_by_one(groups: Sequence[str]) -> tuple[tuple[EntryPoint, ...], tuple[tuple[str, str], ...]]:
    found: list[EntryPoint] = []
    unreadable: list[tuple[str, str]] = []
    for name, distribution in _distinct():
        try:
            found += [point for point in distribution.entry_points if point.group in groups]
        except Exception as cause:
            unreadable.append((name, f"its entry_points.txt cannot be read: {cause!r}"))
    return tuple(sorted(found, key=lambda point: groups.index(point.group))), tuple(unreadable)


def _distinct() -> Iterator[tuple[str, Distribution]]:
    """The distributions by name. Of two with the same name the first on the path is used, as in an import."""
    seen = set()
    for distribution in distributions():
        name = _name(distribution)
        if name not in seen:
            seen.add(name)
            yield name, distribution


def _name(distribution: Distribution) -> str:
    try:
        return str(distribution.name)
    except Exception:  # damaged metadata; it may bring nothing that concerns us
        folder = getattr(distribution, "_path", None)
        return getattr(folder, "name", "") or repr(distribution)
