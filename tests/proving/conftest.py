"""Formulas to proofs, the values of every node of a graph, and random formulas, written as a user would."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from torch import Tensor

from lossdsl.checking.resolve import resolve
from lossdsl.config import Options, read_formula
from lossdsl.errors import FormulaError
from lossdsl.graph.build import BuiltTerm
from lossdsl.graph.graphs import Graphs
from lossdsl.graph.nodes import Node, in_order
from lossdsl.proving.analysis import Proof, prove
from lossdsl.registry.discover import default_registry

MARK = re.compile(r"«(.*?)»", re.DOTALL)


@pytest.fixture(scope="session")
def unmarked() -> Callable[[str], tuple[str, list[tuple[int, int]]]]:
    """A marked input without its marks, and where each marked part begins and ends."""

    def read(text: str) -> tuple[str, list[tuple[int, int]]]:
        places = []
        while match := MARK.search(text):
            places.append((match.start(), match.start() + len(match[1])))
            text = text[: match.start()] + match[1] + text[match.end() :]
        return text, places

    return read


@pytest.fixture(scope="session")
def proved() -> Callable[..., Proof]:
    """The proof of a formula: proved(text, masked=True, task=..., input=..., ignore_index=..., class_weight=...)."""

    def make(text: str, masked: bool = False, **options: Any) -> Proof:
        reading = read_formula(text)
        assert reading.spec is not None, reading.diagnostics
        resolution = resolve(reading.spec, default_registry())
        if resolution.objective is None:
            raise FormulaError(resolution.diagnostics)
        graphs = Graphs(resolution.objective, Options(**options))
        built = graphs.first_working()
        assert built is not None, f"no task for {text}"
        if masked:
            built = graphs.graph(built.context._replace(mask=("batch", "pixel")))
        return prove(graphs, built)

    return make


@pytest.fixture(scope="session")
def node_values() -> Callable[..., dict[Node, Any]]:
    """The value of every node of a proof for one call; scalars: epoch, step and the learned ones by name."""
    from lossdsl.runtime.layout import arrange
    from lossdsl.runtime.lower import lower

    def run(
        proof: Proof,
        pred: Tensor,
        target: Tensor,
        mask: Tensor | None = None,
        class_weight: Tensor | None = None,
        **scalars: Tensor,
    ) -> dict[Node, Any]:
        context = proof.context
        tensors = {name: scalars.pop(name) for name in sorted(proof.facts.tensors)}
        call = arrange(context.task, context.input, context.ignoring, class_weight, pred, target, mask, tensors)
        nodes = [node for node in in_order(proof.intervals) if not node.is_constant]
        terms = tuple(BuiltTerm(str(number), node, node, node) for number, node in enumerate(nodes))
        plan = lower(replace(proof.built, terms=terms))
        inputs = [call.tensors.get(name, scalars.get(name.rpartition(":")[2])) for name in plan.inputs]
        _, *parts = plan.module(*inputs)
        return dict(zip(nodes, parts[::3], strict=True))

    return run


NUMBERS = st.sampled_from(["0", "0.3", "0.5", "1", "2", "1e-3", "7"])
EXPONENTS = st.sampled_from(["0.5", "2", "3", "1.5", "-1", "(1 + epoch/10)", "0.75"])
COMPARISONS = st.sampled_from(["<", ">", "<=", ">="])
REGION = (
    "dice", "dice(smooth=0)", "dice(squared=true)", "iou", "iou_coef", "dice_coef(per=batch)", "tversky(fn_weight=2)",
    "focal_tversky", "f_beta(beta=2)", "precision(smooth=0)", "mcc", "dice(empty=skip)", "log_cosh_dice",
)  # fmt: skip
LOSSES = {
    "binary": (*REGION, "bce", "focal", "focal(gamma=0.5)", "balanced_bce", "js", "lovasz", "hinge"),
    "multilabel": (*REGION, "bce(pos_weight=3)", "generalized_dice", "kl", "dice(average=micro)", "flipped_iou"),
    "multiclass": (*REGION, "ce", "focal", "unified_focal", "exp_log", "lovasz", "topk_ce", "generalized_dice"),
}
UNARY = ("abs({})", "exp(-{})", "exp({})", "log({})", "log(1 - {})", "sqrt({})", "-({})", "tanh({})", "({})**2",
         "clamp({}, min=0.1)", "softplus({})", "1 - ({})", "logcosh({})", "1/(1 + {})", "log(1 + {})", "relu({})",
         "sqrt({} + 0.1)", "stop_gradient({})", "log(1 + exp({}))", "log(exp({}) + y)", "1/(1 + exp(-{}))")  # fmt: skip
BINARY = ("{} + {}", "{} - {}", "({})*({})", "({})/({})", "({})/(1 + {})", "min({}, {})", "max({}, {})",
          "0.5*({}) - 0.5*({})", "({})/({} + 1e-3)")  # fmt: skip
MEANS = ("mean({})", "mean({}, count=y + 0.1)", "mean({}, weight=y)", "sum({})/sum(p + y)", "mean(sum({}, per=image))",
         "max({})", "min({})", "topk({}, share=0.3)", "mean(sum({}, per=batch)/(1 + sum(y, per=batch)))",
         "mean(max({}, over=pixel))", "mean(logsumexp({}, over=pixel))", "mean(log(sum(exp({}), per=image)))",
         "mean(p*softmax({}, over=pixel))")  # fmt: skip


def applied(forms: tuple[str, ...], parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """One of some forms with its holes filled."""
    return st.sampled_from(forms).flatmap(
        lambda form: st.tuples(*[parts] * form.count("{}")).map(lambda filled: form.format(*filled))
    )


def maps() -> st.SearchStrategy[str]:
    """Values that have pixels."""
    leaves = st.sampled_from(["p", "y", "z", "p", "y", "1 - p", "log(p)", "p*y", "(p - y)", "y*log(p)", "sigmoid(z)"])

    def grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        number = st.tuples(parts, NUMBERS).map(lambda pair: f"{pair[1]}*({pair[0]})")
        raised = st.tuples(parts, EXPONENTS).map(lambda pair: f"({pair[0]})**{pair[1]}")
        chosen = st.tuples(parts, COMPARISONS, NUMBERS, parts, parts).map(
            lambda five: f"where({five[0]} {five[1]} {five[2]}, {five[3]}, {five[4]})"
        )
        guarded = parts.map(lambda part: f"where({part} > 0.1, 1/({part}), {part})")
        windows = parts.map(lambda part: f"local_mean({part}, size=3)")
        return st.one_of(applied(UNARY, parts), applied(BINARY, parts), number, raised, chosen, guarded, windows)

    return st.recursive(leaves, grown, max_leaves=4)


def scalars(task: str) -> st.SearchStrategy[str]:
    """Values without axes."""
    losses = st.sampled_from(LOSSES[task])
    leaves = st.one_of(losses, losses, applied(MEANS, maps()), st.sampled_from(["epoch/10", "s", "2"]))

    def grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        raised = st.tuples(parts, EXPONENTS).map(lambda pair: f"({pair[0]})**{pair[1]}")
        return st.one_of(applied(UNARY, parts), applied(BINARY, parts), applied(BINARY, parts), raised)

    return st.recursive(leaves, grown, max_leaves=5)


def random_formulas(task: str, around: str = "{}") -> st.SearchStrategy[str]:
    """A learned scalar and a formula that may use it. around: what the formula stands in."""
    first = "ce" if task == "multiclass" else "bce"
    return scalars(task).map(lambda text: "s = learn(0)\n" + around.format(f"{first} + exp(s)*({text}) - s"))


@pytest.fixture(scope="session")
def formulas() -> Callable[..., st.SearchStrategy[str]]:
    """formulas(task, around="{}"): random formulas for it, with `s` to learn."""
    return random_formulas
