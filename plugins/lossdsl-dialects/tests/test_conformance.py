"""The rules of lossdsl.testing about values. The others are about operations, which these formulas share with the
built-ins."""

from __future__ import annotations

import pytest

import lossdsl.testing

VALUES = ("range", "best", "worse", "mask", "mask_anywhere", "ignore_index", "reductions", "permutation")


@pytest.mark.parametrize("name", lossdsl.testing.names("lossdsl-dialects"))
def test_its_values_conform(name: str) -> None:
    lossdsl.testing.check_loss(name, rules=VALUES)
