"""Gradients against finite differences: second ones, and compositions of all operations of the language."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

import lossdsl

OUTCOMES = ("binary", "multilabel")
LABELS = (*OUTCOMES, "multiclass", "soft")
# Built-ins that have a second derivative everywhere. Their first is tried in tests/testing.
SMOOTH: dict[str, tuple[str, ...]] = {
    "bce": OUTCOMES,
    "bce(pos_weight=3)": OUTCOMES,
    "ce": LABELS[2:],
    "ce(label_smoothing=0.2)": LABELS[2:],
    "mse": ("regression", "binary"),
    **dict.fromkeys(("focal", "focal(gamma=0.5)", "focal(gamma=3.5)"), LABELS),
    **dict.fromkeys(("dice", "dice_coef", "iou", "iou_coef", "tversky", "focal_tversky"), LABELS),
    "dice(smooth=0, per=batch)": LABELS,
    "tversky(fp_weight=0.2, fn_weight=2, smooth=0, per=batch)": LABELS,
    "focal_tversky(gamma=1.5, smooth=0, per=batch)": LABELS,
}
WEIGHTED = ("ce", "focal", "dice", "iou_coef", "tversky", "focal_tversky", "lovasz", "lovasz_extension(abs(y - p), y)")


def a_call(task: str, given: str) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    shape = (2, 1, 4) if task == "binary" else (2, 3, 4)
    z = torch.randn(shape, dtype=torch.float64)
    if task in OUTCOMES:
        pred, y = z.sigmoid(), (torch.rand(shape) < 0.5).double()
    elif task == "multiclass":
        pred, y = z.softmax(1), torch.randint(0, 3, (2, 4))
    else:
        pred, y = z.softmax(1), torch.randn(shape, dtype=torch.float64).softmax(1)
    return (pred if given == "probs" else z).requires_grad_(), y


ROWS = [
    (text, task, given)
    for text, tasks in SMOOTH.items()
    for task in tasks
    for given in (("logits", "probs") if task != "regression" else ("logits",))
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("text", "task", "given"), ROWS, ids=["-".join(row) for row in ROWS])
def test_second_derivative(text: str, task: str, given: str) -> None:
    loss = lossdsl.compile(text, task="multiclass" if task == "soft" else task, input=given)
    pred, y = a_call(task, given)
    assert gradgradcheck(lambda tensor: loss(tensor, y), (pred,), fast_mode=True)


@pytest.mark.parametrize("text", WEIGHTED)
def test_with_mask_and_class_weight(text: str) -> None:
    loss = lossdsl.compile(text, task="multiclass", class_weight=(1, 0.2, 3), ignore_index=9)
    pred, y = a_call("multiclass", "logits")
    y[0, 1] = 9
    mask = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]])
    assert gradcheck(lambda tensor: loss(tensor, y, mask=mask), (pred,))


# Every function, reduction and operator of the language, at places where it has a derivative.
COMPOSITIONS = [
    "0.5*bce + 0.5*(-log(1 - dice))",
    "bce - log(dice_coef(smooth=1e-3))",
    "log(bce)",
    "sqrt(bce)",
    "bce**0.3 * dice**2.5",
    "dice**-0.7 + 1/dice - 1/(1 + bce)",
    "exp(-bce)*bce/(dice + 0.1)",
    "tanh(bce)*sigmoid(dice)",
    "softplus(z/2)/3 - 0 + 0*z - z*0.1 + 1 - 1",
    "logcosh(dice) + log(cosh(dice))",
    "logcosh(3*z)",
    "cosh(0.1*z) + abs(z - 0.3) + relu(z)",
    "clamp(p, min=0.3, max=0.6)*z",
    "where(y > 0.5, -log(p), p**2)",
    "where(z > 0.1, z, 0.2*z**3)",
    "max(p, 0.4) + min(z, y, 0.2)",
    "max(p, over=pixel) - 2*min(p, over=pixel)",
    "mean(z**2, over=pixel)**0.5",
    "topk(bce(reduction=none), share=0.3)",
    "topk(focal(reduction=none), over=pixel, share=0.5)",
    "bce(reduction=none)*stop_gradient(1.5) + (1 - p)**1.5*p**0.5",
    "sum(bce(reduction=none)**2, over=class)",
    "log(p)*log(1 - p)",
    "log(exp(z))*p - log(p)/log(2)",
    "sqrt(mean((p - y)**2))",
    "(1 - dice_coef(smooth=0))**0.3",
    "p**p",
    "(p + 0.2)**(z/3)",
    "2**z",
    "min(1, epoch/10)*bce + max(0, 1 - step/50)*dice",
    "tversky(fp_weight=0.3, fn_weight=0.7)**(4/3) + lovasz",
    "-log(iou_coef)/(dice + iou) + bce(pos_weight=2)",
    "exp(-epoch/5)*hinge + sqrt(0.01 + mse)",
    "(dice/bce)**0.5 - (bce/dice)**-1.5",
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("given", ["logits", "probs"])
@pytest.mark.parametrize("task", OUTCOMES)
@pytest.mark.parametrize("text", COMPOSITIONS)
def test_composition(text: str, task: str, given: str) -> None:
    try:
        loss = lossdsl.compile(text, task=task, input=given)
    except lossdsl.LossError:
        loss = lossdsl.compile(f"mean({text})", task=task, input=given)
    pred, y = a_call(task, given)
    numbers = {"epoch": 3} if "epoch" in text else {}
    numbers |= {"step": 20} if "step" in text else {}
    assert gradcheck(lambda tensor: loss(tensor, y, **numbers), (pred,))


CLASSES = [
    "ce - log(1 - dice)",
    "mean(-log(1 - p))",
    "mean(-sum(y*(1 - p)**1.5*log(p), over=class))",
    "mean(log(1 - p)*log(p), over=[batch, class, pixel])",
    "mean(max(p, over=class))",
    "mean(sum(p*log(p), over=class))",
    "mean(-sum(y*log(clamp(p, min=0.01)), over=class))",
    "mean(sum(y*where(p > 0.4, z, z**2), over=class))",
    "mean(sum(y*where(y > 0.5, p, 1 - p), over=class)) + ce",
    "mean((1 - sum(y*p, over=class))**0.5) + mean((p - y)**2)",
    "topk(ce(reduction=none), share=0.4)",
]


@pytest.mark.parametrize("given", ["logits", "probs"])
@pytest.mark.parametrize("task", ["multiclass", "soft"])
@pytest.mark.parametrize("text", CLASSES)
def test_composition_of_classes(text: str, task: str, given: str) -> None:
    loss = lossdsl.compile(text, task="multiclass", input=given)
    pred, y = a_call(task, given)
    assert gradcheck(lambda tensor: loss(tensor, y), (pred,))


LEARNED = [
    ("s = learn(0); exp(-s)*bce + s", 0.0),
    ("s = learn(0); t = learn(0.5); exp(-s)*bce + s + exp(-t)*dice + t", 0.0),
    ("s = learn(0.7); mean((1 - p)**s*z**2) + dice**s", 0.7),
    ("s = learn(0); dice**s", 0.0),
    ("s = learn(-0.4); dice**s + bce", -0.4),
    ("s = learn(1); bce/(2*s**2) + log(1 + s**2)", 1.0),
    ("s = learn(2); mean(softplus(s*z)/s) + tanh(s)*dice", 2.0),
    ("s = learn(0.3); max(s, 0.1)*bce + sqrt(s)*dice + 2**s", 0.3),
]


@pytest.mark.parametrize(("text", "start"), LEARNED, ids=[row[0] for row in LEARNED])
def test_learned_scalar(text: str, start: float) -> None:
    loss = lossdsl.compile(text, task="binary").double()
    names = [name for name, _ in loss.named_parameters()]
    scalars = tuple(p.detach().clone().requires_grad_() for p in loss.parameters())
    assert scalars[0].item() == pytest.approx(start)
    pred, y = a_call("binary", "logits")

    def of(tensor: torch.Tensor, *values: torch.Tensor) -> Any:
        return functional_call(loss, dict(zip(names, values, strict=True)), (tensor, y))

    assert gradcheck(of, (pred, *scalars))
