"""The losses that this process registered with `@lossdsl.loss`, `define` and `adapt`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from lossdsl.registry.model import Loss

# By the module that registered it, namespace and name: a cell of a notebook that is run again replaces its own loss,
# two modules never replace each other's.
_Key: TypeAlias = tuple[str, str, str]
_REGISTERED: dict[_Key, Loss] = {}
# What one thread registers for a time, where that is not to become known to the others.
_APART: ContextVar[dict[_Key, Loss] | None] = ContextVar("apart", default=None)


def register(loss: Loss, module: str) -> None:
    """Register a loss in this process."""
    apart = _APART.get()
    (_REGISTERED if apart is None else apart)[module, loss.namespace, loss.name] = loss


def local_losses() -> tuple[Loss, ...]:
    """The registered losses, in an order that does not depend on the order of registration."""
    known = _REGISTERED.copy()  # at once: another thread may register meanwhile
    known |= _APART.get() or {}
    return tuple(known[key] for key in sorted(known))


@contextmanager
def trial(loss: Loss) -> Iterator[None]:
    """Register a loss and check it inside of the context; an error undoes the registration."""
    with apart():
        register(loss, loss.provider.distribution)
        yield
    register(loss, loss.provider.distribution)


@contextmanager
def apart() -> Iterator[None]:
    """Losses that this thread registers inside of the context are only visible to it, and removed at the end."""
    token = _APART.set(dict(_APART.get() or {}))
    try:
        yield
    finally:
        _APART.reset(token)


@contextmanager
def unregistered() -> Iterator[None]:
    """Losses that any thread registers inside of the context are removed at the end."""
    before = _REGISTERED.copy()
    try:
        yield
    finally:
        _REGISTERED.clear()
        _REGISTERED.update(before)
