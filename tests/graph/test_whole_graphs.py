"""Whole graphs of formulas, as they are built and as they are run in stages: `graphs.txt` holds every node of them.

After a deliberate change run `make golden` and read the diff: each line is an operation,
its attributes, what it is made of and the axes of its value. What the numbers are is tested in test_forms.py.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from lossdsl.checking.resolve import resolve
from lossdsl.config import read_formula
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context, from_plain
from lossdsl.graph.cost import cost
from lossdsl.graph.factored_form import Unsupported
from lossdsl.graph.nodes import AXES, Node, in_order
from lossdsl.graph.printing import node_text
from lossdsl.graph.schedule import CHEAPEST_TOGETHER, COMPILED, DIFFERENTIATE, EXPAND, PIECES, SMALL, Joint, passed
from lossdsl.graph.stable_form import stable
from lossdsl.graph.stages import Part, frontier, in_passing, stages
from lossdsl.registry.discover import default_registry
from lossdsl.registry.model import Kernel

FILE = Path(__file__).with_name("graphs.txt")
# What begins with `>>> ` is the call as a Python literal; the lines up to the next one are the graph.
GOLDEN = dict(re.findall(r"^>>> (.+)\n((?:(?!>>> ).*\n)*)", FILE.read_text(encoding="utf-8"), re.MULTILINE))
FORMS = {
    "large": PIECES.passes,
    "small": SMALL.passes,
    "together": (EXPAND, DIFFERENTIATE, CHEAPEST_TOGETHER),
    "fused": COMPILED.passes,
}
TENSORS = (("u", ("class",)), ("v", ("batch",)), ("w", ("batch", "pixel")))


def listed(nodes: Sequence[Node], names: dict[Node, str]) -> list[str]:
    """A line for each node; inputs and numbers stand where they are read."""
    lines = []
    for node in nodes:
        attributes = [one.name if isinstance(one, Kernel) else one for one in node.attributes]
        if node.operation == "input":
            names[node] = f"{node.attributes[0]}:{axes(node)}"
        elif node.is_constant:
            names[node] = f"{node.value:.6g}"
        else:
            names[node] = f"%{len(names)}"
            how = f"{attributes}" if attributes else ""
            parts = ", ".join(names[argument] for argument in node.arguments)
            lines.append(f"    {names[node]} = {node.operation}{how}({parts}) {axes(node)}".rstrip())
    return lines


def axes(node: Node) -> str:
    return "".join(axis[0] for axis in AXES if axis in node.axes)


def counted(nodes: Sequence[Node]) -> str:
    counts = Counter(node.operation for node in nodes if node.operation not in ("input", "constant"))
    return " ".join(f"{number}*{name}" if number > 1 else name for name, number in sorted(counts.items()))


def staged(outputs: Sequence[Node]) -> list[str]:
    """Of each sweep what it reads and what it gives, of a stage without one what is left to compute."""
    return [
        f"{named(stage.narrow)}; sweep {named(stage.sweep)}" if stage.sweep.outputs else named(stage.narrow)
        for stage in stages(outputs) or ()
    ]


def named(part: Part) -> str:
    return f"{names_of(part.inputs)} -> {names_of(part.outputs)}"


def names_of(nodes: Sequence[Node]) -> str:
    names = sorted(f"{node.attributes[0] if node.operation == 'input' else node.operation}" for node in nodes)
    return " ".join(names) or "nothing"


def built(literal: str) -> BuiltLoss:
    """Of a formula with its task and fields of the context."""
    text, task, *rest = ast.literal_eval(literal)
    fields = {"tensors": TENSORS, "indexed": task == "multiclass", **dict(*rest)}
    ignore_index = fields.pop("ignore_index", None)
    spec = read_formula(text).spec
    assert spec is not None
    objective = resolve(spec, default_registry()).objective
    assert objective is not None
    return build(objective, from_plain(Context(task, ignoring=ignore_index is not None, **fields)), ignore_index)


def shown(literal: str) -> str:
    loss = built(literal)
    names: dict[Node, str] = {}
    lines = listed(in_order([loss.total]), names)
    for term in loss.terms:
        nodes = [term.weight, term.value, term.contribution]
        lines += listed([node for node in in_order(nodes) if node not in names], names)
        lines.append(f"    {term.name}: {' '.join(names[node] for node in nodes)}")
    lines.append(f"    total: {names[loss.total]}")
    lines += [f"    rewritten: {r.rule}: {node_text(r.before, 3)} -> {node_text(r.after)}" for r in loss.rewrites]
    lines.append(f"    cost: {cost(loss)}")
    return "\n".join(lines) + "\n" + run(loss)


def run(loss: BuiltLoss) -> str:
    """How often each operation is in what is computed with the gradient, and what the sweeps over pixels give."""
    total = stable([loss.total])[loss.total]
    lines = []
    for name, passes in FORMS.items():
        try:
            both = passed(passes, Joint((total,), ("pred",)))
        except Unsupported as reason:
            return f"    no gradient: {reason}\n"
        outputs, slopes = list(both.outputs), list(both.gradients.values())
        forward, kept = in_order(outputs), frontier(slopes, in_order(outputs))
        backward = [node for node in in_order(slopes) if node not in forward]
        found = [
            f"    {name}: {counted(forward)}; then {counted(backward)}; in passing: {in_passing(outputs, slopes)}",
            *(f"        {line}" for line in (*staged(outputs), f"keeps {counted(kept)}", *staged(slopes))),
        ]
        lines += [line for line in found if line not in lines]
    return "\n".join(lines) + "\n"


def golden() -> str:
    """What `graphs.txt` must hold."""
    return "\n".join(f">>> {literal}\n{shown(literal)}" for literal in GOLDEN)


@pytest.mark.parametrize("literal", GOLDEN)
def test_every_node(literal: str) -> None:
    assert shown(literal) == GOLDEN[literal].rstrip("\n") + "\n", "run `make golden` and read the diff"
