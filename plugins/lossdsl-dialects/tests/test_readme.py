"""The README says what is so."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import lossdsl
from lossdsl.registry.discover import default_registry

README = Path(__file__).parents[1] / "README.md"
DISTRIBUTION = "lossdsl-dialects"


def test_examples() -> None:
    failed, tried = doctest.testfile(str(README), module_relative=False, optionflags=doctest.REPORT_NDIFF)
    assert failed == 0
    assert tried > 5


def test_the_calls_in_the_first_table_are_right() -> None:
    calls = re.findall(r"\| `((?:monai|smp|nnunet)\.\w+\(.*?\))` \|", README.read_text(encoding="utf-8"))
    assert len(calls) == 3
    for call in calls:
        assert lossdsl.check(call).ok, call


def test_every_name_is_in_the_table_and_no_other() -> None:
    named = set(re.findall(r"`(\w+\.\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", README.read_text("utf-8"), re.M))))
    found = {f"{c.namespace}.{c.name}" for c in default_registry().all() if c.provider.distribution == DISTRIBUTION}
    assert named == found
