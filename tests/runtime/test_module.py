"""Loss as a torch module: its parameters, its state, copies of it, and threads that share it."""

from __future__ import annotations

import copy
import io
import math
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import lossdsl
from lossdsl.runtime import loss as runtime_loss

KENDALL = "s = learn(0.25)\nt = learn(-1)\nexp(-s)*bce + s + exp(-t)*dice + t"


def test_it_is_a_module(make_batch: Any, compile_for: Any) -> None:
    """It adds nothing to a model that holds it, before a call and after."""
    batch = make_batch("binary", (3, 4))
    loss = compile_for("0.5*bce + dice", batch)
    assert isinstance(loss, lossdsl.Loss)
    model = nn.Sequential(nn.Linear(4, 4))
    model.criterion = loss
    for _ in range(2):
        assert list(loss.parameters()) == []
        assert loss.state_dict() == {}
        assert list(model.state_dict()) == ["0.weight", "0.bias"]
        loss(batch.pred, batch.target)
    assert "0.5*bce" in repr(loss)


def test_weights_of_classes_are_no_state(make_batch: Any, compile_for: Any) -> None:
    """A checkpoint without them, or of a loss with other ones, still loads."""
    loss = compile_for("ce", make_batch("multiclass", (3, 4)), class_weight=[1, 2, 3])
    assert loss.state_dict() == {}
    loss.load_state_dict({})


def test_learned_scalars_are_trained(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4), dtype=torch.float32)
    loss = compile_for(KENDALL, batch)
    assert {name: value.item() for name, value in loss.named_parameters()} == {"learned.s": 0.25, "learned.t": -1}
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        loss(batch.pred, batch.target).backward()
        optimizer.step()
    # The minimum of exp(-s)*x + s is at s = log(x).
    for name, formula in {"learned.s": "bce", "learned.t": "dice"}.items():
        wanted = compile_for(formula, batch)(batch.pred, batch.target).log()
        assert_close(loss.state_dict()[name], wanted.reshape(1), rtol=1e-3, atol=1e-3)


def test_learned_scalars_load_and_move(make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    trained, fresh = compile_for(KENDALL, batch), compile_for(KENDALL, batch)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 1
    assert trained(batch.pred, batch.target) != fresh(batch.pred, batch.target)
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(trained(batch.pred, batch.target), fresh(batch.pred, batch.target))
    assert {parameter.dtype for parameter in fresh.to(torch.float64).parameters()} == {torch.float64}
    assert {parameter.device.type for parameter in fresh.to("meta").parameters()} == {"meta"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_learned_scalars_are_computed_as_the_prediction_is(
    dtype: torch.dtype, make_batch: Any, compile_for: Any
) -> None:
    """Whatever they are stored in, as after model.bfloat16(): exp(-s) is that of the stored number."""
    batch = make_batch("binary", (3, 4))
    loss = compile_for("s = learn(0.3)\nexp(-s)*bce", batch).to(dtype)
    stored = float(torch.tensor(0.3).to(dtype))
    wanted = math.exp(-stored) * compile_for("bce", batch)(batch.pred, batch.target)
    value = loss(batch.pred, batch.target)
    assert_close(value, wanted, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(value, loss.parameters())
    assert gradient.dtype == dtype


@pytest.mark.parametrize("name", ["sigma", "T", "_s", "learned"])
def test_names_of_learned_scalars(name: str, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch("binary", (3, 4))
    loss = compile_for(f"{name} = learn(0)\nexp(-{name})*bce + {name}", batch)
    assert loss(batch.pred, batch.target).isfinite()
    assert list(loss.state_dict()) == [f"learned.{name}"]


@pytest.mark.parametrize("name", ["half", "values", "keys", "type"])
def test_names_that_torch_keeps_for_itself(name: str) -> None:
    with pytest.raises(lossdsl.FormulaError, match=f"`{name}` cannot be the name of a learned scalar"):
        lossdsl.compile(f"{name} = learn(0)\nexp(-{name})*bce + {name}")


# formula, options, what a call takes beside the batch
KINDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("0.5*bce + 0.5*(-log(1 - dice))", {}, {}),
    ("ce + lovasz", {"class_weight": [1, 2, 3], "ignore_index": 255}, {}),
    (KENDALL, {}, {}),
    ("min(1, epoch/10)*dice + 2**(-step/100)*focal", {}, {"epoch": 3, "step": 7}),
    ("mean(w*abs(p - y)) + topk(p, share=0.5)", {}, {"w": torch.rand(4)}),
]


@pytest.mark.parametrize(("formula", "options", "call"), KINDS, ids=[kind[0] for kind in KINDS])
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_copies(
    formula: str, options: dict[str, Any], call: dict[str, Any], used: bool, make_batch: Any, run: Any, compile_for: Any
) -> None:
    batch = make_batch("multiclass" if "ce" in formula.split() else "binary", (3, 4))
    loss = compile_for(formula, batch, **options)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter += 0.5
    wanted = run(loss, batch, **call)
    if not used:
        fresh = compile_for(formula, batch, **options)
        fresh.load_state_dict(loss.state_dict())
        loss = fresh
    file = io.BytesIO()
    torch.save(loss, file)
    file.seek(0)
    copies = [copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), torch.load(file, weights_only=False)]
    for other in copies:
        got = run(other, batch, **call)
        assert torch.equal(got[0], wanted[0])
        assert torch.equal(got[1], wanted[1])
        mine = {id(parameter) for parameter in loss.parameters()}
        assert not mine & {id(parameter) for parameter in other.parameters()}


@pytest.mark.long
def test_unpickled_in_a_fresh_interpreter(tmp_path: Path, make_batch: Any, compile_for: Any) -> None:
    """As data loaders and DDP spawn do it: nothing is imported there before."""
    jobs = []
    for formula, options, call in KINDS:
        batch = make_batch("multiclass" if "ce" in formula.split() else "binary", (3, 4))
        loss = compile_for(formula, batch, **options)
        jobs.append((loss, batch.pred, batch.target, call, loss(batch.pred, batch.target, **call).detach()))
    (tmp_path / "jobs").write_bytes(pickle.dumps(jobs))
    code = (
        "import pickle, sys\n"
        "for loss, pred, target, call, wanted in pickle.load(open(sys.argv[1], 'rb')):\n"
        "    assert loss(pred, target, **call).equal(wanted), loss\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "jobs")], check=True)


def test_a_pickle_is_small() -> None:
    """Plans are not in it, nor what was computed."""
    loss = lossdsl.compile("bce + dice + focal")
    before = len(pickle.dumps(loss))
    loss(torch.randn(4, 1, 64, 64), torch.ones(4, 1, 64, 64))
    assert len(pickle.dumps(loss)) == before < 50_000


def test_built_twice_is_the_same(make_batch: Any, run: Any) -> None:
    source = {
        "terms": {"a": {"expr": "bce(pos_weight=2)", "weight": "w"}, "b": "d*focal"},
        "define": {"w": 0.3, "d": "dice"},
    }
    kept = copy.deepcopy(source)
    batch = make_batch("binary", (3, 4))
    first, second = (run(lossdsl.compile(source, task="binary"), batch) for _ in range(2))
    assert source == kept
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize(
    ("task", "formula", "reads"), [("binary", "bce + dice + lovasz", 0), ("multiclass", "ce + dice + lovasz", 2)]
)
def test_a_second_call_only_computes(
    task: str, formula: str, reads: int, make_batch: Any, compile_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No text, no registry and no graph after the first call of a kind. Of values only the ends of class indices."""
    batch = make_batch(task, (3, 4))
    loss = compile_for(formula, batch)
    wanted = loss(batch.pred, batch.target)
    plain, found = torch.Tensor.item, []

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("called")

    def item(tensor: torch.Tensor) -> Any:
        found.append(plain(tensor))
        return found[-1]

    for name in ("lower", "compiled", "check_labels", "check_values", "sights_of"):
        monkeypatch.setattr(runtime_loss, name, refuse)
    monkeypatch.setattr("lossdsl.graph.graphs.build", refuse)
    monkeypatch.setattr(loss._looks, "see", refuse)
    monkeypatch.setattr("lossdsl.registry.discover.Registry.candidates", refuse)
    monkeypatch.setattr("lossdsl.syntax.parse.parse", refuse)
    for read in ("tolist", "__bool__", "__float__", "__int__", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, read, refuse)
    monkeypatch.setattr(torch.Tensor, "item", item)
    got = loss(batch.pred, batch.target)
    monkeypatch.undo()
    assert torch.equal(got, wanted)
    assert found == [0, 2][:reads]


def test_plans_do_not_pile_up(make_batch: Any, compile_for: Any) -> None:
    """One for each kind of call, however many batches, sizes and epochs there are."""
    loss = compile_for("dice + epoch*bce", make_batch("binary"))
    for samples in (1, 2, 5):
        for spatial in ((3,), (3, 4), (9, 9)):
            batch = make_batch("binary", spatial, samples=samples)
            loss(batch.pred, batch.target, epoch=samples)
            loss(batch.pred, batch.target, epoch=samples, mask=torch.ones(samples, *spatial))
    assert len(loss._plans) == 2


def test_threads_share_a_loss(make_batch: Any, compile_for: Any) -> None:
    batches = [make_batch("binary", (3, 4)) for _ in range(8)]
    loss = compile_for("bce + dice + focal + lovasz", batches[0])
    wanted = [compile_for("bce + dice + focal + lovasz", b)(b.pred, b.target) for b in batches]
    got: list[Any] = [None] * len(batches)
    start = threading.Barrier(len(batches))

    def work(index: int) -> None:
        start.wait()
        try:
            got[index] = loss(batches[index].pred, batches[index].target)
        except Exception as error:
            got[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for value, right in zip(got, wanted, strict=True):
        assert isinstance(value, torch.Tensor), value
        assert torch.equal(value, right)


def test_a_thread_finds_a_whole_plan(make_batch: Any, compile_for: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread prepares, another that comes in between must not see half of it."""
    batch = make_batch("binary", (3, 4))
    loss = compile_for("bce", batch)
    plain, inner = runtime_loss.compiled, []

    def slow(plan: Any, backend: str) -> Any:
        if not inner:
            inner.append(None)
            inner.append(loss(batch.pred, batch.target))
        return plain(plan, backend)

    monkeypatch.setattr(runtime_loss, "compiled", slow)
    assert torch.equal(loss(batch.pred, batch.target), inner[1])
