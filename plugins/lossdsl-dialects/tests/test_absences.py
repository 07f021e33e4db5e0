"""Losses of the libraries that are left out: what is offered for them compiles, and has their number if it says so."""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossdsl
from lossdsl.registry.discover import default_registry
from lossdsl.registry.loss_files import Absence, library_files, read_absences

DIALECTS = ("monai", "smp", "kornia", "nnunet", "toolbelt", "keras")
# What other code imports from these modules and that is no loss: enumerations, helpers, base classes.
NO_LOSS = {"kornia": {"MIKernel", "one_hot"}, "monai": set(), "smp": set()}


def absences() -> Iterator[tuple[str, Absence]]:
    for dialect in DIALECTS:
        for path in library_files(f"lossdsl_dialects.{dialect}"):
            yield from ((f"{dialect}.{absence.name}", absence) for absence in read_absences(path))


ABSENT = dict(absences())
SAME = {name: text[1] for name, a in ABSENT.items() if (text := re.match("write `([^`]+)`", a.instead))}


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_offered_compiles(name: str) -> None:
    absence = ABSENT[name]
    offered = re.findall("`([^`]+)`", absence.instead)
    assert offered
    assert absence.instead.startswith(("write `", "the nearest is `", "there is none; ", "a sum: `"))
    for formula in offered:
        report = lossdsl.check(formula)
        assert report.ok, report
        lossdsl.compile(formula)


@pytest.mark.parametrize("name", ABSENT)
def test_it_is_said_once_and_nothing_else_is_suggested(name: str) -> None:
    (found,) = lossdsl.check(f"bce + 0.5*{name}").diagnostics
    expected = ("LD201", f"there is no `{name}`: {ABSENT[name].reason}", ABSENT[name].instead)
    assert (found.code, found.message, found.hint) == expected
    assert found.edit is None


def module_of(dialect: str, request: pytest.FixtureRequest) -> Any:
    if dialect == "smp":
        return request.getfixturevalue("smp_losses")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(f"{dialect}.losses", exc_type=ImportError)


@pytest.mark.parametrize("dialect", NO_LOSS)
def test_every_public_loss_is_here_or_left_out_with_a_reason(dialect: str, request: pytest.FixtureRequest) -> None:
    module = module_of(dialect, request)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))
    }
    assert len(public) > 7
    registry = default_registry()
    known = {name for name in public if registry.candidates(f"{dialect}.{name}") or f"{dialect}.{name}" in ABSENT}
    assert public - known == NO_LOSS[dialect]


KERAS = [
    "BinaryCrossentropy", "BinaryFocalCrossentropy", "CTC", "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy", "CategoricalHinge", "CategoricalGeneralizedCrossEntropy", "Circle",
    "CosineSimilarity", "Dice", "Hinge", "Huber", "KLDivergence", "LogCosh", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
    "SparseCategoricalCrossentropy", "SquaredHinge", "Tversky", "KLD", "MAE", "MAPE", "MSE", "MSLE",
    "binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy",
    "categorical_focal_crossentropy", "categorical_generalized_cross_entropy", "categorical_hinge", "circle",
    "cosine_similarity", "ctc", "dice", "hinge", "huber", "kl_divergence", "kld", "log_cosh", "mae", "mape",
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error",
    "mse", "msle", "poisson", "sparse_categorical_crossentropy", "squared_hinge", "tversky",
]  # fmt: skip
TOOLBELT = [
    "BalancedBCEWithLogitsLoss", "BiTemperedLogisticLoss", "BinaryBiTemperedLogisticLoss", "BinaryFocalLoss",
    "BinaryLovaszLoss", "BinarySoftF1Loss", "CrossEntropyFocalLoss", "DiceLoss", "FocalCosineLoss", "JaccardLoss",
    "LogCoshLoss", "LovaszLoss", "QualityFocalLoss", "SoftBCEWithLogitsLoss", "SoftCrossEntropyLoss", "SoftF1Loss",
    "WingLoss", "JointLoss", "WeightedLoss",
]  # fmt: skip


@pytest.mark.parametrize("name", [f"keras.{name}" for name in KERAS] + [f"toolbelt.{name}" for name in TOOLBELT])
def test_losses_of_libraries_that_are_not_installed(name: str) -> None:
    assert default_registry().candidates(name) or name in ABSENT


def tensors() -> dict[str, Any]:
    torch.manual_seed(0)
    shape = (2, 3, 14, 15)
    labels = torch.randint(0, 3, (2, 14, 15))
    low = torch.rand(2, 5, 2, dtype=torch.float64)
    return {
        "z": 2 * torch.randn(shape, dtype=torch.float64),
        "labels": labels,
        "y": functional.one_hot(labels, 3).movedim(-1, 1).double(),
        "a": torch.rand(shape, dtype=torch.float64),
        "b": torch.rand(shape, dtype=torch.float64),
        "views": torch.randn(2, 6, 8, dtype=torch.float64),
        "boxes": torch.cat([low, low + torch.rand(2, 5, 2, dtype=torch.float64)], dim=2),
    }


T = tensors()
Z, Y, LABELS, A, B = T["z"], T["y"], T["labels"], T["a"], T["b"]
MAPS = [functional.softmax(3 * x.flatten(2), dim=2).view_as(x) for x in (A, B)]
VOLUMES = [torch.rand(1, 2, 12, 13, 12, dtype=torch.float64) for _ in range(2)]
OUTPUTS = [Z, Z[..., ::2, ::2], Z[..., ::4, ::4]]
BINARY = {"task": "binary"}
CLASSES = {"task": "multiclass"}
LABEL = {"task": "multilabel"}
SCORES = {**LABEL, "input": "probs"}
NUMBERS = {"task": "regression"}


def dice_of_monai(activation: str) -> Callable[[Any], Callable[..., Any]]:
    return lambda m: m.DiceLoss(**{activation: True})


# name -> what makes the function of the library's module, prediction, our target, their target, options of compile
MONAI: dict[str, tuple[Callable[[Any], Any], Any, Any, Any, dict[str, Any]]] = {
    "Dice": (dice_of_monai("sigmoid"), Z, Y, Y, LABEL),
    "generalized_dice": (lambda m: m.generalized_dice(sigmoid=True), Z, Y, Y, LABEL),
    "dice_ce": (lambda m: m.dice_ce(sigmoid=True), Z, Y, Y, LABEL),
    "dice_focal": (lambda m: m.dice_focal(sigmoid=True), Z, Y, Y, LABEL),
    "generalized_dice_focal": (lambda m: m.generalized_dice_focal(sigmoid=True), Z, Y, Y, LABEL),
    "MCCLoss": (lambda m: m.MCCLoss(softmax=True), Z, LABELS, Y, CLASSES),
    "HausdorffDTLoss": (lambda m: m.HausdorffDTLoss(softmax=True), Z, LABELS, Y, CLASSES),
    "LogHausdorffDTLoss": (lambda m: m.LogHausdorffDTLoss(softmax=True), Z, LABELS, Y, CLASSES),
    "BoundaryLoss": (lambda m: m.BoundaryLoss(softmax=True), Z, LABELS, Y, CLASSES),
    "DeepSupervisionLoss": (lambda m: m.DeepSupervisionLoss(m.DiceLoss(sigmoid=True)), OUTPUTS, Y, Y, LABEL),
    "ds_loss": (lambda m: m.DeepSupervisionLoss(m.DiceLoss(sigmoid=True)), OUTPUTS, Y, Y, LABEL),
    "NACLLoss": (lambda m: m.NACLLoss(classes=3, dim=2), Z, LABELS, LABELS, CLASSES),
    "SSIMLoss": (lambda m: m.SSIMLoss(spatial_dims=2), A, B, B, NUMBERS),
    "LocalNormalizedCrossCorrelationLoss": (
        lambda m: m.LocalNormalizedCrossCorrelationLoss(spatial_dims=2), A, B, B, NUMBERS,
    ),
    "ContrastiveLoss": (lambda m: m.ContrastiveLoss(), *T["views"], T["views"][1], {}),
    "BoxGIoULoss": (lambda m: m.BoxGIoULoss(), *T["boxes"], T["boxes"][1], {}),
    "giou": (lambda m: m.giou(), *T["boxes"], T["boxes"][1], {}),
}  # fmt: skip
MEAN = {"reduction": "mean"}
KORNIA: dict[str, tuple[Callable[[Any], Any], Any, Any, Any, dict[str, Any]]] = {
    **{
        f"{name}_loss": (lambda m, name=name: lambda x, y: getattr(m, f"{name}_loss")(x, y, **MEAN), A, B, B, NUMBERS)
        for name in ("charbonnier", "cauchy", "geman_mcclure", "welsch")
    },
    **{
        name: (lambda m, name=name: getattr(m, name)(**MEAN), A, B, B, NUMBERS)
        for name in ("CharbonnierLoss", "CauchyLoss", "GemanMcclureLoss", "WelschLoss")
    },
    "ssim_loss": (lambda m: lambda x, y: m.ssim_loss(x, y, 11, padding="valid"), A, B, B, NUMBERS),
    "SSIMLoss": (lambda m: m.SSIMLoss(11, padding="valid"), A, B, B, NUMBERS),
    "ssim3d_loss": (lambda m: lambda x, y: m.ssim3d_loss(x, y, 11, padding="valid"), *VOLUMES, VOLUMES[1], NUMBERS),
    "SSIM3DLoss": (lambda m: m.SSIM3DLoss(11, padding="valid"), *VOLUMES, VOLUMES[1], NUMBERS),
    "psnr_loss": (lambda m: lambda x, y: m.psnr_loss(x, y, 1.0), A, B, B, NUMBERS),
    "PSNRLoss": (lambda m: m.PSNRLoss(1.0), A, B, B, NUMBERS),
    "total_variation": (lambda m: lambda x, _: m.total_variation(x).mean(), A, B, B, NUMBERS),
    "TotalVariation": (lambda m: lambda x, _: m.TotalVariation()(x).mean(), A, B, B, NUMBERS),
    "kl_div_loss_2d": (lambda m: m.kl_div_loss_2d, *MAPS, MAPS[1], NUMBERS),
    "js_div_loss_2d": (lambda m: m.js_div_loss_2d, *MAPS, MAPS[1], NUMBERS),
    "HausdorffERLoss": (lambda m: m.HausdorffERLoss(), Z, LABELS, LABELS[:, None], CLASSES),
    "HausdorffERLoss3D": (
        lambda m: m.HausdorffERLoss3D(),
        Z[:, :, None],
        LABELS[:, None],
        LABELS[:, None, None],
        CLASSES,
    ),
}
PROBABILITIES = {"HausdorffERLoss", "HausdorffERLoss3D"}


def close(text: str, pred: Any, target: Any, options: dict[str, Any], expected: Tensor, rtol: float = 1e-6) -> None:
    given = lossdsl.compile(text, **options)(pred, target)
    torch.testing.assert_close(given.double(), expected.double(), rtol=rtol, atol=1e-8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("name", [f"monai.{name}" for name in MONAI] + [f"kornia.{name}" for name in KORNIA])
def test_the_number_of_the_library(name: str, request: pytest.FixtureRequest) -> None:
    dialect, _, short = name.partition(".")
    make, pred, target, their_target, options = {"monai": MONAI, "kornia": KORNIA}[dialect][short]
    theirs = make(module_of(dialect, request))
    given = pred.softmax(1) if short in PROBABILITIES else pred
    close(
        SAME[name], pred, target, options, theirs(given, their_target), rtol=1e-5
    )  # their windows and kernels are in float32


def focal(gamma: float, alpha: float | None) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        each = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
        right = z.sigmoid() * y + (1 - z.sigmoid()) * (1 - y)
        weight = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
        return (weight * (1 - right) ** gamma * each).mean()

    return loss


def reduced(z: Tensor, y: Tensor) -> Tensor:
    each = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    right = z.sigmoid() * y + (1 - z.sigmoid()) * (1 - y)
    return (torch.where(right < 0.5, 1, ((1 - right) / 0.5) ** 2) * each).mean()


def wing(x: Tensor, y: Tensor) -> Tensor:
    d = (x - y).abs()
    return torch.where(d < 5, 5 * torch.log(1 + d / 0.5), d - 5 + 5 * math.log(1 + 5 / 0.5)).mean()


def log_cosh(x: Tensor, y: Tensor) -> Tensor:
    return (x - y + functional.softplus(-2 * (x - y)) - math.log(2)).mean()


def focal_cosine(z: Tensor, labels: Tensor) -> Tensor:
    y = functional.one_hot(labels, z.shape[1]).movedim(-1, 1).to(z)
    each = functional.cross_entropy(functional.normalize(z), labels, reduction="none")
    return 1 - functional.cosine_similarity(z, y).mean() + 0.1 * ((1 - torch.exp(-each)) ** 2 * each).mean()


def huber(x: Tensor, y: Tensor) -> Tensor:
    return functional.huber_loss(x, y)


def hinge(x: Tensor, y: Tensor, power: int = 1) -> Tensor:
    return (1 - (2 * y - 1) * x).clamp_min(0).pow(power).mean()


def categorical_hinge(x: Tensor, labels: Tensor) -> Tensor:
    y = functional.one_hot(labels, x.shape[1]).movedim(-1, 1).to(x)
    return (((1 - y) * x).amax(1) - (y * x).sum(1) + 1).clamp_min(0).mean()


def right(p: Tensor, labels: Tensor) -> Tensor:
    return p.gather(1, labels[:, None])[:, 0]


SIGNS = (B > 0.5).double()
PROBS = {**CLASSES, "input": "probs"}
P = Z.softmax(1)
SOFT = functional.softmax(4 * A, dim=1)
# first name of a row -> the formula of the library in plain torch, prediction, target, options of compile
WRITTEN_DOWN: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Any, Any, dict[str, Any]]] = {
    "keras.MeanSquaredError": (lambda x, y: (x - y).square().mean(), A, B, NUMBERS),
    "keras.MeanAbsoluteError": (lambda x, y: (x - y).abs().mean(), A, B, NUMBERS),
    "keras.MeanAbsolutePercentageError": (
        lambda x, y: 100 * ((x - y) / y.abs().clamp_min(1e-7)).abs().mean(), A, B, NUMBERS,
    ),
    "keras.MeanSquaredLogarithmicError": (
        lambda x, y: (x.clamp_min(1e-7).log1p() - y.clamp_min(1e-7).log1p()).square().mean(), A - 0.5, B, NUMBERS,
    ),
    "keras.Huber": (huber, 3 * A, B, NUMBERS),
    "keras.LogCosh": (log_cosh, 3 * A, B, NUMBERS),
    "keras.Hinge": (hinge, Z, SIGNS, LABEL),
    "keras.SquaredHinge": (lambda x, y: hinge(x, y, 2), Z, SIGNS, LABEL),
    "keras.CategoricalHinge": (categorical_hinge, Z, LABELS, CLASSES),
    "keras.Poisson": (lambda x, y: (x - y * torch.log(x + 1e-7)).mean(), A, B, NUMBERS),
    "keras.KLDivergence": (lambda p, q: (q * torch.log(q / p)).sum(1).mean(), P, SOFT, PROBS),
    "keras.BCE": (lambda z, y: functional.binary_cross_entropy(z.sigmoid(), y), Z, SIGNS, LABEL),
    "keras.CategoricalCrossentropy": (lambda p, y: -right(p, y).log().mean(), P, LABELS, PROBS),
    "keras.BinaryFocalCrossentropy": (focal(2, None), Z, SIGNS, LABEL),
    "keras.CategoricalFocalCrossentropy": (
        lambda p, y: (-0.25 * (1 - right(p, y)) ** 2 * right(p, y).log()).mean(), P, LABELS, PROBS,
    ),
    "keras.CategoricalGeneralizedCrossEntropy": (
        lambda p, y: ((1 - right(p, y) ** 0.5) / 0.5).mean(), P, LABELS, PROBS,
    ),
    "keras.CosineSimilarity": (lambda x, y: -functional.cosine_similarity(x, y).mean(), Z, B, NUMBERS),
    "toolbelt.WingLoss": (wing, 20 * A, B, NUMBERS),
    "toolbelt.LogCoshLoss": (log_cosh, 3 * A, B, NUMBERS),
    "toolbelt.FocalCosineLoss": (focal_cosine, Z, LABELS, CLASSES),
    "toolbelt.focal_loss_with_logits": (focal(2, 0.25), Z, SIGNS, LABEL),
    "toolbelt.reduced_focal_loss": (reduced, Z, SIGNS, LABEL),
    "toolbelt.label_smoothed_nll_loss": (
        lambda z, y: functional.cross_entropy(z, y, label_smoothing=0.1), Z, LABELS, CLASSES,
    ),
    "toolbelt.soft_dice_score": (lambda p, y: 2 * (p * y).sum() / (p.sum() + y.sum()), A, SIGNS, SCORES),
    "toolbelt.soft_jaccard_score": (
        lambda p, y: (p * y).sum() / (p.sum() + y.sum() - (p * y).sum()), A, SIGNS, SCORES,
    ),
    "nnunet.CrossentropyND": (functional.cross_entropy, Z, LABELS, CLASSES),
}  # fmt: skip
# Names that the dialect has for the same function, or a wrapper around a loss that is compared elsewhere.
NAMESAKES = {
    "toolbelt.FocalLoss", "toolbelt.balanced_binary_cross_entropy_with_logits", "toolbelt.soft_micro_f1",
    "nnunet.DeepSupervisionWrapper",
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN_DOWN)
def test_the_number_of_the_formula_written_down(name: str) -> None:
    theirs, pred, target, options = WRITTEN_DOWN[name]
    close(SAME[name], pred, target, options, theirs(pred, target))


def test_every_claim_is_compared() -> None:
    """`write ...` says that the number is the same; other names of a row share its claim."""
    compared = {f"monai.{name}" for name in MONAI} | {f"kornia.{name}" for name in KORNIA} | {*WRITTEN_DOWN} | NAMESAKES
    shared = {(name.partition(".")[0], SAME[name]) for name in compared}
    assert {name for name, text in SAME.items() if (name.partition(".")[0], text) not in shared} == set()
    assert compared <= set(SAME)


PATHS = {
    "smp.losses.DiceLoss": "smp.DiceLoss",
    "segmentation_models_pytorch.losses.DiceLoss": "smp.DiceLoss",
    "segmentation_models_pytorch.losses.dice.DiceLoss": "smp.DiceLoss",
    "segmentation_models_pytorch.DiceLoss": "smp.DiceLoss",
    "monai.losses.DiceLoss": "monai.DiceLoss",
    "monai.losses.dice.DiceCELoss": "monai.DiceCELoss",
    "kornia.losses.DiceLoss": "kornia.DiceLoss",
    "pytorch_toolbelt.losses.BinaryFocalLoss": "toolbelt.BinaryFocalLoss",
    "nnunetv2.training.loss.compound_losses.DC_and_CE_loss": "nnunet.DC_and_CE_loss",
    "keras.losses.Dice": "keras.Dice",
    "tf.keras.losses.BinaryCrossentropy": "keras.BinaryCrossentropy",
    "tensorflow.keras.losses.BinaryCrossentropy": "keras.BinaryCrossentropy",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", ["{}", "bce + 0.5*{}(sigmoid=true)"])
def test_a_path_of_python_code(text: str, path: str) -> None:
    found = lossdsl.check(text.format(path)).diagnostics[0]
    assert (found.code, found.hint) == ("LD201", f"write {PATHS[path]}")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("monai.losses.SSIMLoss", "monai.SSIMLoss"),
        ("tf.keras.losses.Huber", "keras.Huber"),
        ("pytorch_toolbelt.losses.WingLoss", "toolbelt.WingLoss"),
    ],
)
def test_a_path_to_what_is_left_out(path: str, name: str) -> None:
    (found,) = lossdsl.check(path).diagnostics
    assert (found.message, found.hint) == (f"there is no `{path}`: {ABSENT[name].reason}", ABSENT[name].instead)


@pytest.mark.parametrize("path", ["monai.losses.Nothing", "mine.losses.DiceLoss", "smpl.losses.DiceLoss"])
def test_other_paths(path: str) -> None:
    (found,) = lossdsl.check(path).diagnostics
    assert found.code == "LD201"
    assert not (found.hint or "").startswith("write ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        # What the field means by it, as without the dialects.
        ("Huber", "write huber"),
        ("mae", "write l1"),
        ("PSNRLoss", "the nearest is 10*log(mse)/log(10)"),
        ("SSIMLoss", "the nearest is ssim"),
        ("FocalLoss", "write kornia.FocalLoss or monai.FocalLoss or smp.FocalLoss"),  # though toolbelt has none
    ],
)
def test_a_short_name(name: str, hint: str) -> None:
    (found,) = lossdsl.check(name).diagnostics
    assert (found.hint or "").startswith(hint)
