"""What holds for every loss: its gradient is that of its value, its range is kept, it is finite at every edge, and a
masked pixel is as if it were not there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

import lossdsl
from lossdsl.registry.discover import default_registry

OUTCOMES = ("binary", "multilabel")
LABELS = (*OUTCOMES, "multiclass", "soft")
MANY = ("multilabel", "multiclass", "soft")
RAW = ("regression",)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)

# {} is where reduction= is put
LOSSES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "dice": (("dice(squared=true{})", "dice(squared=true, smooth=0, empty=skip{})",
              "dice(empty=skip, per=batch{})"), LABELS),
    "dice ": (("dice(average=micro, smooth=0{})", "dice(include_background=false{})",
               "dice(average=micro, include_background=false, squared=true, per=batch{})",
               "dice(include_background=false, empty=skip, smooth=0{})"), MANY),
    "generalized_dice": (("generalized_dice({})", "generalized_dice(weight=simple, per=batch, smooth=1{})",
                          "generalized_dice(weight=uniform, include_background=false{})",
                          "generalized_dice(include_background=false, per=batch{})"), MANY),
    "flipped_iou": (("flipped_iou({})", "flipped_iou(smooth=1{})"), OUTCOMES),
    "precision": (("precision({})", "precision(smooth=0, per=batch{})"), LABELS),
    "recall": (("recall({})", "recall(smooth=0, per=batch{})"), LABELS),
    "f_beta": (("f_beta(beta=2{})", "f_beta(beta=0.5, smooth=0, per=batch{})"), LABELS),
    "sensitivity_specificity": (("sensitivity_specificity({})", "sensitivity_specificity(balance=1, per=batch{})"),
                                LABELS),
    "mcc": (("mcc({})", "mcc(per=image{})"), LABELS),
    "bce": (("bce(label_smoothing=0.1{})", "bce(label_smoothing=0.4, pos_weight=3{})"), OUTCOMES),
    "balanced_bce": (("balanced_bce({})", "balanced_bce(beta=0.9{})"), OUTCOMES),
    "bi_tempered": (("bi_tempered(t1=0.3, t2=1{})", "bi_tempered(t1=1, t2=1{})", "bi_tempered({})",
                     "bi_tempered(t1=0, t2=4, label_smoothing=0.1{})", "bi_tempered(t1=1, t2=2{})"), LABELS),
    "frequency_ce": (("frequency_ce({})", "frequency_ce(power=0.5{})"), LABELS[2:]),
    "topk_ce": (("topk_ce({})", "topk_ce(share=0.6{})"), LABELS),
    "normalized_focal": (("normalized_focal({})", "normalized_focal(gamma=0.5{})"), OUTCOMES),
    "reduced_focal": (("reduced_focal({})", "reduced_focal(gamma=0.5, threshold=0.2{})"), OUTCOMES),
    "quality_focal": (("quality_focal({})", "quality_focal(beta=0.5{})"), OUTCOMES),
    "log_cosh_dice": (("log_cosh_dice({})", "log_cosh_dice(smooth=0, per=batch{})"), LABELS),
    "combo": (("combo({})", "combo(alpha=0.2, beta=0.9, smooth=0, per=batch{})"), OUTCOMES),
    "exp_log": (("exp_log({})", "exp_log(dice_gamma=2, ce_gamma=1.5, smooth=0.001{})"), LABELS[2:]),
    "unified_focal": (("unified_focal({})", "unified_focal(gamma=0.9, delta=0.2, smooth=0, per=batch{})"), LABELS[2:]),
    "kl": (("kl({})",), LABELS),
    "js": (("js({})",), LABELS),
    **{name: ((f"{name}({{}})",), RAW) for name in ("log_cosh", "charbonnier", "cauchy", "geman_mcclure", "welsch")},
    "wing": (("wing({})", "wing(width=0.3, curvature=2{})"), RAW),
}  # fmt: skip
# Those that tests/numerics, tests/runtime and test_shaped_laws.py put through the same laws.
ELSEWHERE = {
    "bce", "ce", "focal", "dice", "dice_coef", "iou", "iou_coef", "tversky", "focal_tversky", "lovasz",
    "lovasz_extension", "l1", "mse", "smooth_l1", "huber", "hinge", "ssim", "ms_ssim", "total_variation",
    "context_attention", "cldice", "soft_skeleton", "giou", "nt_xent", "barlow_twins", "tempered_softmax",
    "tempered_sigmoid", "class_distance", "wasserstein_dice",
}  # fmt: skip
RANGES = {loss.name: loss.range for loss in default_registry().built_ins()}
ROWS = [(text, task) for texts, tasks in LOSSES.values() for text in texts for task in tasks]
EACH = pytest.mark.parametrize(("text", "task"), ROWS, ids=["-".join(row) for row in ROWS])


def test_no_built_in_is_forgotten() -> None:
    assert {name.strip() for name in LOSSES} | ELSEWHERE == set(RANGES)


@pytest.mark.parametrize("loss", default_registry().built_ins(), ids=lambda loss: loss.name)
def test_every_built_in_says_what_it_is_and_where_from(loss: Any) -> None:
    assert loss.documentation.summary
    assert loss.documentation.source
    assert loss.range.low <= loss.range.high
    assert all(parameter.interval or parameter.words for parameter in loss.parameters)


def reduced(text: str, how: str = "") -> str:
    return text.format(how if "({})" in text or not how else f", {how}")


def kind(task: str) -> str:
    return "multiclass" if task == "soft" else task


def name_of(text: str) -> str:
    return text.partition("(")[0]


def a_call(task: str, seed: int, pixels: int = 8) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    z = torch.randn(3, 1 if task == "binary" else 3, pixels, dtype=torch.float64)
    match task:
        case "multiclass":
            return z, torch.randint(0, 3, (3, pixels))
        case "soft":
            return z, torch.randn(z.shape, dtype=torch.float64).softmax(1)
        case "regression":
            return z, torch.randn(z.shape, dtype=torch.float64)
    return z, (torch.rand(z.shape) < 0.5).double()


def inputs(task: str, z: Tensor) -> dict[str, Tensor]:
    if task == "regression":
        return {"logits": z}
    return {"logits": z, "probs": z.softmax(1) if kind(task) == "multiclass" else z.sigmoid()}


@EACH
def test_gradient(text: str, task: str) -> None:
    z, target = a_call(task, 3, pixels=5)
    for given_as, pred in inputs(task, z).items():
        loss = lossdsl.compile(reduced(text), task=kind(task), input=given_as)
        assert gradcheck(lambda x, f=loss: f(x, target), (pred.requires_grad_(),), fast_mode=True)


SPECIAL = torch.tensor([0.0, 1e-8, 17.0, -17.0, 37.0, -37.0, 100.0, -100.0, 1e4, -1e4])


@st.composite
def calls(draw: st.DrawFn, task: str) -> tuple[Tensor, Tensor]:
    """Small tensors of adversarial numbers, or larger ones, in both precisions; classes may be absent or everywhere."""
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    shape = (draw(st.integers(1, 3)), 1 if task == "binary" else 3, draw(st.sampled_from([1, 2, 5, 300])))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([0.1, 1.0, 10.0, 100.0]))
    special = SPECIAL.to(dtype)[torch.randint(len(SPECIAL), shape, generator=generator)]
    often = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    z = torch.where(often, special, torch.randn(shape, generator=generator, dtype=dtype) * scale)
    if draw(st.booleans()):
        z = z[..., :1].expand(shape).clone()
    if task == "regression":
        return z, torch.randn(shape, generator=generator, dtype=dtype) * scale
    if task == "multiclass":
        index = torch.randint(0, 3, (shape[0], shape[2]), generator=generator)
        return z, index.clamp_max(draw(st.sampled_from([0, 1, 2])))
    if task == "soft":
        return z, (torch.randn(shape, generator=generator, dtype=dtype) * 9).softmax(1)
    share = draw(st.sampled_from([0.0, 0.01, 0.3, 1.0]))
    return z, (torch.rand(shape, generator=generator) < share).to(dtype)


# Losses that are one number before any mean is taken: they have no map.
NUMBERS = ("topk_ce", "normalized_focal", "combo", "exp_log", "unified_focal", "log_cosh_dice")


def has_map(text: str) -> bool:
    pooled = "per=batch" in text and ("average=micro" in text or name_of(text) == "generalized_dice")
    return name_of(text) not in NUMBERS and not pooled


@pytest.mark.parametrize("name", list(LOSSES), ids=lambda name: name.replace(" ", "_"))
@settings(max_examples=60)
@given(data=st.data())
def test_range(name: str, data: st.DataObject, value: Any) -> None:
    """From logits and from probabilities, for the loss and for each element of its map."""
    text, task = (data.draw(st.sampled_from(choices)) for choices in LOSSES[name])
    z, target = data.draw(calls(task))
    low, high = RANGES[name_of(text)].low, RANGES[name_of(text)].high
    formulas = [reduced(text)]
    if has_map(text):
        formulas += [f"{extreme}({reduced(text, 'reduction=none')})" for extreme in ("max", "min")]
    for (given_as, pred), formula in itertools.product(inputs(task, z).items(), formulas):
        result = value(formula, pred, target, task=kind(task), input=given_as).item()
        slack = 16 * torch.finfo(z.dtype).eps * max(1.0, abs(result))
        assert low - slack <= result <= high + slack, f"{formula} of {given_as}: {result}"


LEAST = {"flipped_iou": -1.0, "combo": -0.5, "combo(alpha=0.2, beta=0.9, smooth=0, per=batch{})": -0.8}
# The best prediction of a smoothed label is that label; for labels between 0 and 1 only a divergence is 0 at the label.
# A heavy tail leaves something of every class at each finite logit.
NO_SMOOTHING = [
    row
    for row in ROWS
    if "label_smoothing" not in row[0]
    and (row[1] != "soft" or row[0] in ("kl({})", "js({})"))
    and row[0] not in ("bi_tempered({})", "bi_tempered(t1=1, t2=2{})")
]


@pytest.mark.parametrize(("text", "task"), NO_SMOOTHING, ids=["-".join(row) for row in NO_SMOOTHING])
def test_perfect_is_best(text: str, task: str, value: Any) -> None:
    """The prediction that is the target, with all classes in each image: 0, and the least value for scores."""
    _, target = a_call(task, 1)
    if task == "multiclass":
        target[:, :3] = torch.arange(3)
    labels = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).double() if task == "multiclass" else target
    perfect = {"logits": 1e4 * (2 * labels - 1), "probs": labels}
    if task in ("regression", "soft"):
        perfect = {"logits": target.log() if task == "soft" else target}
    for given_as, pred in perfect.items():
        result = value(reduced(text), pred, target, task=kind(task), input=given_as)
        assert result.item() == pytest.approx(LEAST.get(text, LEAST.get(name_of(text), 0.0)), abs=1e-12), given_as


LOGITS = (0.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4)
PROBS = (0.0, 1e-8, 1 - 1e-8, 1.0)


def predictions(task: str, given_as: str, dtype: torch.dtype) -> Iterator[Tensor]:
    """Constant maps, one class alone at a value, all values side by side, and nearly constant ones."""
    numbers = LOGITS if given_as == "logits" else PROBS
    classes = 1 if task == "binary" else 3
    for number, batch in itertools.product(numbers, (1, 2)):
        alone = torch.full((batch, classes, 4), 0.0 if given_as == "logits" else (1 - number) / 2, dtype=dtype)
        alone[:, 0] = number
        yield alone
        if given_as == "logits" or kind(task) != "multiclass":
            yield torch.full((batch, classes, 4), number, dtype=dtype)
    if given_as == "logits" or kind(task) != "multiclass":
        mixed = torch.tensor(numbers, dtype=dtype)
        yield mixed.expand(2, classes, -1).clone()
        yield torch.stack([mixed.roll(shift) for shift in range(classes)]).unsqueeze(0)


def targets(task: str, pred: Tensor) -> Iterator[Tensor]:
    """Nothing, everything, one pixel."""
    if task == "multiclass":
        index = torch.zeros(pred.shape[0], pred.shape[2], dtype=torch.long)
        yield from (index, index + 2, index.index_fill(1, torch.tensor([1]), 1))
        return
    one = torch.zeros_like(pred)
    one[0, 0, 1] = 1
    if task == "soft":
        yield torch.full_like(pred, 1 / pred.shape[1])
        one[:, 2] += 1 - one.sum(1)
        yield one
        return
    yield from (torch.zeros_like(pred), torch.ones_like(pred), one)


@DTYPES
@EACH
def test_finite(text: str, task: str, dtype: torch.dtype, value_and_gradient: Any) -> None:
    wrong = []
    for given_as in ("logits",) if task == "regression" else ("logits", "probs"):
        for pred in predictions(task, given_as, dtype):
            for target in targets(task, pred):
                options = {"task": kind(task), "input": given_as}
                result, gradient = value_and_gradient(reduced(text), pred, target, **options)
                if not (result.isfinite() and gradient.isfinite().all()):
                    wrong.append(f"{given_as} {pred.tolist()} {target.tolist()}: {result}, {gradient.tolist()}")
    assert not wrong, "\n".join(wrong[:3])


@DTYPES
@EACH
def test_nothing_counts(text: str, task: str, dtype: torch.dtype, value_and_gradient: Any) -> None:
    """All masked: exactly 0 with a gradient of exactly 0, whatever the elements hold."""
    z, target = a_call(task, 0)
    for held in (0.3, float("nan"), float("inf")):
        pred = torch.full_like(z, held, dtype=dtype)
        truth = target if task == "multiclass" else target.to(dtype)
        result, gradient = value_and_gradient(
            reduced(text), pred, truth, task=kind(task), call={"mask": torch.zeros(3, 8)}
        )
        assert result.item() == 0
        assert (gradient == 0).all()


@pytest.mark.parametrize("weighted", [False, True])
@EACH
def test_masked_is_removed(text: str, task: str, weighted: bool, value_and_gradient: Any) -> None:
    """Four pixels of each image go, and one image entirely; what they hold is NaN. Once with mask=, once ignored."""
    z, target = a_call(task, 7)
    kept = torch.tensor([1, 3, 4, 6])
    mask = torch.zeros(3, 8, dtype=torch.bool).index_fill(1, kept, True)
    mask[1] = False
    there = mask if task == "multiclass" else mask.unsqueeze(1)
    ways = [(target if task == "multiclass" else target.masked_fill(~there, float("nan")), {"mask": mask}, {}),
            (target.masked_fill(~there, 255), {}, {"ignore_index": 255})]  # fmt: skip
    for given_as, pred in inputs(task, z).items():
        options: dict[str, Any] = {"task": kind(task), "input": given_as}
        options |= {"class_weight": (0.5, 1.0, 3.0)[: pred.shape[1]]} if weighted else {}
        small = (pred[[0, 2]][..., kept], target[[0, 2]][..., kept])
        expected, slope = value_and_gradient(reduced(text), *small, **options)
        hidden = pred.masked_fill(~mask.unsqueeze(1), float("nan"))
        for truth, call, more in ways:
            result, gradient = value_and_gradient(reduced(text), hidden, truth, call=call, **options, **more)
            torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(gradient[[0, 2]][..., kept], slope, rtol=1e-9, atol=1e-13)
            assert (gradient.masked_select(~mask.unsqueeze(1)) == 0).all()
