"""What is passed for a tensor and is none, or is one of another kind: computed right, or told in one message."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import lossdsl

pytestmark = [
    pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors:UserWarning"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning"),
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor is deprecated"),
]

TEXT = "bce + dice + mean(w*p)"
PRED, TARGET = torch.randn(4, 1, 6, 6), (torch.rand(4, 1, 6, 6) > 0.5).float()


def given() -> dict[str, Any]:
    return {"pred": PRED, "target": TARGET, "mask": torch.ones(4, 6, 6), "w": torch.rand(4, 1, 6, 6)}


def told(loss: Any, call: dict[str, Any], message: str, code: str = "LD501") -> None:
    """By a call and by a breakdown, as the first and after others that were right."""
    for function in (loss, loss.breakdown):
        with pytest.raises(lossdsl.InputError, match=message) as caught:
            function(**call)
        assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
        assert caught.value.diagnostics[0].hint


def made(used: bool) -> Any:
    """used: what is known of an ordinary call must not let another pass."""
    loss = lossdsl.compile(TEXT, task="binary")
    if used:
        call = given()
        for _ in range(2):
            loss(**call)
            loss(call["pred"], call["target"], w=call["w"])
    return loss


def jagged(x: Tensor) -> Tensor:
    return torch.nested.nested_tensor([row[: n + 2] for n, row in enumerate(x)], layout=torch.jagged)


KINDS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "COO": (lambda x: x.to_sparse(), r"layout torch\.sparse_coo[\s\S]*{}\.to_dense\(\)"),
    "CSR": (lambda x: x.flatten(1).to_sparse_csr(), r"layout torch\.sparse_csr[\s\S]*{}\.to_dense\(\)"),
    "MKL-DNN": (lambda x: x.to_mkldnn(), r"layout torch\._mkldnn[\s\S]*{}\.to_dense\(\)"),
    "nested": (lambda x: torch.nested.nested_tensor([*x]), r"nested[\s\S]*to_padded_tensor\({}, 0\)[\s\S]*mask="),
    "jagged": (jagged, r"nested[\s\S]*to_padded_tensor\({}, 0\)[\s\S]*mask="),
    "masked": (lambda x: torch.masked.masked_tensor(x, x > 0), r"MaskedTensor[\s\S]*mask={}\.get_mask\(\)"),
    "array": (lambda x: x.numpy(), r"ndarray, not a torch tensor[\s\S]*torch\.as_tensor\({}\)"),
    "list": (lambda x: x.tolist(), r"list, not a torch tensor[\s\S]*torch\.as_tensor\({}\)"),
    "tuple": (lambda x: tuple(x.tolist()), r"tuple, not a torch tensor[\s\S]*torch\.as_tensor\({}\)"),
    "dict": (lambda x: {"out": x, "n": 3, "aux": x}, r'dict, not a torch tensor[\s\S]*: {}\["out"\], {}\["aux"\]$'),
    "by number": (lambda x: {0: x}, r"dict, not a torch tensor[\s\S]*: {}\[0\]$"),
    "ordered": (lambda x: OrderedDict(loss=None, logits=x), r'OrderedDict, not[\s\S]*: {}\["logits"\]$'),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["pred", "target", "mask", "w"])
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_what_is_no_dense_tensor(used: bool, name: str, kind: str) -> None:
    call = given()
    make, message = KINDS[kind]
    told(made(used), call | {name: make(call[name])}, f"`{name}` [\\s\\S]*{message.replace('{}', name)}")
    if name != "mask":
        del call["mask"]
        told(made(used), call | {name: make(call[name])}, f"`{name}` [\\s\\S]*{message.replace('{}', name)}")


DTYPES = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["target", "mask", "w"])
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_dtypes_that_torch_hardly_computes_with(used: bool, name: str, dtype: torch.dtype) -> None:
    call = given()
    way_out = "float" if dtype.is_floating_point else "long"
    told(
        made(used), call | {name: call[name].to(dtype)}, rf"`{name}` has dtype {dtype}\s+{name}\.{way_out}\(\)", "LD503"
    )
    call[name] = getattr(call[name].to(dtype), way_out)()
    assert made(used)(**call).isfinite()


@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
@pytest.mark.parametrize("formula", ["ce", "dice + lovasz", "0.5*ce + 0.5*ce(aux, seg)"])
def test_class_indices_of_other_dtypes(dtype: torch.dtype, formula: str) -> None:
    loss = lossdsl.compile(formula, task="multiclass", ignore_index=255)
    pred, labels = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    further = {"aux": torch.randn(2, 3, 2, 2), "seg": torch.randint(3, (2, 2, 2))} if "aux" in formula else {}
    wanted = loss(pred, labels, **further)
    told(
        loss,
        {"pred": pred, "target": labels.to(dtype), **further},
        r"`target` has dtype[\s\S]*target\.long\(\)",
        "LD503",
    )
    assert torch.equal(loss(pred, labels.to(dtype).long(), **further), wanted)
    if further:
        call = {"pred": pred, "target": labels, **further, "seg": further["seg"].to(dtype)}
        told(loss, call, r"`seg` has dtype[\s\S]*seg\.long\(\)", "LD503")


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (torch.uint16, "float16 to float64"),
        (torch.int64, "float16 to float64"),
        (torch.complex64, "float16 to float64"),
    ],
)
def test_predictions_of_other_dtypes(dtype: torch.dtype, message: str) -> None:
    with pytest.raises(lossdsl.InputError, match=rf"LD503: `pred` has dtype {dtype}; [\s\S]*{message}"):
        made(False)(**given() | {"pred": PRED.to(dtype)})


@pytest.mark.parametrize("number", [50, 2.5, True, np.float32(3), 1j], ids=repr)
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_a_number_for_a_tensor(number: Any, used: bool) -> None:
    told(
        made(used),
        given() | {"w": number},
        rf"`w` is {type(number).__name__}, not[\s\S]*in the formula[\s\S]*torch\.tensor",
    )


def test_a_number_as_a_tensor() -> None:
    """What the message says to write is the number: of one that is passed, and of one in the text."""
    got = made(False)(PRED, TARGET, w=torch.tensor(50))
    assert_close(got, lossdsl.compile("bce + dice + mean(50*p)", task="binary")(PRED, TARGET))


Outputs = namedtuple("Outputs", ["logits", "aux_logits"])


@dataclass
class Output:
    """As transformers and detection models return it."""

    loss: Tensor | None
    logits: Tensor
    hidden: tuple[Tensor, ...] = ()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (Output(None, PRED), r"`pred` is Output, not a torch tensor[\s\S]*: pred\.logits$"),
        (Outputs(PRED, None), r"`pred` is Outputs, not a torch tensor[\s\S]*: pred\[0\]$"),
        (Outputs(PRED, PRED), r"`pred` is a list of 2[\s\S]*no multiscale[\s\S]*pass the first tensor alone"),
        ([PRED], r"`pred` is a list of 1[\s\S]*no multiscale"),
        ([PRED, {"aux": PRED}], r"`pred` is list, not a torch tensor[\s\S]*: pred\[0\]$"),
        ([PRED.numpy(), PRED], r"`pred` is list, not a torch tensor[\s\S]*: pred\[1\]$"),
    ],
    ids=["object", "named tuple", "named tuple of two", "list of one", "list with more", "list of both"],
)
def test_outputs_of_models(output: Any, message: str) -> None:
    told(made(True), given() | {"pred": output}, message)


@pytest.mark.parametrize(
    ("pred", "target", "message", "code"),
    [
        ({"out": PRED}, TARGET, r'`pred` is dict[\s\S]*pred\["out"\]', "LD501"),
        ([{"out": PRED}], TARGET, r'`pred` is dict[\s\S]*pred\["out"\]', "LD501"),
        ([PRED, PRED[..., ::2].to_sparse()], TARGET, r"`pred\[1\]` has the layout[\s\S]*pred\[1\]\.to_dense", "LD501"),
        ([PRED, PRED.numpy()], TARGET, r"`pred\[1\]` is ndarray[\s\S]*torch\.as_tensor\(pred\[1\]\)", "LD501"),
        ([PRED, PRED], [TARGET, TARGET.to(torch.uint16)], r"`target\[1\]` has dtype[\s\S]*\.long\(\)", "LD503"),
        ([PRED, PRED], [TARGET, TARGET.to_sparse()], r"`target\[1\]` has the layout", "LD501"),
    ],
)
def test_outputs_of_a_list(pred: Any, target: Any, message: str, code: str) -> None:
    told(lossdsl.compile("multiscale(bce + dice)", task="binary"), {"pred": pred, "target": target}, message, code)


STACKED = torch.randn(4, 2, 3, 6, 6)
SOFT, LABELS = torch.randn(4, 3, 6, 6).softmax(1), torch.randint(3, (4, 6, 6))


@pytest.mark.parametrize(
    ("task", "pred", "target", "axis", "code"),
    [
        ("multiclass", STACKED, LABELS, 1, "LD502"),
        ("multiclass", STACKED.transpose(0, 1), LABELS, 0, "LD502"),
        ("multiclass", STACKED.transpose(0, 1), SOFT, 0, "LD502"),
        ("multiclass", STACKED, SOFT, 1, "LD503"),
        ("multilabel", STACKED, SOFT, 1, "LD502"),
        ("binary", STACKED[:, :, :1], SOFT[:, :1], 1, "LD502"),
        ("binary", STACKED[:, :, 0], SOFT[:, 0], 1, "LD502"),
        ("binary", STACKED.transpose(0, 1)[:, :, :1], SOFT[:, :1], 0, "LD502"),
        ("regression", STACKED, SOFT, 1, "LD502"),
        (None, STACKED, SOFT, 1, "LD503"),
        (None, STACKED.transpose(0, 1), SOFT, 0, "LD502"),
    ],
)
def test_stacked_outputs(task: Any, pred: Tensor, target: Tensor, axis: int, code: str) -> None:
    """The way out works: the formula in `multiscale`, with the list that the message writes."""
    formula = "mse" if task == "regression" else "dice"
    message = rf"`pred` has shape [\s\S]*a stack of outputs[\s\S]*pred\.unbind\({axis}\)[\s\S]*multiscale"
    told(lossdsl.compile(formula, task=task), {"pred": pred, "target": target}, message, code)
    deep = lossdsl.compile(f"multiscale({formula})", task=task or "multilabel")
    single = lossdsl.compile(formula, task=task or "multilabel")
    outputs = pred.unbind(axis)
    assert_close(deep(outputs, target), torch.stack([single(output, target) for output in outputs]).sum())


def test_classes_or_a_stack() -> None:
    """What looks like both is told with both readings."""
    loss = lossdsl.compile("dice", task="binary")
    with pytest.raises(lossdsl.InputError, match=r'task="multiclass"; if `pred` is a stack of outputs'):
        loss(torch.randn(4, 3, 6, 6), LABELS)


@pytest.mark.parametrize(
    ("formula", "more", "names"),
    [
        ("bce", (TARGET,), r"mask=\.\.\.\)"),
        ("bce + mean(w*p)", (TARGET, TARGET), r"mask=\.\.\., w=\.\.\.\)"),
        ("epoch*bce", (3,), r"mask=\.\.\., epoch=\.\.\.\)"),
    ],
)
def test_a_third_argument_by_position(formula: str, more: tuple[Any, ...], names: str) -> None:
    loss = lossdsl.compile(formula, task="binary")
    message = rf"LD505: a call takes 2 arguments by position[\s\S]*{2 + len(more)} were given[\s\S]*{names}"
    for call in (loss, loss.breakdown):
        with pytest.raises(lossdsl.InputError, match=message):
            call(PRED, TARGET, *more)


class Image(Tensor):
    """As those of torchvision and fastai: the same numbers, another name."""


class Labels(Tensor):
    """One that knows nothing of the other."""


class Distances(Labels):
    pass


@pytest.mark.parametrize("formula", ["ce + dice", "lovasz + 0.5*ce", "mean(w*ce(reduction=none)) + dice"])
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_subclasses_of_tensors(formula: str, masked: bool) -> None:
    """Alone, and mixed, where torch itself refuses; value and gradient are those of plain tensors."""
    pred, target = torch.randn(4, 3, 6, 6), torch.randint(3, (4, 6, 6))
    loss = lossdsl.compile(formula, task="multiclass")
    plain: dict[str, Tensor] = {"pred": pred.requires_grad_(), "target": target}
    plain |= {"w": torch.rand(4, 6, 6)} if "w*" in formula else {}
    plain |= {"mask": torch.rand(4, 6, 6) > 0.3} if masked else {}
    wanted = loss(**plain)
    (slope,) = torch.autograd.grad(wanted, pred)
    mixes: list[dict[str, type[Tensor]]] = [
        {"pred": Image},
        {"target": Labels},
        {"pred": Image, "target": Labels},
        {"pred": Labels, "target": Distances, "w": Image, "mask": Image},
        {"pred": Image, "mask": Labels, "w": Distances},
    ]
    for kinds in mixes:
        call = {name: value.as_subclass(kinds.get(name, Tensor)) for name, value in plain.items()}
        for _ in range(2):
            got = loss(**call)
            assert_close(got.as_subclass(Tensor), wanted)
            assert_close(torch.autograd.grad(got, pred)[0].as_subclass(Tensor), slope)
            assert_close(loss.breakdown(**call).total.as_subclass(Tensor), wanted)


def test_subclasses_in_lists() -> None:
    loss = lossdsl.compile("multiscale(bce + dice)", task="binary")
    outputs = [PRED, PRED[..., ::2, ::2]]
    got = loss([output.as_subclass(Image) for output in outputs], TARGET.as_subclass(Labels))
    assert_close(got.as_subclass(Tensor), loss(outputs, TARGET))


def test_parameters_are_tensors() -> None:
    """Logits that are trained directly."""
    pred = nn.Parameter(PRED.clone())
    loss = lossdsl.compile("bce + dice", task="binary")
    assert torch.equal(loss(pred, TARGET), loss(PRED, TARGET))
