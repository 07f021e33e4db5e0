"""Any formula is checked, explained, compiled, called and trained, or the answer is a LossError with a place.

`LOSSDSL_FORMULAS=40000 make test ARGS=tests/runtime/test_any_formula.py` tries more of them than the test suite does.
A case that fails names its number: `formula(number)` makes it again.
"""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl
from lossdsl.config import read_formula
from lossdsl.registry.discover import default_registry
from lossdsl.registry.model import Loss
from lossdsl.tasks import TASKS

COUNT = int(os.environ.get("LOSSDSL_FORMULAS", "320"))
CHUNKS = 8

NUMBERS = ["0", "1", "2", "3", "0.5", "0.1", "1e-6", "10", "1.5", "4", "0.25"]
EXTREME = [
    "1e39", "1e308", "1e-45", "1e-300", "1e30", "1e38", "3.4e38", "1e-38", "1e19", "1e-20", "1e16", "2147483648",
    "0.0", "1e5", "1000", "-1", "-0.5", "16777217", "9007199254740993", "1/0", "0/0", "2**1000", "10**39", "(-8)**0.5",
    "log(0)", "exp(100)", "1_000", "1e-19", "1e-37*1e-37", "3e38 + 3e38", "0**0", "0**(-1)",
]  # fmt: skip
WORDS = ["inf", "-inf", "nan", "none", "true", "image"]
# Values, and places for them: whatever a value turns out to be, such as the same for all classes or always 0.
VALUES = [
    "z", "p", "y", "pred", "target", "w", "1 - p", "p*y", "[1, 2, 3]*p", "mean(p, over=class)", "mean(y, over=class)",
    "max(p, over=class)", "ce(reduction=none)", "bce(reduction=none)", "for_class(p, [1])", "p - p", "y - y", "0*p",
    "p*0 + 1", "p/p", "stop_gradient(p)", "softmax(z, over=pixel)", "local_mean(p, size=3)", "[1, 1, 1]", "z**2",
    "p**0", "where(y > 0.5, p, 0)", "-z", "mean(p, per=image)", "sum(y, over=[batch, pixel])",
    "logsumexp(z, over=class)",
]  # fmt: skip
PLACES = [
    "mean({})", "sum({})", "max({})", "min({})", "topk({}, share=0.5)", "mean(mean({}, over=class))",
    "mean(mean({}, over=pixel))", "mean(mean({}, over=batch))", "mean(max({}, over=class))", "mean(log({}))",
    "mean(sqrt({}))", "mean(softmax({}))", "mean(softmax({}, over=pixel))", "mean(logsumexp({}, over=class))",
    "mean(exp({}))", "mean(1/({}))", "mean(({})**0.5)", "mean(({})**(-1))", "mean(({})*y)", "mean({}, count=y)",
    "mean(sum(y*({}), over=class))", "mean(sum(y*log({}), over=class))", "mean(sum(y*log(1 - ({})), over=class))",
    "mse({}, y)", "bce({}, y)", "ce({}, y)", "dice({}, y)", "dice(p, {})", "focal({}, y)", "lovasz({}, y)",
    "for_class(mean({}), [1])", "mean(for_class({}, [1]))", "mean({}, weight=y)", "mean({}, weight={})",
    "min(mean({}), 0)", "where(mean({}) > 0, dice, iou)", "mean(abs({}))", "mean(clamp({}, min=0))",
    "multiscale(mean({}))", "mean(logcosh({}))", "mean(topk({}, share=0.3, over=pixel))", "mean(min({}, {}))",
    "mean(where({} > 0, {}, 1))", "mean(local_max({}, size=3, outside=0))", "ce + mean({})",
    "dice*mean(mean({}, over=class))",
]  # fmt: skip
FUNCTIONS = [
    "exp", "log", "sqrt", "abs", "tanh", "sigmoid", "softplus", "cosh", "logcosh", "relu", "stop_gradient",
]  # fmt: skip
REDUCTIONS = ["mean", "sum", "max", "min"]
OVER = [
    "over=class",
    "over=pixel",
    "over=batch",
    "over=[batch, pixel]",
    "over=[class, pixel]",
    "per=image",
    "per=batch",
]
MAPS = ["z", "p", "y", "pred", "target", "w", "v", "p", "y", "z"]
COMPARISONS = ["<", "<=", ">", ">=", "==", "!="]
LOSSES: tuple[Loss, ...] = default_registry().built_ins()


@dataclass(frozen=True)
class Case:
    """A source with the options that it is read with."""

    source: Any
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.source!r} {dict(self.options)}"


class Writer:
    """Writes formulas of two kinds, numbers and maps; now and then one where the other belongs."""

    def __init__(self, number: int):
        self.rng = random.Random(number)
        self.names: list[str] = []
        self.map_names: list[str] = []
        self.extreme = self.rng.random() < 0.35
        self.untidy = self.rng.random() < 0.3

    def one_of(self, *ways: Callable[[], str]) -> str:
        return self.rng.choice(ways)()

    def literal(self) -> str:
        if self.wrong():
            return self.rng.choice(WORDS)
        return self.rng.choice(EXTREME if self.extreme and self.rng.random() < 0.3 else NUMBERS)

    def wrong(self) -> bool:
        return self.untidy and self.rng.random() < 0.08

    def number(self, depth: int) -> str:
        """A value without axes."""
        if self.wrong():
            return self.map(depth - 1)
        if depth <= 0:
            leaves = [self.literal, lambda: self.loss(0), lambda: self.loss(0), self.of_the_run]
            return self.rng.choice([*leaves, *([lambda: self.rng.choice(self.names)] if self.names else [])])()
        inner = depth - 1
        return self.one_of(
            lambda: self.loss(inner),
            lambda: self.loss(inner),
            lambda: self.arithmetic(self.number, inner),
            lambda: self.arithmetic(self.number, inner),
            lambda: self.function(self.number, inner),
            lambda: self.choice(self.number, inner),
            lambda: self.reduced(inner),
            lambda: self.reduced(inner),
            lambda: self.head(),
            lambda: f"for_class({self.number(inner)}, {self.classes()})",
            lambda: self.number(0),
            lambda: self.several(inner),
        )

    def map(self, depth: int) -> str:
        """A value with axes."""
        if self.wrong():
            return self.number(depth - 1)
        if depth <= 0:
            return self.rng.choice([*MAPS, *self.map_names])
        inner = depth - 1
        return self.one_of(
            lambda: self.map(0),
            lambda: self.arithmetic(self.map, inner),
            lambda: self.arithmetic(self.map, inner),
            lambda: f"({self.map(inner)}){self.rng.choice('+-*/')}({self.number(inner)})",
            lambda: self.function(self.map, inner),
            lambda: self.choice(self.map, inner),
            lambda: f"{self.rng.choice(REDUCTIONS)}({self.map(inner)}, {self.rng.choice(OVER)})",
            lambda: f"softmax({self.map(inner)}{self.rng.choice(['', ', over=pixel', ', over=class'])})",
            lambda: f"logsumexp({self.map(inner)}, {self.rng.choice(OVER)})",
            lambda: f"{self.rng.choice(['local_mean', 'local_max'])}({self.map(inner)}, size={self.size()})",
            lambda: f"for_class({self.map(inner)}, {self.classes()})",
            lambda: f"[{', '.join(self.literal() for _ in range(self.rng.choice([1, 3, 3, 2])))}]*{self.map(0)}",
            lambda: self.loss(inner, "none"),
        )

    def size(self) -> str:
        return self.rng.choice(["1", "3", "5", "31"]) if self.rng.random() < 0.9 else self.literal()

    def classes(self) -> str:
        return self.rng.choice(["[0]", "[0, 1]", "[1]", "[1, 2]", "[0, 0]", "[0]", "[5]", f"[{self.literal()}]"])

    def arithmetic(self, of: Callable[[int], str], depth: int) -> str:
        left, right = of(depth), of(depth)
        if self.rng.random() < 0.15:
            right = left
        if self.rng.random() < 0.2:
            return f"({left})**{self.rng.choice([self.literal(), self.literal(), '(-2)', '0.5', f'({right})'])}"
        return f"({left}) {self.rng.choice('+-*/+-*')} ({right})"

    def function(self, of: Callable[[int], str], depth: int) -> str:
        name = self.rng.choice([*FUNCTIONS, "-", "clamp", "min", "max"])
        if name == "-":
            return f"-({of(depth)})"
        if name == "clamp":
            bounds = ["min=0", "max=1", "min=0, max=1", f"min={self.literal()}", f"max={self.literal()}"]
            return f"clamp({of(depth)}, {self.rng.choice(bounds)})"
        if name in ("min", "max"):
            return f"{name}({of(depth)}, {self.number(0)})"
        return f"{name}({of(depth)})"

    def choice(self, of: Callable[[int], str], depth: int) -> str:
        compared = f"{self.rng.choice([of, self.number])(depth)} {self.rng.choice(COMPARISONS)} {self.number(0)}"
        return f"where({compared}, {of(depth)}, {self.rng.choice([of, self.number])(depth)})"

    def reduced(self, depth: int) -> str:
        value, kind = self.map(depth), self.rng.choice([*REDUCTIONS, "mean", "topk"])
        if kind == "topk":
            return f"topk({value}, share={self.rng.choice(['0.1', '0.5', '1', '1e-9', self.literal()])})"
        more = ["", "", "", f", weight={self.map(0)}", f", count={self.map(0)}"] if kind == "mean" else [""]
        return f"{kind}({value}{self.rng.choice(more)})"

    def several(self, depth: int) -> str:
        ways = [
            f"multiscale({self.number(depth)})",
            f"multiscale({self.number(depth)}, weights=[{self.literal()}, {self.literal()}])",
            f"min({', '.join(self.number(0) for _ in range(self.rng.randint(2, 12)))})",
            " + ".join(self.number(0) for _ in range(self.rng.randint(2, 12))),
            "*".join(f"({self.number(0)})" for _ in range(self.rng.randint(2, 6))),
        ]
        return f"({self.rng.choice(ways)})"

    def of_the_run(self) -> str:
        return self.rng.choice(["epoch", "step", "classes", "min(1, epoch/10)", "0.9**epoch", self.literal()])

    def head(self) -> str:
        name, i = self.rng.choice(["bce", "dice", "mse", "ce", "focal", "l1"]), self.rng.randint(0, 2)
        return f"{name}(a{i}, b{i}{self.rng.choice(['', '', '', ', reduction=none'])})"

    def loss(self, depth: int, reduction: str = "") -> str:
        loss = self.rng.choice(LOSSES)
        if self.rng.random() < 0.3:
            loss = self.rng.choice([one for one in LOSSES if one.name in ("bce", "ce", "dice", "mse")])
        given = []
        if self.rng.random() < 0.25 and depth > 0:
            given += [self.map(depth - 1), self.map(0)][: self.rng.randint(1, 2)]
        for parameter in loss.parameters:
            if parameter.default is not None and self.rng.random() > 0.2:
                continue
            fitting = [one for one in NUMBERS if parameter.interval and float(one) in parameter.interval]
            value = self.rng.choice([*parameter.words, *fitting])
            if self.wrong() or (self.extreme and self.rng.random() < 0.2):
                value = self.rng.choice([self.literal(), self.of_the_run(), *WORDS])
            if parameter.lists:
                value = self.rng.choice(["[1, 2, 0.5]", "[1]", f"[{self.literal()}]", value])
            if loss.name == "class_distance":
                value = "[[0, 1, 1], [1, 0, 1], [1, 1, 0]]"
            given.append(f"{parameter.name}={value}")
        if reduction or self.rng.random() < 0.05:
            given.append(f"reduction={reduction or self.rng.choice(['none', 'sum', 'mean'])}")
        return f"{loss.name}({', '.join(given)})" if given else loss.name

    def definitions(self) -> list[str]:
        lines = []
        for i in range(self.rng.choice([0, 0, 0, 1, 2, 4])):
            kind = self.rng.random()
            if kind < 0.2:
                lines.append(f"s{i} = learn({self.literal()})")
                self.names.append(f"s{i}")
            elif kind < 0.7:
                lines.append(f"n{i} = {self.number(2)}")
                self.names.append(f"n{i}")
            else:
                lines.append(f"m{i} = {self.map(2)}")
                self.map_names.append(f"m{i}")
        return lines

    def text(self) -> str:
        size = self.rng.random()
        lines = self.definitions()
        if size < 0.02:  # wide
            terms = (f"{self.literal()}*{self.number(0)}" for _ in range(self.rng.choice([40, 120, 200])))
            return "\n".join([*lines, " + ".join(terms)])
        if size < 0.04:  # deep
            each = self.rng.choice(
                ["0.5*sqrt({0}) + 0.1*dice", "{0} + {0}", "{0}*{0}", "where({0} < 1, {0}, 1)", "-{0}"]
            )
            chain = [f"d0 = {self.number(1)}", *(f"d{i + 1} = {each.format(f'd{i}')}" for i in range(70))]
            return "\n".join([*lines, *chain, "d70"])
        if size < 0.06:
            function, count = self.rng.choice(["sqrt({})", "1 + ({})", "-({})", "min({}, 1)"]), self.rng.randint(5, 62)
            value = self.number(0)
            for _ in range(count):
                value = function.format(value)
            return "\n".join([*lines, value])
        return "\n".join([*lines, self.number(self.rng.randint(1, 4))])

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for name, values in OPTIONS.items():
            if self.rng.random() < 0.25:
                options[name] = self.rng.choice(ODD[name] if self.untidy and self.rng.random() < 0.3 else values)
        return options

    def config(self) -> dict[str, Any]:
        names = [f"t{i}" for i in range(self.rng.randint(1, 3))]
        terms: dict[str, Any] = {}
        for name in names:
            terms[name] = {
                "expr": self.number(2),
                "weight": self.rng.choice([self.number(0), 0.5, 2, 1e39 if self.extreme else 1]),
            }
            if self.rng.random() < 0.3:
                terms[name] = self.number(2)
        config: dict[str, Any] = {"terms": terms, **self.options()}
        if self.rng.random() < 0.3:
            config["define"] = {"k": self.number(2)}
        if self.rng.random() < 0.3:
            config["total"] = " + ".join(f"{self.literal()}*{name}" for name in names)
        return config


OPTIONS: dict[str, list[Any]] = {
    "task": [*TASKS],
    "input": ["logits", "probs", "probs"],
    "ignore_index": [255, 0, -1, 2**63 - 1],
    "class_weight": [[1, 2, 0.5], [1], {0: 1, 1: 2, 2: 3}, [1e30] * 3, [0, 0, 1], [1e-40, 1, 1]],
}
ODD: dict[str, list[Any]] = {
    "task": ["panoptic", 3],
    "input": ["softmax", {}],
    "ignore_index": [2**64, 0.5, "a"],
    "class_weight": [[1e300, 1, 1], [1e39], [0, 0, 0], [-1, 1, 1], [float("nan")], [[1]], 5],
}


def formula(number: int) -> Case:
    """The formula or config of a number."""
    writer = Writer(number)
    kind = writer.rng.random()
    if kind < 0.15:
        return Case(writer.config(), {})
    if kind < 0.45:
        return Case(writer.rng.choice(PLACES).replace("{}", writer.rng.choice(VALUES)), writer.options())
    return Case(writer.text(), writer.options())


@dataclass(frozen=True)
class Batch:
    pred: Tensor
    target: Tensor
    task: str


def batches(rng: random.Random) -> list[Batch]:
    """A few batches of different tasks and shapes."""
    seed = torch.Generator().manual_seed(rng.randrange(1000))
    z, zm = (torch.randn(2, classes, 3, 3, generator=seed) for classes in (1, 3))
    labels = (torch.rand(2, 3, 3, 3, generator=seed) < 0.5).float()
    every = [
        Batch(z, labels[:, :1], "binary"),
        Batch(zm, torch.randint(0, 3, (2, 3, 3), generator=seed), "multiclass"),
        Batch(zm, labels, "multilabel"),
        Batch(zm, torch.randn(2, 3, 3, 3, generator=seed), "regression"),
        Batch(zm[..., 0, 0], labels[:, 0, 0, 0].long(), "multiclass"),
        Batch(z.double()[:, 0], labels[:, 0], "binary"),
        Batch(z.bfloat16(), labels[:, :1], "binary"),
        Batch(zm[:0], labels[:0], "multilabel"),
    ]
    return rng.sample(every, 3)


def named_tensors(loss: lossdsl.Loss, batch: Batch, rng: random.Random) -> dict[str, Tensor]:
    shape = batch.pred.shape
    shapes = [shape, shape[:1] + shape[2:], shape[:1], shape[:2], (4, 2)]
    tensors = {}
    for name in sorted(loss._study.facts.tensors):
        size = (5,) if name[0] in "ab" and rng.random() < 0.8 else rng.choice(shapes)
        tensors[name] = torch.rand(size).round() if name[0] == "b" else torch.rand(size)
    return tensors


def train(loss: lossdsl.Loss, batch: Batch, rng: random.Random) -> None:
    """Call, break down and go backwards, with and without a mask; what does not fit is a LossError."""
    pred = batch.pred.clone()
    if loss.options.input == "probs":
        pred = pred.sigmoid() if pred.ndim < 2 or pred.shape[1] == 1 else pred.softmax(1)
    pred.requires_grad_()
    given: dict[str, Any] = named_tensors(loss, batch, rng)
    given |= {name: rng.choice([0, 3, 2.5, torch.tensor(4.0), 10**6]) for name in loss._study.facts.scalars}
    outputs: Any = [pred, pred[..., ::2]] if loss._study.facts.scales else pred
    for mask in rng.sample([None, torch.ones(batch.target.shape[:1]), torch.rand(batch.target.shape).round()], 2):
        try:
            value = loss(outputs, batch.target, mask=mask, **given)
            parts = loss.breakdown(outputs, batch.target, mask=mask, **given)
        except lossdsl.LossError as error:
            assert_told(error)
            continue
        assert value.ndim == 0
        assert parts.total.ndim == 0
        for result in (value, parts.total):
            if result.requires_grad:
                result.backward()  # type: ignore[no-untyped-call]


def assert_told(error: lossdsl.LossError) -> None:
    assert error.diagnostics
    for finding in error.diagnostics:
        assert finding.message.strip()
        assert "\n" not in finding.message
    assert str(error)


def walk(number: int) -> str | None:
    """All that is done with one formula; a traceback where something other than a LossError came out."""
    case, rng = formula(number), random.Random(number)
    step = "check"
    try:
        report = lossdsl.check(case.source, **case.options)
        step = "str"
        str(report)
        for name, function in (("explain", lossdsl.explain), ("open", explained)):
            step = name
            try:
                function(case.source, **case.options)
                assert report.ok, "explained, though it has errors"
            except lossdsl.LossError as error:
                assert_told(error)
                assert not report.ok, "not explained, though it has no errors"
        step = "compile"
        try:
            loss = lossdsl.compile(case.source, **case.options)
        except lossdsl.LossError as error:
            assert_told(error)
            assert not report.ok, "not compiled, though it has no errors"
            return None
        step = "call"
        for batch in batches(rng):
            step = f"call with {batch.task} {tuple(batch.pred.shape)} {batch.pred.dtype}"
            train(loss, batch, rng)
    except Exception:
        return f"formula({number}), {step}: {case}\n{traceback.format_exc()}"
    return None


def explained(source: Any, **options: Any) -> None:
    for how in ({"latex": True}, {"cost": True}):
        lossdsl.explain(source, open="all", **how, **options)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_any_formula(chunk: int) -> None:
    failed = [told for number in range(chunk, COUNT, CHUNKS) if (told := walk(number))]
    assert not failed, f"{len(failed)} of {COUNT // CHUNKS}\n\n" + "\n\n".join(failed[:5])


@pytest.mark.long
def test_the_formulas_are_of_all_kinds() -> None:
    """Most of those that the generator writes can be read, and about half of them can be trained with."""
    texts = [formula(number).source for number in range(400)]
    formulas = [text for text in texts if isinstance(text, str)]
    assert sum(read_formula(text).spec is not None for text in formulas) > 0.9 * len(formulas)
    compiled = sum(lossdsl.check(text).ok for text in texts)
    assert 100 < compiled < 350
    for word in ("for_class", "multiscale", "where", "learn", "epoch", "1e39", "reduction=none", "a0", "local_mean"):
        assert any(word in str(text) for text in texts), word


# What is picked at the target's class can turn out to be a number, and labels can stand as a prediction.
NUMBERS_OF_CLASSES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean(sum(y*log(y), over=class)) + 0*mean(p)": lambda p: torch.zeros(()),
    "mean(sum(y*log(1 - (y - y)), over=class))": lambda p: torch.zeros(()),
    "mean(sum(y*exp(y), over=class)) + mean(p - p)": lambda p: torch.tensor(1.0).exp(),
    "where(mean(mean(y, over=class)) > 0, 2, 3)": lambda p: torch.tensor(2.0),
    "mean(mean(y, over=class)) + mean(z - z + p)": lambda p: 1 / 3 + p.mean(),
    "sum(p - p) + mean(p)": lambda p: p.mean(),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("text", NUMBERS_OF_CLASSES)
def test_maps_that_turn_out_to_be_numbers(text: str, masked: bool) -> None:
    z = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0, 1, 2, 2], [1, 1, 0, 2]])
    loss = lossdsl.compile(text, task="multiclass")
    value = loss(z, target, mask=torch.ones(2, 4) if masked else None)
    assert value.item() == pytest.approx(NUMBERS_OF_CLASSES[text](z.softmax(1)).item())
    if value.requires_grad:
        value.backward()  # type: ignore[no-untyped-call]
        assert z.grad is not None
        assert z.grad.isfinite().all()
