"""Find losses by name. Installed entry points define the names; a loss is imported at its first use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache
from importlib import invalidate_caches
from importlib.metadata import EntryPoint
from pathlib import Path

from lossdsl.errors import LossError
from lossdsl.registry.candidates import ANY, Candidate, Unusable, absences_of, candidates_of, load, packages_of, told
from lossdsl.registry.define import local_losses, unregistered
from lossdsl.registry.entry_points import (
    API,
    BUILT_IN,
    LIBRARIES,
    LOSSES,
    VARIABLE,
    Unknown,
    declared_versions,
    installed_points,
    limited,
    provider_of,
    refusal,
    who_brings,
)
from lossdsl.registry.loss_files import Absence, Entry, read_entries
from lossdsl.registry.model import Loss, Provider

# Used in a plain checkout, where no installed metadata names the built-ins.
_KERNELS = {
    "boxes": ("giou",),
    "classes": ("class_distance",),
    "images": ("ms_ssim", "total_variation"),
    "kernels": ("lovasz_extension",),
    "pairs": ("barlow_twins", "nt_xent"),
    "skeleton": ("soft_skeleton",),
    "tempered": ("tempered_sigmoid", "tempered_softmax"),
}
_OWN = (
    EntryPoint(BUILT_IN, "lossdsl.library", LIBRARIES),
    *(
        EntryPoint(name, f"lossdsl.library.{module}:{name}", LOSSES)
        for module, names in _KERNELS.items()
        for name in names
    ),
)


class Registry:
    """Finds losses by name. Immutable after construction; loaded losses are cached."""

    def __init__(
        self,
        points: Iterable[EntryPoint],
        left_out: Iterable[EntryPoint] = (),
        unknown: Iterable[Unknown] = (),
        *,
        entries: Iterable[Candidate] = (),
        unreadable: Iterable[tuple[str, str]] = (),
    ):
        distinct = {(p.group, p.name, p.value, str(provider_of(p))): p for p in points}
        self._points = tuple(distinct[key] for key in sorted(distinct))
        self._left_out = tuple(left_out)
        self.unknown = tuple(unknown)
        """The names in LOSSDSL_PLUGINS that are not installed."""
        self.unreadable = tuple(unreadable)
        """The distributions whose entry points cannot be read, with the reason."""
        self._entries = tuple(entries)
        self._loaded: dict[tuple[str, Provider], Loss] = {}

    @property
    def points(self) -> tuple[EntryPoint, ...]:
        """The usable entry points of losses and libraries, in a fixed order."""
        return tuple(point for point in self._points if point.group != API)

    @property
    def left_out(self) -> tuple[EntryPoint, ...]:
        """The entry points that LOSSDSL_PLUGINS excludes."""
        return self._left_out

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """The interface version that each distribution declares."""
        return declared_versions([*self._points, *self._left_out])

    @cached_property
    def _installed(self) -> tuple[Candidate, ...]:
        folders = {candidate.folder for candidate in self._entries}
        installed = (candidate for point in self.points for candidate in self.brought_by(point))
        return (*(c for c in installed if c.folder is None or c.folder not in folders), *self._entries)

    def brought_by(self, point: EntryPoint) -> tuple[Candidate, ...]:
        """The losses of one entry point."""
        return tuple(candidates_of(point, self._refusal(point)))

    def _refusal(self, point: EntryPoint) -> str | None:
        provider = provider_of(point)
        return refusal(point, provider, self.versions.get(provider.distribution), _own_provider())

    @cached_property
    def _accepted(self) -> tuple[EntryPoint, ...]:
        return tuple(point for point in self.points if self._refusal(point) is None)

    def with_library(self, file: Path, entries: Iterable[Entry]) -> tuple[Registry, str]:
        """A registry in which the folder of a .loss file is a library, and the name of that library.

        The file is read as if it contained `entries`. The folder of an installed library keeps its name, another is
        known by the name of the folder.
        """
        home = file.resolve().parent
        own = next((candidate for candidate in self._installed if candidate.folder == home), None)
        namespace = own.namespace if own else home.name
        provider = own.provider if own else Provider(str(file.parent), "", namespace)
        others = (path for path in sorted(home.glob("*.loss")) if path != file.resolve())
        candidates = [Candidate(entry.name, namespace, provider, entry) for entry in entries]
        for path in others:
            try:
                candidates += [Candidate(entry.name, namespace, provider, entry) for entry in read_entries(path)]
            except (LossError, OSError, ValueError) as cause:  # told where a name of this folder is missed
                reason = Unusable(f"`{path}` cannot be read: {told(cause)}")
                candidates.append(Candidate(ANY, namespace, provider, reason))
        return Registry(self._points, self._left_out, self.unknown, entries=candidates), namespace

    @cached_property
    def _by_name(self) -> dict[str, list[Candidate]]:
        return _grouped(self._installed)

    def _local(self, name: str | None = None) -> tuple[Candidate, ...]:
        """The losses that this process registered, unless an entry point provides the same function."""
        return tuple(
            Candidate(loss.name, loss.namespace, loss.provider, loss)
            for loss in local_losses()
            if name in (None, loss.name) and loss.provider.entry_point not in self._entry_points
        )

    @cached_property
    def _entry_points(self) -> frozenset[str]:
        return frozenset(point.value for point in self._accepted if point.group == LOSSES)

    def _all(self) -> tuple[Candidate, ...]:
        return (*self._installed, *self._local())

    def candidates(self, name: str, home: str = BUILT_IN) -> tuple[Candidate, ...]:
        """The losses that `name` can mean; several are a conflict. A short name is looked up in `home` first, and not
        among losses elsewhere that need their full name. Usable losses have priority over broken ones."""
        namespace, dot, short = name.rpartition(".")
        named = [*self._by_name.get(short, ()), *self._local(short)]
        if dot:
            own = _able(c for c in named if c.namespace == namespace)
            return own or tuple(c for c in self._by_name.get(ANY, ()) if c.namespace == namespace)
        for preferred in (home, BUILT_IN):
            own = _able(c for c in named if c.namespace == preferred)
            if own and (own[0].usable or preferred != BUILT_IN):
                # A plugin's loss of the same name has its full name; one of this process would be meant, so it clashes.
                return (*own, *(self._local(short) if preferred == BUILT_IN else ()))
        return self._readable(_able(c for c in named if not c.qualified))

    def _readable(self, rivals: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """The candidates without broken ones, if there are several; all if every one is broken."""
        if len(rivals) < 2:
            return rivals
        return tuple(c for c in rivals if not isinstance(c.content, Entry) or self._can_load(c)) or rivals

    def _can_load(self, candidate: Candidate) -> bool:
        try:
            self.load(candidate)
        except LossError:
            return False
        return True

    def namesakes(self, name: str) -> tuple[Candidate, ...]:
        """The losses with the short name `name` that need their full name."""
        return tuple(c for c in self._by_name.get(name, ()) if c.qualified)

    def absence(self, name: str) -> Absence | None:
        """The absence of this name in a library; None if there is none or more than one."""
        found = self.absences(name)
        return next(iter(found.values())) if len(found) == 1 else None

    def absences(self, name: str) -> Mapping[str, Absence]:
        """The absences of this name in libraries, by full name."""
        namespace, dot, short = name.rpartition(".")
        found = ((home, a) for home, a in self._absences if a.name == short and (not dot or home == namespace))
        return {f"{home}.{short}": absence for home, absence in found}

    def shortened(self, path: str) -> str | None:
        """The name of a loss that Python code writes as `package.module.Name`; None if no library has it."""
        module, _, short = path.rpartition(".")
        for package, namespace in self._packages:
            name = f"{namespace}.{short}"
            if (
                f"{module}.".startswith(f"{package}.")
                and name != path
                and (self.candidates(name) or self.absence(name))
            ):
                return name
        return None

    @cached_property
    def _packages(self) -> tuple[tuple[str, str], ...]:
        """Python packages and the namespaces of their losses."""
        return tuple((package, p.name) for p in self._accepted if p.name != BUILT_IN for package in packages_of(p))

    @cached_property
    def _absences(self) -> tuple[tuple[str, Absence], ...]:
        return tuple((point.name, absence) for point in self._accepted for absence in absences_of(point))

    def load(self, candidate: Candidate) -> Loss:
        """Read or import one loss. Raises FormulaError (in its text) or PluginError (in its import)."""
        if not candidate.provider.installed:
            return load(candidate)
        key = (candidate.full_name, candidate.provider)
        if key not in self._loaded:
            self._loaded[key] = load(candidate)
        return self._loaded[key]

    def names(self) -> tuple[str, ...]:
        """Every name that formulas can use: short for built-ins and unique losses, full otherwise."""
        by_name: Mapping[str, list[Candidate]] = _grouped(c for c in self._all() if c.usable and not c.qualified)
        short = [name for name, found in by_name.items() if len(found) == 1 or found[0].namespace == BUILT_IN]
        full = [c.full_name for c in self._all() if c.namespace != BUILT_IN and c.usable]
        return tuple(sorted({*short, *full}))

    def own_names(self) -> frozenset[str]:
        """The names of built-ins and of losses of this process, which do not depend on installed plugins."""
        return frozenset(c.name for c in self._all() if c.own and c.usable)

    def built_ins(self) -> tuple[Loss, ...]:
        return tuple(self.load(c) for c in self._installed if c.namespace == BUILT_IN and c.usable)

    def all(self) -> tuple[Candidate, ...]:
        return tuple(sorted(self._all(), key=lambda c: (c.namespace != BUILT_IN, c.namespace, c.name, str(c.provider))))

    def advice(self, name: str) -> str | None:
        """The hint for an unknown name: allow an excluded plugin, or install one."""
        if self._left_out:
            for candidate in Registry([*self._left_out]).candidates(name):
                slips = [str(unknown) for unknown in self.unknown if unknown.near]
                return "; ".join([f"{candidate.provider} provides it, but {VARIABLE} excludes it", *slips])
        distribution = who_brings(name)
        installed = {provider_of(point).distribution for point in self._points} if distribution else ()
        return f"pip install {distribution}" if distribution and distribution not in installed else None


def clash(found: Iterable[Candidate]) -> tuple[str, str]:
    """The owners of an ambiguous name, and the hint."""
    found = sorted(found, key=lambda c: (c.full_name, str(c.provider)))
    full = dict.fromkeys(c.full_name for c in found)
    if len(full) == len(found):
        return " and ".join(f"`{c.full_name}` of {c.provider}" for c in found), f"write {' or '.join(full)}"
    owners = " and ".join(f"`{c.full_name}` of {c.provider.exactly}" for c in found)
    return owners, f"uninstall one of them, or list those to use in {VARIABLE}"


_TEMPORARY: list[Registry] = []


def default_registry() -> Registry:
    """The registry of the installed losses. Metadata is read once per process."""
    return _TEMPORARY[-1] if _TEMPORARY else _installed_registry()


@contextmanager
def temporary_registry(points: Iterable[EntryPoint] = (), *, installed: bool = True) -> Iterator[Registry]:
    """A temporary registry with additional entry points. At the end, losses registered inside of it are removed."""
    base = _installed_registry()
    kept = [p for p in base._points if installed or provider_of(p).distribution == BUILT_IN]
    registry = Registry([*kept, *points])
    _TEMPORARY.append(registry)
    try:
        with unregistered():
            yield registry
    finally:
        _TEMPORARY.remove(registry)


@lru_cache(maxsize=1)
def _installed_registry() -> Registry:
    found, unreadable = installed_points((API, LIBRARIES, LOSSES))
    own = () if any(point.name == BUILT_IN and provider_of(point).distribution == BUILT_IN for point in found) else _OWN
    return Registry(*limited([*found, *own], os.environ), unreadable=unreadable)


def rediscover() -> None:
    """Read the installed plugins again, for example in a notebook after `pip install` of a plugin.

    >>> import lossdsl
    >>> lossdsl.rediscover()
    """
    invalidate_caches()
    _installed_registry.cache_clear()


def _own_provider() -> Provider:
    return next(
        (provider_of(point) for point in _installed_registry().points if point.name == BUILT_IN),
        Provider(BUILT_IN, "", ""),
    )


def _able(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The usable candidates; all if none is usable, so that the reason is reported."""
    found = tuple(candidates)
    return tuple(c for c in found if c.usable) or found


def _grouped(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    grouped: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: c.namespace != BUILT_IN):
        grouped.setdefault(candidate.name, []).append(candidate)
    return grouped
