"""What does not fit is refused in forward, naming both sides; nothing is broadcast in silence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lossdsl
from lossdsl.runtime.layout import arrange

F, D, H, B = torch.float32, torch.float64, torch.float16, torch.bool
L, U = torch.int64, torch.uint8


def tensor(shape: tuple[int, ...], dtype: torch.dtype = F) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


# formula, task, shape of pred, shape of target and its dtype
SHAPES = [
    ("bce", "binary", (4, 1), (4,), F),
    ("bce", "binary", (4,), (4, 1), F),
    ("bce", "binary", (4,), (), F),
    ("bce", "binary", (4,), (1,), F),
    ("bce", "binary", (1,), (4,), F),
    ("bce", "binary", (4, 1, 3, 5), (4, 3, 5), F),
    ("bce", "binary", (4, 3, 5), (4, 1, 3, 5), F),
    ("bce", "binary", (4, 1, 3, 5), (4, 1, 5, 3), F),
    ("bce", "binary", (4, 1, 3, 5), (1, 1, 3, 5), F),
    ("bce", "binary", (4, 1, 3, 5), (4, 2, 3, 5), F),
    ("bce", "binary", (4, 1, 3, 5), (4, 1, 3), F),
    ("bce", "binary", (4, 1, 3, 5), (3, 5), F),
    ("bce", "binary", (4, 1, 3, 5), (), F),
    ("bce", "binary", (4, 1, 3, 5), (1, 4, 1, 3, 5), F),
    ("dice", "binary", (4, 1, 3, 5), (4, 3, 5), B),
    ("bce", None, (4, 1), (4,), F),
    ("bce", None, (4,), (4, 1), F),
    ("bce", None, (4, 1, 3, 5), (4, 3, 5), F),
    ("bce", None, (4, 1, 3, 5), (4, 3, 5), L),
    ("bce", "multilabel", (4, 3), (4,), F),
    ("bce", "multilabel", (4, 3), (3, 4), F),
    ("bce", "multilabel", (4, 3, 5), (4, 1, 5), F),
    ("bce", "multilabel", (4, 3, 5), (4, 5), L),
    ("dice", "multilabel", (4, 3, 5, 5), (4, 5, 5, 3), F),
    ("ce", "multiclass", (4, 3), (4, 1), L),
    ("ce", "multiclass", (4, 3), (3,), L),
    ("ce", "multiclass", (4, 3), (), L),
    ("ce", "multiclass", (4, 3, 5, 6), (4, 6, 5), L),
    ("ce", "multiclass", (4, 3, 5, 6), (4, 1, 5, 6), L),
    ("ce", "multiclass", (4, 3, 5, 6), (5, 6), L),
    ("ce", "multiclass", (4, 3, 5, 6), (1, 5, 6), L),
    ("ce", "multiclass", (4, 3, 5, 6), (4, 2, 5, 6), F),
    ("ce", "multiclass", (4, 5, 6), (4, 5, 6, 3), F),
    ("ce", "multiclass", (4, 1, 5, 6), (4, 5, 6), L),
    ("ce", "multiclass", (4, 1, 5, 6), (4, 1, 5, 6), F),
    ("ce", "multiclass", (4,), (4,), L),
    ("mse", "regression", (4, 1), (4,), F),
    ("mse", "regression", (4,), (4, 1), F),
    ("mse", "regression", (4, 2), (2, 4), F),
    ("mse", "regression", (4, 2), (4,), F),
    ("mse", "regression", (4, 2), (1, 2), F),
    ("mse", "regression", (4, 2), (), F),
    ("mse", None, (4, 1), (4,), F),
    ("mse", None, (4,), (4, 1), F),
    ("mse", None, (4, 2, 3), (4, 3), F),
]


@pytest.mark.parametrize(("formula", "task", "pred", "target", "dtype"), SHAPES, ids=str)
def test_targets(formula: str, task: str | None, pred: tuple[int, ...], target: tuple[int, ...], dtype: Any) -> None:
    for backward in (False, True):
        with pytest.raises(lossdsl.InputError) as caught:
            lossdsl.compile(formula, task=task)(tensor(pred).requires_grad_(backward), tensor(target, dtype))
        (finding,) = caught.value.diagnostics
        assert finding.code == "LD502"
        assert str(pred) in finding.message
        assert str(target) in finding.message


@pytest.mark.parametrize("task", [None, "multiclass"], ids=str)
def test_class_indices_that_are_no_integers(task: str | None) -> None:
    with pytest.raises(lossdsl.InputError) as caught:
        lossdsl.compile("dice", task=task)(tensor((4, 2, 3, 5)), tensor((4, 3, 5)))
    (finding,) = caught.value.diagnostics
    assert finding.code == "LD503"
    assert finding.hint == "target.long()"
    assert all(part in finding.message for part in ("torch.float32", "(4, 2, 3, 5)", "(4, 3, 5)"))


def test_no_batch_axis() -> None:
    for formula in ("bce", "mse"):
        with pytest.raises(lossdsl.InputError, match="`pred` has no batch axis"):
            lossdsl.compile(formula)(torch.tensor(0.5), torch.tensor(1.0))


# formula, task, shape of pred, shape of the mask
MASKS = [
    ("bce", "binary", (4, 1, 3, 5), (4,)),
    ("bce", "binary", (4, 1, 3, 5), (4, 5, 3)),
    ("bce", "binary", (4, 1, 3, 5), (4, 2, 3, 5)),
    ("bce", "binary", (4, 1, 3, 5), (2, 3, 5)),
    ("bce", "binary", (4, 1, 3, 5), (1, 4, 1, 3, 5)),
    ("bce", "binary", (4, 1, 3, 5), (4, 3, 1, 5)),
    ("bce", "binary", (4, 3, 5), (4, 3)),
    ("bce", "binary", (4,), (3,)),
    ("bce", "binary", (4,), (4, 4)),
    ("bce", "multilabel", (4, 3, 5), (4, 3)),
    ("bce", "multilabel", (4, 3, 5), (4, 2, 5)),
    ("ce", "multiclass", (4, 3, 5), (4, 3, 5)),
    ("dice", "multiclass", (4, 3), (4, 3)),
    ("mse", "regression", (4, 2), (2,)),
]


@pytest.mark.parametrize(("formula", "task", "pred", "mask"), MASKS, ids=str)
def test_masks(formula: str, task: str, pred: tuple[int, ...], mask: tuple[int, ...]) -> None:
    for soft in (False, True) if task == "multiclass" else (True,):
        target = tensor(pred) if soft else tensor((pred[0], *pred[2:]), L)
        with pytest.raises(lossdsl.InputError) as caught:
            lossdsl.compile(formula, task=task)(tensor(pred), target, mask=torch.ones(mask))
        (finding,) = caught.value.diagnostics
        assert finding.code == "LD502"
        assert f"`mask` has shape {mask}" in finding.message
        assert str(pred) in finding.message


NAMED = [(3,), (5,), (3, 5), (4, 5), (4, 2), (4, 3, 5, 1), (4, 5, 3), (1, 3, 5), (4, 3, 1, 6), (2, 4, 3, 5)]


@pytest.mark.parametrize("shape", NAMED, ids=str)
def test_tensors_by_name(shape: tuple[int, ...]) -> None:
    """One number, or one for each sample, class of a sample, pixel of a sample; nothing else is guessed."""
    loss = lossdsl.compile("mean(w*bce(reduction=none))", task="multilabel")
    pred = tensor((4, 3, 5, 6))
    with pytest.raises(lossdsl.InputError) as caught:
        loss(pred, tensor((4, 3, 5, 6)), w=tensor(shape))
    (finding,) = caught.value.diagnostics
    assert finding.code == "LD502"
    assert f"`w` has shape {shape}" in finding.message
    assert "(4, 3, 5, 6)" in finding.message


C = torch.complex64
# dtype of pred, of target, task, what the message names
DTYPES = [
    (L, F, "binary", "torch.int64"),
    (U, F, "binary", "torch.uint8"),
    (B, F, "binary", "torch.bool"),
    (C, F, "binary", "torch.complex64"),
    (torch.float8_e4m3fn, F, "binary", "torch.float8_e4m3fn"),
    (L, L, "regression", "torch.int64"),
    (L, L, None, "torch.int64"),
    (F, C, "binary", "torch.complex64"),
    (F, C, "regression", "torch.complex64"),
    (F, F, "multiclass", "torch.float32"),
    (F, D, "multiclass", "torch.float64"),
    (F, B, "multiclass", "torch.bool"),
    (F, H, "multiclass", "torch.float16"),
]


@pytest.mark.parametrize(("pred", "target", "task", "named"), DTYPES, ids=str)
def test_dtypes(pred: torch.dtype, target: torch.dtype, task: str | None, named: str) -> None:
    formula = {"multiclass": "ce", "regression": "mse"}.get(task or "", "bce")
    shape = (4, 5) if task == "multiclass" else (4, 3, 5)
    with pytest.raises(lossdsl.InputError) as caught:
        lossdsl.compile(formula, task=task)(torch.zeros(4, 3, 5).to(pred), tensor(shape, target))
    (finding,) = caught.value.diagnostics
    assert finding.code == "LD503"
    assert named in finding.message


@pytest.mark.parametrize(
    "value", [None, 1.0, [1.0], "x", torch.nn.Identity()], ids=["None", "1.0", "list", "str", "module"]
)
@pytest.mark.parametrize("name", ["pred", "target", "mask", "w"])
def test_what_is_no_tensor(name: str, value: Any) -> None:
    if name == "mask" and value is None:
        return
    call: dict[str, Any] = {"pred": tensor((4, 3)), "target": tensor((4, 3)), "w": tensor((4,))}
    with pytest.raises(lossdsl.InputError, match=rf"`{name}` is {type(value).__name__}, not a torch tensor"):
        lossdsl.compile("mean(w*bce(reduction=none))")(**{**call, name: value})


@pytest.mark.parametrize("name", ["target", "mask", "w", "class_weight"])
def test_devices(name: str) -> None:
    """meta stands for a second device."""
    call = {key: torch.zeros(4, 3, device="meta") for key in ("pred", "target", "w")}
    call["mask"] = torch.ones(4, device="meta")
    if name != "class_weight":
        call[name] = torch.zeros(call[name].shape)
    loss = lossdsl.compile(
        "mean(w*bce(reduction=none))", task="multilabel", class_weight=[1, 2, 3] if name == "class_weight" else None
    )
    with pytest.raises(lossdsl.InputError, match=rf"`pred` is on meta, `{name}` on cpu"):
        loss(**call)


def test_a_label_out_of_range_in_an_auxiliary_target() -> None:
    tensors = {"aux": tensor((2, 3, 4, 5)), "seg": torch.full((2, 4, 5), 7)}
    with pytest.raises(lossdsl.InputError, match="`seg` has the class index 7, `aux` has 3 classes"):
        lossdsl.compile("ce(aux, seg)")(tensor((2, 3, 4, 5)), torch.zeros(2, 4, 5, dtype=L), **tensors)


@pytest.mark.parametrize(
    ("formula", "tensors"),
    [
        ("dice(aux)", {"aux": tensor((2, 4, 5))}),
        ("dice(aux)", {"aux": tensor((2, 3, 4, 5), L)}),
        ("dice(aux, seg)", {"aux": tensor((2, 3, 4, 5)), "seg": torch.rand(2, 4, 5)}),
    ],
    ids=["no classes", "integers", "labels that are no integers"],
)
def test_auxiliary_heads(formula: str, tensors: dict[str, Tensor]) -> None:
    with pytest.raises(lossdsl.InputError):
        lossdsl.compile(formula, task="multiclass")(tensor((2, 3, 4, 5)), tensor((2, 4, 5), L), **tensors)


def test_a_mask_of_images_or_of_columns_is_told_apart() -> None:
    """(5,) fits the 5 images and the 5 columns; with all axes it is clear, and so it is where only one fits."""
    pred, mask = torch.randn(5, 1, 3, 5), torch.tensor([1, 1, 1, 0, 1])
    target = (pred + torch.randn_like(pred) > 0).float()
    loss = lossdsl.compile("bce")
    with pytest.raises(lossdsl.InputError, match=r"`mask` has shape \(5,\).*\(5, 1, 3, 5\)"):
        loss(pred, target, mask=mask)
    kept = mask > 0
    torch.testing.assert_close(loss(pred, target, mask=mask.view(-1, 1, 1)), loss(pred[kept], target[kept]))
    columns = loss(pred[..., kept], target[..., kept])
    torch.testing.assert_close(loss(pred, target, mask=mask.view(1, 1, -1)), columns)
    fewer = loss(pred[:4, ..., kept], target[:4, ..., kept])
    torch.testing.assert_close(loss(pred[:4], target[:4], mask=mask), fewer)


# pred (4, 3, 3): three classes at three pixels, or what else has both sizes
DOUBTFUL: list[tuple[str, str, tuple[int, ...], tuple[int, ...]]] = [
    ("mean(w*bce(reduction=none))", "multilabel", (4, 3, 3), (4, 3)),
    ("mean(w*bce(reduction=none))", "multilabel", (3, 3, 3), (3, 3)),
    ("mean(w*ce(reduction=none))", "multiclass", (4, 3, 3), (4, 3)),
    ("mean(w*abs(pred - target))", "regression", (4, 5, 5), (4, 5)),
    ("mean(w*dice(reduction=none))", "multilabel", (4, 3, 3), (4, 3)),
]


@pytest.mark.parametrize(("formula", "task", "full", "given"), DOUBTFUL, ids=str)
def test_classes_or_pixels(formula: str, task: str, full: tuple[int, ...], given: tuple[int, ...]) -> None:
    """One value for each class or for each pixel, when there are as many: the error names both, each way out works."""
    loss, w = lossdsl.compile(formula, task=task), tensor(given)
    target = torch.randint(3, (full[0], *full[2:])) if task == "multiclass" else tensor(full)
    with pytest.raises(lossdsl.InputError, match=r"each class, or for each pixel of `pred` \(") as caught:
        loss(tensor(full), target, w=w)
    (finding,) = caught.value.diagnostics
    assert finding.code == "LD502"
    assert finding.hint == "give it all axes: w.unsqueeze(2) for classes, w.unsqueeze(1) for pixels"
    wide = {"pred": torch.randn(full), "target": target}
    if formula.startswith("mean(w*bce"):
        plain = torch.nn.functional.binary_cross_entropy_with_logits(*wide.values(), reduction="none")
        for spread in (w.unsqueeze(2), w.unsqueeze(1)):
            torch.testing.assert_close(loss(**wide, w=spread), (spread * plain).mean())
            torch.testing.assert_close(loss(**wide, w=spread.expand(full)), (spread * plain).mean())


def test_a_mask_is_of_pixels() -> None:
    """(N, C) was never a mask, so (N, L) is one for each pixel however many classes there are."""
    pred, target, mask = torch.randn(4, 3, 3), tensor((4, 3, 3)).round(), torch.rand(4, 3) > 0.4
    loss = lossdsl.compile("bce", task="multilabel")
    torch.testing.assert_close(loss(pred, target, mask=mask), loss(pred, target, mask=mask.unsqueeze(1)))


@pytest.mark.parametrize(
    "formula", ["ce(aux, seg)", "dice(aux, seg)", "ce(pred, seg)", "ce(z, seg)", "lovasz(aux, seg)"]
)
def test_class_indices_that_stand_as_a_target(formula: str) -> None:
    """(N, C) integers where C is the number of pixels are what a target can only be: one label for each pixel."""
    pred, aux, seg = torch.randn(4, 3, 3), torch.randn(4, 3, 3), torch.randint(3, (4, 3))
    call = {"aux": aux, "seg": seg} if "aux" in formula else {"seg": seg}
    alone = lossdsl.compile(formula.partition("(")[0], task="multiclass")
    got = lossdsl.compile(f"0*ce + {formula}", task="multiclass")(pred, seg, **call)
    torch.testing.assert_close(got, alone(call.get("aux", pred), seg))


@pytest.mark.parametrize(
    ("full", "given", "axes"),
    [
        ((4, 1, 5, 6), (4, 1, 5, 6), ("batch", "class", "pixel")),
        ((4, 1, 5, 6), (4, 5, 6), ("batch", "pixel")),
        ((4, 1, 5, 6), (4, 1, 1, 1), ("batch", "class")),
        ((4, 1, 5, 6), (4, 1), ("batch",)),
        ((4, 1, 5, 6), (4,), ("batch",)),
        ((4, 1, 5, 6), (), ()),
        ((4, 1), (4, 1), ("batch", "class")),
        ((4, 1, 5), (4, 5), ("batch", "pixel")),
        ((4, 1, 5), (4, 1, 5), ("batch", "class", "pixel")),
        ((4, 3, 5, 6), (4, 3, 5, 6), ("batch", "class", "pixel")),
        ((4, 3, 5, 6), (4, 1, 5, 6), ("batch", "pixel")),
        ((4, 3, 5, 6), (4, 3, 1, 1), ("batch", "class")),
        ((4, 3, 5, 6), (4, 3), ("batch", "class")),
        ((4, 3, 3, 3), (4, 3, 3), ("batch", "pixel")),
        ((4, 3, 3), (4, 3, 1), ("batch", "class")),
        ((4, 3, 3), (4, 1, 3), ("batch", "pixel")),
        ((3, 3), (3, 3), ("batch", "class")),
    ],
    ids=str,
)
def test_axes_of_tensors_by_name(full: tuple[int, ...], given: tuple[int, ...], axes: tuple[str, ...]) -> None:
    w, pred, target = torch.rand(given), torch.randn(full), tensor(full).round()
    call = arrange("multilabel", "logits", False, None, pred, target, None, {"w": w})
    assert dict(call.context.tensors)["w"] == axes
    value = lossdsl.compile("mean(w*bce(reduction=none)) + mean(p)", task="multilabel")(pred, target, w=w)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(pred, target, reduction="none")
    sizes = zip(("batch", "class", *["pixel"] * (len(full) - 2)), full, strict=True)
    layout = w.reshape([size if axis in axes else 1 for axis, size in sizes])
    torch.testing.assert_close(value, (layout * plain).mean() + pred.sigmoid().mean())


def test_an_axis_of_one_class_is_an_axis() -> None:
    """As that of `pred` is: a formula may take the mean over it."""
    pred, target = torch.randn(4, 1, 5, 6), tensor((4, 1, 5, 6)).round()
    loss = lossdsl.compile("bce + mean(mean(w, over=class)*mean(p, over=class))")
    wanted = lossdsl.compile("bce + mean(w*p)")
    torch.testing.assert_close(loss(pred, target, w=target), wanted(pred, target, w=target))


@pytest.mark.parametrize(
    ("formula", "task", "aux", "axis"),
    [
        ("ce(aux)", "multiclass", (4, 3), "pixel"),
        ("dice(aux, y)", "multiclass", (4, 3), "pixel"),
        ("ce(aux)", "multiclass", (4, 5, 6), "class"),
        ("bce(aux)", "multilabel", (4,), "pixel"),
        ("bce(aux)", "multilabel", (4, 3), "pixel"),
        ("bce(aux)", "multilabel", (4, 5, 6), "class"),
        ("lovasz(aux)", "multilabel", (4, 1, 5, 6), "class"),
    ],
)
def test_a_prediction_is_not_spread_over_its_target(formula: str, task: str, aux: tuple[int, ...], axis: str) -> None:
    target = torch.randint(3, (4, 5, 6)) if task == "multiclass" else tensor((4, 3, 5, 6)).round()
    with pytest.raises(lossdsl.InputError, match=f"`aux` is used as a prediction but has no {axis} axis"):
        lossdsl.compile(formula, task=task)(torch.randn(4, 3, 5, 6), target, aux=torch.randn(aux))
