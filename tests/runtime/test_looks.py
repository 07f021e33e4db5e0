"""Values that a loss does not understand are an error in every batch, whatever the batches before it were."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import lossdsl
import lossdsl.testing
from lossdsl.runtime import validate_values as inspect
from lossdsl.runtime import validate_values as labels
from lossdsl.runtime.validate_values import Sight, are_classes

L = torch.long
SEED = torch.Generator().manual_seed(0)
Z, Y = (torch.randn(4, 1, 3, 5, generator=SEED) for _ in range(2))
Y = (Y > 0).float()
ZM, YM = torch.randn(4, 3, 3, 5, generator=SEED), torch.randint(3, (4, 3, 5), generator=SEED)
Y[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
SHOWN = {"mask": torch.ones(4, 3, 5).index_fill(1, torch.tensor([0]), 0)}
SCORES = Z.sigmoid()


def refused(loss: Any, *batch: Any, match: str, **call: Any) -> None:
    with pytest.raises(lossdsl.InputError, match=match) as caught:
        loss(*batch, **call)
    assert [finding.code for finding in caught.value.diagnostics] == ["LD506"]
    assert caught.value.diagnostics[0].hint


# what a loss with ignore_index=7 may get first, and see nothing of what labels it will be given
NOTHING: dict[str, Callable[[Any], Any]] = {
    "background": lambda loss: loss(Z, 0 * Y),
    "background of bytes": lambda loss: loss(Z, (0 * Y).byte()),
    "bool labels": lambda loss: loss(Z, Y.bool()),
    "masked": lambda loss: loss(Z, Y, mask=torch.zeros(4, 3, 5, dtype=torch.bool)),
    "masked positives": lambda loss: loss(Z, Y, mask=Y[:, 0] == 0),
    "masked by numbers": lambda loss: loss(Z, Y, mask=torch.zeros(4, 3, 5)),
    "ignored": lambda loss: loss(Z, torch.full_like(Y, 7)),
    "no samples": lambda loss: loss(Z[:0], Y[:0]),
    "class indices": lambda loss: loss(ZM, YM),
    "many labels": lambda loss: loss(ZM, Y.expand_as(ZM)),
    "a breakdown": lambda loss: loss.breakdown(Z, 0 * Y),
    "a batch that is refused": lambda loss: refused(loss, Z, 3 * Y, match="from 0 to 3"),
    "meta": lambda loss: loss(Z.to("meta"), Y.to("meta")),
    "vmap": lambda loss: torch.func.vmap(loss)(Z, Y),
}


@pytest.mark.parametrize("formula", ["dice", "focal + dice", "lovasz", "mcc"])
@pytest.mark.parametrize("first", NOTHING)
def test_a_batch_that_shows_nothing_uses_no_look_up(first: str, formula: str) -> None:
    if first == "vmap" and formula != "dice":
        return
    loss = lossdsl.compile(formula, ignore_index=7)
    for _ in range(3):
        NOTHING[first](loss)
    refused(loss, Z, 255 * Y, match="`target` has values from 0 to 255")
    refused(loss.breakdown, Z, 255 * Y, match="`target` has values from 0 to 255")
    assert torch.equal(loss(Z, Y), lossdsl.compile(formula)(Z, Y))


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))], ids=["copy", "pickle"]
)
def test_a_copy_looks_for_itself(again: Any) -> None:
    loss = lossdsl.compile("bce")
    loss(Z, Y)
    refused(again(loss), Z, 255 * Y, match="from 0 to 255")


MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "bool": {"mask": SHOWN["mask"].bool()},
    "bytes": {"mask": SHOWN["mask"].byte()},
    "all": {"mask": torch.ones(4, 3, 5)},
    "nothing": {"mask": torch.zeros(4, 3, 5)},
}


@pytest.mark.parametrize("first", MASKS)
@pytest.mark.parametrize("number", [255.0, 0.5, 3.7], ids=str)
def test_a_mask_of_a_later_batch(first: str, number: float) -> None:
    loss = lossdsl.compile("bce")
    for _ in range(2):
        loss(Z, Y, **MASKS[first])
    refused(loss, Z, Y, mask=number * SHOWN["mask"], match="`mask` has values other than 0 and 1")


@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
def test_probabilities_of_a_later_batch(task: str, make_batch: Any, compile_for: Any) -> None:
    batch = make_batch(task, (3, 4), input="probs")
    loss = compile_for("dice", batch)
    hard = torch.zeros_like(batch.pred).index_fill(1, torch.tensor([0]), 1)
    for _ in range(2):
        loss(hard, batch.target)
    refused(loss, 9 * batch.pred, batch.target, match='`pred` has values from .*, with input="probs"')


HEADS: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "another layout": ("bce + bce(aux, seg)", Z, Y, {"aux": Z[..., 0], "seg": Y[..., 0]}),
    "the layout of pred": ("bce + dice(aux, seg)", Z, Y, {"aux": Z, "seg": Y}),
    "pred": ("bce + dice(pred, seg)", Z, Y, {"seg": Y}),
    "logits": ("bce + dice(z, seg)", Z, Y, {"seg": Y}),
    "another output": ("multiscale(bce)", [Z, Z[..., :2]], [Y, 0 * Y[..., :2]], {}),
}


@pytest.mark.parametrize("head", HEADS)
def test_each_head_is_looked_at_until_it_has_shown_something(head: str) -> None:
    formula, pred, target, tensors = HEADS[head]
    loss = lossdsl.compile(formula)
    empty = {name: 0 * tensor if name == "seg" else tensor for name, tensor in tensors.items()}
    for _ in range(2):
        loss(pred, target, **empty)
    if "seg" in tensors:
        refused(loss, pred, target, **(tensors | {"seg": 255 * tensors["seg"]}), match="`seg` has values from 0 to 255")
    else:
        refused(loss, pred, [Y, Y[..., :2] * 255], match=r"`target\[1\]` has values from 0 to 255")


def test_a_look_is_used_up_by_ordinary_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is called with the same kind of arguments: nothing is read then, but for the ends of class indices."""
    seen = []
    plain = inspect._shows
    monkeypatch.setattr(
        inspect, "_shows", lambda look, *rest, **more: seen.append(look.at) or plain(look, *rest, **more)
    )
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[str]]] = [
        (lossdsl.compile("bce"), (Z, Y), SHOWN, ["mask", "target"]),
        (lossdsl.compile("bce", input="probs"), (SCORES, Y), {}, ["target", "prediction"]),
        (lossdsl.compile("bce + dice(aux, seg)"), (Z, Y), {"aux": Z, "seg": Y}, ["target", "target"]),
        (lossdsl.compile("l1(aux, seg) + mse(pred, depth)"), (Z, Y), {"aux": Z, "seg": Y, "depth": 9 * Y}, []),
        (lossdsl.compile("ce + dice(aux, seg)"), (ZM, YM), {"aux": ZM, "seg": YM}, []),
        (lossdsl.compile("mse"), (Z, 9 * Y), {}, []),
    ]
    for loss, batch, call, wanted in calls:
        for _ in range(3):
            loss(*batch, **call)
        assert seen == wanted, loss
        seen.clear()


# class indices: losses that gather nothing, so that torch does not notice
INDEXED = ["dice", "iou", "tversky", "lovasz", "cldice", "js", "f_beta", "bi_tempered", "ce", "focal + dice", "mcc"]


@cache
def compiled(formula: str, ignore_index: int | None) -> Any:
    return lossdsl.compile(formula, task="multiclass", ignore_index=ignore_index)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("label", [3, 255, -1, -100], ids=str)
@pytest.mark.parametrize("formula", INDEXED)
def test_a_label_that_is_no_class(formula: str, label: int) -> None:
    """In a repeated call, one of another size, with a mask and with another label that is ignored."""
    wrong = YM.clone()
    wrong[1, 2, 3] = label
    match = f"`target` has the class index {label}, `pred` has 3 classes"
    mask = torch.ones(4, 3, 5, dtype=torch.bool)
    for ignore_index in (None, 254):
        loss = compiled(formula, ignore_index)
        for _ in range(2):
            loss(ZM, YM)
        refused(loss, ZM, wrong, match=match)
        refused(loss.breakdown, ZM, wrong, match=match)
        refused(loss, ZM[:2], wrong[:2], match=match)
        refused(loss, ZM, wrong, mask=mask, match=match)
        left = mask.clone()
        left[1, 2, 3] = False
        clean = torch.where(left, wrong, 0)
        assert torch.equal(loss(ZM, wrong, mask=left), loss(ZM, clean, mask=left))
    ignoring = compiled(formula, label)
    ignoring(ZM, YM)
    assert_close(ignoring(ZM, wrong), compiled(formula, None)(ZM, clean, mask=left))


@pytest.mark.parametrize(
    "formula", ["ce + dice(aux, seg)", "dice + iou(pred, seg)", "iou + dice(z, seg)", "ce + dice(small, seg_small)"]
)
def test_a_label_by_name_that_is_no_class(formula: str) -> None:
    name = "seg_small" if "small" in formula else "seg"
    given = {"aux": ZM, "seg": YM, "small": ZM[..., :2], "seg_small": YM[..., :2]}
    call = {key: value for key, value in given.items() if f"{key}," in formula or f"{key})" in formula}
    loss = lossdsl.compile(formula)
    for _ in range(2):
        loss(ZM, YM, **call)
    match = f"`{name}` has the class index 255, `(pred|aux|small)` has 3 classes"
    refused(loss, ZM, YM, **(call | {name: call[name].index_fill(0, torch.tensor([1]), 255)}), match=match)


def test_labels_of_every_output() -> None:
    loss = lossdsl.compile("multiscale(dice)")
    preds = [ZM, ZM[..., :2]]
    for _ in range(2):
        loss(preds, YM)
    refused(loss, preds, [YM, YM[..., :2] + 1], match=r"`target\[1\]` has the class index 3, `pred\[1\]` has 3")
    refused(loss, preds, YM + 1, match=r"`target\[0\]` has the class index 3, `pred\[0\]` has 3")


def test_labels_beside_an_expression_count_where_the_target_does() -> None:
    """`dice(z, seg)` reads the value of `z`, which is left out where `target` is ignored, and nowhere else."""
    loss = lossdsl.compile("dice + iou(z, seg)", ignore_index=255)
    target = YM.clone()
    target[0] = 255
    loss(ZM, target, seg=YM)
    loss(ZM, target, seg=torch.where(target == 255, 99, YM))
    for _ in range(2):
        refused(loss, ZM, YM, seg=target, match="`seg` has the class index 255")


def test_every_label_of_every_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the plain statement: a label that counts is one of the classes."""
    torch.manual_seed(4)
    found = set()
    dtypes = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    counts = (2, 3, 128, 200, 256, 300)
    ignored = (None, 0, 1, 255, 254, -1, -100, 300, 2**40)
    spans = ((0, 2), (0, 3), (-1, 2), (0, 256), (-128, 127), (100, 256), (-1, 256), (-300, 300))
    monkeypatch.setattr(labels, "_FEW", 3)
    for samples, dtype, classes, ignore, span, masked in itertools.product(
        (1, 2), dtypes, counts, ignored, spans, (False, True)
    ):
        ends = torch.iinfo(dtype)
        target = torch.randint(*span, (samples, 1, 3)).clamp(ends.min, ends.max).to(dtype)
        special = [n for n in (ignore, classes - 1, classes) if n is not None and ends.min <= n <= ends.max]
        for number in special:
            target[torch.rand(samples, 1, 3) < 0.2] = number
        mask = torch.rand(samples, 1, 3) < 0.7
        tensors = {"target": target, "pred": torch.zeros(samples, classes, 3), "mask": mask}
        sight = Sight(
            task="multiclass",
            indexed=True,
            target="target",
            prediction="",
            classes="pred",
            ignoring="" if ignore is None else "target",
            mask="mask" if masked else "",
            names=("pred", "target"),
        )
        pairs = zip(target.flatten().tolist(), mask.flatten().tolist(), strict=True)
        wanted = all(0 <= label < classes or label == ignore or (masked and not counts) for label, counts in pairs)
        assert are_classes(sight, tensors, ignore) == wanted, (dtype, classes, ignore, target, mask, masked)
        found.add((wanted, masked, ignore is None))
    assert len(found) == 8


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A device that is not waited for, played by the CPU: nothing may be read; what was read is listed."""
    monkeypatch.setattr(labels, "must_wait", lambda _: True)
    monkeypatch.setattr(inspect, "must_wait", lambda _: True)
    read: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "nonzero"):
        plain = getattr(Tensor, name)
        monkeypatch.setattr(
            Tensor, name, lambda self, *rest, plain=plain, name=name: read.append(name) or plain(self, *rest)
        )
    yield read
    monkeypatch.undo()


@pytest.mark.parametrize("options", [{}, {"ignore_index": 254}], ids=str)
@pytest.mark.parametrize("mask", [None, torch.ones(4, 3, 5, dtype=torch.bool)], ids=["all", "mask"])
def test_class_indices_on_an_accelerator(options: Any, mask: Any, accelerator: list[str]) -> None:
    loss = lossdsl.compile("dice", **options)
    wrong = YM.index_fill(0, torch.tensor([1]), 255)
    target = YM.index_fill(0, torch.tensor([1]), 254) if options else YM
    for _ in range(3):
        value = loss(ZM, target, mask=mask)
    assert accelerator == []
    with pytest.raises(RuntimeError, match="LD506: `target` has a class index that is not a class of `pred`"):
        loss(ZM, wrong, mask=mask)
    assert accelerator == []
    kept = [0, 2, 3] if options else [0, 1, 2, 3]
    assert_close(value, lossdsl.compile("dice", task="multiclass")(ZM[kept], YM[kept]))


def test_looks_on_an_accelerator(accelerator: list[str]) -> None:
    """Read in the first call, the second, the fourth; in between the device stops at what is wrong."""
    loss = lossdsl.compile("dice")
    waited = []
    for _ in range(9):
        loss(Z, 0 * Y)
        waited.append(bool(accelerator))
        accelerator.clear()
    assert waited == [True, True, False, True, False, False, False, True, False]
    with pytest.raises(RuntimeError, match="LD506: the values of `target` are out of range"):
        loss(Z, 255 * Y)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("formula", ["dice", "ce + iou(aux, seg)"])
@pytest.mark.parametrize("options", [{}, {"ignore_index": 254}], ids=str)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_torch_compile(backend: str, options: Any, formula: str) -> None:
    """Compiled with the model, the label is found where the graph runs."""
    if backend == "inductor" and (options or formula != "dice"):
        return
    torch._dynamo.reset()
    loss = lossdsl.compile(formula, **options)
    step = torch.compile(loss, fullgraph=True, backend=backend)
    target = YM.index_fill(0, torch.tensor([1]), 254) if options else YM
    call = {"aux": ZM, "seg": target} if "seg" in formula else {}
    assert_close(step(ZM, target, **call), loss(ZM, target, **call))
    wrong = YM.index_fill(0, torch.tensor([1]), -1)
    name, call = ("seg", call | {"seg": wrong}) if call else ("target", {})
    with pytest.raises(RuntimeError, match=f"LD506: `{name}` has a class index that is not a class"):
        step(ZM, YM if call else wrong, **call)


@pytest.mark.parametrize("transform", [lambda f: f, torch.func.grad], ids=["value", "gradient"])
def test_torch_compile_of_vmap(transform: Any) -> None:
    """No assertion goes through vmap; the loss still does."""
    torch._dynamo.reset()
    loss = lossdsl.compile("dice", task="multiclass")
    each = torch.func.vmap(transform(lambda pred, target: loss(pred[None], target[None])))
    found = torch.compile(each, fullgraph=True, backend="aot_eager")(ZM, YM)
    assert_close(found, each(ZM, YM))


P = SCORES
PM = ZM.softmax(1)
WHOLE: dict[str, Any] = {"seg": 255 * Y, "aux": Z}
OWN: dict[str, Any] = {"seg": 255 * Y[..., 0], "aux": Z[..., 0]}
SEG = "`seg` has values from 0 to 255"

# formula, options, pred, target, what else the call gets, what the first call says
BY_NAME: list[tuple[str, dict[str, Any], Tensor, Tensor, dict[str, Any], str]] = [
    *((f"{loss}(aux, seg)", {}, Z, Y, WHOLE, SEG) for loss in ("bce", "dice", "focal", "lovasz", "hinge", "mcc")),
    *((f"l1 + {loss}(aux, seg)", {}, Z, Y, OWN, SEG) for loss in ("bce", "dice", "lovasz")),
    ("mean(bce(aux, seg, reduction=none))", {}, Z, Y, WHOLE, SEG),
    ("l1(aux, seg) + bce(aux, seg)", {}, Z, Y, WHOLE, SEG),
    ("bce(pred, seg)", {}, Z, Y, {"seg": 255 * Y}, SEG),
    ("bce(z, seg)", {}, Z, Y, {"seg": 255 * Y}, SEG),
    ("dice(p, seg)", {"input": "probs"}, P, Y, {"seg": 255 * Y}, SEG),
    ("bce(2*z, seg)", {}, Z, Y, {"seg": 255 * Y}, SEG),
    ("focal(z, seg)", {"task": "multilabel"}, ZM, 0 * ZM, {"seg": 255 * (ZM > 0).float()}, SEG),
    ("bce + bce(aux, seg)", {"ignore_index": 254}, Z, Y, WHOLE, SEG),
    ("bce(aux)", {"input": "probs"}, P, Y, {"aux": Z}, "`aux` has values from -"),
    ("bce(aux, seg)", {"input": "probs"}, P, Y, {"aux": Z, "seg": Y}, "`aux` has values from -"),
    ("bce + dice(aux, y)", {"input": "probs"}, P, Y, {"aux": Z}, "`aux` has values from -"),
    ("ce(aux)", {"input": "probs"}, PM, YM, {"aux": ZM}, "`aux` has values from -"),
    (
        "dice(aux, seg)",
        {"task": "multiclass"},
        ZM,
        YM,
        {"aux": ZM, "seg": YM + 1},
        "`seg` has the class index 3, `aux`",
    ),
    ("ce(aux, seg)", {}, ZM, YM, {"aux": ZM, "seg": YM - 1}, "`seg` has the class index -1, `aux` has 3"),
    ("lovasz(aux, seg)", {}, ZM, YM, {"aux": ZM, "seg": YM + 253}, "`seg` has the class index 255, `aux` has 3"),
    ("ce(z, seg)", {}, ZM, YM, {"seg": YM + 1}, "`seg` has the class index 3, `pred` has 3"),
    ("ce + ce(aux, soft)", {}, ZM, YM, {"aux": ZM, "soft": 0.5 * PM}, "`soft` sums to 0.5 over the classes"),
]


@pytest.mark.parametrize(("formula", "options", "pred", "target", "call", "message"), BY_NAME)
def test_tensors_by_name(
    formula: str, options: Any, pred: Tensor, target: Tensor, call: dict[str, Any], message: str
) -> None:
    loss = lossdsl.compile(formula, **options)
    refused(loss, pred, target, **call, match=message)
    left_out = torch.zeros(4, 3, 5, dtype=torch.bool)
    assert loss(pred, target, mask=left_out, **call) == 0
    refused(loss, pred, target, **call, match=message)


@pytest.mark.parametrize("pair", ["aux, seg", "pred, seg"])
def test_kernels_by_name(pair: str) -> None:
    """A kernel says by what it takes whether it reads labels."""
    call = {"seg": 255 * Y} | ({"aux": Z} if "aux" in pair else {})
    with lossdsl.testing.registry():
        for name, inputs in (("raw", ["pred", "target"]), ("labelled", ["z", "y"])):
            kernel = {name: torch.nn.functional.l1_loss}
            lossdsl.adapt("looks", kernel, inputs=inputs, keeps=("batch", "class", "pixel"), range="[0, inf)")
        refused(lossdsl.compile(f"bce + looks.labelled({pair})"), Z, Y, **call, match=SEG)
        value = lossdsl.compile(f"looks.raw({pair})", task="binary")(Z, Y, **call)
        assert_close(value, (Z - 255 * Y).abs().mean())


@pytest.mark.parametrize("formula", ["l1(aux, seg)", "mse(aux, seg)", "mse(pred, seg)", "huber(z, seg)", "mean(seg*p)"])
def test_what_is_read_raw_may_be_anything(formula: str) -> None:
    call = {name: tensor for name, tensor in WHOLE.items() if name in formula}
    assert lossdsl.compile(f"bce + {formula}")(Z, Y, **call).isfinite()


def test_ignored_labels_of_a_head_that_is_laid_out_as_pred() -> None:
    seg = Y.clone()
    seg[0] = 255
    loss = lossdsl.compile("bce + dice(aux, seg)", ignore_index=255)
    wanted = lossdsl.compile("bce")(Z, Y) + lossdsl.compile("dice")(Z[1:], Y[1:])
    assert_close(loss(Z, Y, aux=Z, seg=seg), wanted)


# Distributions over classes

UNEVEN = {
    "half": 0.5 * PM,
    "twice": (2 * PM).clamp(max=1),
    "zeros at a pixel": PM.index_fill(2, torch.tensor([1]), 0),
    "several classes": torch.ones_like(PM),
    "one wrong row": torch.where(torch.arange(5) == 3, 0.9 * PM, PM),
}


@pytest.mark.parametrize("formula", ["kl", "js", "ce", "dice", "lovasz"])
@pytest.mark.parametrize("kind", UNEVEN)
def test_soft_targets_are_distributions(kind: str, formula: str) -> None:
    loss = lossdsl.compile(formula, task="multiclass")
    for first in (None, torch.zeros(4, 3, 5, dtype=torch.bool)):
        if first is not None:
            loss(ZM, UNEVEN[kind], mask=first)
        refused(loss, ZM, UNEVEN[kind], match="`target` sums to .* over the classes, not to 1")
    if kind == "zeros at a pixel":
        mask = torch.ones(4, 3, 5, dtype=torch.bool)
        mask[:, 1] = False
        assert_close(loss(ZM, UNEVEN[kind], mask=mask), loss(ZM, PM, mask=mask))
        ignored = torch.where(mask.unsqueeze(1), PM, 255)
        ignoring = lossdsl.compile(formula, task="multiclass", ignore_index=255)
        assert_close(ignoring(ZM, ignored), loss(ZM, PM, mask=mask))


HARD = torch.nn.functional.one_hot(YM, 3).movedim(-1, 1)
WIDE = torch.randn(4, 1000, 15, generator=SEED)
EVEN = {
    "float32": PM,
    "float16": PM.half(),
    "bfloat16": PM.bfloat16(),
    "once bfloat16": PM.bfloat16().float(),
    "float64": PM.double(),
    "integers": HARD,
    "bool": HARD.bool(),
    "smoothed": 0.9 * HARD + 0.1 / 3,
    "mixed": 0.3 * PM + 0.7 * PM.flip(0),
    "many classes in float16": WIDE.softmax(1).half(),
    "many classes of bfloat16": WIDE.bfloat16().softmax(1),
}


@pytest.mark.parametrize("kind", EVEN)
def test_distributions(kind: str) -> None:
    """Rounded, of labels, smoothed and mixed."""
    soft = EVEN[kind]
    scores = torch.randn(soft.shape)
    value = lossdsl.compile("kl + ce + dice", task="multiclass")(scores, soft)
    assert value.isfinite()


def test_probabilities_of_classes_need_not_add_up_to_one() -> None:
    """Those of sigmoids are compared with class indices too."""
    assert lossdsl.compile("dice", task="multiclass", input="probs")(ZM.sigmoid(), YM).isfinite()


def test_kl_is_a_divergence_in_every_batch() -> None:
    """Of targets that are no distributions, after a batch of those that are: that of unnormalised measures."""
    loss = lossdsl.compile("kl", task="multiclass")
    z, y = ZM.double(), PM.double()
    loss(z, y)
    log_p = z.log_softmax(1)
    for target in (y, 0.5 * y, (2 * y).clamp(max=1), y.flip(1), torch.rand(4, 3, 3, 5, dtype=torch.float64)):
        value = loss(z, target)
        terms = torch.xlogy(target, target) - target * log_p - target + log_p.exp()
        assert_close(value, terms.sum(1).mean(), rtol=1e-10, atol=1e-12)
        assert value >= -1e-12


def test_kl_of_distributions_is_that_of_torch() -> None:
    for kind, pred in {"logits": ZM.double(), "probs": PM.double()}.items():
        y = torch.randn(4, 3, 3, 5, dtype=torch.float64).softmax(1)
        found, wanted = pred.clone().requires_grad_(), pred.clone().requires_grad_()
        value = lossdsl.compile("kl", task="multiclass", input=kind)(found, y)
        log_p = wanted.log_softmax(1) if kind == "logits" else wanted.log()
        reference = torch.nn.functional.kl_div(log_p, y, reduction="sum") / 60
        assert_close(value, reference, rtol=1e-10, atol=1e-12)
        gradients = [torch.autograd.grad(v, x)[0] for v, x in ((value, found), (reference, wanted))]
        assert_close(*gradients, rtol=1e-10, atol=1e-12)
