"""Findings that proofs lead to, as users read them, complete: `messages.txt` holds formulas with all that is told.

After a deliberate change run `make golden` and read the diff.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import lossdsl
import lossdsl.proving

FILE = Path(__file__).with_name("messages.txt")
# What begins with `>>> ` is the call as a Python literal; the lines up to the next one are what is told.
GOLDEN = dict(re.findall(r"^>>> (.+)\n((?:(?!>>> ).*\n)*)", FILE.read_text(encoding="utf-8"), re.MULTILINE))


def told(literal: str) -> str:
    """Of a formula, a mapping, or (formula, options): the findings, and what an edit makes of the text."""
    call = ast.literal_eval(literal)
    source, options = call if isinstance(call, tuple) else (call, {})
    report = lossdsl.check(source, **options)
    lines = [re.sub(r"(?m) +$", "", str(report))]
    for finding in report.diagnostics:
        if finding.edit and isinstance(source, str):
            start, end = finding.edit.span.start, finding.edit.span.end
            lines.append(f"    edit: {source[:start]}{finding.edit.text}{source[end:]}")
    return "\n".join(lines).rstrip("\n") + "\n"


def golden() -> str:
    """What `messages.txt` must hold."""
    return "\n".join(f">>> {literal}\n{told(literal)}" for literal in GOLDEN)


@pytest.mark.parametrize("literal", GOLDEN)
def test_the_complete_message(literal: str) -> None:
    assert told(literal) == GOLDEN[literal].rstrip("\n") + "\n", "run `make golden` and read the diff"


def test_every_code_of_the_proofs_has_a_message_here() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(lossdsl.proving.__path__[0]).glob("*.py"))
    codes = set(re.findall(r"\bLD\d{3}\b", sources))
    assert codes <= set(re.findall(r"\bLD\d{3}\b", "".join(GOLDEN.values())))
