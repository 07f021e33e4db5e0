"""Tests of many members: `make test` takes some of them, `make test-long` all the others.

It stands here for the tests of the package and of the plugins in this repository alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from zlib import crc32

import pytest


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all but one in `n` of the members of a test marked `sampled(n)` as long.

    Which one does not depend on the order of the tests, nor on the tests of other names. A member that is asked for by
    its full name is always run.
    """
    members: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        members[item.nodeid.partition("[")[0]].append(item)
    for group in members.values():
        for item in sorted(group, key=_by_chance)[_kept(group) :]:
            item.add_marker(pytest.mark.long)


def _kept(group: list[pytest.Item]) -> int:
    marker = group[0].get_closest_marker("sampled")
    return math.ceil(len(group) / marker.args[0]) if marker else len(group)


def _by_chance(item: pytest.Item) -> tuple[int, str]:
    return crc32(item.nodeid.encode()), item.nodeid
