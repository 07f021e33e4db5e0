"""Every loss of the package keeps the rules of lossdsl.testing that it does not except itself from."""

from __future__ import annotations

import pytest

import lossdsl.testing


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", lossdsl.testing.names("lossdsl-dialects"))
def test_it_conforms(name: str) -> None:
    lossdsl.testing.check_loss(name)
