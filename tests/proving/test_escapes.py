"""What check says of a loss holds when the loss is run: its range, and that nothing overflows which is not reported.

The formulas come from a generator of its own, which shares no code with the proofs, and what check says is read from
the text that users get. LOSSDSL_FORMULAS says how many are tried, LOSSDSL_SEED which.
"""

from __future__ import annotations

import math
import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl
from lossdsl.api.reports import Report

COUNT = int(os.environ.get("LOSSDSL_FORMULAS", "0"))
SEED = int(os.environ.get("LOSSDSL_SEED", "1"))
TASKS = ("binary", "multilabel", "multiclass", "regression")

LOSSES = {
    "binary": (
        "bce", "bce(pos_weight={n})", "bce(label_smoothing=0.1)", "dice", "dice(smooth={n})", "dice(per=batch)",
        "iou", "focal", "focal(gamma={n})", "tversky(fp_weight={n})", "mcc", "hinge", "hinge(margin={n})", "lovasz",
        "js", "kl", "bi_tempered", "bi_tempered(t1=0.95)", "balanced_bce", "dice_coef", "iou_coef", "log_cosh_dice",
        "combo", "normalized_focal", "quality_focal(beta={n})", "reduced_focal", "sensitivity_specificity",
        "flipped_iou", "smooth_l1(p, y)", "huber(p, y, delta={n})", "cauchy(p, y)", "wing(p, y)", "welsch(z, y)",
        "l1(z, y)", "charbonnier(p, y)", "geman_mcclure(z, y)", "log_cosh(z, y)", "context_attention(size=3)",
        "f_beta(beta={n})",
    ),
    "multilabel": (
        "bce", "bce(pos_weight=[1, {n}, 2])", "dice(average=micro)", "generalized_dice", "focal_tversky", "kl", "js",
        "precision", "recall", "topk_ce(share=0.3)", "bi_tempered", "mcc", "for_class(dice, [1, 2])", "cldice",
        "focal(gamma={n}, alpha=0.25)", "flipped_iou", "lovasz(per=batch)", "for_class(bce, [0])", "iou(smooth={n})",
    ),
    "multiclass": (
        "ce", "ce(label_smoothing=0.1)", "dice", "focal", "unified_focal", "exp_log", "frequency_ce", "topk_ce",
        "js", "kl", "generalized_dice(weight=simple)", "lovasz", "bi_tempered(t2=1.5)",
        "dice(include_background=false)", "mcc", "wasserstein_dice(distances=[[0, 1, 1], [1, 0, 2], [1, 2, 0]])",
        "for_class(dice, [1])", "tversky(fn_weight={n})", "sensitivity_specificity(balance=0)",
        "cldice(iterations=2)",
    ),
    "regression": (
        "mse", "l1", "huber(delta={n})", "smooth_l1(beta={n})", "log_cosh", "charbonnier", "cauchy", "welsch",
        "geman_mcclure", "wing", "wing(width={n})",
    ),
}  # fmt: skip
LEAVES = {
    "binary": ("p", "y", "z", "1 - p", "p*y", "w", "p - y"),
    "multilabel": ("p", "y", "z", "[1, 2, 0.5]*p", "(1 - y)*p", "w"),
    "multiclass": ("p", "y", "z", "y*p", "p - y", "w"),
    "regression": ("pred", "target", "pred - target", "w", "pred*target"),
}
OF_ONE = (
    "exp({})", "exp(-({}))", "exp(min({}, {n}))", "log({})", "log({} + {n})", "log(1 + {})", "log(1 - {})",
    "sqrt({})", "sqrt({} + {n})", "abs({})", "tanh({})", "sigmoid({})", "softplus({})", "cosh({})", "logcosh({})",
    "relu({})", "-({})", "stop_gradient({})", "({})**2", "({})**3", "({})**{n}", "{n}*({})", "({})/{n}", "{n}/({})",
    "{n} - ({})", "1/(1 + {})", "1/(1 + exp(-({})))", "clamp({}, min=0)", "clamp({}, min=-1, max=1)", "min({}, {n})",
    "max({}, {n})", "log(exp({}))", "log(sigmoid({}))", "({})*(epoch + 1)", "exp(-s)*({})", "({})**8",
    "log(max({}, 1e-6))", "sqrt(({})**2 + 1e-6)",
)  # fmt: skip
OF_TWO = (
    "{} + {}", "{} - ({})", "({})*({})", "({})/({})", "({})/({} + {n})", "({})/(abs({}) + {n})", "min({}, {})",
    "max({}, {})", "where({} > {n}, {}, {})", "where({} <= {}, {}, {})", "({})*log({})", "({})*log(({})/({}))",
    "({} - ({}))**2", "abs({} - ({}))", "{n}*({}) + {n}*({})", "({})/sqrt({} + {n})",
)  # fmt: skip
OF_A_MAP = (
    "mean({})", "sum({})", "max({})", "min({})", "mean(sum({}, per=image))", "sum(mean({}, per=image))",
    "topk({}, share=0.3)", "mean({}, weight=y)", "mean({}, count=1 + y)",
    "mean(sum({}, per=image)/(sum({}, per=image) + {n}))", "sum({})/sum({})", "sum({})/(sum({}) + sum({}))",
    "mean(max({}, over=pixel))", "mean(logsumexp({}, over=pixel))", "mean(log(sum(exp({}), per=image)))",
    "mean({} - ({}))", "mean(({})**2) - mean({})**2", "mean(sqrt(sum(({})**2, per=image)))",
    "mean(local_mean({}, size=3))", "mean(local_max({}, size=3))", "mean(({})*softmax({}, over=pixel))",
    "mean(mean({}, per=batch))", "mean(min({}, over=pixel))", "mean(sum({}, per=batch)/(1 + sum({}, per=batch)))",
)  # fmt: skip
OF_CLASSES = (
    "mean(sum({}, over=class))",
    "mean(max({}, over=class))",
    "mean(logsumexp({}, over=class))",
    "mean(({})*softmax({}))",
)
NUMBERS = ("0.1", "0.5", "1", "2", "3", "1e-6", "1e-3", "10", "100", "1e-20", "1e10", "85", "40", "1.5", "0.25")


@dataclass
class Writer:
    """Writes formulas for one task."""

    random: random.Random
    task: str

    def loss(self) -> str:
        lines = []
        terms = [self.number_part(self.random.randint(0, 3)) for _ in range(self.random.choice([1, 1, 2, 3]))]
        text = terms[0]
        for term in terms[1:]:
            text += self.random.choice([" + ", " + ", " - "]) + f"{self.number()}*({term})"
        if self.random.random() < 0.2:
            lines.append(f"a = {self.number_part(1)}")
            text = f"{text} + a/(1 + a**2)" if self.random.random() < 0.5 else f"a + {text}"
        if re.search(r"\bs\b", text + "".join(lines)):
            lines.insert(0, "s = learn(0)")
        return "\n".join([*lines, text])

    def number(self) -> str:
        return self.random.choice(NUMBERS)

    def filled(self, form: str, part: Callable[[], str]) -> str:
        return re.sub(r"\{(n?)\}", lambda hole: self.number() if hole[1] else part(), form)

    def number_part(self, depth: int) -> str:
        if depth == 0 or self.random.random() < 0.35:
            if self.random.random() < 0.4:
                return self.filled(self.random.choice(LOSSES[self.task]), str)
            forms = OF_A_MAP if self.task in ("binary", "regression") else OF_A_MAP + OF_CLASSES
            return self.filled(self.random.choice(forms), lambda: self.map_part(self.random.randint(0, 2)))
        forms = OF_ONE if self.random.random() < 0.6 else OF_TWO
        return self.filled(self.random.choice(forms), lambda: self.number_part(depth - 1))

    def map_part(self, depth: int) -> str:
        if depth == 0 or self.random.random() < 0.2:
            return self.random.choice(LEAVES[self.task])
        forms = OF_ONE if self.random.random() < 0.6 else OF_TWO
        return self.filled(self.random.choice(forms), lambda: self.map_part(depth - 1))


SPECIAL = torch.tensor([0.0, 1e-8, -1e-3, 0.7, -2.0, 17.0, -17.0, 40.0, 88.0, -89.0, 100.0, -104.0, 1e3, 1e4, -1e4])


def calls(task: str, seed: int) -> list[dict[str, Tensor]]:
    """Ordinary and saturated predictions; soft, empty and full targets; early and late epochs; few pixels and more."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape, often, labels, epoch, learned in (
        ((2, 3, 5), 0.0, "hard", 0.0, 0.0),
        ((1, 3, 1), 1.0, "hard", 1.0, -2.0),
        ((2, 3, 16), 0.5, "soft", 7.0, 3.0),
        ((2, 3, 4), 1.0, "none", 1000.0, 0.0),
        ((1, 3, 64), 0.9, "all", 3.0, 0.0),
        ((2, 3, 2), 2.0, "hard", 3.0, 0.0),
    ):
        size = (shape[0], 1 if task in ("binary", "regression") else shape[1], shape[2])
        special = SPECIAL[torch.randint(len(SPECIAL), size, generator=generator)]
        if often > 1:
            special = torch.full(size, SPECIAL[int(torch.randint(len(SPECIAL), (), generator=generator))].item())
        mixed = torch.rand(size, generator=generator) < often
        pred = torch.where(mixed, special, torch.randn(size, generator=generator))
        if task == "multiclass":
            target = torch.randint(3, (size[0], size[2]), generator=generator)
            target = target if labels in ("hard", "soft") else torch.full_like(target, 0 if labels == "none" else 2)
        elif task == "regression":
            target = pred.clone() if labels == "all" else torch.randn(size, generator=generator) * (100 if often else 1)
        else:
            drawn = torch.rand(size, generator=generator)
            target = {"hard": drawn.round(), "soft": drawn, "none": drawn * 0, "all": drawn * 0 + 1}[labels]
        w = torch.where(
            mixed,
            SPECIAL[torch.randint(len(SPECIAL), size, generator=generator)],
            torch.randn(size, generator=generator),
        )
        made.append({"pred": pred, "target": target, "w": w, "epoch": torch.tensor(epoch), "s": torch.tensor(learned)})
    return made


_RANGE = re.compile(r"^ +total +(?P<text>[^\n]+)$", re.MULTILINE)


def total_range(text: str, task: str) -> tuple[float, float]:
    """The range of the total that `explain` prints."""
    found = _RANGE.search(lossdsl.explain(text, task=task, files=False))
    assert found, text
    shown = found["text"].strip()
    if not shown.startswith(("[", "(")):
        return float(shown), float(shown)
    low, high = shown.strip("[]()").split(", ")
    return float(low), float(high)


def run(loss: Any, text: str, call: dict[str, Tensor], dtype: torch.dtype) -> float:
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.copy_(call["s"])
    target = call["target"] if not call["target"].is_floating_point() else call["target"].to(dtype)
    named = {"w": call["w"].to(dtype)} if re.search(r"\bw\b", text) else {}
    with torch.no_grad():
        return float(loss(call["pred"].to(dtype), target, epoch=call["epoch"].to(dtype), **named))


def escapes(text: str, task: str, seed: int) -> list[str] | None:
    """What a loss does that check does not say; None for a formula that is refused."""
    report = lossdsl.check(text, task=task, files=False)
    if not report.ok:
        return None
    low, high = total_range(text, task)
    reported = {one.code for one in report.diagnostics}
    loss = lossdsl.compile(text, task=task)
    largest = max(map(float, re.findall(r"\b[0-9.]+(?:e[-+]?[0-9]+)?\b", text)), default=1.0)
    found = []
    for number, call in enumerate(calls(task, seed)):
        exact = run(loss, text, call, torch.float64)
        if abs(exact) > 1e15 and "LD703" in reported:
            continue  # divided by what rounding leaves of 0, of which only the sign is wrong
        slack = 1e-6 * max(1.0, abs(exact)) + 1e-12 * largest
        if math.isfinite(exact) and not low - slack <= exact <= high + slack:
            found.append(f"call {number}: {exact!r} is not in [{low}, {high}]")
        single = run(loss, text, call, torch.float32)
        if not math.isfinite(single) and "LD706" not in reported:
            found.append(f"call {number}: {single} in float32 ({exact} in float64), and no overflow is reported")
        if math.isfinite(single) and math.isfinite(exact):
            slack = 1e-3 * max(1.0, abs(exact), abs(single - exact)) + 1e-6 * largest
            if not low - slack <= single <= high + slack:
                found.append(f"call {number}: {single!r} in float32 is not in [{low}, {high}]")
    return found


def tried(count: int, seed: int) -> tuple[int, list[str]]:
    """How many formulas were run, and what escaped."""
    run_through, found = 0, []
    source = random.Random(seed)
    while run_through < count:
        task = source.choice(TASKS)
        text = Writer(source, task).loss()
        outcome = escapes(text, task, source.randrange(2**32))
        if outcome is not None:
            run_through += 1
            found += [f"{task}: {text!r}: {one}" for one in outcome]
    return run_through, found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_nothing_escapes(seed: int) -> None:
    run_through, found = tried(COUNT // 4 if COUNT else 40, seed)
    assert run_through >= 40
    assert not found, "\n".join(found)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(100, 120))
def test_nothing_escapes_of_many(seed: int) -> None:
    _, found = tried(250, seed)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "task", "wrong"),
    [
        ("bce", "binary", "[0, 0.1]"),
        ("1 - dice", "multiclass", "(0.99999, 1]"),
        ("sum(exp(z))", "binary", ""),
    ],
)
def test_an_escape_would_be_seen(text: str, task: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What check says is made wrong: another range, or no finding."""
    assert escapes(text, task, 7) == []
    if wrong:
        monkeypatch.setattr(lossdsl, "explain", lambda *_, **__: f"ranges\n    total  {wrong}\n")
    else:
        monkeypatch.setattr(lossdsl, "check", lambda *_, **__: Report(()))
    assert escapes(text, task, 7)
