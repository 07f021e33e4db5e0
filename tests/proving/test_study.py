"""One study holds all that is worked out of a loss: no graph and no proof is made twice, and copies stay small."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
import torch

import lossdsl
from lossdsl.api.study import studied
from lossdsl.config import read_file, read_formula, read_mapping
from lossdsl.graph import graphs
from lossdsl.graph.build import BuiltLoss, build
from lossdsl.graph.context import Context
from lossdsl.graph.graphs import separate_parts
from lossdsl.proving import findings, study
from lossdsl.proving.analysis import Proof, prove
from lossdsl.proving.study import Study


class Made(Counter[Any]):
    """How often a graph was built for each kind of call; of how many nodes and with which relations it was proved."""

    def __init__(self) -> None:
        super().__init__()
        self.proofs: Counter[Any] = Counter()

    @property
    def tasks(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for context, times in self.items():
            found[context.task] += times
        return found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """What is built and proved from here on."""
    made = Made()

    def counted_build(objective: Any, context: Context, ignore_index: int | None = None) -> BuiltLoss:
        made[context] += 1
        return build(objective, context, ignore_index)

    def counted_prove(known: Any, built: BuiltLoss, related: Any = None, **others: Any) -> Proof:
        made.proofs[built.context.task, "all" if related is None else related, *others] += 1
        return prove(known, built, related, **others)

    monkeypatch.setattr(graphs, "build", counted_build)
    for module in (study, findings):
        monkeypatch.setattr(module, "prove", counted_prove)
    return made


TEXTS = [
    "bce + dice", "ce(label_smoothing=0.1)", "mse + l1", "0.5*bce + 0.5*(-log(1 - dice))", "multiscale(bce)",
    "for_class(dice, [1, 2])", "mean(w*bce(reduction=none))", "bce - 2*dice", "bce + bce(a, b)", "p - 1", "ce + hinge",
    "s = learn(0)\nexp(-s)*bce + log(s)", "[1, 2, 3]*mean(p, per=batch)", "sum(z)*epoch",
]  # fmt: skip
CALLS: dict[str, Callable[[str], object]] = {
    "check": lossdsl.check,
    "explain": lossdsl.explain,
    "explain the cost": lambda text: lossdsl.explain(text, cost=True),
    "compile": lossdsl.compile,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("text", TEXTS)
def test_nothing_is_built_or_proved_twice(text: str, call: str, made: Made) -> None:
    with suppress(lossdsl.LossError):  # what is wrong is looked for in all tasks
        CALLS[call](text)
    assert set(made.values()) == {1}
    assert set(made.proofs.values()) <= {1}


@pytest.mark.parametrize(
    ("call", "text", "tasks"),
    [
        ("check", "bce + dice", {"binary": 1}),
        ("check", "ce", {"binary": 1, "multiclass": 1}),
        ("check", "log(bce - 1)", {"binary": 1, "multilabel": 1, "multiclass": 1}),
        ("check", "mse", {"regression": 1}),
        ("check", "ce + bce", {"binary": 1, "multilabel": 1, "multiclass": 1}),
        ("compile", "bce + dice", {"binary": 1}),
        ("explain", "bce + dice", {"binary": 1, "multilabel": 1, "multiclass": 1, "regression": 1}),
        ("explain the cost", "bce + dice", {"binary": 1, "multilabel": 1, "multiclass": 1, "regression": 1}),
    ],
)
def test_at_most_one_graph_of_a_task(call: str, text: str, tasks: dict[str, int], made: Made) -> None:
    CALLS[call](text)
    assert made.tasks == tasks


@pytest.mark.parametrize("call", CALLS)
def test_layouts_of_heads_are_chosen_once(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which tries each head that shares no tensor with the others in each layout."""
    chosen: list[Any] = []

    def counted(*parts: Any) -> Any:
        chosen.append(parts)
        return separate_parts(*parts)

    monkeypatch.setattr(graphs, "separate_parts", counted)
    CALLS[call]("bce + bce(a, b) + ce(c, d) + mse(e, f)")
    assert len(chosen) == (3 if call in ("check", "compile") else 4)


def test_explain_proves_once(made: Made) -> None:
    lossdsl.explain("bce - 2*dice", cost=True)
    assert [kind[:2] for kind in made.proofs if "nodes" not in kind] == [("binary", "all")]


BATCHES = {
    "bce + dice": ("binary", (2, 1, 4, 4), (2, 1, 4, 4)),
    "ce + dice": ("multiclass", (2, 3, 4, 4), (2, 4, 4)),
    "bce(pos_weight=3)": ("multilabel", (2, 3, 4, 4), (2, 3, 4, 4)),
    "mse": ("regression", (2, 3, 4), (2, 3, 4)),
}


def batch_of(text: str) -> tuple[torch.Tensor, torch.Tensor]:
    task, pred, target = BATCHES[text]
    return torch.randn(pred), torch.zeros(target, dtype=torch.long if task == "multiclass" else None)


@pytest.mark.parametrize("text", BATCHES)
def test_the_first_call_runs_the_graph_of_the_study(text: str, made: Made) -> None:
    loss = lossdsl.compile(text, task=BATCHES[text][0])
    pred, target = batch_of(text)
    loss(pred, target)
    assert list(made.values()) == [1]
    loss(pred, target, mask=torch.ones(pred[:, 0].shape))
    assert list(made.values()) == [1, 1]  # with a mask it is another graph


def test_a_layout_of_its_own_too(made: Made) -> None:
    loss = lossdsl.compile("bce + bce(a, b)", task="binary")
    loss(torch.randn(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), a=torch.randn(2, 1, 3), b=torch.zeros(2, 1, 3))
    assert list(made.values()) == [1]


def test_a_plan_keeps_no_graph() -> None:
    loss = lossdsl.compile("bce + dice", task="binary")
    built = loss._study.first_working()
    assert built is not None
    assert loss._study.graph(built.context) is built
    loss(*batch_of("bce + dice"))
    assert loss._study.graph(built.context) is not built


def study_of(text: str, **options: Any) -> Study:
    return studied(read_formula(text), options).sound()


def test_each_is_made_once() -> None:
    one = study_of("bce - 2*dice")
    built = one.first_working()
    assert built is not None
    assert one.graph(built.context) is one.graph(built.context) is built
    assert one.proof(built) is one.proof(built)
    assert one.proof(built) is not one.proof(built, closely=False)
    assert one.proof(built, closely=False) is one.proof(built, closely=False)
    assert one.proof(built).intervals == prove(one, built).intervals
    assert one.proof(built, closely=False).intervals == prove(one, built, related=()).intervals
    other = one.graph(built.context._replace(mask=("batch", "pixel")))
    assert other is not built
    assert one.proof(other).built is other
    one.forget()
    assert one.graph(built.context) is not built
    assert one.proof(one.graph(built.context)).built is one.graph(built.context)


def test_what_is_wrong_is_found_once(made: Made) -> None:
    one, context = study_of("ce"), Context("binary")
    said = []
    for _ in range(2):
        with pytest.raises(lossdsl.FormulaError) as caught:
            one.graph(context)
        said.append(caught.value)
    assert made[context] == 1
    assert said[0] is not said[1]  # an error holds the frames that it came through
    assert said[0].diagnostics == said[1].diagnostics


@pytest.fixture(params=["formula", "mapping", "file"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Study:
    """A study of each kind of source."""
    mapping = {
        "task": "multiclass",
        "class_weight": [1, 2, 3],
        "define": {"w": 0.3},
        "terms": {"a": {"expr": "ce", "weight": "w"}, "b": "mean(q*ce(reduction=none))"},
        "tensors": {"q": "[0, 1]"},
    }
    (tmp_path / "a.yaml").write_text(
        "loss:\n  task: multiclass\n  expr: log(ce - 1)  # lossdsl: allow LD701 -- it is above 1\n"
    )
    return {
        "formula": lambda: study_of("w = 0.3\nw*ce + dice", task="multiclass", ignore_index=255),
        "mapping": lambda: studied(read_mapping(mapping), {"ignore_index": 3}).sound(),
        "file": lambda: studied(read_file(tmp_path / "a.yaml"), {"input": "probs"}).sound(),
    }[request.param]()


def test_a_pickle_holds_the_source_and_no_graph(read: Study) -> None:
    before = len(pickle.dumps(read))
    built = read.first_working()
    assert built is not None
    read.proof(built)
    stored = pickle.dumps(read)
    assert len(stored) == before
    again = pickle.loads(stored)
    assert again.options == read.options == again.spec.options
    assert again.spec == read.spec
    assert again.spec.places.keys() == read.spec.places.keys()
    assert [str(answer) for answer in again.reading.answers] == [str(answer) for answer in read.reading.answers]
    assert again.facts == read.facts
    assert [node.operation for node in again.proof(again.first_working()).order] == [
        node.operation for node in read.proof(built).order
    ]


def test_a_copy_is_the_same_study(read: Study) -> None:
    assert copy.deepcopy([read])[0] is read


def test_the_options_of_the_call_are_in_the_source(read: Study) -> None:
    assert read.reading.spec is read.spec
    assert read.options is read.spec.options
    assert (read.options.task, read.options.ignore_index, read.options.input) in [
        ("multiclass", 255, "logits"),
        ("multiclass", 3, "logits"),
        ("multiclass", None, "probs"),
    ]


def test_threads_that_call_first_at_once() -> None:
    loss = lossdsl.compile("bce + dice", task="binary")
    pred, target = torch.randn(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    wanted = lossdsl.compile("bce + dice", task="binary")(pred, target)
    start, values = Barrier(4), []

    def call() -> None:
        start.wait()
        values.append(loss(pred, target))

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(values) == 4
    assert all(torch.equal(value, wanted) for value in values)
