"""Names to losses. Installed entry points say which names exist; nothing is imported until a name is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points

from lossdsl.errors import PluginError
from lossdsl.registry.kernels import kernel_of, local_kernels
from lossdsl.registry.library import Absence, Entry, library_files, parse_entry, read_absences, read_entries
from lossdsl.registry.model import Kernel, Loss, Provider

LIBRARIES = "lossdsl.libraries"
LOSSES = "lossdsl.losses"
BUILT_IN = "lossdsl"

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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A loss known by name and not yet read: an entry of a .loss file, an entry point, or a local kernel."""

    name: str
    namespace: str
    provider: Provider
    content: Entry | EntryPoint | Kernel

    @property
    def qualified(self) -> bool:
        """Whether it is meant by its full name alone."""
        return isinstance(self.content, Entry) and self.content.qualified


class Registry:
    """Looks names up. Immutable after construction; loaded losses are remembered."""

    def __init__(self, points: Iterable[EntryPoint]):
        self._points = tuple(sorted(set(points), key=lambda point: (point.group, point.name, point.value)))
        self._loaded: dict[tuple[str, str], Loss] = {}

    @cached_property
    def _installed(self) -> tuple[Candidate, ...]:
        return tuple(candidate for point in self._points for candidate in _candidates(point))

    @cached_property
    def _by_name(self) -> dict[str, list[Candidate]]:
        return _grouped(self._installed)

    def _local(self, name: str | None = None) -> tuple[Candidate, ...]:
        """What this process registered, unless an entry point brings the same function."""
        return tuple(
            Candidate(kernel.name, kernel.namespace, kernel.provider, kernel)
            for kernel in local_kernels().values()
            if name in (None, kernel.name) and kernel.provider.entry_point not in self._entry_points
        )

    @cached_property
    def _entry_points(self) -> frozenset[str]:
        return frozenset(candidate.provider.entry_point for candidate in self._installed)

    def _all(self) -> tuple[Candidate, ...]:
        return (*self._installed, *self._local())

    def candidates(self, name: str, home: str = BUILT_IN) -> tuple[Candidate, ...]:
        """What `name` may mean; more than one is a clash. A short name is looked up in `home` first, and means nothing
        elsewhere that wants its full name."""
        namespace, dot, short = name.rpartition(".")
        named = [*self._by_name.get(short, ()), *self._local(short)]
        matches = tuple(c for c in named if not dot or c.namespace == namespace)
        for preferred in (home, BUILT_IN):
            own = tuple(c for c in matches if c.namespace == preferred)
            if own and not dot:
                # A plugin's loss of the same name has its full name; one of this process would be meant, so it clashes.
                return (*own, *self._local(short))
        return matches if dot else tuple(c for c in matches if not c.qualified)

    def namesakes(self, name: str) -> tuple[Candidate, ...]:
        """The losses that would be meant by `name` if it were written in full."""
        return tuple(c for c in self._by_name.get(name, ()) if c.qualified)

    def absence(self, name: str) -> Absence | None:
        """Why a library leaves this name out; None where none says so, or where more than one does."""
        namespace, dot, short = name.rpartition(".")
        found = [a for home, a in self._absences if a.name == short and (not dot or home == namespace)]
        return found[0] if len(found) == 1 else None

    @cached_property
    def _absences(self) -> tuple[tuple[str, Absence], ...]:
        return tuple((point.name, absence) for point in self._points for absence in _absences(point))

    def load(self, candidate: Candidate) -> Loss:
        """Read or import one loss. Raises FormulaError (in its text) or PluginError (in its import)."""
        key = (candidate.namespace, candidate.name)
        if isinstance(candidate.content, Kernel):
            return candidate.content
        if key not in self._loaded:
            self._loaded[key] = _load(candidate)
        return self._loaded[key]

    def names(self) -> tuple[str, ...]:
        """Every name that can be written: short for built-ins and unique losses, full otherwise."""
        by_name: Mapping[str, list[Candidate]] = _grouped(c for c in self._all() if not c.qualified)
        short = [name for name, found in by_name.items() if len(found) == 1 or found[0].namespace == BUILT_IN]
        full = [f"{c.namespace}.{c.name}" for c in self._all() if c.namespace != BUILT_IN]
        return tuple(sorted({*short, *full}))

    def built_ins(self) -> tuple[Loss, ...]:
        return tuple(self.load(candidate) for candidate in self._installed if candidate.namespace == BUILT_IN)

    def all(self) -> tuple[Candidate, ...]:
        return tuple(sorted(self._all(), key=lambda c: (c.namespace != BUILT_IN, c.namespace, c.name)))


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """The registry of what is installed. Metadata is read once per process."""
    points = [*entry_points(group=LIBRARIES), *entry_points(group=LOSSES)]
    own = () if any(point.name == BUILT_IN for point in points) else _OWN
    return Registry([*points, *own])


def _candidates(point: EntryPoint) -> list[Candidate]:
    provider = _provider(point)
    if point.group == LOSSES:
        namespace, _, short = point.name.rpartition(".")
        home = namespace or provider.distribution.removeprefix("lossdsl-").replace("-", "_")
        return [Candidate(short, home, provider, point)]
    try:
        entries = [entry for path in library_files(point.value) for entry in read_entries(path)]
    except Exception:  # a broken library fails alone, in whatever way it does
        return []
    return [Candidate(entry.name, point.name, provider, entry) for entry in entries]


def _absences(point: EntryPoint) -> list[Absence]:
    """What a library leaves out. Nothing for one that cannot be read: `_candidates` treats that."""
    if point.group == LOSSES:
        return []
    try:
        return [absence for path in library_files(point.value) for absence in read_absences(path)]
    except Exception:
        return []


def _provider(point: EntryPoint) -> Provider:
    distribution = getattr(point, "dist", None)
    name = distribution.name if distribution else BUILT_IN
    version = distribution.version if distribution else ""
    return Provider(name, version, point.value)


def _load(candidate: Candidate) -> Loss:
    content = candidate.content
    if isinstance(content, Entry):
        return parse_entry(content, candidate.namespace, candidate.provider)
    assert isinstance(content, EntryPoint)
    try:
        kernel = kernel_of(content.load())
    except (Exception, SystemExit) as cause:
        message = f"`{candidate.name}` of {candidate.provider} ({content.value}) cannot be imported: {cause!r}"
        raise PluginError(message) from cause
    if kernel is None:
        raise PluginError(f"`{content.value}` of {candidate.provider} is not decorated with @lossdsl.loss")
    return replace(kernel, name=candidate.name, namespace=candidate.namespace, provider=candidate.provider)


def _grouped(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    grouped: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: c.namespace != BUILT_IN):
        grouped.setdefault(candidate.name, []).append(candidate)
    return grouped
