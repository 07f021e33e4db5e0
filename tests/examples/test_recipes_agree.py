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
from torch import Tensor
from torch.nn import functional

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


def one_hot(y: Tensor, z: Tensor) -> Tensor:
    return functional.one_hot(y, z.shape[1]).movedim(-1, 1).to(z.dtype)


def overlap(p: Tensor, y: Tensor, dims: tuple[int, ...], smooth: float, power: int = 1) -> Tensor:
    """The Dice score over some axes."""
    return (2 * (p * y).sum(dims) + smooth) / ((p**power).sum(dims) + (y**power).sum(dims) + smooth)


def bce(z: Tensor, y: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(z, y)


def focal(z: Tensor, y: Tensor, gamma: float = 2.0) -> Tensor:
    """-(1 - pt)**gamma log(pt), as in the ComboLoss of several Kaggle winners."""
    pt = torch.where(y == 1, z.sigmoid(), 1 - z.sigmoid())
    return (-((1 - pt) ** gamma) * pt.log()).mean()


def batch_dice(z: Tensor, y: Tensor, smooth: float) -> Tensor:
    return 1 - overlap(z.sigmoid(), y, (0, 1, 2, 3), smooth)


def nnunet_dice(z: Tensor, y: Tensor) -> Tensor:
    """SoftDiceLoss with batch_dice and without background is the negative mean of the scores."""
    return -overlap(z.softmax(1)[:, 1:], one_hot(y, z)[:, 1:], (0, 2, 3), 1e-5).mean()


def nnunet(z: Tensor, y: Tensor) -> Tensor:
    """DC_and_CE_loss; ours is a loss, one above the negative score."""
    return functional.cross_entropy(z, y) + nnunet_dice(z, y) + 1


def nnunet_topk(z: Tensor, y: Tensor) -> Tensor:
    """DC_and_topk_loss with k=10: the tenth, rounded down, of the pixels with the largest cross-entropy."""
    each = functional.cross_entropy(z, y, reduction="none").flatten()
    return each.topk(each.numel() // 10).values.mean() + nnunet_dice(z, y) + 1


def transunet(ce: float, dice: float) -> Callable[..., Tensor]:
    """trainer.py: DiceLoss is 1 - the score with squares, class by class, pooled over the batch."""

    def run(z: Tensor, y: Tensor) -> Tensor:
        p, labels = z.softmax(1), one_hot(y, z)
        region = sum(1 - overlap(p[:, c], labels[:, c], (0, 1, 2), 1e-5, power=2) for c in range(z.shape[1]))
        return ce * functional.cross_entropy(z, y) + dice * region / z.shape[1]

    return run


def pneumothorax(z: Tensor, y: Tensor) -> Tensor:
    return 2 * bce(z, y) + batch_dice(z, y, 1e-5) + 2 * focal(z, y)


def xview2(z: Tensor, y: Tensor) -> Tensor:
    return batch_dice(z, y, 1e-6) + 10 * focal(z, y)


def dsb2018(z: Tensor, y: Tensor) -> Tensor:
    scores = overlap(z.softmax(1), one_hot(y, z), (2, 3), 1.0)
    parts = [(1 - scores[:, c]).mean() for c in (0, 1)]
    return 0.6 * functional.cross_entropy(z, y) + 0.2 * parts[0] + 0.2 * parts[1]


def carvana(z: Tensor, y: Tensor) -> Tensor:
    return bce(z, y) - overlap(z.sigmoid(), y, (0, 1, 2, 3), 1.0).log()


def ternausnet(z: Tensor, y: Tensor) -> Tensor:
    """LossBinary(jaccard_weight=0.3), all pixels of the batch pooled."""
    p = z.sigmoid()
    both = (p * y).sum()
    return 0.7 * bce(z, y) - 0.3 * (both / (p.sum() + y.sum() - both)).log()


def distance_annealed(z: Tensor, y: Tensor, dp: Tensor, dy: Tensor) -> Tensor:
    """train_LA_HD.py after 30 epochs: alpha is 1 - 0.03."""
    p = z.sigmoid()
    segmentation = bce(z, y) + 1 - overlap(p, y, (0, 1, 2, 3), 1e-5, power=2)
    return 0.97 * segmentation + 0.03 * ((p - y) ** 2 * (dp**2 + dy**2)).mean()


def boundary_growing(z: Tensor, y: Tensor, phi: Tensor) -> Tensor:
    """Sudre's generalized Dice of each image, and the boundary loss at 0.01 + 0.01*epoch."""
    p, weight = z.sigmoid(), 1 / y.sum((2, 3)) ** 2
    top, bottom = ((weight * x.sum((2, 3))).sum(1) for x in (p * y, p + y))
    return (1 - 2 * top / bottom).mean() + 0.31 * (phi * p).mean()


def combo(z: Tensor, y: Tensor) -> Tensor:
    """Taghanaki et al. 2018, equation 3."""
    p = z.sigmoid()
    cross = -(0.6 * y * p.log() + 0.4 * (1 - y) * (1 - p).log()).mean()
    return 0.5 * cross - 0.5 * overlap(p, y, (2, 3), 1.0).mean()


def unified_focal(z: Tensor, y: Tensor) -> Tensor:
    """Yeung et al. 2022, the symmetric form: delta 0.6, gamma 0.5, lambda 0.5, of the foreground."""
    p, delta = z.sigmoid(), 0.6
    pixel = -(delta * (1 - p) ** 0.5 * y * p.log() + (1 - delta) * p**0.5 * (1 - y) * (1 - p).log()).mean()
    tp, fn, fp = (x.sum((2, 3)) for x in (p * y, (1 - p) * y, p * (1 - y)))
    index = (tp + 1) / (tp + delta * fn + (1 - delta) * fp + 1)
    return 0.5 * pixel + 0.5 * ((1 - index) ** 0.5).mean()


def lovasz_gradient(truth: Tensor) -> Tensor:
    """Algorithm 1 of Berman et al. 2018."""
    positives = truth.sum()
    jaccard = 1 - (positives - truth.cumsum(0)) / (positives + (1 - truth).cumsum(0))
    return torch.diff(jaccard, prepend=jaccard.new_zeros(1))


def salt(z: Tensor, y: Tensor) -> Tensor:
    """The hinge of Berman's code with elu + 1 in place of relu, for z and y and for -z and 1 - y, image by image."""

    def hinge(score: Tensor, label: Tensor) -> Tensor:
        errors, order = (1 - score * (2 * label - 1)).sort(descending=True)
        return torch.dot(functional.elu(errors) + 1, lovasz_gradient(label[order]))

    pairs = [(score.flatten(), label.flatten()) for score, label in zip(z, y, strict=True)]
    return torch.stack([(hinge(s, t) + hinge(-s, 1 - t)) / 2 for s, t in pairs]).mean()


def mmseg(z: Tensor, y: Tensor) -> Tensor:
    """DiceLoss: smooth 1, exponent 2, image by image."""
    return functional.cross_entropy(z, y) + 3 * (1 - overlap(z.softmax(1), one_hot(y, z), (2, 3), 1.0, power=2)).mean()


def pspnet(z: Tensor, y: Tensor, aux: Tensor) -> Tensor:
    return functional.cross_entropy(z, y) + 0.4 * functional.cross_entropy(aux, y)


def distillation(z: Tensor, y: Tensor, teacher: Tensor) -> Tensor:
    """KLDivLoss of torch, added up over the classes and averaged over the pixels."""
    each = functional.kl_div((z / 4).log_softmax(1), (teacher / 4).log_softmax(1), reduction="none", log_target=True)
    return 0.7 * 16 * each.sum(1).mean() + 0.3 * functional.cross_entropy(z, y)


def bce_tversky(z: Tensor, y: Tensor) -> Tensor:
    tversky = monai("TverskyLoss", sigmoid=True, alpha=0.3, beta=0.7, smooth_nr=1, smooth_dr=1)
    return 0.5 * bce(z, y) + 0.5 * tversky(z, y)


def ohem(z: Tensor, y: Tensor, phi: Tensor) -> Tensor:
    p, each = z.softmax(1), functional.cross_entropy(z, y, reduction="none").flatten()
    hard = each.sort(descending=True).values[: each.numel() // 4].mean()
    return hard + (1 - overlap(p, one_hot(y, z), (2, 3), 1.0)).mean() + 0.01 * (phi * p)[:, 3].mean()


def nextou(z: Tensor, y: Tensor, critical: Tensor) -> Tensor:
    """TI_Loss: the cross-entropy times the critical pixels, summed over each image."""
    topology = (critical * functional.cross_entropy(z, y, reduction="none")).sum((1, 2)).mean()
    return nnunet(z, y) + 1e-6 * topology


def pneumothorax_head(z: Tensor, y: Tensor, empty: Tensor, has_mask: Tensor) -> Tensor:
    return 2.7 * bce(z, y) + 0.9 * (1 - overlap(z.sigmoid(), y, (2, 3), 1.0)).mean() + 0.1 * bce(empty, has_mask)


def queries(z: Tensor, y: Tensor) -> Tensor:
    """20 times the focal loss with alpha 0.25, and Dice with smooth 1, both averaged over the masks."""
    each = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    alpha = torch.where(y == 1, 0.25, 0.75)
    pixel = (alpha * (1 - (-each).exp()) ** 2 * each).flatten(1).mean(1)
    return (20 * pixel + 1 - overlap(z.sigmoid(), y, (1, 2, 3), 1.0)).mean()


def sam(z: Tensor, y: Tensor, predicted_iou: Tensor, actual_iou: Tensor, visible: Tensor, is_visible: Tensor) -> Tensor:
    """loss_fns.py, one mask for each object; the focal loss of the object score has gamma 0 and no alpha."""
    return queries(z, y) + functional.l1_loss(predicted_iou, actual_iou) + bce(visible, is_visible)


def maskformer(z: Tensor, y: Tensor, cls: Tensor, label: Tensor) -> Tensor:
    return queries(z, y) + functional.cross_entropy(cls, label)


def area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp_min(0).prod(1)


def detr(z: Tensor, y: Tensor, boxes: Tensor, true_boxes: Tensor) -> Tensor:
    """loss_bbox is divided by the number of boxes, not of coordinates; generalised IoU by Rezatofighi et al. 2019."""
    (low, high), (true_low, true_high) = boxes.split(2, 1), true_boxes.split(2, 1)
    both = area(torch.maximum(low, true_low), torch.minimum(high, true_high))
    union = area(low, high) + area(true_low, true_high) - both
    hull = area(torch.minimum(low, true_low), torch.maximum(high, true_high))
    giou = 1 - (both / union - (hull - union) / hull).mean()
    return functional.cross_entropy(z, y) + 5 * (boxes - true_boxes).abs().sum() / len(boxes) + 2 * giou


def structure(x: Tensor, y: Tensor, size: int = 11, sigma: float = 1.5) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, of Wang et al. 2004 in each window that lies inside of the image."""
    offsets = torch.arange(size, dtype=x.dtype) - size // 2
    row = (-(offsets**2) / (2 * sigma**2)).exp()
    window = (row[:, None] * row / row.sum() ** 2)[None, None]
    a, b, aa, bb, ab = (functional.conv2d(image, window) for image in (x, y, x * x, y * y, x * y))
    luminance = (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)
    return luminance, (2 * (ab - a * b) + 0.03**2) / (aa - a**2 + bb - b**2 + 0.03**2)


def basnet(levels: list[Tensor], y: Tensor) -> Tensor:
    """muti_bce_loss_fusion: BCE, 1 - SSIM and 1 - IoU of each output, added up."""
    total = torch.zeros((), dtype=y.dtype)
    for z in levels:
        p = z.sigmoid()
        luminance, rest = structure(p, y)
        both = (p * y).sum((1, 2, 3))
        iou = both / (p.sum((1, 2, 3)) + y.sum((1, 2, 3)) - both)
        total = total + bce(z, y) + 1 - (luminance * rest).mean() + (1 - iou).mean()
    return total


def unet3plus(z: Tensor, y: Tensor) -> Tensor:
    """Wang et al. 2003: five scales, each half the one before; the last has the luminance too."""
    p, x, labels, similar = z.sigmoid(), z.sigmoid(), y, torch.ones((), dtype=y.dtype)
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            x, labels = functional.avg_pool2d(x, 2), functional.avg_pool2d(labels, 2)
        luminance, rest = structure(x, labels)
        similar = similar * (rest * luminance if scale == 4 else rest).mean((1, 2, 3)) ** weight
    both = (p * y).sum((1, 2, 3))
    iou = (both + 1) / (p.sum((1, 2, 3)) + y.sum((1, 2, 3)) - both + 1)
    return focal(z, y) + (1 - similar).mean() + (1 - iou).mean()


def structure_loss(z: Tensor, y: Tensor) -> Tensor:
    """F3Net's, which PraNet took over: a pooled window that counts zeros outside of the image."""
    weight = 1 + 5 * (functional.avg_pool2d(y, 31, stride=1, padding=15) - y).abs()
    cross = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    p = z.sigmoid()
    pixel = (weight * cross).sum((2, 3)) / weight.sum((2, 3))
    both, either = (weight * p * y).sum((2, 3)), (weight * (p + y)).sum((2, 3))
    return (pixel + 1 - (both + 1) / (either - both + 1)).mean()


def pranet(levels: list[Tensor], y: Tensor) -> Tensor:
    return torch.stack([structure_loss(z, y) for z in levels]).sum()


def unetplusplus(levels: list[Tensor], y: Tensor) -> Tensor:
    parts = [bce(z, y) + (1 - overlap(z.sigmoid(), y, (2, 3), 1.0)).mean() for z in levels]
    return torch.stack(parts).mean()


def pix2pix(z: Tensor, y: Tensor, judged: Tensor, real: Tensor) -> Tensor:
    """GANLoss("vanilla") of the generated images with the label real, and 100 times L1Loss."""
    return bce(judged, real) + 100 * functional.l1_loss(z, y)


def beta_vae(z: Tensor, y: Tensor, decoded: Tensor, original: Tensor) -> Tensor:
    """torch.distributions has the divergence of the two normal distributions."""
    normal = torch.distributions.Normal
    code, prior = normal(z, (y / 2).exp()), normal(torch.zeros_like(z), torch.ones_like(z))
    divergence = torch.distributions.kl_divergence(code, prior).sum(1).mean()
    return bce(decoded, original) + 4 / 4096 * divergence


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
