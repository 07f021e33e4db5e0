"""A list of outputs: multiscale is the weighted sum of the formula at each of them, on targets that are resized."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import torch._dynamo
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate
from torch.testing import assert_close

import lossdsl
from lossdsl.runtime.outputs import _resized

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
SIZES: list[list[tuple[int, ...]]] = [[(), ()], [(9,), (5,), (2,)], [(8, 6), (4, 3), (3, 6)], [(4, 4, 6), (2, 2, 3)]]
# Warnings that dynamo itself causes; it hides the second from users, but not from a filter that makes errors of them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def nearest(x: Tensor, spatial: Sequence[int], axes: int) -> Tensor:
    """torch's own resizing of the image axes, which are all but the first `axes`, for any dtype."""
    if tuple(x.shape[axes:]) == tuple(spatial):
        return x
    image = x.double().reshape(1, -1, *x.shape[axes:])
    return interpolate(image, size=tuple(spatial), mode="nearest-exact").reshape(*x.shape[:axes], *spatial).to(x.dtype)


def a_list(make_batch: Any, task: str, sizes: Sequence[tuple[int, ...]], **options: Any) -> tuple[list[Tensor], Any]:
    """Outputs of these sizes, and a batch with the target of the first."""
    batches = [make_batch(task, size, **options) for size in sizes]
    return [batch.pred for batch in batches], batches[0]


def value_and_gradients(loss: Any, preds: list[Tensor], target: Any, **call: Any) -> list[Tensor]:
    leaves = [pred.detach().clone().requires_grad_() for pred in preds]
    value = loss(leaves, target, **call)
    return [value.detach(), *torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)]


def summed(loss: Any, weights: Sequence[float], preds: list[Tensor], targets: list[Tensor], calls: Any) -> list[Tensor]:
    """The sum written by hand, of a loss for one output."""
    leaves = [pred.detach().clone().requires_grad_() for pred in preds]
    parts = [w * loss(z, y, **call) for w, z, y, call in zip(weights, leaves, targets, calls, strict=True)]
    value = torch.stack(parts).sum()
    return [value.detach(), *torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)]


def assert_same(got: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other, **CLOSE)


FORMULAS = [
    ("bce + 0.5*dice", "binary"),
    ("focal - log(dice_coef(per=batch))", "multilabel"),
    ("ce + dice", "multiclass"),
    ("lovasz + mean(abs(p - local_mean(y, size=3)))", "multiclass"),
    ("l1 + sqrt(mse)", "regression"),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize(("formula", "task"), FORMULAS)
def test_sum_by_hand(formula: str, task: str, soft: bool, sizes: Any, make_batch: Any) -> None:
    if not sizes[0]:
        formula = formula.replace("local_mean(y, size=3)", "y")  # there are no pixels around one
    preds, first = a_list(make_batch, task, sizes, soft=soft)
    axes = 1 if first.indexed else 2
    targets = [nearest(first.target, pred.shape[2:], axes) for pred in preds]
    weights = [1, 0.5, 0.25][: len(preds)]
    one = lossdsl.compile(formula, task=task)
    wanted = summed(one, weights, preds, targets, [{}] * len(preds))
    loss = lossdsl.compile(f"multiscale({formula}, weights={weights})", task=task)
    assert_same(value_and_gradients(loss, preds, first.target), wanted)
    assert_same(value_and_gradients(loss, preds, targets), wanted)
    assert_same(value_and_gradients(loss, preds, tuple(targets)), wanted)
    plain = lossdsl.compile(f"multiscale({formula})", task=task)
    wanted = summed(one, [1] * len(preds), preds, targets, [{}] * len(preds))
    assert_same(value_and_gradients(plain, preds, first.target), wanted)


@pytest.mark.parametrize(("formula", "task"), FORMULAS)
def test_masks_weights_and_tensors_by_name(formula: str, task: str, make_batch: Any) -> None:
    """All that has pixels is resized, what has none is as it is; class weights and ignored labels act at each scale."""
    sizes = SIZES[2]
    preds, first = a_list(make_batch, task, sizes)
    classes = preds[0].shape[1]
    target = first.target.clone()
    target[0, ..., :2] = 255
    mask = torch.rand(4, 8, 6) > 0.3
    tensors = {"w": torch.rand(4, 8, 6), "v": torch.rand(4), "u": torch.rand(4, classes, 8, 6), "s": torch.tensor(0.3)}
    tensors = {name: tensor.double() for name, tensor in tensors.items()}
    formula = f"{formula} + mean(s*w*v*u*(pred - 1)**2)"
    options: dict[str, Any] = {"task": task, "ignore_index": 255}
    if task != "binary":
        options["class_weight"] = [1, 2, 3]
    calls = [
        {
            "mask": nearest(mask, size, 1),
            "w": nearest(tensors["w"], size, 1),
            "u": nearest(tensors["u"], size, 2),
            "v": tensors["v"],
            "s": tensors["s"],
        }
        for size in sizes
    ]
    if task == "multiclass":
        formula = formula.replace("pred", "z")
    targets = [nearest(target, size, 1 if first.indexed else 2) for size in sizes]
    wanted = summed(lossdsl.compile(formula, **options), [1, 0.5, 2], preds, targets, calls)
    loss = lossdsl.compile(f"multiscale({formula}, weights=[1, 0.5, 2])", **options)
    assert_same(value_and_gradients(loss, preds, target, mask=mask, **tensors), wanted)


def test_a_mask_of_elements(make_batch: Any) -> None:
    preds, first = a_list(make_batch, "multilabel", SIZES[2])
    mask = torch.rand(4, 3, 8, 6) > 0.4
    targets = [nearest(first.target, size, 2) for size in SIZES[2]]
    calls = [{"mask": nearest(mask, size, 2)} for size in SIZES[2]]
    wanted = summed(lossdsl.compile("bce + dice"), [1] * 3, preds, targets, calls)
    assert_same(value_and_gradients(lossdsl.compile("multiscale(bce + dice)"), preds, first.target, mask=mask), wanted)


def test_a_scale_in_which_nothing_counts_is_zero(make_batch: Any) -> None:
    """The only pixel that counts is not picked at the second output: there the loss alone would be 0 too."""
    preds, first = a_list(make_batch, "binary", [(8, 8), (2, 2)])
    mask = torch.zeros(8, 8)
    mask[0, 0] = 1
    loss, one = lossdsl.compile("multiscale(bce - log(dice_coef))"), lossdsl.compile("bce - log(dice_coef)")
    wanted = one(preds[0], first.target, mask=mask)
    assert_close(loss(preds, first.target, mask=mask), wanted, **CLOSE)
    assert loss(preds, first.target, mask=torch.zeros(8, 8)).item() == 0
    assert loss([pred[:0] for pred in preds], first.target[:0]).item() == 0


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16])
@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3))
def test_resizing_picks_pixels_of_any_dtype(dtype: torch.dtype, sizes: list[tuple[int, int]]) -> None:
    """Against floor((i + 1/2)*m/n) of whole numbers, one axis after the other."""
    old, new = [m for m, _ in sizes], [n for _, n in sizes]
    x = (torch.arange(2 * int(torch.tensor(old).prod())) % 100).to(dtype).view(1, 2, -1)
    wanted = x.view(1, 2, *old)
    for axis, (m, n) in enumerate(sizes, start=2):
        wanted = torch.stack([wanted.select(axis, (2 * i + 1) * m // (2 * n)) for i in range(n)], dim=axis)
    got = _resized(x, old, new)
    assert got.dtype == dtype
    assert torch.equal(got, wanted.flatten(2))
    if old == new:
        assert got is x


@pytest.mark.parametrize(("formula", "task"), FORMULAS)
def test_one_output_is_the_formula(formula: str, task: str, make_batch: Any) -> None:
    batch = make_batch(task, (4, 3))
    one, several = (lossdsl.compile(text, task=task) for text in (formula, f"multiscale({formula})"))
    for call in ({}, {"mask": torch.rand(4, 3) > 0.4}, {"mask": torch.zeros(4, 3)}):
        wanted = one(batch.pred, batch.target, **call)
        assert torch.equal(several([batch.pred], [batch.target], **call), wanted)
        assert torch.equal(several((batch.pred,), batch.target, **call), wanted)


def test_outside_the_names_are_those_of_the_first_output(make_batch: Any) -> None:
    preds, first = a_list(make_batch, "multiclass", SIZES[2])
    loss = lossdsl.compile("d = dice\nw = 2*epoch\n0.3*d + multiscale(ce + d, weights=[w, 1/2, 0]) + mean(p*y)")
    targets = [nearest(first.target, size, 1) for size in SIZES[2]]
    both = lossdsl.compile("ce + dice")
    parts = loss.breakdown(preds, first.target, epoch=3)
    assert list(parts.terms) == ["d", "multiscale(ce + d, weights=[w, 1/2, 0])", "mean(p*y)"]
    several = parts.terms["multiscale(ce + d, weights=[w, 1/2, 0])"]
    assert_close(several.value, 6 * both(preds[0], targets[0]) + 0.5 * both(preds[1], targets[1]), **CLOSE)
    assert_close(parts.terms["d"].value, lossdsl.compile("dice")(preds[0], targets[0]), **CLOSE)


def test_in_for_class_and_around_it(make_batch: Any) -> None:
    preds, first = a_list(make_batch, "multiclass", SIZES[2])
    results = [
        lossdsl.compile(text)(preds, first.target)
        for text in ("for_class(multiscale(dice), [1, 2])", "multiscale(for_class(dice, [1, 2]))")
    ]
    one = lossdsl.compile("for_class(dice, [1, 2])")
    wanted = sum(one(pred, nearest(first.target, pred.shape[2:], 1)) for pred in preds)
    for result in results:
        assert_close(result, wanted, **CLOSE)


def test_lists_of_classes_and_heads_of_the_layout_of_pred(make_batch: Any) -> None:
    preds, first = a_list(make_batch, "multilabel", SIZES[2])
    other = make_batch("multilabel", SIZES[2][0])
    text = "bce(aux, seg, pos_weight=[1, 2, 3]) + bce"
    calls = [{"aux": nearest(other.pred, s, 2), "seg": nearest(other.target, s, 2)} for s in SIZES[2]]
    targets = [nearest(first.target, size, 2) for size in SIZES[2]]
    got = lossdsl.compile(f"multiscale({text})")(preds, first.target, aux=other.pred, seg=other.target)
    assert_close(got, summed(lossdsl.compile(text), [1] * 3, preds, targets, calls)[0], **CLOSE)


def test_binary_without_a_class_axis() -> None:
    """(N, 8, 1) is no tensor of one class when the first output says that there is no class axis."""
    preds, target = (
        [torch.randn(2, 8, 4), torch.randn(2, 4, 1), torch.randn(2, 1, 1)],
        (torch.rand(2, 8, 4) > 0.5).float(),
    )
    wanted = lossdsl.compile("multiscale(dice)")([p.unsqueeze(1) for p in preds], target.unsqueeze(1))
    assert_close(lossdsl.compile("multiscale(dice)")(preds, target), wanted)


def test_monai() -> None:
    monai = pytest.importorskip("monai.losses")
    theirs = monai.DeepSupervisionLoss(
        monai.DiceLoss(sigmoid=True, smooth_nr=1, smooth_dr=1), weight_mode="list", weights=[1, 0.6, 0.3]
    )
    loss = lossdsl.compile("multiscale(dice(smooth=1), weights=[1, 0.6, 0.3])", task="multilabel")
    preds = [torch.randn(2, 3, n, n) for n in (12, 6, 3)]
    target = (torch.rand(2, 3, 12, 12) > 0.5).float()
    leaves = [pred.clone().requires_grad_() for pred in preds]
    value = theirs(leaves, target)
    ours = value_and_gradients(loss, preds, target)
    for got, wanted in zip(ours, [value.detach(), *torch.autograd.grad(value, leaves)], strict=True):
        assert_close(got, wanted, rtol=1e-5, atol=1e-7)


def test_pickle_and_learned_weights(make_batch: Any) -> None:
    preds, first = a_list(make_batch, "binary", [(4, 4), (2, 2)])
    loss = lossdsl.compile("s = learn(0.5)\nmultiscale(bce, weights=[1, exp(-s)])")
    value = loss(preds, first.target)
    (gradient,) = torch.autograd.grad(value, list(loss.parameters()))
    assert gradient < 0
    assert_close(pickle.loads(pickle.dumps(loss))(preds, first.target), value.detach(), check_dtype=False)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_torch_compile(backend: str, make_batch: Any) -> None:
    preds, first = a_list(make_batch, "multiclass", SIZES[2])
    call = {"mask": torch.rand(4, 8, 6) > 0.3, "w": torch.rand(4, 8, 6).double(), "epoch": 2}
    text = "multiscale(mean(w*ce(reduction=none)) + dice, weights=[1, epoch, 0.3])"
    options: dict[str, Any] = {"class_weight": [1, 2, 3], "task": "multiclass"}
    wanted = value_and_gradients(lossdsl.compile(text, **options), preds, first.target, **call)
    fused = torch.compile(lossdsl.compile(text, **options), fullgraph=True, backend=backend)
    assert_same(value_and_gradients(fused, preds, first.target, **call), wanted)


L = torch.long
Z = [torch.zeros(2, 3, *size) for size in ((4, 4), (2, 2))]
Y = torch.zeros(2, 4, 4, dtype=L)
REFUSED: list[tuple[str, Any, Any, str, str]] = [
    ("ce", Z, Y, "LD501", r"`pred` is a list of 2, but the formula has no multiscale\(...\)\n +write multiscale"),
    ("ce", Z[0], [Y, Y], "LD501", r"`target` is a list of 2, but the formula has no multiscale"),
    ("multiscale(ce)", Z[0], Y, "LD501", r"`pred` is one tensor, .*\n +.*pass \[pred\] and a formula without weights"),
    ("multiscale(ce)", "x", Y, "LD501", "`pred` is str, not a torch tensor"),
    ("multiscale(ce)", [], Y, "LD501", "`pred` is an empty list"),
    ("multiscale(ce)", [Z[0], "x"], Y, "LD501", r"`pred\[1\]` is str"),
    ("multiscale(ce)", Z, [Y], "LD502", "`target` is a list of 1, `pred` of 2"),
    ("multiscale(ce)", Z, [Y, "x"], "LD501", r"`target\[1\]` is str"),
    ("multiscale(ce)", Z, [Y, Y], "LD502", r"`pred\[1\]` has shape \(2, 3, 2, 2\), `target\[1\]` \(2, 4, 4\)"),
    ("multiscale(ce)", Z, [Y, Z[1]], "LD502", r"`target\[0\]` has shape \(2, 4, 4\), `target\[1\]` \(2, 3, 2, 2\)"),
    ("multiscale(ce)", Z, [Y, Y[:, :2, :2].float()], "LD503", r"`target\[1\]` holds class indices but has dtype"),
    ("multiscale(ce)", Z, [Y, Y[:, :2, :2] + 3], "LD506", r"`target\[1\]` has the class index 3, `pred\[1\]` has 3"),
    ("multiscale(ce)", [Z[0], Z[1].long()], Y, "LD503", r"`pred\[1\]` has dtype torch.int64"),
    ("multiscale(ce)", [Z[0], Z[1].to("meta")], Y, "LD504", r"`pred\[0\]` is on cpu, `pred\[1\]` on meta"),
    ("multiscale(ce)", Z, [Y, Y[:, :2, :2].to("meta")], "LD504", r"`pred\[0\]` is on cpu, `target\[1\]` on meta"),
    ("multiscale(ce)", [Z[0], Z[1][:, :2]], Y, "LD502", r"`pred\[0\]` has shape .*`pred\[1\]` \(2, 2, 2, 2\)"),
    ("multiscale(ce)", [Z[0], Z[1][:1]], Y, "LD502", "same number of samples, classes and axes"),
    ("multiscale(ce)", [Z[0], Z[1][..., 0]], Y, "LD502", "same number of samples, classes and axes"),
    ("multiscale(ce)", [Z[0], Z[1][..., :0]], Y, "LD502", "one has no pixels"),
    ("multiscale(ce, weights=[1])", Z, Y, "LD502", r"(?s)1:1: error LD502: 1 weight, `pred` is a list of 2.*\[pred\]"),
    ("dice + multiscale(ce, weights=[1, 2, 3])", Z, Y, "LD502", "1:8: error LD502: 3 weights, `pred` is a list of 2"),
]


@pytest.mark.parametrize(("formula", "pred", "target", "code", "message"), REFUSED)
def test_what_does_not_fit(formula: str, pred: Any, target: Any, code: str, message: str) -> None:
    with pytest.raises(lossdsl.InputError, match=message) as caught:
        lossdsl.compile(formula)(pred, target)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]


def test_probabilities_of_every_output_are_looked_at() -> None:
    pred = [torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 2, 2), 1.5)]
    with pytest.raises(lossdsl.InputError, match=r"`pred\[1\]` has values from 1.5 to 1.5"):
        lossdsl.compile("multiscale(bce)", input="probs")(pred, torch.zeros(2, 1, 4, 4))
    with pytest.raises(lossdsl.InputError, match=r"`target\[1\]` has values from 2 to 2"):
        lossdsl.compile("multiscale(bce)")(pred, [torch.zeros(2, 1, 4, 4), torch.full((2, 1, 2, 2), 2.0)])
