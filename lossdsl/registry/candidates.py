"""List the losses of entry points by name without importing them, and load one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TypeAlias

from lossdsl.errors import Diagnostic, LossError, PluginError
from lossdsl.registry.define import apart
from lossdsl.registry.entry_points import BUILT_IN, LOSSES, namespaced, provider_of
from lossdsl.registry.kernels import kernel_of
from lossdsl.registry.loss_files import (
    Absence,
    Entry,
    library_files,
    parse_entry,
    read_absences,
    read_entries,
    read_packages,
)
from lossdsl.registry.model import LOCAL, Formula, Kernel, Loss, Provider
from lossdsl.registry.passing import is_passing

ANY = "*"
"""The name of the candidate for a namespace that cannot be read."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The reason why a loss cannot be used."""

    reason: str


Content: TypeAlias = Entry | EntryPoint | Formula | Kernel | Unusable


@dataclass(frozen=True, slots=True)
class Candidate:
    """A known loss that is not loaded yet: an entry of a .loss file, an entry point, or one of this process."""

    name: str
    namespace: str
    provider: Provider
    content: Content

    @property
    def full_name(self) -> str:
        return f"{self.namespace}.{self.name}"

    @property
    def usable(self) -> bool:
        return not isinstance(self.content, Unusable)

    @property
    def qualified(self) -> bool:
        """Whether formulas must write its full name."""
        return isinstance(self.content, Entry) and self.content.qualified

    @property
    def own(self) -> bool:
        """Whether it is a built-in or of this process, so that its name does not depend on installed plugins."""
        return self.namespace in (BUILT_IN, LOCAL)

    @property
    def folder(self) -> Path | None:
        """The path of its .loss file, None for a kernel."""
        return Path(self.content.source.file or "").resolve().parent if isinstance(self.content, Entry) else None


def candidates_of(point: EntryPoint, reason: str | None) -> Iterator[Candidate]:
    """The losses of an entry point. If a reason is given why it cannot be used, none of them can."""
    provider = provider_of(point)
    if point.group == LOSSES:
        namespace, name = namespaced(point, provider)
        yield Candidate(name, namespace, provider, Unusable(reason) if reason else point)
        return
    try:
        entries = [entry for path in library_files(point.value) for entry in read_entries(path)]
    except (Exception, SystemExit) as cause:  # a broken library fails alone, in whatever way it does
        entries, reason = [], reason or f"the library {provider.exactly} cannot be read: {told(cause)}"
    for entry in entries:
        yield Candidate(entry.name, point.name, provider, Unusable(reason) if reason else entry)
    if not entries and reason:
        yield Candidate(ANY, point.name, provider, Unusable(reason))


def absences_of(point: EntryPoint) -> list[Absence]:
    """The absences of a library. Empty if it cannot be read, which `candidates_of` reports."""
    if point.group == LOSSES:
        return []
    try:
        return [absence for path in library_files(point.value) for absence in read_absences(path)]
    except (Exception, SystemExit):
        return []


def packages_of(point: EntryPoint) -> tuple[str, ...]:
    """The Python packages whose losses a library has, with its own name. Empty if it cannot be read."""
    if point.group == LOSSES:
        return ()
    try:
        return (point.name, *(name for path in library_files(point.value) for name in read_packages(path)))
    except (Exception, SystemExit):
        return ()


def load(candidate: Candidate) -> Loss:
    """Read or import one loss. Raises FormulaError (in its text) or PluginError (in its import)."""
    match candidate.content:
        case Entry() as entry:
            return parse_entry(entry, candidate.namespace, candidate.provider)
        case EntryPoint() as point:
            return _imported(candidate, point)
        case Unusable(reason):
            raise PluginError([Diagnostic("LD602", reason)])
        case loss:
            return loss


def _imported(candidate: Candidate, point: EntryPoint) -> Kernel:
    who = f"`{candidate.name}` of {candidate.provider.exactly}"
    try:
        with apart():  # an import makes nothing known but what its entry points name
            kernel = kernel_of(point.load())
    except BaseException as cause:  # also SystemExit
        if isinstance(cause, KeyboardInterrupt) or is_passing(cause):
            raise
        raise PluginError([Diagnostic("LD602", f"{who} cannot be imported: {told(cause)}")]) from cause
    if kernel is None:
        raise PluginError([Diagnostic("LD602", f"{who} is not decorated with @lossdsl.loss")])
    return replace(kernel, name=candidate.name, namespace=candidate.namespace, provider=candidate.provider)


def told(cause: BaseException) -> str:
    """An exception as one line of text."""
    if isinstance(cause, LossError):
        return cause.diagnostics[0].message
    if isinstance(cause, SyntaxError) and cause.filename:
        return f"{type(cause).__name__}: {cause.msg} ({cause.filename}, line {cause.lineno})"
    return repr(cause)
