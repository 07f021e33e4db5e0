"""Tests for your own losses and plugins: the rules for losses, and a temporary registry.

>>> import lossdsl
>>> lossdsl.testing.check_loss("dice", rules=["range"], tasks=["binary"])

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable

from lossdsl.registry.discover import default_registry
from lossdsl.registry.discover import temporary_registry as registry

__all__ = ["check_loss", "names", "registry", "rules_for"]


def check_loss(call: str, *, rules: Iterable[str] | None = None, tasks: Iterable[str] | None = None) -> None:
    """Test a loss with small inputs against the rules for losses.

    Args:
        call: a name, `acme.mine`, or a name with parameters, `acme.mine(margin=2)`.
        rules: the rules to test; by default `rules_for(call)`.
        tasks: the tasks to test; by default all tasks that the loss supports.

    Raises:
        AssertionError: the loss breaks a rule. The message has a small example for each broken rule.
        LossError: the loss cannot be loaded.

    >>> import lossdsl
    >>> lossdsl.testing.check_loss("bce(pos_weight=2)", rules=["range"], tasks=["binary"])
    """
    from lossdsl.testing.conformance import check

    check(call, rules, tasks)


def rules_for(call: str) -> tuple[str, ...]:
    """The names of the rules that a loss must follow, without those that its documentation excepts.

    Args:
        call: a name, or a name with parameters.

    Returns:
        The names of the rules.

    Raises:
        LossError: the loss cannot be loaded.

    >>> import lossdsl
    >>> "gradient" in lossdsl.testing.rules_for("bce")
    True
    """
    from lossdsl.testing.conformance import rules_for

    return rules_for(call)


def names(owner: str) -> tuple[str, ...]:
    """The full names of the losses of a namespace or an installed distribution. Nothing is imported.

    Args:
        owner: the namespace or the name of the distribution.

    Returns:
        The names, sorted.

    >>> import lossdsl
    >>> "lossdsl.dice" in lossdsl.testing.names("lossdsl")
    True
    """
    found = {c.full_name for c in default_registry().all() if owner in (c.namespace, c.provider.distribution)}
    return tuple(sorted(found))
