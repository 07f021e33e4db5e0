"""What the messages say to write instead, and what they no longer say."""

from __future__ import annotations

import pytest
import torch

import lossdsl

# A formula and its options; a part of what is said of it.
SAID = [
    ("ce + bce", {}, "no task supports all of these losses: `ce` is for multiclass; `bce` is for binary, multilabel"),
    ("ce + dice + bce", {}, "`ce` is for multiclass; `bce` is for binary, multilabel\n"),
    ("0.5*bce + lovasz + ce", {}, "for multiclass use ce, or task=multilabel"),
    ("ce + bce", {"task": "binary"}, "`ce` is for multiclass; the task is binary"),
    ("bce/0", {}, "LD213: division by zero"),
    ("s = 0\nbce/s", {}, "LD213: division by zero"),
    ("bce + 1/(2 - 2)", {}, "LD213: division by zero"),
    ("log(0)*bce", {}, "LD213: `log` of 0 is undefined"),
    ("log(-2)*bce", {}, "LD213: `log` of -2 is undefined"),
    ("sqrt(0.1 - 0.3)*bce", {}, "LD213: `sqrt` of -0.2 is undefined"),
    ("(-2)**0.5*bce", {}, "LD213: `power` of -2 and 0.5 is undefined"),
    ("0**(-1)*bce", {}, "LD213: `power` of 0 and -1 is undefined"),
    ("exp(1000)*bce", {}, "LD209: `exp` of 1000 is infinite in float32"),
    ("cosh(1000)*bce", {}, "LD209: `cosh` of 1000 is infinite in float32"),
    ("(1e30)**20*bce", {}, "LD209: `power` of 1e+30 and 20 is infinite in float32"),
    ("log(1 - dice)", {}, "is a minus missing? `dice` is best at 0, and the total is never above 0"),
    ("-bce - dice", {}, "is a minus missing? `bce` is best at 0, and the total is never above 0"),
    ("-log(dice)", {}, "add it: `dice` is best at 0; the score is 1 - dice"),
    ("bce - 0.1*dice", {}, "add it: `dice` is best at 0; the score is 1 - dice"),
    ("k = k\nbce + k", {}, "circular definition: k -> k"),
    ("k = k\nbce + k", {}, "a definition cannot refer to itself; give the value of `k` another name"),
    ("a = b\nb = a\nbce + a", {}, "define one of them without using the others"),
    ("dice(smooth=1, smooth=2)", {}, "remove one of the two"),
    ("ce", {"task": "regression"}, "use a loss of a regression, such as mse, l1 or huber"),
    ("focal(gamma=0.1 - 0.4)", {}, "is -0.3, outside"),
    ("mean(mean(p, over=pixel), over=pixel)", {}, "reduce over batch, class, or remove over="),
    ("mean(local_mean(mean(p, over=pixel), size=3))", {}, "a window needs pixels: local_mean(p, size=3)"),
    ("mean(mean(p, over=pixel), count=y)", {}, "reduce it first: mean(y, over=pixel)"),
]


@pytest.mark.parametrize(("text", "options", "part"), SAID)
def test_said(text: str, options: dict[str, str], part: str) -> None:
    assert part in f"{lossdsl.check(text, **options)}\n"


@pytest.mark.parametrize(
    "text",
    ["focal(gamma=0.1 - 0.4)", "dice(smooth=0.1 - 0.3)", "clamp(bce, max=0.1 + 0.2) + focal(gamma=-(0.1 + 0.2))"],
)
def test_numbers_are_printed_as_people_write_them(text: str) -> None:
    said = str(lossdsl.check(text))
    assert "00000" not in said
    assert "99999" not in said


@pytest.mark.parametrize("text", ["dise = dcie\nbce + dise", "dcie = dicee\nbce + dcie"])
def test_a_name_is_not_proposed_for_its_own_value(text: str) -> None:
    name, _, rest = text.partition(" = ")
    (finding,) = lossdsl.check(text).diagnostics
    assert (finding.code, finding.message) == ("LD201", f"unknown loss `{rest.partition(chr(10))[0]}`")
    assert f"`{name}`" not in (finding.hint or "")


@pytest.mark.parametrize(
    ("pred", "target", "said"),
    [
        ((2, 3, 4, 4), (2, 4, 5), "the shapes must be equal, or (2, 4, 4) for class indices"),
        ((2, 3, 4, 4), (2, 2, 4, 4), "the shapes must be equal, or (2, 4, 4) for class indices"),
        ((2, 1, 4, 4), (2, 4, 5), "the shapes must be equal"),
        ((4,), (5,), "the shapes must be equal"),
    ],
)
def test_shapes_that_do_not_fit(pred: tuple[int, ...], target: tuple[int, ...], said: str) -> None:
    with pytest.raises(lossdsl.LossError) as raised:
        lossdsl.compile("dice")(torch.zeros(pred), torch.zeros(target))
    message = raised.value.diagnostics[0].message
    assert message.endswith(said)
    assert "binary" not in message
