"""Check a plugin before it is imported: its interface version and its names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint

from lossdsl.registry.model import LOCAL, Provider

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
