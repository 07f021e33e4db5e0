"""Long and deep texts, texts that open to many parts, and callers that are deep in calls of their own."""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

import lossdsl
from lossdsl.registry.define import unregistered

T = TypeVar("T")
LEVELS = 31
DEEP = 700


def below(frames: int, function: Callable[[], T]) -> T:
    return function() if frames == 0 else below(frames - 1, function)


def named(first: str, each: str, count: int, last: str) -> str:
    """A chain of definitions: `each` has `{}` where the name before stands."""
    names = [f"d0 = {first}", *(f"d{i + 1} = {each.replace('{}', f'd{i}')}" for i in range(count))]
    return "\n".join([*names, last.replace("{}", f"d{count}")])


def binary() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 1, 5, dtype=torch.float64, generator=generator)
    return z, (torch.rand(2, 1, 5, generator=generator) < 0.5).double()


Z, Y = binary()
P = Z.sigmoid()
MSE = ((Z - Y) ** 2).mean().item()
BCE = torch.nn.functional.binary_cross_entropy_with_logits(Z, Y).item()


def repeated(function: Callable[[float], float], start: float, count: int) -> float:
    for _ in range(count):
        start = function(start)
    return start


def dice(smooth: float) -> float:
    sums = [(part.flatten(1)).sum(1) for part in (P * Y, P, Y)]
    return (1 - (2 * sums[0] + smooth) / (sums[1] + sums[2] + smooth)).mean().item()


# text: its value
TEXTS: dict[str, tuple[str, float]] = {
    "brackets": (f"{'(1 + ' * LEVELS * 2}bce{')' * LEVELS * 2}", BCE + 2 * LEVELS),
    "products": (f"{'bce*(2 + ' * LEVELS}bce{')' * LEVELS}", repeated(lambda x: BCE * (2 + x), BCE, LEVELS)),
    "signs": (f"{'-' * 62}bce", BCE),
    "calls": (f"{'sqrt(' * 62}bce{')' * 62}", BCE ** 0.5**62),
    "calls of a map": (f"mean({'sqrt(' * 61}p{')' * 61})", (P ** 0.5**61).mean().item()),
    "powers": (f"{'(' * LEVELS}bce{' + 1)**1.01' * LEVELS}", repeated(lambda x: (x + 1) ** 1.01, BCE, LEVELS)),
    "smallest": (f"{'min(' * LEVELS}bce{' + 1, 2)' * LEVELS}", 2.0),
    "comparisons": (f"{'where(' * LEVELS}bce{' < 0, 2, bce)' * LEVELS}", BCE),
    "choices": (f"{'where(bce < 0, 2, ' * LEVELS}bce{')' * LEVELS}", BCE),
    "choices of classes": (f"{'for_class(' * LEVELS}dice{', [0])' * LEVELS}", dice(1)),
    "windows": (f"mean({'local_max(' * LEVELS}p{', size=1)' * LEVELS})", P.mean().item()),
    "70 names": (
        named("dice", "0.5*sqrt({}) + 0.1*dice", 70, "{}"),
        repeated(lambda x: 0.5 * math.sqrt(x) + 0.1 * dice(1), dice(1), 70),
    ),
    "500 names": (named("mse", "0.5*sqrt({}) + 0.1", 500, "{}"), repeated(lambda x: 0.5 * x**0.5 + 0.1, MSE, 500)),
    "70 names of maps": (
        named("p", "0.5*sqrt({}) + 0.1*y", 70, "mean({})"),
        repeated(lambda x: 0.5 * x**0.5 + 0.1 * Y, P, 70).mean().item(),  # type: ignore[arg-type, return-value, attr-defined]
    ),
    "doubling": (named("mse", "{} + {}", 60, "2**(-60)*{}"), MSE),
    "doubling and back": (named("mse", "2*{} - {}", 60, "{}"), MSE),
    "doubling maps": (named("p", "0.5*{} + 0.5*{}", 60, "mean({})"), P.mean().item()),
    "doubling products": (named("1 + 1e-9*p*y", "{}*{}", 20, "mean(sum({}, over=class))"), 0.0),
    "doubling choices": (named("bce", "where({} < 0, {}, {} + 0)", 60, "{}"), BCE),
    "180 terms": (
        " + ".join(f"dice(smooth={1 + i / 100})" for i in range(180)),
        sum(dice(1 + i / 100) for i in range(180)),
    ),
    "1,000 terms": (
        " + ".join(f"{i + 1}*mse**{1 + i / 1000}" for i in range(1000)),
        sum((i + 1) * MSE ** (1 + i / 1000) for i in range(1000)),
    ),
    "1,000 terms in brackets": (f"2*({' + '.join(f'mse**{1 + i / 1000}' for i in range(1000))})",
                                2 * sum(MSE ** (1 + i / 1000) for i in range(1000))),
    "smallest of 190": (f"min({', '.join(f'bce + {i}' for i in range(190))})", BCE),
    "product of 600 maps": (f"mean({'*'.join(['(1 + 0.001*p)'] * 600)})", ((1 + 0.001 * P) ** 600).mean().item()),
    "sum of 600 maps": (
        f"mean({' + '.join(f'{i + 1}*p**{1 + i / 600}' for i in range(600))})",
        sum((i + 1) * (P ** (1 + i / 600)).mean().item() for i in range(600)),
    ),
    "logarithm of a long sum": (f"mean(log(1 + p{' + p*y' * 600}))", torch.log(1 + P + 600 * P * Y).mean().item()),
}  # fmt: skip
TEXTS["doubling products"] = (TEXTS["doubling products"][0], ((1 + 1e-9 * P * Y) ** 2**20).mean().item())
# Looked at without the caller's depth too; one of each kind at a depth.
FROM_DEEP = [name for name in TEXTS if not name.startswith(("1,000", "500", "sum of", "product of"))]


@pytest.mark.sampled(8)
@pytest.mark.parametrize("frames", [0, DEEP])
@pytest.mark.parametrize("name", TEXTS)
def test_texts_have_their_value_at_any_depth(name: str, frames: int) -> None:
    if frames and name not in FROM_DEEP:
        frames = 350  # one that the process still has room for; the same walks
    text, expected = TEXTS[name]

    def trained() -> tuple[float, Tensor | None]:
        z = Z.clone().requires_grad_()
        loss = lossdsl.compile(text, task="binary")
        value = loss(z, Y)
        value.backward()  # type: ignore[no-untyped-call]
        parts = loss.breakdown(z, Y, mask=torch.ones(2, 5))
        assert parts.total.item() == pytest.approx(value.item())
        return value.item(), z.grad

    value, gradient = below(frames, trained)
    assert value == pytest.approx(expected, rel=1e-9)
    assert gradient is not None
    assert gradient.isfinite().all()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", FROM_DEEP)
def test_looked_at_from_deep(name: str) -> None:
    text = TEXTS[name][0]
    report = below(DEEP, lambda: lossdsl.check(text, task="binary"))
    assert report.ok
    assert [str(one) for one in report.diagnostics] == [str(d) for d in lossdsl.check(text, task="binary").diagnostics]
    for options in ({}, {"open": "all", "latex": True}):
        told = below(DEEP, lambda options=options: lossdsl.explain(text, task="binary", **options))  # type: ignore[misc]
        assert told == lossdsl.explain(text, task="binary", **options)
    assert below(DEEP, lambda: str(lossdsl.parse(text))) == str(lossdsl.parse(text))


@pytest.mark.parametrize("frames", [0, 300, DEEP])
@pytest.mark.parametrize("name", ["brackets", "products", "calls", "comparisons", "70 names"])
def test_copied_and_stored_from_deep(name: str, frames: int) -> None:
    text, expected = TEXTS[name]
    loss = lossdsl.compile(text, task="binary")
    for again in (
        below(frames, lambda: copy.deepcopy(loss)),
        below(frames, lambda: pickle.loads(pickle.dumps(loss))),
    ):
        assert again(Z, Y).item() == pytest.approx(expected)


def test_a_config_is_read_from_deep(tmp_path: Any) -> None:
    (tmp_path / "a.yaml").write_text("loss:\n  define: {a: dice}\n  terms: {x: a, y: {expr: bce, weight: 0.5}}\n")
    loss = below(DEEP, lambda: lossdsl.load(tmp_path / "a.yaml"))
    assert loss(Z, Y).item() == pytest.approx(dice(1) + 0.5 * BCE)


def test_errors_come_through_from_deep() -> None:
    for source in ("0.5*dcie", {"terms": {"a": "("}}):
        with pytest.raises(lossdsl.LossError) as caught:
            below(DEEP, lambda source=source: lossdsl.compile(source))  # type: ignore[misc]
        with pytest.raises(lossdsl.LossError) as expected:
            lossdsl.compile(source)
        assert str(caught.value) == str(expected.value)


def test_definitions_that_stand_in_each_other() -> None:
    """Seventy losses of the process, each of which names the one before."""
    with unregistered():
        lossdsl.define("made_0() = mse")
        for i in range(70):
            below(DEEP if i % 10 == 0 else 0, lambda i=i: lossdsl.define(f"made_{i + 1}() = 0.5*sqrt(made_{i}) + 0.1"))  # type: ignore[misc]
        assert lossdsl.check("made_70", task="binary").ok
        loss = lossdsl.compile("made_70", task="binary")
        expected = repeated(lambda x: 0.5 * math.sqrt(x) + 0.1, MSE, 70)
        assert below(DEEP, lambda: loss(Z, Y)).item() == pytest.approx(expected)


ENDLESS = {
    "losses that name one twice": ("made_40", [f"made_{i + 1}() = made_{i} + 0.5*made_{i}" for i in range(40)]),
    "classes that are chosen twice": (
        named("dice", "for_class({}, [0, 1]) + 0.5*for_class({}, [0, 1])", 30, "{}"),
        [],
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", ENDLESS)
def test_what_opens_to_too_much_is_told_soon(name: str) -> None:
    text, definitions = ENDLESS[name]
    with unregistered():
        lossdsl.define("made_0() = mse")
        start = time.process_time()
        found: list[lossdsl.Diagnostic] = []
        for definition in definitions:
            lossdsl.define(definition)
        found += lossdsl.check(text).diagnostics
        with pytest.raises(lossdsl.LossError):
            lossdsl.compile(text)
        assert time.process_time() - start < 30
    (finding,) = found
    assert finding.code == "LD110"
    assert "more than 200,000 parts" in finding.message
    assert finding.line
    assert finding.hint


@pytest.mark.sampled(3)
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("name", ["180 terms", "70 names", "comparisons"])
def test_compiled_whole(name: str) -> None:
    text, expected = TEXTS[name]
    torch._dynamo.reset()
    z = Z.clone().requires_grad_()
    loss = torch.compile(lossdsl.compile(text, task="binary"), fullgraph=True, backend="eager")
    value = loss(z, Y)
    value.backward()
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize("each", ["{} + {}", "{}*2", "{}*{}", "{} - 3*{}", "2**{}"])
def test_values_that_leave_all_numbers_are_checked(each: str) -> None:
    """More than the largest float, of which Python's whole numbers know nothing."""
    text = named("1 + mse", each, 1026 if "2**" not in each else 60, "{}")
    lossdsl.check(text)
    lossdsl.explain(text)
    loss = lossdsl.compile(text, task="regression")
    assert loss(Z, Y).ndim == 0
