"""Against MONAI and segmentation_models.pytorch, where they have the same loss: the same value and gradient.

Both smooth in their own places; each row says how that is accounted for.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

SEEDS = range(25)
PRECISION = {torch.float64: {"rtol": 1e-7, "atol": 1e-11}, torch.float32: {"rtol": 1e-4, "atol": 1e-6}}
DTYPES = pytest.mark.parametrize("dtype", list(PRECISION), ids=str)


@pytest.fixture(scope="module")
def monai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.losses", reason="MONAI is not installed")


@pytest.fixture(scope="module")
def smp() -> Any:
    """The package's losses alone: the package itself imports torchvision and timm."""
    name = "segmentation_models_pytorch"
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        pytest.skip("segmentation_models_pytorch is not installed")
    if name not in sys.modules:
        stub = types.ModuleType(name)
        stub.__path__ = [str(Path(found.origin).parent)]
        sys.modules[name] = stub
    return importlib.import_module(f"{name}.losses")


def a_call(seed: int, dtype: torch.dtype, classes: int = 3, empty: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, class indices and the same one-hot. `empty`: classes may be absent."""
    torch.manual_seed(seed)
    size = [(5, 4), (3, 2), (2, 3, 2)][seed % 3]
    z = torch.randn(1 + seed % 3, classes, *size, dtype=dtype) * (0.5, 1, 3)[seed // 3 % 3]
    index = torch.randint(0, classes, (z.shape[0], *size))
    if empty and seed % 4 == 0:
        index = index.clamp_max(classes - 2)
    else:
        index.flatten(1)[:, :classes] = torch.arange(classes)
    return z, index, torch.nn.functional.one_hot(index, classes).movedim(-1, 1).to(dtype)


def same(ours: tuple[Tensor, Tensor], theirs: Any, z: Tensor, target: Tensor, text: str) -> None:
    leaf = z.clone().requires_grad_()
    expected = theirs(leaf, target)
    (slope,) = torch.autograd.grad(expected, leaf)
    pair = (expected.detach().reshape(()).to(z.dtype), slope)
    torch.testing.assert_close(ours, pair, **PRECISION[z.dtype], msg=lambda message: f"{text}: {message}")


def word(flag: bool) -> str:
    return "true" if flag else "false"


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_monai_dice(seed: int, dtype: torch.dtype, monai: Any, value_and_gradient: Any) -> None:
    """smooth_nr = smooth_dr = smooth is ours. jaccard=True doubles the ratio, so its smooth counts half."""
    z, index, y = a_call(seed, dtype)
    smooth = (1e-5, 1.0, 0.1)[seed % 3]
    for batch, background, squared in itertools.product((False, True), repeat=3):
        for softmax in (True, False):
            theirs = monai.DiceLoss(
                softmax=softmax, sigmoid=not softmax, include_background=background, squared_pred=squared,
                smooth_nr=smooth, smooth_dr=smooth, batch=batch,
            )  # fmt: skip
            per = "batch" if batch else "image"
            text = f"dice(smooth={smooth}, per={per}, squared={word(squared)}, include_background={word(background)})"
            task = "multiclass" if softmax else "multilabel"
            ours = value_and_gradient(text, z, index if softmax else y, task=task)
            same(ours, theirs, z, y, text)
    jaccard = monai.DiceLoss(sigmoid=True, jaccard=True, smooth_nr=smooth, smooth_dr=smooth)
    same(value_and_gradient(f"iou(smooth={smooth / 2})", z, y, task="multilabel"), jaccard, z, y, "iou")


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_monai_generalized_dice(seed: int, dtype: torch.dtype, monai: Any, value_and_gradient: Any) -> None:
    """smooth_nr = smooth_dr, added after weighting, as ours. MONAI has the class sizes in float32: an error of 1e-6."""
    z, index, y = a_call(seed, dtype)
    options = itertools.product(("square", "simple", "uniform"), (False, True), (False, True))
    for weight, batch, background in options:
        for smooth in (1e-5, 0.5):
            theirs = monai.GeneralizedDiceLoss(
                softmax=True,
                include_background=background,
                w_type=weight,
                batch=batch,
                smooth_nr=smooth,
                smooth_dr=smooth,
            )
            written = f"weight={weight}, smooth={smooth}, per={'batch' if batch else 'image'}"
            text = f"generalized_dice({written}, include_background={word(background)})"
            result, gradient = value_and_gradient(text, z, index, task="multiclass")
            leaf = z.clone().requires_grad_()
            expected = theirs(leaf, y)
            (slope,) = torch.autograd.grad(expected, leaf)
            torch.testing.assert_close(result, expected.detach().to(dtype), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(gradient, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_monai_focal(seed: int, monai: Any, value_and_gradient: Any) -> None:
    """Both in float32, as MONAI always is. Its softmax form divides by the number of classes too."""
    z, index, y = a_call(seed, torch.float32)
    for gamma, alpha in itertools.product((1.0, 2.0, 3.5), (None, 0.25)):
        written = f"gamma={gamma}" + ("" if alpha is None else f", alpha={alpha}")
        theirs = monai.FocalLoss(gamma=gamma, alpha=alpha)
        same(value_and_gradient(f"focal({written})", z, y, task="multilabel"), theirs, z, y, written)
    theirs = monai.FocalLoss(gamma=2.0, use_softmax=True)
    same(value_and_gradient("focal/classes", z, index, task="multiclass"), theirs, z, y, "focal/classes")


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_monai_tversky(seed: int, dtype: torch.dtype, monai: Any, value_and_gradient: Any) -> None:
    """alpha weighs false positives, beta false negatives; smooth is ours. Precision, recall, F-beta are cases of it."""
    z, index, y = a_call(seed, dtype)
    texts = {
        (0.3, 0.7): "tversky(fp_weight=0.3, fn_weight=0.7, smooth={s}, per={per})",
        (1.0, 0.0): "precision(smooth={s}, per={per})",
        (0.0, 1.0): "recall(smooth={s}, per={per})",
        # numerator and denominator divided by 1 + beta**2 = 5
        (0.2, 0.8): "f_beta(beta=2, smooth=5*{s}, per={per})",
    }
    for ((alpha, beta), text), batch in itertools.product(texts.items(), (False, True)):
        theirs = monai.TverskyLoss(softmax=True, alpha=alpha, beta=beta, smooth_nr=0.1, smooth_dr=0.1, batch=batch)
        text = text.format(s=0.1, per="batch" if batch else "image")
        same(value_and_gradient(text, z, index, task="multiclass"), theirs, z, y, text)


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_monai_unified_focal(seed: int, dtype: torch.dtype, monai: Any, value_and_gradient: Any) -> None:
    """Two classes, probabilities (its doc says logits, its code applies no sigmoid), epsilon = smooth = 1e-7.

    MONAI averages the cross-entropy part over the two classes; the paper and the authors' code add them up, as ours
    does. So MONAI's share s is ours of s/2 : 1 - s, and the sum of the two parts is made by hand here.
    """
    z, index, y = a_call(seed, dtype, classes=2)
    p = (z / 2).softmax(1)  # within the epsilon to which MONAI clamps
    for share, delta, gamma in ((0.5, 0.7, 0.5), (0.2, 0.6, 0.3), (1.0, 0.7, 0.0), (0.0, 0.9, 0.5)):
        theirs = monai.AsymmetricUnifiedFocalLoss(weight=share, delta=delta, gamma=gamma)
        form = f"unified_focal(share={{}}, delta={delta}, gamma={gamma}, smooth=1e-7)"
        text = f"{share / 2}*{form.format(1)} + {1 - share}*{form.format(0)}"
        same(value_and_gradient(text, p, index, task="multiclass", input="probs"), theirs, p, y, text)


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_smp_region(seed: int, dtype: torch.dtype, smp: Any, value_and_gradient: Any) -> None:
    """Always pooled over the batch; in dice smooth counts double. An absent class has loss 0 but counts in the mean, so
    ours, which leaves it out, is multiplied with the share of the classes that are present."""
    z, index, y = a_call(seed, dtype)
    present = (index.flatten()[:, None] == torch.arange(3)).any(0).double().mean().item()
    for smooth in (0.0, 0.5):
        skipped = f"{present}*dice(smooth={2 * smooth}, per=batch, empty=skip)"
        theirs = smp.DiceLoss("multiclass", smooth=smooth)
        same(value_and_gradient(skipped, z, index, task="multiclass"), theirs, z, index, skipped)
        if present == 1:
            text = f"tversky(fp_weight=0.3, fn_weight=0.7, smooth={smooth}, per=batch)"
            theirs = smp.TverskyLoss("multiclass", alpha=0.3, beta=0.7, smooth=smooth)
            same(value_and_gradient(text, z, index, task="multiclass"), theirs, z, index, text)
            text = f"iou(smooth={smooth}, per=batch)"
            theirs = smp.JaccardLoss("multilabel", smooth=smooth)
            same(value_and_gradient(text, z, y, task="multilabel"), theirs, z, y, text)


@DTYPES
@pytest.mark.parametrize("seed", SEEDS)
def test_smp_focal(seed: int, dtype: torch.dtype, smp: Any, value_and_gradient: Any) -> None:
    """normalized divides by the sum of the factors: reduction="sum" is ours, "mean" divides by the size once more.
    reduced divides by the threshold where ours divides by its complement: the same for 1/2."""
    z, _, y = a_call(seed, dtype, classes=1, empty=False)
    y = (torch.rand_like(z) < 0.4).to(dtype)
    for gamma in (0.0, 1.0, 2.0, 3.5):
        rows = {
            f"focal(gamma={gamma})": smp.FocalLoss("binary", gamma=gamma),
            f"focal(gamma={gamma}, alpha=0.3)": smp.FocalLoss("binary", gamma=gamma, alpha=0.3),
            f"normalized_focal(gamma={gamma})": smp.FocalLoss("binary", gamma=gamma, normalized=True, reduction="sum"),
            f"reduced_focal(gamma={gamma})": smp.FocalLoss("binary", gamma=gamma, reduced_threshold=0.5),
        }
        for text, theirs in rows.items():
            same(value_and_gradient(text, z, y, task="binary"), theirs, z, y, text)


@pytest.mark.parametrize("seed", SEEDS)
def test_smp_mcc(seed: int, smp: Any, value_and_gradient: Any) -> None:
    """Of probabilities, pooled over the batch. Its eps, added to each count, is made too small to see."""
    torch.manual_seed(seed)
    p, y = torch.rand(2, 1, 4, 5, dtype=torch.float64), (torch.rand(2, 1, 4, 5) < 0.3).double()
    same(value_and_gradient("mcc", p, y, task="binary", input="probs"), smp.MCCLoss(eps=1e-14), p, y, "mcc")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("width", "curvature"), [(5, 0.5), (1, 2), (0.3, 0.1)])
def test_smp_wing(width: float, curvature: float, seed: int, smp: Any, value_and_gradient: Any) -> None:
    torch.manual_seed(seed)
    pred, target = torch.randn(3, 4, dtype=torch.float64) * 4, torch.randn(3, 4, dtype=torch.float64)
    functions = importlib.import_module(f"{smp.__name__}._functional")

    def theirs(x: Tensor, y: Tensor) -> Tensor:
        return functions.wing_loss(x, y, width=width, curvature=curvature)

    text = f"wing(width={width}, curvature={curvature})"
    same(value_and_gradient(text, pred, target, task="regression"), theirs, pred, target, text)
