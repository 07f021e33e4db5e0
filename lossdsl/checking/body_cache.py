"""The state of one resolution, and the cache of resolved definitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from lossdsl.checking.resolved import Body
from lossdsl.errors import Diagnostic
from lossdsl.registry.define import local_losses
from lossdsl.registry.discover import Registry
from lossdsl.registry.model import Formula, full_name

_KEPT: WeakKeyDictionary[Registry, dict[str, tuple[Formula, Body]]] = WeakKeyDictionary()


@dataclass(slots=True)
class Memory:
    """The state of one resolution: findings, the bodies of the formulas that are used, and the definitions whose names
    are used as numbers."""

    registry: Registry
    diagnostics: list[Diagnostic] = field(default_factory=list)
    bodies: dict[str, Body] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    as_numbers: list[str] = field(default_factory=list)
    _names: tuple[str, ...] | None = None
    _own_names: frozenset[str] | None = None

    def names(self) -> tuple[str, ...]:
        """Every name of a loss that can be written; used for each unknown name."""
        if self._names is None:
            self._names = self.registry.names()
        return self._names

    def own_names(self) -> frozenset[str]:
        """Names of losses that are known whatever is installed."""
        if self._own_names is None:
            self._own_names = self.registry.own_names()
        return self._own_names


def kept(registry: Registry, loss: Formula) -> Body | None:
    """The cached body of a definition. Losses that the process registers can change the meaning of its names."""
    if local_losses():
        return None
    known, body = _KEPT.get(registry, {}).get(full_name(loss), (None, None))
    return body if known is loss else None


def keep(registry: Registry, loss: Formula, body: Body) -> None:
    if not local_losses():
        _KEPT.setdefault(registry, {})[full_name(loss)] = loss, body
