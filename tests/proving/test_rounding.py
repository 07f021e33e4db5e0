"""Which roots are of numbers that are known to a rounding error only: small values that are left of larger ones."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.config.model import Options
from lossdsl.graph.graphs import Graphs
from lossdsl.proving.analysis import Proof
from lossdsl.proving.rounding import rounded_roots

REST = "abs(p - tanh(z))"  # of two rounded numbers of usual size

# text under a root, task: whether its small values are those of the rounding
BINARY = {
    # differences: of inputs as they are, of what is computed
    "abs(pred - target)": False,
    "abs(w - y)": False,
    "abs(z - 0.5)": False,
    "abs(2 - w)": False,
    "abs(p - y)": True,
    "abs(y - p)": True,
    "abs(p - 0.5)": True,
    "abs(z + y)": False,
    "abs(z + p)": True,
    "abs(p + z)": True,
    REST: True,
    # sums of numbers of one sign
    "p + y": False,
    "p + abs(z)": False,
    "abs(-p + -abs(z))": False,
    "abs(p - -abs(z))": False,
    "abs(-p - abs(z))": False,
    "abs(p - abs(z))": True,
    "abs(-p + abs(z))": True,
    "abs(abs(z) + -p)": True,
    "abs(-p - -abs(z))": True,
    f"p + {REST}": True,
    f"{REST} + p": True,
    # what is made of such a rest
    f"y*{REST}": True,
    f"{REST}*y": True,
    "p*y": False,
    f"min({REST}, p)": True,
    f"min(p, {REST})": True,
    f"max({REST}, p)": True,
    f"max(p, {REST})": True,
    "min(p, abs(z))": False,
    "max(p, abs(z))": False,
    f"{REST}/(1 + p)": True,
    f"p/(1 + {REST})": False,
    f"where(y > 0.5, {REST}, p)": True,
    f"where(y > 0.5, p, {REST})": True,
    f"where({REST} > 0.5, p, y)": False,
    f"stop_gradient({REST})": True,
    f"relu({REST})": True,
    f"tanh({REST})": True,
    f"logcosh({REST})": True,
    f"log(1 + {REST})": True,
    f"({REST})**2": True,
    f"sqrt({REST})": True,
    f"exp({REST})": False,
    f"softplus({REST})": False,
    f"sigmoid({REST})": False,
    f"1/{REST}": False,
    f"local_mean({REST}, size=3)": True,
    f"local_max({REST}, size=3)": True,
    f"local_min({REST}, size=3)": True,
    "local_mean(p, size=3)": False,
    "abs(local_mean(z, size=3))": True,
    "abs(local_max(z, size=3))": False,
    # sums of many
    "mean(p, over=pixel)": False,
    "mean(abs(z), over=pixel)": False,
    "abs(mean(-p, over=pixel))": False,
    "abs(mean(z, over=pixel))": True,
    "abs(sum(z, over=pixel))": True,
    "sum(p, over=pixel)": False,
    f"mean({REST}, over=pixel)": True,
    f"sum({REST}, over=pixel)": True,
    f"max({REST}, over=pixel)": True,
    f"min({REST}, over=pixel)": True,
    "abs(max(z, over=pixel))": False,
    f"topk({REST}, share=0.5, over=pixel)": True,
    # logarithms
    "-log(p)": False,
    "-log(y)": True,
    "-log(0.5 + 0.5*y)": True,
    "abs(logsumexp(z, over=pixel))": True,
    "dice(reduction=none)": True,
}
MULTICLASS = {
    "-sum(y*log(p), over=class)": True,
    "-log(1 - p)*u": True,
    "abs(sum(y*u, over=class) - w)": False,
    "abs(sum(y*z, over=class) - w)": False,
    "abs(sum(y*p, over=class) - w)": True,
    "abs(y - u)": False,
    "abs(u/classes - foreground)": True,
    "abs(foreground - y)": False,
    "abs(classes - y)": False,
    "abs([1, 2, 3] - y)": False,
}
ROOTS = {"sqrt({})": True, "({})**0.5": True, "({})**0.99": True, "({})**s": True, "({})**1.5": False, "({})**2": False}
CASES = [(text, "binary", wanted) for text, wanted in BINARY.items()]
CASES += [(text, "multiclass", wanted) for text, wanted in MULTICLASS.items()]


def found(proof: Proof) -> int:
    return len(rounded_roots(Graphs(proof.objective, Options(), proof.facts), proof.built))


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize(("text", "task", "wanted"), CASES)
def test_under_a_root(text: str, task: str, wanted: bool, masked: bool, proved: Any) -> None:
    inner = int("sqrt" in text) if wanted else 0
    assert found(proved(f"mean(sqrt({text}))", task=task, masked=masked)) == wanted + inner


@pytest.mark.parametrize("root", ROOTS)
def test_what_a_root_is(root: str, proved: Any) -> None:
    declared = "s = learn(0.5)\n" if "**s" in root else ""
    assert found(proved(f"{declared}mean({root.format(REST)})", task="binary")) == ROOTS[root]
    assert not found(proved(f"{declared}mean({root.format('p')})", task="binary"))


@pytest.mark.parametrize("text", ["sqrt(dice)*bce + focal", "bce + sqrt(dice)", "where(epoch < 3, sqrt(dice), bce)"])
def test_of_terms_and_weights(text: str, proved: Any) -> None:
    assert found(proved(text, task="binary")) == 1
    assert found(proved("bce + dice", task="binary")) == 0
