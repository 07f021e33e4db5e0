"""For those who write losses and plugins: what every loss must keep to, and a registry for tests.

    def test_mine():
        lossdsl.testing.check_loss("acme.mine")

Importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable

from lossdsl.registry.discover import default_registry
from lossdsl.registry.discover import temporary_registry as registry

__all__ = ["check_loss", "names", "registry", "rules_for"]


def check_loss(call: str, *, rules: Iterable[str] | None = None, tasks: Iterable[str] | None = None) -> None:
    """Try a loss on small inputs against every rule that it does not except itself from.

    Args:
        call: a name, `acme.mine`, or a name with parameters, `acme.mine(margin=2)`.
        rules: only these; by default all of `rules_for(call)`.
        tasks: only these; by default all that the loss works for.

    Raises:
        AssertionError: each rule that is broken, with a small example. LossError: the loss cannot be loaded.
    """
    from lossdsl.testing.conformance import check

    check(call, rules, tasks)


def rules_for(call: str) -> tuple[str, ...]:
    """The rules that a loss keeps: all but those that its documentation excepts."""
    from lossdsl.testing.conformance import rules_for

    return rules_for(call)


def names(owner: str) -> tuple[str, ...]:
    """The full names of the losses of a namespace or an installed distribution, sorted. Nothing is imported."""
    found = {c.full_name for c in default_registry().all() if owner in (c.namespace, c.provider.distribution)}
    return tuple(sorted(found))
