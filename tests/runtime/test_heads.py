"""Heads whose tensors have another layout than pred: each is the loss of a call with those two tensors alone."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch.testing import assert_close

import lossdsl

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
# Warnings that dynamo itself causes; it hides the second from users, but not from a filter that makes errors of them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]
D = torch.float64


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def scores(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=D)


def labels(*shape: int) -> Tensor:
    return (torch.rand(shape) > 0.5).to(D)


def indices(classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape)


# the head alone, its prediction, its target
HEADS: dict[str, tuple[str, Any, Any]] = {
    "boxes of DETR": ("l1", lambda: scores(7, 4), lambda: scores(7, 4)),
    "as many boxes as images": ("smooth_l1(beta=0.5)", lambda: scores(4, 4), lambda: scores(4, 4)),
    "predicted IoU of SAM": ("mse", lambda: scores(4, 3), lambda: scores(4, 3)),
    "one number for each image": ("l1", lambda: scores(4), lambda: scores(4)),
    "whether there is anything": ("bce", lambda: scores(4), lambda: labels(4)),
    "the same with a class axis": ("bce(pos_weight=3)", lambda: scores(4, 1), lambda: labels(4, 1)),
    "the kind of image": ("ce(label_smoothing=0.1)", lambda: scores(4, 5), lambda: indices(5, 4)),
    "coarser classes": ("ce", lambda: scores(4, 3, 2, 3), lambda: indices(3, 4, 2, 3)),
    "other classes": ("ce", lambda: scores(4, 6, 4, 6), lambda: indices(6, 4, 4, 6)),
    "an edge map": ("dice(per=batch)", lambda: scores(4, 1, 8, 8), lambda: labels(4, 1, 8, 8)),
    "edges of each class": ("bce(pos_weight=[1, 2])", lambda: scores(4, 2, 8, 8), lambda: labels(4, 2, 8, 8)),
    "a volume": ("focal", lambda: scores(2, 2, 3, 3, 3), lambda: indices(2, 2, 3, 3, 3)),
    "by a kernel": ("lovasz", lambda: scores(4, 3, 2, 2), lambda: indices(3, 4, 2, 2)),
}
MAIN = {"binary": "bce + dice", "multiclass": "ce + dice", "multilabel": "bce + dice", "regression": "l1"}


@pytest.mark.parametrize("main", MAIN)
@pytest.mark.parametrize("head", HEADS)
def test_the_loss_of_the_pair_alone(head: str, main: str, make_batch: Any) -> None:
    text, make_prediction, make_target = HEADS[head]
    batch, aux, seg = make_batch(main, (4, 6)), make_prediction(), make_target()
    called = text.replace("(", "(aux, seg, ") if "(" in text else f"{text}(aux, seg)"
    loss = lossdsl.compile(f"{MAIN[main]} + 0.4*{called}", task=main)
    leaf = aux.clone().requires_grad_()
    parts = loss.breakdown(batch.pred, batch.target, aux=leaf, seg=seg)
    alone = aux.clone().requires_grad_()
    wanted = lossdsl.compile(text)(alone, seg)
    head_value = list(parts.terms.values())[-1].value
    assert_close(head_value, wanted, **CLOSE)
    assert_close(torch.autograd.grad(parts.total, leaf)[0], 0.4 * torch.autograd.grad(wanted, alone)[0], **CLOSE)
    whole = lossdsl.compile(MAIN[main], task=main)(batch.pred, batch.target)
    assert_close(parts.total, whole + 0.4 * wanted, **CLOSE)


def test_the_task_of_the_call_is_not_that_of_the_head(make_batch: Any) -> None:
    """Raw losses on a pair do not make it a classification, nor the labels of a head the regression beside it."""
    batch = make_batch("regression", (4, 6))
    empty, there = scores(4), labels(4)
    loss = lossdsl.compile("l1 + 0.1*bce(empty, there)")
    wanted = lossdsl.compile("l1", task="regression")(batch.pred, batch.target)
    wanted = wanted + 0.1 * lossdsl.compile("bce")(empty, there)
    assert_close(loss(batch.pred, batch.target, empty=empty, there=there), wanted, **CLOSE)
    batch = make_batch("multiclass", (4, 6))
    soft = scores(4, 5).softmax(1)
    aux = scores(4, 5)
    got = lossdsl.compile("ce + ce(aux, soft)")(batch.pred, batch.target, aux=aux, soft=soft)
    wanted = lossdsl.compile("ce", task="multiclass")
    assert_close(got, wanted(batch.pred, batch.target) + wanted(aux, soft), **CLOSE)


@pytest.mark.parametrize("main", ["binary", "multiclass", "multilabel"])
def test_a_mask_says_which_images_count(main: str, make_batch: Any) -> None:
    batch = make_batch(main, (4, 6))
    mask = torch.rand(4, 4, 6) > 0.4
    mask[1] = False
    kept = torch.tensor([True, False, True, True])
    tensors = {"empty": scores(4), "there": labels(4), "aux": scores(4, 3, 2, 2), "seg": indices(3, 4, 2, 2)}
    marked = {name: tensor.clone() for name, tensor in tensors.items()}
    marked["empty"][1] = torch.nan
    marked["aux"][1] = torch.inf
    loss = lossdsl.compile(f"{MAIN[main]} + bce(empty, there) + ce(aux, seg)", task=main)
    wanted = (
        lossdsl.compile(MAIN[main], task=main)(batch.pred, batch.target, mask=mask)
        + lossdsl.compile("bce")(tensors["empty"][kept], tensors["there"][kept])
        + lossdsl.compile("ce")(tensors["aux"][kept], tensors["seg"][kept])
    )
    assert_close(loss(batch.pred, batch.target, mask=mask, **marked), wanted, **CLOSE)


@pytest.mark.parametrize(
    "text",
    ["dice", "lovasz", "lovasz(per=batch)", "topk_ce(share=0.3)", "focal_tversky(per=batch)", "frequency_ce", "mcc"],
)
def test_masked_images_in_losses_that_look_at_more_than_an_element(text: str, make_batch: Any) -> None:
    batch = make_batch("multiclass", (4, 6))
    mask = torch.tensor([True, False, True, True]).view(4, 1, 1)
    kept = mask.flatten()
    aux, seg = scores(4, 3, 3, 2), indices(3, 4, 3, 2)
    called = text.replace("(", "(aux, seg, ") if "(" in text else f"{text}(aux, seg)"
    got = lossdsl.compile(f"0*ce + {called}")(batch.pred, batch.target, mask=mask, aux=aux, seg=seg)
    assert_close(got, lossdsl.compile(text)(aux[kept], seg[kept]), **CLOSE)


def test_a_target_of_two_heads(make_batch: Any) -> None:
    """One laid out as pred is, the other with classes of its own."""
    batch, other = make_batch("multiclass", (4, 6)), scores(4, 5, 4, 6)
    call = {"aux": scores(4, 3, 4, 6), "other": other, "seg": indices(3, 4, 4, 6)}
    got = lossdsl.compile("ce + dice(aux, seg) + ce(other, seg)")(batch.pred, batch.target, **call)
    ce, dice = lossdsl.compile("ce"), lossdsl.compile("dice")
    wanted = ce(batch.pred, batch.target) + dice(call["aux"], call["seg"]) + ce(other, call["seg"])
    assert_close(got, wanted, **CLOSE)


def test_a_mask_is_of_pixels_where_the_pixels_are_those_of_pred(make_batch: Any) -> None:
    batch, mask = make_batch("multiclass", (4, 6)), torch.rand(4, 4, 6) > 0.4
    aux, seg = scores(4, 5, 4, 6), indices(5, 4, 4, 6)
    alone = lossdsl.compile("ce")
    got = lossdsl.compile("ce + ce(aux, seg)")(batch.pred, batch.target, mask=mask, aux=aux, seg=seg)
    assert_close(got, alone(batch.pred, batch.target, mask=mask) + alone(aux, seg, mask=mask), **CLOSE)
    batch, mask = make_batch("multilabel", (4, 6)), torch.rand(4, 3, 4, 6) > 0.4
    edge, there = scores(4, 1, 4, 6), labels(4, 1, 4, 6)
    got = lossdsl.compile("bce + bce(edge, there)")(batch.pred, batch.target, mask=mask, edge=edge, there=there)
    alone = lossdsl.compile("bce")
    wanted = alone(batch.pred, batch.target, mask=mask) + alone(edge, there, mask=mask.any(1))
    assert_close(got, wanted, **CLOSE)
    aux, seg = scores(4, 3, 4, 6), indices(3, 4, 4, 6)
    got = lossdsl.compile("bce + ce(aux, seg)")(batch.pred, batch.target, mask=mask, aux=aux, seg=seg)
    wanted = alone(batch.pred, batch.target, mask=mask) + lossdsl.compile("ce")(aux, seg, mask=mask.any(1))
    assert_close(got, wanted, **CLOSE)


def test_ignore_index_is_about_labels(make_batch: Any) -> None:
    """A coordinate that happens to be 255 is a coordinate."""
    batch = make_batch("multiclass", (4, 6))
    aux, seg = scores(4, 3, 2, 2), indices(3, 4, 2, 2)
    seg[0] = 255
    boxes, true_boxes = scores(4, 4), scores(4, 4)
    true_boxes[0, 0] = 255
    call = {"aux": aux, "seg": seg, "boxes": boxes, "true_boxes": true_boxes}
    got = lossdsl.compile("ce + ce(aux, seg) + l1(boxes, true_boxes)", ignore_index=255)(
        batch.pred, batch.target, **call
    )
    alone = lossdsl.compile("ce", ignore_index=255)
    wanted = alone(batch.pred, batch.target) + alone(aux, seg) + (boxes - true_boxes).abs().mean()
    assert_close(got, wanted, **CLOSE)


def test_class_weights_are_for_the_same_classes(make_batch: Any) -> None:
    """The same task with as many classes: PSPNet's auxiliary head, not four coordinates beside four classes."""
    batch = make_batch("multiclass", (4, 6))
    weight = [1.0, 2.0, 0.5]
    call = {"aux": scores(4, 3, 2, 2), "seg": indices(3, 4, 2, 2), "cls": scores(4, 5), "kind": indices(5, 4)}
    call |= {"x": scores(4, 3), "y_x": scores(4, 3)}
    got = lossdsl.compile("ce + ce(aux, seg) + ce(cls, kind) + l1(x, y_x)", class_weight=weight)
    alone, plain = lossdsl.compile("ce", class_weight=weight), lossdsl.compile("ce")
    wanted = (
        alone(batch.pred, batch.target)
        + alone(call["aux"], call["seg"])
        + plain(call["cls"], call["kind"])
        + (call["x"] - call["y_x"]).abs().mean()
    )
    assert_close(got(batch.pred, batch.target, **call), wanted, **CLOSE)


def test_a_batch_without_boxes(make_batch: Any) -> None:
    """No box is no error and no NaN; a head in which all counts is not 0 when everything else is ignored."""
    batch = make_batch("multiclass", (4, 6))
    loss = lossdsl.compile("ce + 5*l1(boxes, true_boxes)", ignore_index=255)
    got = loss(batch.pred, batch.target, boxes=scores(0, 4), true_boxes=scores(0, 4))
    assert_close(got, lossdsl.compile("ce")(batch.pred, batch.target), **CLOSE)
    boxes, true_boxes = scores(3, 4), scores(3, 4)
    got = loss(batch.pred, torch.full_like(batch.target, 255), boxes=boxes, true_boxes=true_boxes)
    assert_close(got, 5 * (boxes - true_boxes).abs().mean(), **CLOSE)


def test_probabilities(make_batch: Any) -> None:
    batch = make_batch("binary", (4, 6), input="probs")
    empty, there = scores(4).sigmoid(), labels(4)
    got = lossdsl.compile("bce + bce(empty, there)", input="probs")(batch.pred, batch.target, empty=empty, there=there)
    alone = lossdsl.compile("bce", input="probs")
    assert_close(got, alone(batch.pred, batch.target) + alone(empty, there), **CLOSE)


def test_a_head_of_the_layout_of_pred_shares_it(make_batch: Any) -> None:
    """Its map can be weighted by a tensor of pred's layout; an axis of one class may be there or not."""
    batch, aux, w = make_batch("binary", (4, 6)), scores(4, 4, 6), torch.rand(4, 4, 6, dtype=D)
    seg = labels(4, 4, 6)
    loss = lossdsl.compile("mean(w*bce(aux, seg, reduction=none))")
    wanted = (w * torch.nn.functional.binary_cross_entropy_with_logits(aux, seg, reduction="none")).mean()
    assert_close(loss(batch.pred, batch.target, aux=aux, seg=seg, w=w), wanted, **CLOSE)
    loss = lossdsl.compile("l1 + mean(w*bce(aux, seg, reduction=none))")
    wanted = wanted + lossdsl.compile("l1")(batch.pred, batch.target)
    assert_close(loss(batch.pred, batch.target, aux=aux, seg=seg, w=w), wanted, **CLOSE)


def test_with_a_list_of_outputs(make_batch: Any) -> None:
    preds = [make_batch("multiclass", size).pred for size in ((4, 6), (2, 3))]
    target = indices(3, 4, 4, 6)
    call = {"empty": scores(4), "there": labels(4)}
    parts = lossdsl.compile("multiscale(ce) + bce(empty, there)").breakdown(preds, target, **call)
    assert_close(parts.terms["multiscale(ce)"].value, lossdsl.compile("multiscale(ce)")(preds, target), **CLOSE)
    wanted = lossdsl.compile("bce")(call["empty"], call["there"])
    assert_close(parts.terms["bce(empty, there)"].value, wanted, **CLOSE)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_torch_compile_and_pickle(backend: str, make_batch: Any) -> None:
    batch = make_batch("multiclass", (4, 6))
    text = "ce + 5*l1(boxes, true_boxes) + 0.4*ce(aux, seg) + 0.1*bce(empty, there, pos_weight=[2])"
    call: dict[str, Any] = {"boxes": scores(4, 4), "true_boxes": scores(4, 4), "aux": scores(4, 3, 2, 2)}
    call |= {"seg": indices(3, 4, 2, 2), "empty": scores(4), "there": labels(4), "mask": torch.rand(4, 4, 6) > 0.5}
    options: dict[str, Any] = {"ignore_index": 255, "class_weight": [1, 2, 3]}
    wanted = lossdsl.compile(text, **options)(batch.pred, batch.target, **call)
    loss = pickle.loads(pickle.dumps(lossdsl.compile(text, **options)))
    assert_close(
        torch.compile(loss, fullgraph=True, backend=backend)(batch.pred, batch.target, **call), wanted, **CLOSE
    )


Z, Y = torch.zeros(4, 3, 4, 6), torch.zeros(4, 4, 6, dtype=torch.long)
SMALL: dict[str, Any] = {"aux": Z[..., :2], "seg": Y[..., :2]}
IMAGES: dict[str, Any] = {"aux": Z[:, 0, 0, 0], "seg": Z[:, 0, 0, 0]}
BOXES: dict[str, Any] = {"aux": Z[:3, 0, 0], "seg": Z[:3, 0, 0]}
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("ce + ce(aux)", {"aux": SMALL["aux"]}, "LD502", r"`aux` has shape .*not fit `pred`.*\n.*bce\(aux, aux_target\)"),
    ("ce + ce(aux, seg)", SMALL | {"seg": Y}, "LD502", r"`aux` has shape \(4, 3, 4, 2\), `seg` \(4, 4, 6\)"),
    ("ce + bce(aux, seg)", IMAGES | {"aux": Z[:, 0, 0, :1]}, "LD502", r"seg.unsqueeze\(1\)"),
    ("ce + bce(aux, seg)", {"aux": torch.tensor(1.0), "seg": torch.tensor(1.0)}, "LD502", "`aux` has no batch axis"),
    ("ce + l1(aux, seg)", IMAGES | {"aux": IMAGES["aux"].long()}, "LD503", "`aux` is used as a prediction but has"),
    ("ce + ce(aux, seg)", SMALL | {"seg": SMALL["seg"].float()}, "LD503", r"`seg` holds .*\n.*seg.long\(\)"),
    ("ce + ce(aux, seg)", SMALL | {"seg": SMALL["seg"] + 7}, "LD506", "`seg` has the class index 7, `aux` has 3"),
    ("ce + bce(aux, seg)", IMAGES | {"seg": IMAGES["seg"] + 2}, "LD506", "`seg` has values from 2 to 2"),
    ("ce + l1(aux, seg)", BOXES | {"mask": Y > -1}, "LD502", "`aux` has 3 samples, `pred` 4: a mask selects images"),
    ("ce + mean(seg) + ce(aux, seg)", SMALL, "LD502", "`seg` .* does not fit `pred`"),
    ("ce + bce(aux, seg, pos_weight=[1, 2])", IMAGES, "LD502", "lists 2 numbers, `aux` has 1 class"),
]


@pytest.mark.parametrize(("formula", "call", "code", "message"), REFUSED)
def test_what_does_not_fit(formula: str, call: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(lossdsl.InputError, match=message) as caught:
        lossdsl.compile(formula)(Z, Y, **call)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]


@pytest.mark.parametrize(
    ("formula", "target", "message"),
    [
        ("dice + dice(pred, seg)", Y, "`seg` is used as a target but has no class axis; `pred` has 3 classes and 24"),
        ("dice + bce(pred, seg)", torch.ones(4), "`seg` is used as a target but has no pixel axis"),
        ("ce + ce(pred, seg)", Y[:, 0, 0], "`seg` is used as a target but has no pixel axis"),
    ],
)
def test_a_target_is_not_spread_over_its_prediction(formula: str, target: Tensor, message: str) -> None:
    with pytest.raises(lossdsl.InputError, match=message):
        lossdsl.compile(formula)(Z, Y if "ce +" in formula[:4] else Z, seg=target)


LEFT: list[tuple[str, str]] = [
    ("ce + mean(«bce(aux, seg, reduction=none)»)", "its map with the axes batch, class and pixel fits no other value"),
    ("multiscale(ce + «bce(aux, seg)»)", "write it outside of multiscale"),
    ("for_class(ce + «bce(aux, seg)», [1])", "write it outside of for_class"),
    ("ce + bce(aux, seg, pos_weight=«w»)", "`pos_weight` has the axes batch and pixel of `pred`"),
]


@pytest.mark.parametrize(("marked", "message"), LEFT)
def test_what_leaves_its_layout(marked: str, message: str) -> None:
    """Told at the place in the formula, without a word on tasks, which would not mend it."""
    formula, start = marked.replace("«", "").replace("»", ""), marked.index("«")
    call = {"aux": Z[:, 0, 0, 0], "seg": Z[:, 0, 0, 0]} | ({"importance": Z[:, 0]} if "=w" in formula else {})
    bindings = "w = importance\n" if "=w" in formula else ""
    with pytest.raises(lossdsl.FormulaError, match=message) as caught:
        lossdsl.compile(bindings + formula)([Z] if "multiscale" in formula else Z, Y, **call)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.span.start) == ("LD307", start + len(bindings))


def test_errors_of_checking() -> None:
    """What no layout and no task makes right is found without tensors."""
    for formula, code in {
        "ce + bce(aux, seg) + hinge": "LD301",
        "ce + ce(aux, seg) + bce(aux, seg)": "LD301",
        "multiscale(bce + mean(w*bce(reduction=none))) + mean(bce(aux, seg, reduction=none))": "",
        "ce + 5*l1(boxes, true_boxes) + 0.1*bce(empty, there) + 0.4*ce(aux, seg)": "",
        "ce + mean(bce(aux, seg, reduction=none))": "LD307",
    }.items():
        found = {diagnostic.code for diagnostic in lossdsl.check(formula).diagnostics}
        assert found == ({code} if code else set()), formula
