"""Every built-in keeps every rule that it does not except itself from."""

from __future__ import annotations

import pytest

import lossdsl.testing
from lossdsl.registry.discover import default_registry
from lossdsl.testing.conformance import RULES

NAMES = lossdsl.testing.names("lossdsl")
SLOW = "full_graph"  # tests/runtime compiles every built-in; here the rule itself is tried
COMPILED = ("lossdsl.bce", "lossdsl.lovasz_extension")


@pytest.mark.parametrize("name", NAMES)
def test_it_conforms(name: str) -> None:
    rules = [rule for rule in RULES if rule != SLOW or name in COMPILED]
    lossdsl.testing.check_loss(name, rules=rules)


def test_exceptions_are_few() -> None:
    """Each is a property that the loss has by its definition, and says why."""
    with lossdsl.testing.registry(installed=False):
        losses = default_registry().built_ins()
    found = {(loss.name, word) for loss in losses for word, _ in loss.documentation.exceptions}
    assert {word for _, word in found} <= {"reductions", "mask_anywhere", "gradient", "best", "worse"}
    assert len(found) < len(losses) / 3
