"""The table of what the field writes: all that it says to write can be written, and is the number that it says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional

import lossdsl
from lossdsl import words
from lossdsl.checking.vocabulary import is_reserved
from lossdsl.cli import main
from lossdsl.registry.discover import default_registry
from lossdsl.registry.entry_points import BUILT_IN
from lossdsl.words import Word

GROUPS = [group[0] for group in words.groups()]
WORDS = [word for group in words.groups() for word in group]
WRITTEN = [word for word in GROUPS if word.write]
TASKS = ("binary", "multilabel", "multiclass", "regression")


def named(word: Word) -> str:
    return f"{word.kind} {word.name}"


def test_there_are_hundreds_of_names() -> None:
    assert len(GROUPS) >= 150
    assert len(WORDS) >= 1000
    assert len({(word.name, word.kind) for word in WORDS}) == len(WORDS)


@pytest.mark.parametrize("word", GROUPS, ids=named)
def test_a_row_is_complete(word: Word) -> None:
    assert word.write or word.note, "say why there is nothing to write"
    assert not word.same or word.write
    assert set(word.context.split(", ")) <= {"", "probs", *TASKS}
    assert not word.note.endswith(".")


@pytest.mark.parametrize("word", [word for word in WORDS if word.kind in words.NAMES], ids=named)
def test_no_name_is_one_of_ours(word: Word) -> None:
    """Such a row would never be looked at."""
    assert not is_reserved(word.name)
    assert not any(one.namespace == BUILT_IN for one in default_registry().candidates(word.name))


def formula_of(word: Word) -> str | dict[str, Any]:
    """What the row says to write, as a whole loss."""
    if word.kind == "function":
        return f"mean(p*({word.write}))" if word.write != "y" else "mean(p*y)"
    if word.kind == "value":
        return f"mean(p*{word.write})"
    return word.write


def options_of(word: Word) -> dict[str, str]:
    context = set(word.context.split(", "))
    tasks = context.intersection(TASKS)
    return {"task": tasks.pop()} if tasks else {}


@pytest.mark.parametrize("word", WRITTEN, ids=named)
def test_what_to_write_compiles(tmp_path: Path, word: Word) -> None:
    written = formula_of(word)
    if str(written).startswith("{"):
        file = tmp_path / "a.yaml"
        file.write_text(f"loss: {written}\n")
        assert lossdsl.check(file).ok
        lossdsl.load(file)
        return
    lossdsl.compile(written, **options_of(word))


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    """x is of both signs, u between 0 and 1, v above 1; a and b are positive."""
    rng = torch.Generator().manual_seed(0)
    shape = (3, 4, 5)
    return {
        "x": 2*torch.randn(shape, generator=rng, dtype=torch.float64),
        "u": torch.rand(shape, generator=rng, dtype=torch.float64)*0.9 + 0.05,
        "v": torch.rand(shape, generator=rng, dtype=torch.float64)*3 + 1.01,
        "a": torch.rand(shape, generator=rng, dtype=torch.float64) + 0.1,
        "b": torch.rand(shape, generator=rng, dtype=torch.float64)*2 + 0.1,
    }  # fmt: skip


# The names whose functions have a domain of their own.
DOMAINS = {
    **dict.fromkeys(["log2", "log10", "log1p", "ln", "rsqrt", "logit", "arctanh", "atanh", "entr", "prod"], "u"),
    **dict.fromkeys(["arccosh", "acosh"], "v"),
}
# How others are called, where it is not the function of this name of torch or numpy on the same arguments.
REFERENCES: Mapping[str, Callable[..., Tensor]] = {
    "square": torch.square,
    "cube": lambda x: x**3,
    "ln": torch.log,
    "log2": torch.log2,
    "exp10": lambda x: torch.from_numpy(np.power(10, x.numpy())),
    "cbrt": lambda x: torch.from_numpy(np.cbrt(x.numpy())),
    "reciprocal": torch.reciprocal,
    "identity": lambda x: x,
    "positive": torch.positive,
    "neg": torch.neg,
    "rsqrt": torch.rsqrt,
    "sign": torch.sign,
    "sinh": torch.sinh,
    "expit": torch.special.expit,
    "detach": lambda x: x.detach(),
    "average": torch.mean,
    "reduce_sum": torch.sum,
    "norm": torch.linalg.vector_norm,
    "softmin": lambda x: functional.softmin(x, dim=1),
    "log_softmax": lambda x: functional.log_softmax(x, dim=1),
    "clamp_min": lambda a, b: torch.clamp(a, min=b),
    "clamp_max": lambda a, b: torch.clamp(a, max=b),
    "xlog1py": torch.special.xlog1py,
    "entr": torch.special.entr,
}


def reference_of(name: str) -> Callable[..., Tensor]:
    if name in REFERENCES:
        return REFERENCES[name]
    return next(getattr(home, name) for home in (functional, torch) if hasattr(home, name))


@pytest.mark.parametrize("word", [word for word in GROUPS if word.kind == "function" and word.same], ids=named)
def test_a_function_is_the_same_number(word: Word, tensors: dict[str, Tensor]) -> None:
    slots = sorted(set(re.findall(r"\b[xab]\b", word.write)))
    values = [tensors[DOMAINS.get(word.name, slot)] for slot in slots]
    weight = tensors["u"]
    expected = (weight * reference_of(word.name)(*values)).mean()
    loss = lossdsl.compile(f"mean(w*({word.write}))", task="multilabel")
    given = loss(torch.zeros_like(weight), torch.zeros_like(weight), w=weight, **dict(zip(slots, values, strict=True)))
    torch.testing.assert_close(given, expected, rtol=1e-12, atol=1e-12)


def batch(context: str) -> tuple[Tensor, Tensor]:
    """A prediction and a target for a task, in double precision."""
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn((6, 4), generator=rng, dtype=torch.float64)
    if "multiclass" in context:
        return logits, torch.randint(0, 4, (6,), generator=rng)
    if "regression" in context:
        return logits.exp(), torch.randn((6, 4), generator=rng, dtype=torch.float64).exp()
    return logits, torch.randint(0, 2, (6, 4), generator=rng).double()


VARIANCE = torch.linspace(0.5, 2, 24, dtype=torch.float64).reshape(6, 4)
LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mae": nn.L1Loss(),
    "MSE": nn.MSELoss(),
    "rmse": lambda p, y: ((p - y) ** 2).mean().sqrt(),
    "msle": lambda p, y: ((p.log1p() - y.log1p()) ** 2).mean(),
    "rmsle": lambda p, y: ((p.log1p() - y.log1p()) ** 2).mean().sqrt(),
    "huber_loss": nn.HuberLoss(),
    "smooth_l1_loss": nn.SmoothL1Loss(),
    "logcosh_loss": lambda p, y: (p - y).cosh().log().mean(),
    "PoissonNLLLoss": nn.PoissonNLLLoss(),
    "GaussianNLLLoss": lambda p, y: nn.GaussianNLLLoss()(p, y, VARIANCE),
    "max_error": lambda p, y: (p - y).abs().max(),
    "BCEWithLogitsLoss": nn.BCEWithLogitsLoss(),
    "BCELoss": lambda p, y: nn.BCELoss()(p.sigmoid(), y),
    "MultiLabelSoftMarginLoss": nn.MultiLabelSoftMarginLoss(),
    "CrossEntropyLoss": nn.CrossEntropyLoss(),
    "LabelSmoothingCrossEntropy": nn.CrossEntropyLoss(label_smoothing=0.1),
    "MultiMarginLoss": nn.MultiMarginLoss(),
    "brier": lambda p, y: ((p.sigmoid() - y) ** 2).mean(),
}


@pytest.mark.parametrize("word", [word for word in GROUPS if word.kind == "loss" and word.same], ids=named)
def test_a_loss_is_the_same_number(word: Word) -> None:
    prediction, target = batch(word.context)
    expected = LOSSES[word.name](prediction, target)
    options = options_of(word)
    more = {"var": VARIANCE} if "var" in word.write else {}
    torch.testing.assert_close(lossdsl.compile(word.write, **options)(prediction, target, **more), expected)
    if "probs" in word.context:
        loss = lossdsl.compile(word.write, input="probs", **options)
        torch.testing.assert_close(loss(prediction.sigmoid(), target), expected)


@pytest.mark.parametrize("word", [word for word in GROUPS if word.kind == "value" and word.same], ids=named)
def test_a_number_is_the_same(word: Word) -> None:
    assert float(word.write) == getattr(math, word.name)


SPELLINGS = ["{}", "nn.{}", "F.{}", "torch.{}", "torch.nn.{}", "torch.nn.functional.{}", "tf.keras.losses.{}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["L1Loss", "cross_entropy", "BCEWithLogitsLoss", "log2", "lpips"])
def test_with_and_without_a_module(name: str, spelling: str) -> None:
    (word,) = (word for word in WORDS if word.name == name)
    text = f"mean({spelling.format(name)}(p))" if word.kind == "function" else spelling.format(name)
    (finding,) = lossdsl.check(text).diagnostics
    assert finding.hint in (word.hint, word.saying(word.write.replace("x", "p")))


@pytest.fixture(params=["with plugins", "without plugins"])
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        if request.param == "without plugins":
            patch.setenv("LOSSDSL_PLUGINS", "")
        lossdsl.rediscover()
        yield
    lossdsl.rediscover()


ANSWERS = {
    "cross_entropy": "write ce",
    "CrossEntropyLoss": "write ce",
    "nn.BCELoss": "write bce",
    "sparse_categorical_crossentropy": "the nearest is ce",
    "DiceLoss": "the nearest is dice",
    "FocalLoss": "the nearest is focal",
    "MCCLoss": "the nearest is mcc",
    "focal_loss": "the nearest is focal",
    "dice_score": "the nearest is dice_coef; this is the score",
    "jaccard": "the nearest is iou",
    "dsc": "the nearest is dice_coef",
    "gdl": "the nearest is generalized_dice",
    "rmse": "write sqrt(mse)",
    "l2": "the nearest is mse",
    "nll": "the nearest is ce",
    "xent": "write ce",
    "tv": "the nearest is total_variation",
    "psnr": "the nearest is 10*log(mse)/log(10)",
    "logloss": "the nearest is bce",
    "detach(bce)": "write stop_gradient(bce)",
    "mean(square(p - y))": "write (p - y)**2",
    "mean(log2(1 + p))": "write log(1 + p)/log(2)",
    "mean(p.detach())": "attribute access is not supported; write stop_gradient(p)",
    "mean(np.exp(p))": "write exp(...)",
    "mean(argmax(p))": "a formula cannot have it",
    "mse_loss(pred, target)": "write mse",
    "pi*bce": "write 3.14159",
    "logits*bce": "the nearest is z",
    "mean(frexp(p))": "the functions here are abs",
    "dice(eps=1)": "the number added to avoid a division by 0 is smooth",
    "dice(batch=true)": "per=batch pools the pixels of all images",
    "dice(sigmoid=true)": "remove it: task and input",
    "bce(from_logits=true)": "remove it: task and input",
    "ce(ignore_index=255)": "ignore_index applies to the whole loss",
    "bce(weight=2)": "set class weights with class_weight",
    "dice(class_weight=2)": "set class weights with class_weight",
    "mean(sum(p, dim=1))": "axes are named",
    "dice(per=sample)": "write dice(per=image)",
}


@pytest.mark.parametrize("text", ANSWERS)
@pytest.mark.usefixtures("installed")
def test_what_is_answered(text: str) -> None:
    finding = lossdsl.check(text).diagnostics[0]
    assert finding.hint
    assert finding.hint.startswith(ANSWERS[text]) or f"of the built-ins, {ANSWERS[text]}" in finding.hint


KEYS = {
    "{formula: bce}": "the formula is expr",
    "{expr: bce, from_logits: true}": "input is logits or probs",
    "{expr: ce, class_weights: [1, 2]}": "write {task: multiclass, class_weight: [1, 2], expr: ce}",
    "{expr: bce, reduction: mean}": "a loss is a mean",
    "{expr: bce, task: multi_label}": "write {task: multilabel, expr: bce}",
    "{expr: bce, input: probabilities}": "write {input: probs, expr: bce}",
}


@pytest.mark.parametrize("config", KEYS)
def test_what_is_answered_in_a_config(tmp_path: Path, config: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"loss: {config}\n")
    assert any((finding.hint or "").startswith(KEYS[config]) for finding in lossdsl.check(file).diagnostics)


@pytest.mark.parametrize(("name", "hint"), [("mae", "write l1"), ("lpips", "it needs a network")])
def test_a_loss_that_is_to_be_shown(name: str, hint: str) -> None:
    result = CliRunner().invoke(main, ["show", name])
    assert hint in result.output


def test_the_page_is_up_to_date() -> None:
    """After a change: lossdsl list --names --format markdown > docs/names.md."""
    page = Path(__file__).parents[2] / "docs" / "names.md"
    result = CliRunner().invoke(main, ["list", "--names", "--format", "markdown"], catch_exceptions=False)
    assert result.stdout == page.read_text(encoding="utf-8")


def test_the_list_as_json_has_all_names() -> None:
    result = CliRunner().invoke(main, ["list", "--names", "--format", "json"], catch_exceptions=False)
    assert len(json.loads(result.stdout)["names"]) == len(WORDS)
