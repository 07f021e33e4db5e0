"""A formula that comes to too much when its names are opened, and one that is read where the stack is used up."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.errors import FormulaError
from lossdsl.graph import evaluate
from lossdsl.graph.printing import node_text


def test_the_message(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "MOST_PARTS", 1_010)
    built("bce + dice")
    names = ["a0 = bce + dice", *(f"a{i + 1} = for_class(a{i}, [0]) + for_class(a{i}, [1])" for i in range(8)), "a8"]
    with pytest.raises(FormulaError) as caught:
        built("\n".join(names), "multilabel")
    finding = caught.value.diagnostics[0]
    assert (finding.code, finding.severity) == ("LD110", "error")
    assert finding.message == "the formula has more than 1,010 parts when all names and losses in it are expanded"
    assert finding.hint == "use fewer names that repeat other names"


@pytest.mark.parametrize(
    "text", ["bce + dice", "0.5*tversky - log(1 - iou)", "for_class(dice, [0]) + focal(gamma=1 + 1)"]
)
def test_in_a_stack_of_its_own(text: str, built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same graph, wherever a part of the text is read."""
    plain = built(text, "multilabel")
    monkeypatch.setattr(evaluate, "_BETWEEN_LOOKS", 1)
    monkeypatch.setattr(evaluate, "is_deep", lambda: True)
    assert node_text(built(text, "multilabel").total, 99) == node_text(plain.total, 99)
