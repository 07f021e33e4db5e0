"""A formula that comes to too much when its names are opened."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.errors import FormulaError
from lossdsl.graph import evaluate


def test_the_message(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "MOST_PARTS", 1_010)
    built("bce + dice")
    names = ["a0 = bce + dice", *(f"a{i + 1} = for_class(a{i}, [0]) + for_class(a{i}, [1])" for i in range(8)), "a8"]
    with pytest.raises(FormulaError) as caught:
        built("\n".join(names), "multilabel")
    finding = caught.value.diagnostics[0]
    assert (finding.code, finding.severity) == ("LD110", "error")
    assert finding.message == "the formula has more than 1,010 parts when all names and losses in it are opened"
    assert finding.hint == "use fewer names that stand for others more than once"
