"""The entry points of the installed plugins that this process may use, and the contract that each must keep to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from typing import NamedTuple

from lossdsl.errors import nearest
from lossdsl.registry.model import LOCAL, Provider

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


# namespace -> distribution
NAMESPACES = {
    "boundary": "lossdsl-boundary",
    "keras": "lossdsl-dialects",
    "kornia": "lossdsl-dialects",
    "monai": "lossdsl-dialects",
    "nnunet": "lossdsl-dialects",
    "smp": "lossdsl-dialects",
    "toolbelt": "lossdsl-dialects",
}
# Names that are written without their namespace too.
SHORT = {
    "boundary": "boundary",
    "distance_ce": "boundary",
    "distance_map": "boundary",
    "hausdorff": "boundary",
    "hausdorff_erosion": "boundary",
    "log_hausdorff": "boundary",
    "shape_aware": "boundary",
}


def who_brings(name: str) -> str | None:
    """The distribution to install for a name, None if none is known."""
    namespace, dot, _ = name.partition(".")
    return NAMESPACES.get(namespace if dot else SHORT.get(name, ""))


API = "lossdsl.api"
LIBRARIES = "lossdsl.libraries"
LOSSES = "lossdsl.losses"
BUILT_IN = "lossdsl"

VERSION = (1, 0)
"""The version of the plugin interface: the entry-point groups, `@lossdsl.loss` and .loss files."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?", re.ASCII)


def provider_of(point: EntryPoint) -> Provider:
    """The distribution of an entry point, whose metadata can be missing or damaged."""
    distribution = getattr(point, "dist", None)
    if distribution is None:
        return Provider(BUILT_IN, "", point.value, installed=True)
    name, version = _identity(distribution)
    return Provider(name or f"the distribution of {point.value}", version or "", point.value, installed=True)


@lru_cache(maxsize=1024)
def _identity(distribution: Distribution) -> tuple[str | None, str | None]:
    """Name and version. Reading them parses the metadata each time, and a distribution has many entry points."""
    try:
        return distribution.name, distribution.version
    except Exception:
        return None, None


def namespaced(point: EntryPoint, provider: Provider) -> tuple[str, str]:
    """Namespace and name of an entry point for one loss; by default the namespace is the name of the distribution."""
    namespace, _, short = point.name.rpartition(".")
    own = provider.distribution.lower().removeprefix("lossdsl-")
    return namespace or re.sub(r"\W", "_", own, flags=re.ASCII), short


def declared_versions(points: Iterable[EntryPoint]) -> dict[str, str]:
    """The interface version of each distribution, which is the name of its entry point `lossdsl.api`."""
    return {provider_of(point).distribution: point.name for point in points if point.group == API}


def refusal(point: EntryPoint, provider: Provider, written_for: str | None, own: Provider) -> str | None:
    """Why an entry point cannot be used, None if it can. own: the provider of lossdsl itself."""
    if written_for is not None and not _fits(written_for):
        ours = ".".join(map(str, VERSION))
        return f"{provider.exactly} is written for version {written_for} of lossdsl's interface; {own} has {ours}"
    if point.group == LOSSES and not _NAME.fullmatch(point.name):
        return f"{provider.exactly} has the name `{point.name}`, which cannot be written in a formula"
    if point.group == LIBRARIES and not point.name.isidentifier():
        return f"{provider.exactly} has the namespace `{point.name}`, which cannot be written in a formula"
    namespace = point.name if point.group == LIBRARIES else namespaced(point, provider)[0]
    if namespace == LOCAL or (namespace == BUILT_IN and provider.distribution != BUILT_IN):
        whose = f"the built-ins of {own}" if namespace == BUILT_IN else "the losses that a process registers"
        return f"{provider.exactly} takes the namespace `{namespace}`, which belongs to {whose}"
    return None


def _fits(version: str) -> bool:
    """Whether an interface version is compatible: the same major and not a higher minor version."""
    try:
        major, minor = (int(part) for part in (*version.split("."), "0")[:2])
    except ValueError:
        return False
    return major == VERSION[0] and minor <= VERSION[1]
