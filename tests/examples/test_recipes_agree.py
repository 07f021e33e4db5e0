"""Recipes against the same compound in the library that ships it, or against its published code, written out anew.

Value and gradient agree on random batches; what a source adds to keep from dividing by zero is left out.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published import (
    basnet,
    bce,
    beta_vae,
    boundary_growing,
    carvana,
    combo,
    detr,
    distance_annealed,
    distillation,
    dsb2018,
    maskformer,
    mmseg,
    nextou,
    nnunet,
    nnunet_topk,
    ohem,
    one_hot,
    pix2pix,
    pneumothorax,
    pneumothorax_head,
    pranet,
    pspnet,
    salt,
    sam,
    structure_loss,
    ternausnet,
    transunet,
    unet3plus,
    unetplusplus,
    unified_focal,
    xview2,
)
from torch import Tensor

import lossdsl

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
EPOCH = 30


def monai_losses() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.losses", reason="MONAI is not installed")


def monai(name: str, **options: Any) -> Callable[..., Tensor]:
    """A loss of MONAI, made when it is called; of class indices it gets the one-hot."""

    def run(z: Tensor, y: Tensor) -> Tensor:
        return getattr(monai_losses(), name)(**options)(z, one_hot(y, z) if y.ndim < z.ndim else y).double()

    return run


def bce_tversky(z: Tensor, y: Tensor) -> Tensor:
    tversky = monai("TverskyLoss", sigmoid=True, alpha=0.3, beta=0.7, smooth_nr=1, smooth_dr=1)
    return 0.5 * bce(z, y) + 0.5 * tversky(z, y)


def drawn_boxes(z: Tensor) -> Tensor:
    low = torch.rand(5, 2, dtype=z.dtype)
    return torch.cat([low, low + 0.1 + torch.rand_like(low)], 1)


# Tensors beside prediction and labels that are not like the prediction.
TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "critical": lambda z: (torch.rand_like(z[:, 0]) < 0.3).double(),
    **dict.fromkeys(("empty", "predicted_iou", "actual_iou", "visible"), lambda z: torch.randn_like(z[:, 0, 0, 0])),
    **dict.fromkeys(("has_mask", "is_visible"), lambda z: (torch.rand_like(z[:, 0, 0, 0]) < 0.5).double()),
    "cls": lambda z: torch.randn(len(z), 5, dtype=z.dtype),
    "label": lambda z: torch.randint(0, 5, (len(z),)),
    **dict.fromkeys(("boxes", "true_boxes"), drawn_boxes),
    "judged": lambda z: torch.randn(len(z), 1, 3, 2, dtype=z.dtype),
    "real": lambda z: torch.ones(len(z), 1, 3, 2, dtype=z.dtype),
    "decoded": lambda z: torch.randn(len(z), 1, 5, 4, dtype=z.dtype),
    "original": lambda z: torch.rand(len(z), 1, 5, 4, dtype=z.dtype),
}
LEVELS = {"11_basnet": 8, "13_pranet": 4, "27_unetplusplus": 4}
SIZES = {"11_basnet": (20, 12), "12_unet3plus": (180, 176)}
AGREE: dict[str, tuple[Callable[..., Tensor], ...]] = {
    "01_nnunet": (
        nnunet,
        monai("DiceCELoss", softmax=True, include_background=False, batch=True, smooth_nr=1e-5, smooth_dr=1e-5),
    ),
    "02_nnunet_topk": (nnunet_topk,),
    "03_transunet": (transunet(0.5, 0.5),),
    "04_swin_unet": (transunet(0.4, 0.6),),
    "05_pneumothorax_first": (pneumothorax,),
    "06_pneumothorax_head": (pneumothorax_head,),
    "07_xview2_first": (xview2,),
    "08_dsb2018_first": (dsb2018,),
    "09_carvana_first": (carvana,),
    "10_ternausnet": (ternausnet,),
    "11_basnet": (basnet,),
    "12_unet3plus": (unet3plus,),
    "13_pranet": (pranet,),
    "13_structure_loss": (structure_loss,),
    "14_sam": (sam,),
    "15_maskformer": (maskformer,),
    "16_detr": (detr,),
    "17_cldice": (monai("SoftDiceclDiceLoss", sigmoid=True, smooth=1e-30),),
    "18_distance_annealed": (distance_annealed,),
    "19_boundary_growing": (boundary_growing,),
    "20_combo": (combo,),
    "22_unified_focal": (unified_focal,),
    "24_salt_symmetric_lovasz": (salt,),
    "26_mmseg_unet": (mmseg,),
    "27_unetplusplus": (unetplusplus,),
    "28_medsam": (monai("DiceCELoss", sigmoid=True, squared_pred=True, smooth_nr=1e-5, smooth_dr=1e-5),),
    "29_pspnet": (pspnet,),
    "31_distillation": (distillation,),
    "32_beta_vae": (beta_vae,),
    "32_pix2pix": (pix2pix,),
    "33_bce_tversky": (bce_tversky,),
    "34_ohem_dice_boundary": (ohem,),
    "35_nextou": (nextou,),
}
# MONAI's compounds that are formulas here. Its focal losses are in float32. It averages the asymmetric cross-entropy
# over the two classes, where the paper and unified_focal add up, so its half is a quarter here.
SMOOTH = {"smooth_nr": 1e-5, "smooth_dr": 1e-5}
ASYMMETRIC = "0.25*unified_focal(share=1, smooth=1e-7) + 0.5*unified_focal(share=0, smooth=1e-7)"
MONAI = [
    ("dice(smooth=1e-5) + focal", {"task": "binary"}, monai("DiceFocalLoss", sigmoid=True, gamma=2, **SMOOTH), 1e-5),
    ("0.3*ce + 2*dice(smooth=1e-5)", {"task": "multiclass"},
     monai("DiceCELoss", softmax=True, lambda_ce=0.3, lambda_dice=2, **SMOOTH), 1e-7),
    ("generalized_dice(smooth=1e-5) + 0.5*focal", {"task": "multilabel"},
     monai("GeneralizedDiceFocalLoss", sigmoid=True, lambda_focal=0.5, **SMOOTH), 1e-5),
    (ASYMMETRIC, {"task": "multiclass", "input": "probs"}, monai("AsymmetricUnifiedFocalLoss"), 1e-7),
]  # fmt: skip


def value_and_gradients(loss: Callable[..., Tensor], z: Any, y: Tensor, **named: Any) -> list[Tensor]:
    """The gradients of all predictions: of the output, or of each in a list, and of other heads."""
    leaves = [x.clone().requires_grad_() for x in (z if isinstance(z, list) else [z])]
    heads = {name: named[name].clone().requires_grad_() for name in ("aux", "cls", "boxes", "judged") if name in named}
    value = loss(leaves if isinstance(z, list) else leaves[0], y, **named | heads)
    return [value.detach(), *torch.autograd.grad(value, [*leaves, *heads.values()])]


def batch(task: str, levels: int = 0, size: tuple[int, int] = (10, 8)) -> tuple[Any, Tensor]:
    """80 pixels an image, so that a tenth and a quarter of them are whole numbers; every class occurs."""
    classes = {"binary": 1, "multiclass": 4, "multilabel": 3, "regression": 3}[task]
    maps = [torch.randn(2, classes, *size, dtype=torch.float64) * 2 for _ in range(max(levels, 1))]
    z = maps if levels else maps[0]
    if task == "multiclass":
        index = torch.randint(0, classes, (2, *size))
        index[:, 0, :classes] = torch.arange(classes)
        return z, index
    if task == "regression":
        return z, torch.randn_like(maps[0])
    return z, (torch.rand_like(maps[0]) < maps[0].sigmoid()).double()


def tensors(reference: Callable[..., Tensor], z: Any) -> dict[str, Tensor]:
    """What the reference takes beside prediction and labels."""
    names = list(inspect.signature(reference).parameters)[2:]
    return {name: TENSORS.get(name, torch.randn_like)(z) for name in names}


@pytest.mark.parametrize("stem", list(AGREE))
def test_recipe(stem: str) -> None:
    loss = lossdsl.load(RECIPES / f"{stem}.yaml")
    for seed in range(3 if stem in SIZES else 20):
        torch.manual_seed(seed)
        z, y = batch(loss.options.task, LEVELS.get(stem, 0), SIZES.get(stem, (10, 8)))
        for reference in AGREE[stem]:
            named = tensors(reference, z)
            ours = value_and_gradients(lambda *given, **more: loss(*given, epoch=EPOCH, **more), z, y, **named)
            expected = value_and_gradients(reference, z, y, **named)
            torch.testing.assert_close(ours, expected, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize(("text", "options", "reference", "precision"), MONAI, ids=[row[0] for row in MONAI])
def test_monai(text: str, options: Any, reference: Callable[..., Tensor], precision: float) -> None:
    loss = lossdsl.compile(text, **options)
    for seed in range(20):
        torch.manual_seed(seed)
        z, y = batch(options["task"])
        if "input" in options:
            z, y = (z[:, :2] / 2).softmax(1), y % 2
        ours, expected = value_and_gradients(loss, z, y), value_and_gradients(reference, z, y)
        torch.testing.assert_close(ours, expected, rtol=precision, atol=precision * 1e-2)


def test_deep_supervision() -> None:
    """DeepSupervisionLoss of MONAI, in float32: weights 1, 1/2, 1/4, and the target resized to each output."""
    loss = lossdsl.compile("multiscale(dice(smooth=1e-5), weights=[1, 0.5, 0.25])", task="multilabel")
    losses = monai_losses()
    theirs = losses.DeepSupervisionLoss(losses.DiceLoss(sigmoid=True, **SMOOTH))
    for seed in range(20):
        torch.manual_seed(seed)
        levels = [torch.randn(2, 3, *size, dtype=torch.float64) for size in ((10, 8), (5, 4), (4, 3))]
        y = (torch.rand(2, 3, 10, 8) < 0.4).double()
        ours, expected = (value_and_gradients(run, levels, y) for run in (loss, lambda z, y: theirs(z, y).double()))
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)
