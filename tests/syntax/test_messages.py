"""Messages are tested text: `messages.txt` holds wrong formulas with what the user sees, complete.

After a deliberate change run `make golden` and read the diff.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import lossdsl
from lossdsl.errors import FormulaError
from lossdsl.syntax.parse import parse

FILE = Path(__file__).with_name("messages.txt")
# What begins with `>>> ` is the formula as a Python literal; the lines up to the next one are the message.
GOLDEN = dict(re.findall(r"^>>> (.+)\n((?:(?!>>> ).*\n)*)", FILE.read_text(encoding="utf-8"), re.MULTILINE))


def rendered(text: str) -> str:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    return re.sub(r"(?m) +$", "", str(caught.value)) + "\n"


def golden() -> str:
    """What `messages.txt` must hold."""
    return "\n".join(f">>> {literal}\n{rendered(ast.literal_eval(literal))}" for literal in GOLDEN)


@pytest.mark.parametrize(("literal", "message"), GOLDEN.items(), ids=GOLDEN)
def test_the_complete_message(literal: str, message: str) -> None:
    assert rendered(ast.literal_eval(literal)) == message.rstrip("\n") + "\n", "run `make golden` and read the diff"


def test_every_code_of_the_syntax_has_a_message_here() -> None:
    sources = "".join(path.read_text("utf-8") for path in (Path(lossdsl.__file__).parent / "syntax").glob("*.py"))
    codes = set(re.findall(r"\bLD\d{3}\b", sources))
    assert codes == set(re.findall(r"\bLD\d{3}\b", "".join(GOLDEN.values())))
