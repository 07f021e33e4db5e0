"""What this process registered with `@lossdsl.loss`, `define` and `adapt`: known at once, without being installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lossdsl.registry.model import Loss

# By the module that registered it, namespace and name: a cell of a notebook that is run again replaces its own loss,
# two modules never replace each other's.
_REGISTERED: dict[tuple[str, str, str], Loss] = {}


def register(loss: Loss, module: str) -> None:
    """Make a loss known in this process."""
    _REGISTERED[module, loss.namespace, loss.name] = loss


def local_losses() -> tuple[Loss, ...]:
    """What was registered, in an order that does not depend on when."""
    return tuple(_REGISTERED[key] for key in sorted(_REGISTERED))


@contextmanager
def trial(loss: Loss) -> Iterator[None]:
    """Register a loss and look at it inside: where that raises, it is as if nothing had been registered."""
    before = dict(_REGISTERED)
    register(loss, loss.provider.distribution)
    try:
        yield
    except BaseException:
        _restore(before)
        raise


@contextmanager
def unregistered() -> Iterator[None]:
    """What is registered inside is forgotten at the end."""
    before = dict(_REGISTERED)
    try:
        yield
    finally:
        _restore(before)


def _restore(before: dict[tuple[str, str, str], Loss]) -> None:
    _REGISTERED.clear()
    _REGISTERED.update(before)
