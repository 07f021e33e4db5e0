"""Ignored labels: by what each library divides, compared with it where it is installed, else with its formula.

Here ignored elements are as if they were not there. Where a library divides by something else the tables say by how
much its number differs, and the loss says so in a note.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossdsl
from lossdsl.cli.show import find
from lossdsl.registry.discover import default_registry

IGNORED, CLASSES = 255, 3
WEIGHT = [0.5, 1.0, 3.0]
ALPHAS = (None, 0.25, 1.0)
ACTIVATED = {"binary": "sigmoid", "multilabel": "sigmoid", "multiclass": "softmax"}

pytestmark = [pytest.mark.usefixtures("full_precision"), pytest.mark.filterwarnings("ignore:single channel prediction")]


@pytest.fixture(scope="module")
def kornia() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("kornia.losses", reason="kornia is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.losses", reason="MONAI is not installed")


def a_call(task: str, ignored: bool, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Logits and a target, in which some labels are ignored."""
    generator = torch.Generator().manual_seed(len(task))
    shape = (2, 1 if task == "binary" else classes, 4, 5)
    z = torch.randn(shape, generator=generator, dtype=torch.float64)
    if task == "multiclass":
        target = torch.randint(0, classes, (2, 4, 5), generator=generator)
    else:
        target = (torch.rand(shape, generator=generator) < 0.5).to(z.dtype)
    if ignored:
        target = target.masked_fill(torch.rand(target.shape, generator=generator) < 0.3, IGNORED)
    return z, target


def share(target: Tensor) -> float:
    """Of the elements that count."""
    return (target != IGNORED).double().mean().item()


def agree(text: str, task: str, theirs: Callable[[Tensor, Tensor], Tensor], factor: Any, z: Tensor, y: Tensor) -> None:
    """Value and gradient: theirs times the factor of the target is ours."""
    given = "probs" if text.startswith("monai.Asymmetric") or "from_logits=false" in text else "logits"
    pred = z if given == "logits" else z.softmax(1) if task == "multiclass" else z.sigmoid()
    leaves = [pred.clone().requires_grad_() for _ in range(2)]
    loss = lossdsl.compile(text, task=task, input=given, ignore_index=IGNORED)  # type: ignore[arg-type]
    values = loss(leaves[0], y), theirs(leaves[1], y) * factor(y)
    slopes = [torch.autograd.grad(value, leaf)[0] for value, leaf in zip(values, leaves, strict=True)]
    torch.testing.assert_close(values[0], values[1], rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-6, atol=1e-9)


KORNIA = [("focal_loss", "FocalLoss", "multiclass")] + [
    ("binary_focal_loss_with_logits", "BinaryFocalLossWithLogits", task) for task in ("binary", "multilabel")
]
FOCAL = list(itertools.product(KORNIA, (0, 1), ALPHAS, (False, True), ("mean", "sum"), (False, True)))


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("names", "form", "alpha", "weighted", "reduction", "ignored"), FOCAL)
def test_kornia_focal(
    names: tuple[str, str, str], form: int, alpha: Any, weighted: bool, reduction: str, ignored: bool, kornia: Any
) -> None:
    """kornia divides by ignored pixels too; sums are the same, and so is everything without an ignored label."""
    task = names[2]
    z, y = a_call(task, ignored)
    weight = WEIGHT[: z.shape[1]] if weighted else None
    tensor = None if weight is None else torch.tensor(weight, dtype=z.dtype)
    options = {"alpha": alpha, "gamma": 1.5, "reduction": reduction, "weight": tensor, "ignore_index": IGNORED}

    def theirs(pred: Tensor, target: Tensor) -> Tensor:
        loss = getattr(kornia, names[form])
        return loss(**options)(pred, target) if form else loss(pred, target, **options)

    written = f"alpha={str(alpha).lower()}, gamma=1.5, reduction={reduction}"
    text = f"kornia.{names[form]}({written}{f', weight={weight}' if weight else ''})"
    agree(text, task, theirs, lambda target: 1 / share(target) if reduction == "mean" else 1.0, z, y)


@pytest.mark.parametrize("names", KORNIA)
@pytest.mark.parametrize("form", [0, 1])
def test_kornia_focal_without_reduction(names: tuple[str, str, str], form: int, kornia: Any) -> None:
    """Elements that are ignored are 0 in kornia's map, and take no part in ours."""
    z, y = a_call(names[2], ignored=True)
    options = {"alpha": 0.3, "reduction": "none", "ignore_index": IGNORED}
    loss = getattr(kornia, names[form])
    theirs = loss(**options)(z, y) if form else loss(z, y, **options)
    text = f"sum(kornia.{names[form]}(alpha=0.3, reduction=none)**2)"
    ours = lossdsl.compile(text, task=names[2], ignore_index=IGNORED)(z, y)  # type: ignore[arg-type]
    torch.testing.assert_close(ours, (theirs**2).sum(), rtol=1e-9, atol=0)


def one(_: Tensor) -> float:
    return 1.0


def by_all(target: Tensor) -> float:
    return 1 / share(target)


def by_pixels(_: Tensor) -> float:
    return 1 / CLASSES


REGION: list[tuple[str, str, Any]] = [
    ("kornia.dice_loss", "multiclass", one),
    ("kornia.dice_loss(average=macro)", "multiclass", one),
    ("kornia.tversky_loss(alpha=0.3, beta=0.7)", "multiclass", one),
    ("monai.DiceLoss", "multiclass", one),
    ("monai.DiceLoss(batch=true)", "multiclass", one),
    ("monai.DiceLoss(include_background=false)", "multiclass", one),
    ("monai.DiceLoss(squared_pred=true)", "multiclass", one),
    ("monai.DiceLoss(jaccard=true)", "binary", one),
    ("monai.DiceLoss", "binary", one),
    ("monai.TverskyLoss", "multiclass", one),
    ("monai.TverskyLoss(alpha=0.3, beta=0.7, batch=true)", "binary", one),
    ("monai.FocalLoss", "binary", one),
    ("monai.FocalLoss", "multiclass", by_pixels),
    ("monai.FocalLoss(use_softmax=true)", "multiclass", by_pixels),
    ("monai.FocalLoss(alpha=0.3, gamma=1)", "multiclass", by_pixels),
    ("monai.AsymmetricUnifiedFocalLoss(weight=0)", "binary", one),
    ("monai.AsymmetricUnifiedFocalLoss(weight=1)", "binary", by_all),
    *(
        (f"smp.{name}(mode={task})", task, one)
        for name in ("DiceLoss", "JaccardLoss", "TverskyLoss")
        for task in ("binary", "multilabel", "multiclass")
    ),
    ("smp.DiceLoss(mode=binary, log_loss=true, smooth=1)", "binary", one),
    ("smp.DiceLoss(mode=multiclass, from_logits=false)", "multiclass", one),
    *(
        (f"smp.FocalLoss(mode={task}, normalized={flag}, alpha=0.3)", task, one)
        for task in ("binary", "multiclass")
        for flag in ("true", "false")
    ),
    ("smp.LovaszLoss(mode=binary)", "binary", one),
    ("smp.LovaszLoss(mode=binary, per_image=true)", "binary", one),
    ("smp.LovaszLoss(mode=multiclass)", "multiclass", one),
    ("smp.LovaszLoss(mode=multiclass, per_image=true)", "multiclass", one),
    ("smp.SoftBCEWithLogitsLoss", "binary", by_all),
    ("smp.SoftBCEWithLogitsLoss(smooth_factor=0.1)", "multilabel", by_all),
    ("smp.SoftBCEWithLogitsLoss(reduction=sum)", "multilabel", one),
    ("smp.SoftCrossEntropyLoss(smooth_factor=0.1)", "multiclass", by_all),
    ("smp.SoftCrossEntropyLoss(smooth_factor=0.1, reduction=sum)", "multiclass", one),
]


def in_python(text: str) -> tuple[str, str, dict[str, Any]]:
    """`monai.DiceLoss(batch=true)` as the library, the name and the arguments of the call in Python."""
    name, _, inside = text.partition("(")
    library, _, short = name.partition(".")
    arguments: dict[str, Any] = {}
    for pair in filter(None, inside.rstrip(")").split(", ")):
        word, _, value = pair.partition("=")
        known = {"true": True, "false": False, "none": None}
        arguments[word] = known[value] if value in known else float(value) if value[0].isdigit() else value
    return library, short, arguments


@pytest.mark.parametrize(("text", "task", "factor"), REGION, ids=[f"{text}-{task}" for text, task, _ in REGION])
def test_installed(text: str, task: str, factor: Any, kornia: Any, monai: Any, smp_losses: Any) -> None:
    library, name, arguments = in_python(text)
    losses = {"kornia": kornia, "monai": monai, "smp": smp_losses}[library]
    z, y = a_call(task, ignored=True)
    if library == "monai" and name in ("DiceLoss", "TverskyLoss"):
        arguments[ACTIVATED[task]] = True
        text = f"{text.rstrip(')')}{', ' if '(' in text else '('}{ACTIVATED[task]}=true)"
    if library == "monai" and task == "multiclass":
        arguments["to_onehot_y"] = True

    def theirs(pred: Tensor, target: Tensor) -> Tensor:
        target = target[:, None] if library == "monai" and task == "multiclass" else target
        loss = getattr(losses, name)
        if name[0].isupper():
            result = loss(**arguments, ignore_index=IGNORED)(pred, target)
        else:
            result = loss(pred, target, **arguments, ignore_index=IGNORED)
        assert isinstance(result, Tensor)
        return result

    agree(text, task, theirs, factor, z, y)


def test_two_classes_of_the_unified_focal_loss(monai: Any) -> None:
    """Its Tversky part is the same, its cross-entropy is divided by all pixels."""
    z, y = a_call("multiclass", ignored=True, classes=2)
    for weight, factor in ((0.0, one), (1.0, by_all)):
        loss = monai.AsymmetricUnifiedFocalLoss(to_onehot_y=True, ignore_index=IGNORED, weight=weight)
        text = f"monai.AsymmetricUnifiedFocalLoss(weight={weight:g})"
        agree(text, "multiclass", lambda p, t, loss=loss: loss(p, t[:, None]), factor, z, y)


def focal(z: Tensor, y: Tensor) -> Tensor:
    p, counts = z.sigmoid(), y != IGNORED
    t = torch.where(counts, y, 0.0)
    each = (t * (1 - p) + (1 - t) * p) ** 2 * functional.binary_cross_entropy_with_logits(z, t, reduction="none")
    return (each * counts).mean()


def normalized(z: Tensor, y: Tensor) -> Tensor:
    p, counts = z.sigmoid(), y != IGNORED
    t = torch.where(counts, y, 0.0)
    return focal(z, y) / ((t * (1 - p) + (1 - t) * p) ** 2 * counts).sum()


def balanced(z: Tensor, y: Tensor) -> Tensor:
    positive = (y == 0).sum() / (y != IGNORED).sum()
    t = torch.where(y == IGNORED, 0.0, y)
    each = positive * t * functional.logsigmoid(z) + (1 - positive) * (1 - t) * functional.logsigmoid(-z)
    return -(each * (y != IGNORED)).mean()


def smoothed_bce(z: Tensor, y: Tensor) -> Tensor:
    each = functional.binary_cross_entropy_with_logits(z, torch.where(y == IGNORED, 0.0, y), reduction="none")
    return (each * (y != IGNORED)).mean()


def smoothed_ce(z: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(z, y, ignore_index=IGNORED, label_smoothing=0.1, reduction="none").mean()


def hardest(z: Tensor, y: Tensor) -> Tensor:
    """Ignored pixels have loss 0 and count in the k percent."""
    each = functional.cross_entropy(z, y, ignore_index=IGNORED, reduction="none").flatten()
    return each.topk(int(each.numel() * 0.1)).values.mean()


def bce_and_dice(z: Tensor, y: Tensor) -> Tensor:
    """The sum over the channels, divided by the pixels that count."""
    counts = (y[:, :1] != IGNORED).to(z.dtype)
    t = torch.where(counts > 0, y, 0.0)
    p = z.sigmoid() * counts
    pixel = (functional.binary_cross_entropy_with_logits(z, t, reduction="none") * counts).sum() / counts.sum()
    score = (2 * (p * t).sum((2, 3)) + 1) / ((p + t).sum((2, 3)) + 1)
    return pixel / z.shape[1] - score.mean()


WRITTEN: list[tuple[str, str, Callable[[Tensor, Tensor], Tensor], Any]] = [
    ("toolbelt.BinaryFocalLoss", "binary", focal, by_all),
    ("toolbelt.BinaryFocalLoss", "multilabel", focal, by_all),
    ("toolbelt.BinaryFocalLoss(normalized=true)", "binary", normalized, by_all),
    ("toolbelt.BalancedBCEWithLogitsLoss", "binary", balanced, by_all),
    ("toolbelt.SoftBCEWithLogitsLoss", "multilabel", smoothed_bce, by_all),
    ("toolbelt.SoftCrossEntropyLoss(smooth_factor=0.1)", "multiclass", smoothed_ce, by_all),
    ("nnunet.DC_and_BCE_loss", "binary", bce_and_dice, one),
    ("nnunet.RobustCrossEntropyLoss(weight=[0.5, 1, 3])", "multiclass", lambda z, y: functional.cross_entropy(
        z, y, weight=torch.tensor(WEIGHT, dtype=z.dtype), ignore_index=IGNORED), one),
]  # fmt: skip


@pytest.mark.parametrize(("text", "task", "theirs", "factor"), WRITTEN, ids=[f"{t}-{task}" for t, task, *_ in WRITTEN])
def test_written_down(text: str, task: str, theirs: Any, factor: Any) -> None:
    agree(text, task, theirs, factor, *a_call(task, ignored=True))


def test_channels_of_nnunet() -> None:
    """Of several channels nnU-Net adds the cross-entropies up, so weight_ce is to be multiplied by their number."""
    z, y = a_call("multilabel", ignored=False)
    y = y.masked_fill(torch.rand(2, 1, 4, 5) < 0.3, IGNORED)
    agree("nnunet.DC_and_BCE_loss", "multilabel", bce_and_dice, one, z, y)


def test_the_hardest_pixels_of_nnunet() -> None:
    """k percent of the pixels that count, not of all."""
    z, y = a_call("multiclass", ignored=True)
    each = functional.cross_entropy(z, y, ignore_index=IGNORED, reduction="none").flatten()
    count = int((y != IGNORED).sum() * 0.1)
    loss = lossdsl.compile("nnunet.TopKLoss", task="multiclass", ignore_index=IGNORED)
    torch.testing.assert_close(loss(z, y), each.topk(count).values.mean())
    assert count < int(y.numel() * 0.1)
    assert hardest(z, y) < loss(z, y)


# What a library does with an image in which no pixel counts: its number, where here the image is left out.
EMPTY: list[tuple[str, str, float | None]] = [
    ("kornia.dice_loss", "multiclass", 1.0),
    ("kornia.dice_loss(average=macro)", "multiclass", 1.0),
    ("kornia.tversky_loss(alpha=0.3, beta=0.7)", "multiclass", 1.0),
    ("monai.DiceLoss", "multiclass", 0.0),
    ("monai.TverskyLoss", "multiclass", 0.0),
    ("monai.DiceLoss", "binary", 0.0),
    ("smp.LovaszLoss(mode=binary, per_image=true)", "binary", 0.0),
    ("smp.DiceLoss(mode=multiclass)", "multiclass", None),
    ("smp.LovaszLoss(mode=binary)", "binary", None),
]


@pytest.mark.parametrize(("text", "task", "counted"), EMPTY, ids=[f"{text}-{task}" for text, task, _ in EMPTY])
def test_an_image_without_pixels(
    text: str, task: str, counted: float | None, kornia: Any, monai: Any, smp_losses: Any
) -> None:
    """counted: the value with which a library counts it in the mean of two images; None where images are pooled."""
    library, name, arguments = in_python(text)
    losses = {"kornia": kornia, "monai": monai, "smp": smp_losses}[library]
    z, y = a_call(task, ignored=True)
    y[0] = IGNORED
    if library == "monai":
        arguments |= {ACTIVATED[task]: True} | ({"to_onehot_y": True} if task == "multiclass" else {})
        text = f"{text}({ACTIVATED[task]}=true)"
    target = y[:, None] if library == "monai" and task == "multiclass" else y
    loss = getattr(losses, name)
    options = {**arguments, "ignore_index": IGNORED}
    theirs = loss(**options)(z, target) if name[0].isupper() else loss(z, target, **options)
    ours = lossdsl.compile(text, task=task, ignore_index=IGNORED)(z, y)  # type: ignore[arg-type]
    expected = ours if counted is None else (ours + counted) / 2
    torch.testing.assert_close(theirs.to(ours.dtype), expected, rtol=1e-6, atol=1e-7)


DIFFERENT = [
    *(text for text, _, factor in REGION if factor is not one),
    *(text for text, _, _, factor in WRITTEN if factor is not one),
    *(text for text, _, counted in EMPTY if counted is not None),
    *(f"kornia.{name}" for names in KORNIA for name in names[:2]),
    *("nnunet.TopKLoss", "nnunet.DC_and_BCE_loss", "nnunet.DC_and_topk_loss", "nnunet.SoftDiceLoss"),
]


@pytest.mark.parametrize("name", sorted({text.partition("(")[0] for text in DIFFERENT}))
def test_a_loss_that_differs_says_so(name: str) -> None:
    """In a note of its own, or of the loss that it refers to."""
    found = find(name).loss
    assert found
    notes = " ".join(found.documentation.notes)
    for other in re.findall(r"(?:as|notes of) (\w+)", notes):  # "as focal_loss", "the notes of TopKLoss hold"
        meant = default_registry().candidates(f"{name.partition('.')[0]}.{other}")
        notes += "".join(" ".join(default_registry().load(one).documentation.notes) for one in meant)
    assert re.search("with (an )?ignored|that counts is left out|ignored pixels are left out", notes)
