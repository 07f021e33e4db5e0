"""Arguments of the wrong type, in every place of every public function, are LossErrors and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import l1_loss

import lossdsl
from lossdsl.registry.define import unregistered


class Odd:
    """What cannot even be shown."""

    def __str__(self) -> str:
        raise ValueError("not to be shown")

    __repr__ = __str__


class Broken(dict[str, Any]):
    """A mapping that fails when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("not to be read")


VALUES: dict[str, Any] = {
    "nothing": None, "an integer": 5, "a number": 2.5, "nan": float("nan"), "many digits": 10**5000, "a truth": True,
    "bytes": b"bce", "a list": ["bce"], "an empty list": [], "a tuple": ("bce", 1), "a set": {"bce"}, "a mapping": {},
    "many digits as a key": {10**5000: 1}, "an odd object": Odd(), "an odd key": {Odd(): 1},
    "an odd value": {"expr": Odd()}, "a tensor": torch.zeros(2), "a tensor of one": torch.tensor(3.0),
    "an array": np.zeros((2, 2)), "a builtin": len, "a class": int, "an object": object(),
    "a broken mapping": Broken(expr="bce"), "a generator": (letter for letter in "ab"), "a zero byte": "\0",
    "half a character": "\ud800", "a long text": "a" * 70_000, "no text": "", "a complex number": 1j,
    "a path": Path("/nothing/is/here"), "a folder": Path("/"), "a path with a zero byte": Path("a\0b"),
    "a long path": Path("a" * 5_000),
}  # fmt: skip
UNHASHABLE = {
    *("a list", "an empty list", "a set", "a mapping", "many digits as a key", "an odd key", "an odd value"),
    *("an array", "a broken mapping"),
}


def mean(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).mean()


Z, Y = torch.zeros(2, 1, 4), torch.ones(2, 1, 4)
LOSS = lossdsl.compile("bce + epoch*mean(w*p)", task="binary")
L1 = {"l1": l1_loss}
OPTIONS = ("task", "input", "ignore_index", "class_weight", "backend")
PLACES: dict[str, Callable[[Any, str], Any]] = {
    "compile": lambda value, _: lossdsl.compile(value),
    "load": lambda value, _: lossdsl.load(value),
    "load, key": lambda value, file: lossdsl.load(file, key=value),
    "check": lambda value, _: lossdsl.check(value),
    "check, key": lambda value, file: lossdsl.check(file, key=value),
    "check of a mapping, key": lambda value, _: lossdsl.check({"expr": "bce"}, key=value),
    "check, unknown": lambda value, _: lossdsl.check("bce", unknown=value),
    "explain": lambda value, _: lossdsl.explain(value),
    "explain, key": lambda value, file: lossdsl.explain(file, key=value),
    "explain, open": lambda value, _: lossdsl.explain("dice", open=value),
    "explain, latex": lambda value, _: lossdsl.explain("dice", latex=value),
    "explain, cost": lambda value, _: lossdsl.explain("dice", cost=value),
    "parse": lambda value, _: lossdsl.parse(value),
    "define": lambda value, _: lossdsl.define(value),
    "adapt, namespace": lambda value, _: lossdsl.adapt(value, L1),
    "adapt, losses": lambda value, _: lossdsl.adapt("mine", value),
    "adapt, a loss": lambda value, _: lossdsl.adapt("mine", {"a": value}),
    "adapt, a name": lambda value, _: lossdsl.adapt("mine", {value: l1_loss}),
    "adapt, inputs": lambda value, _: lossdsl.adapt("mine", L1, inputs=value),
    "adapt, an input": lambda value, _: lossdsl.adapt("mine", L1, inputs=["pred", value]),
    "adapt, keeps": lambda value, _: lossdsl.adapt("mine", L1, keeps=value),
    "adapt, range": lambda value, _: lossdsl.adapt("mine", L1, range=value),
    "adapt, about": lambda value, _: lossdsl.adapt("mine", L1, about=value),
    "loss, name": lambda value, _: lossdsl.loss(value)(mean),
    "loss, range": lambda value, _: lossdsl.loss("mine", range=value)(mean),
    "loss, keeps": lambda value, _: lossdsl.loss("mine", keeps=value)(mean),
    "loss, function": lambda value, _: lossdsl.loss("mine")(value),
    "call, pred": lambda value, _: LOSS(value, Y, epoch=1, w=Z),
    "call, target": lambda value, _: LOSS(Z, value, epoch=1, w=Z),
    "call, mask": lambda value, _: LOSS(Z, Y, mask=value, epoch=1, w=Z),
    "call, epoch": lambda value, _: LOSS(Z, Y, epoch=value, w=Z),
    "call, a tensor": lambda value, _: LOSS(Z, Y, epoch=1, w=value),
    "call, another tensor": lambda value, _: LOSS(Z, Y, epoch=1, w=Z, other=value),
    "breakdown": lambda value, _: LOSS.breakdown(value, value, epoch=1, w=Z),
    **{f"compile, {name}": lambda value, _, n=name: lossdsl.compile("bce", **{n: value}) for name in OPTIONS},
    **{f"load, {name}": lambda value, file, n=name: lossdsl.load(file, **{n: value}) for name in OPTIONS},
    **{f"check, {name}": lambda value, _, n=name: lossdsl.check("bce", **{n: value}) for name in OPTIONS},
    **{
        f"mapping, {name}": lambda value, _, n=name: lossdsl.compile({"expr": "bce", n: value})
        for name in (*OPTIONS, "expr", "terms", "total", "define", "tensors", "unknown")
    },
    "mapping, a term": lambda value, _: lossdsl.compile({"terms": {"a": value}}),
    "mapping, a weight": lambda value, _: lossdsl.compile({"terms": {"a": {"expr": "bce", "weight": value}}}),
    "mapping, a definition": lambda value, _: lossdsl.compile({"define": {"a": value}, "expr": "a"}),
    "mapping, a key": lambda value, _: lossdsl.compile({"expr": "bce", value: 1}),
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "a.yaml"
    path.write_text("loss: bce\n5: dice\n")
    return str(path)


def raised(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


@pytest.mark.sampled(4)
@pytest.mark.parametrize("place", PLACES)
def test_wrong_types_are_told(place: str, file: str) -> None:
    for name, value in VALUES.items():
        if place in ("adapt, a name", "mapping, a key") and name in UNHASHABLE:
            continue  # Python itself refuses such a key
        with unregistered():
            error = raised(lambda value=value: PLACES[place](value, file))  # type: ignore[misc]
            if name == "a broken mapping" and isinstance(error, RuntimeError):
                assert "not to be read" in str(error)  # it is the caller's; what it raises is not ours to tell
            elif error is not None:
                assert isinstance(error, lossdsl.LossError), (name, error)
                assert error.diagnostics, name
                assert str(error), name
            assert not lossdsl.check("bce + dcie").ok, name  # nothing that was registered breaks what comes after


NEVER: dict[str, tuple[Callable[[str], Any], str]] = {
    "a key that is a number": (lambda file: lossdsl.load(file, key=5), "LD405"),  # type: ignore[arg-type]
    "a key that is nothing": (lambda file: lossdsl.load(file, key=None), "LD405"),  # type: ignore[arg-type]
    "names to open that are none": (lambda _: lossdsl.explain("dice", open=[3]), "LD405"),  # type: ignore[list-item]
    "a number as a switch": (lambda _: lossdsl.explain("dice", latex=3), "LD405"),  # type: ignore[arg-type]
    "a name that is a number": (lambda _: lossdsl.loss(5)(mean), "LD000"),  # type: ignore[arg-type]
    "a decorator without brackets": (lambda _: lossdsl.loss(mean)(mean), "LD000"),  # type: ignore[arg-type]
    "a loss alone": (lambda _: lossdsl.adapt("mine", l1_loss), "LD000"),  # type: ignore[arg-type]
    "an epoch that is infinite": (lambda _: LOSS(Z, Y, epoch=float("inf"), w=Z), "LD506"),
    "an epoch that is no number": (lambda _: LOSS(Z, Y, epoch=float("nan"), w=Z), "LD506"),
    "an epoch beyond float32": (lambda _: LOSS(Z, Y, epoch=10**39, w=Z), "LD506"),
    "an epoch of many digits": (lambda _: LOSS(Z, Y, epoch=10**5000, w=Z), "LD506"),
    "class weights beyond float32": (lambda _: lossdsl.compile("ce", class_weight=[1e300, 1, 1]), "LD405"),
}


@pytest.mark.parametrize("case", NEVER)
def test_never_taken(case: str, file: str) -> None:
    call, code = NEVER[case]
    with unregistered(), pytest.raises(lossdsl.LossError) as caught:
        call(file)
    assert caught.value.diagnostics[0].code == code
