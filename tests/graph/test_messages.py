"""What does not fit is told in tested text: `messages.txt` holds wrong formulas with what the user sees, complete.

After a deliberate change run `make golden` and read the diff.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import lossdsl.graph
from lossdsl.checking.resolve import resolve
from lossdsl.config import read_formula
from lossdsl.errors import FormulaError
from lossdsl.graph.build import build
from lossdsl.graph.context import Context, from_plain
from lossdsl.registry.discover import default_registry

FILE = Path(__file__).with_name("messages.txt")
# What begins with `>>> ` is the call as a Python literal; the lines up to the next one are what is told.
GOLDEN = dict(re.findall(r"^>>> (.+)\n((?:(?!>>> ).*\n)*)", FILE.read_text(encoding="utf-8"), re.MULTILINE))
TENSORS = (("u", ("class",)), ("v", ("batch",)), ("w", ("batch", "pixel")), ("x", ("batch", "class", "pixel")))


def told(literal: str) -> str:
    """Of (formula, task) or (formula, task, fields of the context): the findings, and what an edit makes of it."""
    text, task, *rest = ast.literal_eval(literal)
    fields = {"tensors": TENSORS, "indexed": task == "multiclass", **dict(*rest)}
    ignore_index = fields.pop("ignore_index", None)
    spec = read_formula(text).spec
    assert spec is not None
    resolution = resolve(spec, default_registry())
    assert resolution.objective is not None, str(FormulaError(resolution.diagnostics))
    context = from_plain(Context(task, ignoring=ignore_index is not None, **fields))
    with pytest.raises(FormulaError) as caught:
        build(resolution.objective, context, ignore_index)
    lines = [re.sub(r"(?m) +$", "", str(caught.value))]
    for finding in caught.value.diagnostics:
        if finding.edit:
            start, end = finding.edit.span.start, finding.edit.span.end
            lines.append(f"    edit: {text[:start]}{finding.edit.text}{text[end:]}")
    return "\n".join(lines) + "\n"


def golden() -> str:
    """What `messages.txt` must hold."""
    return "\n".join(f">>> {literal}\n{told(literal)}" for literal in GOLDEN)


@pytest.mark.parametrize("literal", GOLDEN)
def test_the_complete_message(literal: str) -> None:
    assert told(literal) == GOLDEN[literal].rstrip("\n") + "\n", "run `make golden` and read the diff"


def test_every_code_of_the_graph_has_a_message_here() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(lossdsl.graph.__path__[0]).glob("*.py"))
    codes = set(re.findall(r"\bLD\d{3}\b", sources))
    codes -= {"LD110", "LD205"}  # of long formulas and of definitions: runtime/test_deep.py and test_signatures.py
    assert codes == set(re.findall(r"\bLD\d{3}\b", "".join(GOLDEN.values())))
