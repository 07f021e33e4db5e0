"""The proved range of every part of a text, complete: `ranges.txt` holds formulas with what is proved of them.

After a deliberate change run `make golden` and read the diff: a range may become
closer, and only for a reason wider. That they are true is tested in test_soundness.py.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lossdsl.checking.resolve import resolve
from lossdsl.config import Options, read_formula
from lossdsl.graph.graphs import Graphs
from lossdsl.proving.analysis import Proof, prove
from lossdsl.proving.edges import positive_denominators
from lossdsl.proving.messages import described
from lossdsl.proving.overflow import magnitudes
from lossdsl.proving.rounding import rounded_roots
from lossdsl.proving.slopes import slopes
from lossdsl.registry.discover import default_registry

FILE = Path(__file__).with_name("ranges.txt")
# What begins with `>>> ` is the call as a Python literal; the lines up to the next one are what is proved.
GOLDEN = dict(re.findall(r"^>>> (.+)\n((?:(?!>>> ).*\n)*)", FILE.read_text(encoding="utf-8"), re.MULTILINE))


def proof_of(literal: str) -> tuple[Graphs, Proof]:
    """Of a formula, or (formula, options), where `masked` says that a mask is passed."""
    call = ast.literal_eval(literal)
    text, options = (call, {}) if isinstance(call, str) else call
    masked = options.pop("masked", False)
    spec = read_formula(text).spec
    assert spec is not None
    objective = resolve(spec, default_registry()).objective
    assert objective is not None, text
    graphs = Graphs(objective, Options(**options))
    built = graphs.first_working()
    assert built is not None, text
    if masked:
        built = graphs.graph(built.context._replace(mask=("batch", "pixel")))
    return graphs, prove(graphs, built)


def shown(literal: str) -> str:
    """The ranges; and how the total moves with the prediction, how large it becomes, and what is special in it."""
    graphs, proof = proof_of(literal)
    whole = (graphs, proof.built)
    lines = [described(proof)]
    found = slopes(proof.built.total, proof.order, proof.intervals, ())
    inputs = [node for node in proof.order if node.operation == "input" and node in found]
    lines += [f"    slope of {node.attributes[0]}: {found[node]}" for node in inputs]
    lines.append(f"    magnitude: {magnitudes([proof.built.total], proof.intervals)[proof.built.total]:.4g}")
    lines.append(f"    well above 0: {len(positive_denominators(*whole))}, rounded roots: {len(rounded_roots(*whole))}")
    return "\n".join(lines) + "\n"


def golden() -> str:
    """What `ranges.txt` must hold."""
    return "\n".join(f">>> {literal}\n{shown(literal)}" for literal in GOLDEN)


@pytest.mark.parametrize("literal", GOLDEN)
def test_what_is_proved(literal: str) -> None:
    assert shown(literal) == GOLDEN[literal].rstrip("\n") + "\n", "run `make golden` and read the diff"
