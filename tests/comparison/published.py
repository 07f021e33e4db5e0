"""Compound losses as their code was published, written out anew; what it adds against a division by 0 is left out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


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
