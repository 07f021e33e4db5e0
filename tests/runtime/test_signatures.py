"""What a signature can ask for: lists of numbers, parameters that must be given, words that decide the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossdsl
import lossdsl.testing

LIBRARY = """
# The sum of y over a box of pixels.
loss spaced(spacing: [(0, inf)] = 1) -> [0, inf)
    = toy.measure(y, spacing=spacing)

# A required number.
loss scaled(factor: [0, 10]) -> [0, inf)
    = mean(factor*p)

# The task is said in the loss.
loss moded(mode: task) -> [0, inf)
    for binary = mean(p)
    for multilabel = mean(2*p)
    for multiclass = mean(3*p)

# The task may be said.
loss maybe(mode: task | none = none) -> [0, inf)
    = where(mode == none, mean(p), mean(2*p))

# A map that is constant for some parameters.
loss powered(gamma: [0, inf) = 1, factor: [0, inf) = 1) -> [0, inf)
    = mean(sum(factor*p**gamma, per=image)) + sum(factor*p**gamma)

# Some classes or all.
loss some(classes: [[0, inf)] | none = none) -> [0, inf)
    = for_class(mean(p), classes)

# The outputs of a list.
loss deep(factor: [0, inf) = 1) -> [0, inf)
    weighted = factor*p
    = multiscale(mean(weighted), weights=[1, 0.5])

# Parts named like words of the language.
loss shadowing(per: image | batch = image) -> [0, inf)
    batch = mean(p)
    true = 2*batch
    = true

# A parameter that another library has.
# Accepted: channels_last -- the layout is that of the tensors
loss lenient(channels_last: true | false = false, factor: [0, 10] = 1) -> [0, inf)
    = mean(p)

# A number that counts.
loss raised(times: whole [1, 5]) -> [0, 1]
    = repeated(times=times)

# A list where a number belongs.
loss wrong(spacing: [(0, inf)] = 1) -> [0, inf)
    = mean(p)*spacing
"""


def measure(y: Tensor, *, spacing: Annotated[Sequence[float], "(0, inf)"] = (1.0,)) -> Tensor:
    """The sum of y times the product of the spacing."""
    return y.sum(-1, keepdim=True) * torch.tensor(spacing).prod()


def expected_cost(p: Tensor, y: Tensor, *, costs: Annotated[Sequence[Sequence[float]], "[0, inf)"]) -> Tensor:
    """The cost that is expected: sum_ij y_i costs_ij p_j."""
    return torch.einsum("bin,ij,bjn->bn", y, torch.tensor(costs, dtype=p.dtype), p).unsqueeze(1)


def weighed(p: Tensor, *, factor: Annotated[float, "[0, inf)"] = 1.0) -> Tensor:
    """The mean times a number."""
    return p.mean() * factor


def repeated(
    p: Tensor, *, times: Annotated[int, "[1, 5]"] = 2, lags: Annotated[Sequence[int], "[0, 9]"] = (1,)
) -> Tensor:
    """p multiplied with itself, the mean shifted along the pixels."""
    assert type(times) is int
    assert all(type(lag) is int for lag in lags)
    raised = torch.stack([p] * times).prod(0)
    return sum(raised.roll(lag, -1) for lag in lags).mean() / len(lags)


KERNELS = {measure: ("batch", "class"), expected_cost: ("batch", "pixel"), weighed: (), repeated: ()}


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The definitions above as an installed library `toy`, the kernels in it."""
    (tmp_path / "toy_losses").mkdir()
    (tmp_path / "toy_losses" / "toy.loss").write_text(LIBRARY)
    (tmp_path / "toy_kernels.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [EntryPoint("toy", "toy_losses", "lossdsl.libraries")]
    with lossdsl.testing.registry():
        for kernel, keeps in KERNELS.items():
            name = kernel.__name__
            monkeypatch.setattr(f"toy_kernels.{name}", lossdsl.loss(keeps=keeps)(kernel), raising=False)
            points.append(EntryPoint(f"toy.{name}", f"toy_kernels:{name}", "lossdsl.losses"))
    with lossdsl.testing.registry(points):
        yield


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 3, 4, 5), (torch.rand(2, 3, 4, 5) < 0.5).float()


def found(formula: str, **options: Any) -> list[tuple[str, str, str | None]]:
    return [(d.code, d.message, d.hint) for d in lossdsl.check(formula, **options).diagnostics]


# --- one number for each class ---


def test_a_list_is_one_number_for_each_class(batch: tuple[Tensor, Tensor]) -> None:
    z, y = batch
    weights = torch.tensor([1, 2, 0.5])
    ours = lossdsl.compile("bce(pos_weight=[1, 2, 1/2])")
    expected = functional.binary_cross_entropy_with_logits(z, y, pos_weight=weights.view(3, 1, 1))
    torch.testing.assert_close(ours(z, y), expected)
    torch.testing.assert_close(torch.compile(ours, fullgraph=True)(z, y), expected)
    by_hand = lossdsl.compile("mean([1, 2, 1/2]*bce(reduction=none))")
    each = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    torch.testing.assert_close(by_hand(z, y), (each * weights.view(3, 1, 1)).mean())


def test_a_list_is_computed_in_the_precision_of_the_loss(batch: tuple[Tensor, Tensor]) -> None:
    z, y = (tensor.double() for tensor in batch)
    third = lossdsl.compile("mean([1/3, 1/3, 1/3]*bce(reduction=none))")(z, y)
    torch.testing.assert_close(third, functional.binary_cross_entropy_with_logits(z, y) / 3, rtol=1e-14, atol=0)
    assert lossdsl.compile("focal(gamma=[2, 1, 0])")(z.half(), y.half()).dtype == torch.float32


def test_a_list_may_hold_schedules_and_learned_scalars(batch: tuple[Tensor, Tensor]) -> None:
    z, y = batch
    loss = lossdsl.compile("s = learn(2)\nbce(pos_weight=[1, epoch, s])")
    expected = functional.binary_cross_entropy_with_logits(z, y, pos_weight=torch.tensor([1.0, 5, 2]).view(3, 1, 1))
    value = loss(z, y, epoch=5)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert loss.learned["s"].grad is not None
    assert loss.learned["s"].grad != 0


@pytest.mark.parametrize(("formula", "classes"), [("bce(pos_weight=[1, 2])", 3), ("ce + mean([1, 2]*p)", 3)])
def test_a_list_that_does_not_fit_the_classes(formula: str, classes: int) -> None:
    z = torch.randn(2, classes, 4, 4)
    target = torch.zeros(2, 4, 4, dtype=torch.long) if "ce +" in formula else torch.zeros_like(z)
    for run in (lossdsl.compile(formula), lossdsl.compile(formula, backend="inductor")):
        with pytest.raises(lossdsl.LossError, match="LD502: the formula lists 2 numbers, `pred` has 3 classes"):
            run(z, target)


@pytest.mark.parametrize(("gamma", "factor"), [(2, 3), (0, 1), (0, 3), (1, 0)])
def test_a_map_that_comes_out_constant(gamma: float, factor: float, batch: tuple[Tensor, Tensor]) -> None:
    """A sum of ones is how many elements count, as the sum of any other map of ones would be."""
    z, y = batch
    mask = torch.rand(2, 4, 5) < 0.5
    loss = lossdsl.compile(f"powered(gamma={gamma}, factor={factor})", task="multilabel")
    kept = (factor * z.sigmoid() ** gamma) * mask[:, None]
    torch.testing.assert_close(loss(z, y, mask=mask), kept.sum((2, 3)).mean() + kept.sum())


# --- lists that a parameter takes ---


def test_a_list_parameter_reaches_the_kernel(batch: tuple[Tensor, Tensor]) -> None:
    z, y = batch
    for formula in ("toy.measure(spacing=[1, 2, 2.5])", "spaced(spacing=[1, 2, 2.5])", "spaced(spacing=5)"):
        torch.testing.assert_close(lossdsl.compile(formula)(z, y), y.sum((2, 3)).mean() * 5)
    torch.testing.assert_close(lossdsl.compile("spaced")(z, y), y.sum((2, 3)).mean())


def test_a_list_of_classes(batch: tuple[Tensor, Tensor]) -> None:
    z, y = batch
    p = z.sigmoid()
    for formula, expected in {"some": p, "some(classes=[2, 0])": p[:, ::2], "some(classes=1)": p[:, 1]}.items():
        loss = lossdsl.compile(formula, task="multilabel")
        torch.testing.assert_close(loss(z, y), expected.mean())
    loss = lossdsl.compile("some(classes=[1, 3])", task="multilabel")
    with pytest.raises(lossdsl.LossError, match="LD502: the formula names the class 3, but `pred` has 3 classes"):
        loss(z, y)


def test_a_list_of_lists() -> None:
    torch.manual_seed(2)
    z, index = torch.randn(2, 2, 4), torch.randint(0, 2, (2, 4))
    loss = lossdsl.compile("expected_cost(costs=[[0, 1], [3, 0]])")
    p = z.softmax(1)
    expected = torch.where(index == 0, p[:, 1], 3 * p[:, 0]).mean()
    torch.testing.assert_close(loss(z, index), expected)


@pytest.mark.parametrize(
    ("formula", "code", "message"),
    [
        ("spaced(spacing=[1, -1])", "LD204", "`spacing` of `spaced` is -1, outside [(0, inf)]"),
        ("spaced(spacing=[[1]])", "LD205", "`spacing` takes [(0, inf)], not `[[1]]`"),
        ("spaced(spacing=[])", "LD205", "`spacing` takes [(0, inf)], not `[]`"),
        ("spaced(spacing=epoch + 1)", "LD205", "`spacing` takes [(0, inf)], not `epoch + 1`"),
        ("spaced(spacing=none)", "LD205", "`spacing` takes [(0, inf)], not `none`"),
        ("some(classes=[1, 1.5])", "LD205", "in `some`: class numbers are whole numbers of at least 0"),
        ("some(classes=[-1])", "LD204", "`classes` of `some` is -1, outside [[0, inf)] or none"),
        ("expected_cost", "LD202", "`expected_cost` needs `costs`"),
        ("expected_cost(costs=[1, 2])", "LD205", "`costs` takes [[[0, inf)]], not `[1, 2]`"),
        ("expected_cost(costs=1)", "LD205", "`costs` takes [[[0, inf)]], not `1`"),
        ("wrong", "LD205", "in `wrong`: expected a number, not a list"),
        ("repeated(times=2.5)", "LD204", "`times` of `repeated` must be a whole number, not 2.5"),
        ("repeated(times=6)", "LD204", "`times` of `repeated` is 6, outside whole [1, 5]"),
        (
            "repeated(times=1 + epoch)",
            "LD204",
            "`times` of `repeated` must be a whole number that is the same in every call",
        ),
        ("repeated(lags=[1, 1.5])", "LD204", "`lags` of `repeated` must be a whole number, not 1.5"),
        ("raised(times=1/2)", "LD204", "`times` of `raised` must be a whole number, not 0.5"),
        ("n = 1/2\nraised(times=n)", "LD204", "`times` of `raised` must be a whole number, not 0.5"),
        ("raised(times=epoch)", "LD204", "in `raised`: `times` of `repeated` must be a whole number that is"),
        ("weighed(factor=[1, 2])", "LD303", "`factor` of `weighed` must be a scalar; this has the axis class"),
        ("weighed(factor=mean(p, over=pixel))", "LD303", "`factor` of `weighed` must be a scalar"),
    ],
)
def test_what_a_list_parameter_refuses(formula: str, code: str, message: str) -> None:
    ((found_code, found_message, _),) = found(formula)
    assert (found_code, found_message[: len(message)]) == (code, message)


def test_a_part_of_a_definition_takes_no_word_of_the_language() -> None:
    assert found("shadowing") == [
        ("LD206", f"`{name}` is already defined", "choose another name") for name in ("batch", "true")
    ]


def test_a_parameter_that_is_accepted_without_an_effect(batch: tuple[Tensor, Tensor]) -> None:
    z, y = batch
    torch.testing.assert_close(lossdsl.compile("lenient(channels_last=true)")(z, y), z.sigmoid().mean())
    ((code, message, _),) = found("lenient(factor=2)")
    assert (code, message) == ("LD305", "`factor` of `lenient` has no effect for binary")
    assert "accepted: channels_last; the layout is that of the tensors" in lossdsl.explain("lenient")


def test_whole_numbers_arrive_as_such(batch: tuple[Tensor, Tensor]) -> None:
    z, y = batch
    expected = z.sigmoid().pow(3).mean()
    torch.testing.assert_close(lossdsl.compile("raised(times=3)")(z, y), expected)
    torch.testing.assert_close(lossdsl.compile("repeated(times=1 + 2, lags=[0, 2])")(z, y), expected)


# --- parameters that must be given ---


def test_a_required_parameter(batch: tuple[Tensor, Tensor]) -> None:
    z, y = batch
    assert found("scaled") == [("LD202", "`scaled` needs `factor`", "`factor` takes [0, 10]")]
    assert found("scaled(factor=11)") == [("LD204", "`factor` of `scaled` is 11, outside [0, 10]", None)]
    torch.testing.assert_close(lossdsl.compile("scaled(factor=2)")(z, y), 2 * z.sigmoid().mean())


def test_a_default_may_be_written_where_it_has_no_effect() -> None:
    """alpha is not for multiclass: none says so, a number is refused."""
    assert found("focal(alpha=none)", task="multiclass") == []
    assert found("powered(gamma=1, factor=1)", task="binary") == []
    ((code, message, _),) = found("focal(alpha=0.25)", task="multiclass")
    assert (code, message) == ("LD305", "`alpha` of `focal` has no effect for multiclass")


# --- words ---


def test_a_quoted_word_is_the_word(batch: tuple[Tensor, Tensor]) -> None:
    assert str(lossdsl.parse("moded(mode=\"binary\") + dice(per='batch')")) == "moded(mode=binary) + dice(per=batch)"
    assert lossdsl.parse('dice(per="batch")') == lossdsl.parse("dice(per=batch)")


def test_a_word_decides_the_task(batch: tuple[Tensor, Tensor]) -> None:
    z, y = batch
    flat = z.softmax(1).mean() * 3
    torch.testing.assert_close(lossdsl.compile('moded(mode="multilabel")')(z, y), 2 * z.sigmoid().mean())
    torch.testing.assert_close(lossdsl.compile("moded(mode=binary)")(z, y), z.sigmoid().mean())
    torch.testing.assert_close(lossdsl.compile("moded(mode=multiclass)")(z, z.softmax(1)), flat)
    torch.testing.assert_close(lossdsl.compile("maybe + maybe(mode=binary)")(z, y), 3 * z.sigmoid().mean())
    assert "tasks: multiclass\n" in lossdsl.explain("moded(mode=multiclass)")


@pytest.mark.parametrize(
    ("formula", "options", "code", "message"),
    [
        ("moded(mode=multiclass)", {"task": "binary"}, "LD301", "`mode` of `moded` is multiclass; the task is binary"),
        (
            "moded(mode=binary) + moded(mode=multilabel)",
            {},
            "LD301",
            "`mode` of `moded` is multilabel; the task is binary",
        ),
        (
            "moded(mode=regression)",
            {},
            "LD301",
            "`moded` is for binary, multilabel, multiclass; the task is regression",
        ),
        ("moded", {}, "LD202", "`moded` needs `mode`"),
        ("moded(mode=segmentation)", {}, "LD205", "`mode` takes binary or multilabel or multiclass or regression"),
    ],
)
def test_what_a_task_word_refuses(formula: str, options: dict[str, Any], code: str, message: str) -> None:
    ((found_code, found_message, _),) = found(formula, **options)
    assert (found_code, found_message) == (code, message)


# --- a definition that reads the outputs of a list ---


def test_a_definition_with_multiscale() -> None:
    z = [torch.randn(2, 3, 4), torch.randn(2, 3, 2)]
    loss = lossdsl.compile("deep(factor=2) + 0*deep(factor=[1, 2, 3])", task="multilabel")
    expected = 2 * (z[0].sigmoid().mean() + 0.5 * z[1].sigmoid().mean())
    torch.testing.assert_close(loss(z, torch.zeros(2, 3, 4)), expected)
    assert found("deep(p, y)") == [
        ("LD307", "in `deep`: multiscale uses the outputs of `pred`, which another head replaces here", None)
    ]
    message = "`factor` has one value for each pixel of the first output, but multiscale uses all outputs"
    assert found("w = y\ndeep(factor=w)") == [("LD307", f"in `deep`: {message}", None)]


def test_a_head_whose_loss_says_the_task() -> None:
    z, y, aux, seg = torch.randn(2, 3, 4), torch.zeros(2, 4).long(), torch.randn(2, 5), torch.ones(2, 5)
    parts = lossdsl.compile("ce + moded(aux, seg, mode=multilabel)").breakdown(z, y, aux=aux, seg=seg)
    torch.testing.assert_close(parts.terms["moded(aux, seg, mode=multilabel)"].value, 2 * aux.sigmoid().mean())
