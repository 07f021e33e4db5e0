"""What is wrong with names, parameters and kinds: the code, the place, and the way out."""

from __future__ import annotations

import pytest

import lossdsl

# formula with «...» around the place: (code, part of the message, part of the hint)
FINDINGS: dict[str, tuple[str, str, str]] = {
    # names
    "«diec»": ("LD201", "unknown loss `diec`", "did you mean `dice`?"),
    "bce + «Dize»": ("LD201", "unknown loss `Dize`", "did you mean `dice`?"),
    "0.5*«Lovasz»": ("LD201", "`Lovasz`", "did you mean `lovasz`?"),
    "0.5*«BCE»": ("LD201", "`BCE`", "write bce"),
    "«x»": ("LD201", "unknown loss `x`", "inside mean(...) or sum(...)"),
    "«weight_map»*bce": ("LD201", "`weight_map`", "use tensors inside mean"),
    "exp(-«foo»)*bce": ("LD201", "`foo`", "lossdsl list"),
    "«foo.dice»": ("LD201", "`foo.dice`", "did you mean `dice`?"),
    "mean(«foo.w»*p)": ("LD201", "`foo.w`", ""),
    "«diec»(smooth=1)": ("LD201", "unknown loss or function `diec`", "did you mean `dice`?"),
    "«lgo»(bce)": ("LD201", "unknown loss or function `lgo`", "did you mean `log`?"),
    "mean(«sqr»(p))": ("LD201", "`sqr`", "write p**2"),
    "x = «dise»\nx*bce": ("LD201", "`dise`", "did you mean `dice`?"),
    "unused = «foo»(1)\nbce": ("LD201", "`foo`", ""),
    # kinds
    "«log»": ("LD202", "`log` is a function", "write log(...)"),
    "«sum» + bce": ("LD202", "`sum` is a function", "write sum(...)"),
    "«p(1)»": ("LD202", "`p` is a value and cannot be called", "write p"),
    "«epoch(2)»*bce": ("LD202", "`epoch` is a value", "write epoch"),
    "d = dice\n«d(smooth=1)»": ("LD202", "`d` is a value", "write d"),
    "«log(1, 2)»*bce": ("LD202", "`log` takes 1 argument", ""),
    "«exp()»*bce": ("LD202", "`exp` takes 1 argument", ""),
    "«max()»": ("LD202", "`max` takes at least 2 arguments", ""),
    "«clamp(bce)»": ("LD202", "clamp takes one value and min=, max= or both", "clamp(x, min=0, max=1)"),
    "«clamp(bce, 0, 1)»": ("LD202", "clamp takes one value", ""),
    "«clamp(bce, lo=0)»": ("LD202", "clamp takes one value", ""),
    "«where(bce, dice, iou)»": ("LD202", "where takes a comparison and two values", "such as y > 0.5"),
    "«where(1 < 2, bce)»": ("LD202", "where takes a comparison and two values", ""),
    "«mean(p, y)»": ("LD202", "`mean` takes one value", "mean(value, over=pixel)"),
    "«sum()»": ("LD202", "`sum` takes one value", ""),
    "«topk(p)»": ("LD202", "topk needs share=", "topk(x, share=0.1)"),
    "bce(z, y, «p»)": ("LD202", "`bce` takes at most 2 tensors", "write parameters as name=value"),
    "«lovasz_extension»": ("LD202", "needs errors, labels", "write lovasz_extension(errors, labels)"),
    "bce «<» dice": ("LD104", "a comparison is only allowed", "where("),
    "«[1, 2]»*bce": ("LD303", "the axis class", "mean(..., over=[class])"),
    "mean(«[]»*p)": ("LD208", "the list is empty", "one number for each class"),
    "mean([«[1]», 2]*p)": ("LD208", "a list of lists cannot be used as a value", "one number for each class"),
    "mean([1, «p»]*p)": ("LD303", "an item of a list must be a scalar; this has the axes batch", ""),
    "focal(gamma=[2, «-1»])": ("LD204", "`gamma` of `focal` is -1, outside [0, inf)", "the default is 2"),
    "«multiscale()»": ("LD202", "multiscale takes one formula", "multiscale("),
    "«multiscale(dice, [1])»": ("LD202", "multiscale takes one formula", "multiscale("),
    "multiscale(dice, «weight=[1]»)": ("LD203", "`multiscale` has no parameter `weight`", "did you mean `weights`?"),
    "multiscale(dice, «per=batch»)": ("LD203", "`multiscale` has no parameter `per`", "parameters: weights"),
    "multiscale(dice, weights=«2»)": ("LD205", "`weights` is a list with one number for each output", "multiscale("),
    "multiscale(dice, weights=«[]»)": ("LD205", "`weights` is a list with one number for each output", "multiscale("),
    "multiscale(dice, weights=[1, «none»])": ("LD205", "`none` is a choice of a parameter", ""),
    "multiscale(dice, weights=[1, «bce(reduction=none)»])": ("LD303", "a weight must be a scalar", "reduce it"),
    "multiscale(«bce(reduction=none)»)": ("LD303", "the value of multiscale must be a scalar", "reduce it"),
    "multiscale(«multiscale(dice)»)": ("LD307", "multiscale cannot be nested", "use one multiscale"),
    "m = «multiscale(dice)»\nmultiscale(m)": ("LD307", "multiscale cannot be nested", "use one multiscale"),
    "multiscale(dice, weights=[1]) + «multiscale(bce, weights=[1, 2])»": (
        "LD307",
        "2 weights for 1 output",
        "one weight",
    ),
    "«multiscale»": ("LD202", "`multiscale` is a function", "write multiscale(...)"),
    # parameters
    "dice(«smoth=1»)": (
        "LD203",
        "`dice` has no parameter `smoth`",
        "did you mean `smooth`? parameters: smooth, per, squared, average, include_background, empty, reduction",
    ),
    "bce(«gamma=2»)": ("LD203", "`bce` has no parameter `gamma`", "parameters: pos_weight, label_smoothing, reduction"),
    "l1(«x=1»)": ("LD203", "`l1` has no parameter `x`", "parameters: reduction"),
    "log(bce, «base=2»)": ("LD203", "`log` has no parameter `base`", ""),
    "mean(p, «ovr=pixel»)": ("LD203", "`mean` has no parameter `ovr`", "did you mean `over`?"),
    "sum(p, «count=y»)": ("LD203", "`sum` has no parameter `count`", "parameters: over, per"),
    "topk(p, share=0.1, rounding=«nearest»)": ("LD205", "`rounding` takes one of: up, down", "the default is up"),
    "mean(p, «rounding=up»)": ("LD203", "`mean` has no parameter `rounding`", "count, over, per"),
    "mean(p, «share=1»)": ("LD203", "`mean` has no parameter `share`", "count, over, per"),
    "mean(p, over=pixel, «per=image»)": ("LD203", "over and per cannot be combined", ""),
    "tversky(«alpha=0.7»)": ("LD203", "`tversky` does not take `alpha`", "write fp_weight (weight of false positives)"),
    "tversky(«beta=0.7»)": ("LD203", "`tversky` does not take `beta`", "libraries disagree which of them is alpha"),
    "focal_tversky(«alpha=0.7»)": ("LD203", "does not take `alpha`", "fn_weight"),
    "focal_tversky(gamma=2, «beta=0.7»)": ("LD203", "does not take `beta`", "fn_weight"),
    "dice(smooth=«-1»)": ("LD204", "`smooth` of `dice` is -1, outside [0, inf)", "the default is 1"),
    "dice(smooth=«inf»)": ("LD204", "is inf, outside [0, inf)", ""),
    "huber(delta=«0»)": ("LD204", "is 0, outside (0, inf)", "the default is 1"),
    "ce(label_smoothing=«1»)": ("LD204", "is 1, outside [0, 1)", "the default is 0"),
    "focal(alpha=«2»)": ("LD204", "is 2, outside [0, 1] or none", "the default is none"),
    "focal(alpha=«1 + 0.5»)": ("LD204", "is 1.5, outside", ""),
    "focal(gamma=«-(1)»)": ("LD204", "is -1, outside", "the default is 2"),
    "focal(gamma=«2*3 - 7»)": ("LD204", "is -1, outside", ""),
    "dice(per=«imag»)": ("LD205", "`per` takes image or batch", "did you mean `image`?"),
    "dice(per=«1»)": ("LD205", "`per` takes image or batch", "the default is image"),
    "dice(reduction=«mena»)": ("LD205", "`reduction` takes mean or sum or none", "did you mean `mean`?"),
    "lovasz(classes=«none»)": ("LD205", "`classes` takes present or all", "the default is present"),
    "focal(alpha=«auto»)": ("LD205", "", ""),
    "mean(p, over=«pixels»)": ("LD205", "`pixels` is not an axis", "axes are batch, class, pixel"),
    "mean(p, over=[batch, «foo»])": ("LD205", "`foo` is not an axis", ""),
    "sum(p, over=«[]»)": ("LD205", "`[]` is not an axis", ""),
    "mean(p, over=«1»)": ("LD205", "`1` is not an axis", ""),
    "mean(p, per=«pixel»)": ("LD205", "`per` takes one of: image, batch", ""),
    # definitions
    "a = 1\n«a» = 2\na*bce": ("LD206", "`a` already has a value", "choose another name"),
    "«dice» = bce\ndice": ("LD206", "`dice` is already a loss", "choose another name"),
    "«epoch» = 3\nbce": ("LD206", "`epoch` is already a word of the language", ""),
    "«pred» = 3\nbce": ("LD206", "`pred` is already a word of the language", ""),
    "«mean» = 3\nbce": ("LD206", "`mean` is already a word of the language", ""),
    "«step» = learn(1)\nbce": ("LD206", "`step` is already a word of the language", ""),
    "a = «b»\nb = a\na*bce": ("LD210", "circular definition: a -> b -> a", ""),
    "a = «1 + a»\na*bce": ("LD210", "a -> a", ""),
    "bce + «learn(0)»": ("LD207", "learn must be given a name", "write s = learn(0) on a line before"),
    "s = 2*«learn(0)»\ns*bce": ("LD207", "learn must be given a name", ""),
    "s = «learn(epoch)»\ns*bce": ("LD207", "learn takes the initial value", "s = learn(0)"),
    "s = «learn()»\ns*bce": ("LD207", "learn takes the initial value", ""),
    "s = «learn(0, 1)»\ns*bce": ("LD207", "learn takes the initial value", ""),
    "s = «learn(start=0)»\ns*bce": ("LD207", "learn takes the initial value", ""),
}


def unmarked(text: str) -> tuple[str, int, str]:
    """The formula, where the mark begins, and what it holds."""
    start, end = text.index("«"), text.index("»")
    return text.replace("«", "").replace("»", ""), start, text[start + 1 : end]


@pytest.mark.parametrize("text", FINDINGS)
def test_finding(text: str) -> None:
    formula, start, place = unmarked(text)
    report = lossdsl.check(formula)
    assert not report.ok
    assert len(report.diagnostics) == 1, str(report)
    (finding,) = report.diagnostics
    code, message, hint = FINDINGS[text]
    assert (finding.code, finding.severity) == (code, "error")
    assert message in finding.message
    assert hint in (finding.hint or "")
    assert finding.source is not None
    assert finding.span is not None
    assert formula[finding.span.start : finding.span.end] == place
    assert (finding.line, finding.column) == (formula[:start].count("\n") + 1, start - formula.rfind("\n", 0, start))


def test_everything_is_said_at_once() -> None:
    """In reading order, each once."""
    report = lossdsl.check(
        "a = bec + foo(1)\n"
        "dice = 3\n"
        "a + 2*a + focal(gama=1, alpha=7) + mean(p, over=x) + log() + ce(label_smoothing=2) + tversky(alpha=1) + dies\n"
    )
    assert [(finding.code, finding.line) for finding in report.diagnostics] == [
        ("LD201", 1),
        ("LD201", 1),
        ("LD206", 2),
        ("LD203", 3),
        ("LD204", 3),
        ("LD205", 3),
        ("LD202", 3),
        ("LD204", 3),
        ("LD203", 3),
        ("LD201", 3),
    ]
    with pytest.raises(lossdsl.FormulaError) as caught:
        lossdsl.compile("bec + dise")
    assert len(caught.value.diagnostics) == 2


RIGHT = [
    "bce(aux, seg) + dice(aux)",
    "mean(w*bce(reduction=none)) + sum(teacher - p)",
    "focal(alpha=none, gamma=2*1)",
    "dice(per=batch, smooth=2**0.5)",
    "dice(smooth=0) + iou(smooth=1e9) + ce(label_smoothing=0.999)",
    "lossdsl.dice + lossdsl.focal(gamma=0)",
    "s = learn(-0.5)\ndice(smooth=exp(s)) + s",
    "a = b\nb = dice\na",
    "image = 3\nimage*dice(per=batch)",
    "where(epoch < 10, bce, dice) + clamp(iou, max=0.5)",
    "mean(p, over=[pixel, batch, class])",
    "x = mean(w)\nx*bce",
    "min(1, epoch/10, 0.5)*bce",
]


@pytest.mark.parametrize("formula", RIGHT)
def test_nothing_is_wrong(formula: str) -> None:
    report = lossdsl.check(formula)
    assert report.ok, str(report)
    assert report.diagnostics == ()


# Faults that stand: what a better finding would say.
@pytest.mark.parametrize("formula", ["s = -3\ndice(smooth=s)", "a = 2\nfocal(alpha=a)"])
def test_ranges_reach_through_definitions(formula: str) -> None:
    assert [finding.code for finding in lossdsl.check(formula).diagnostics] == ["LD204"]


@pytest.mark.parametrize("formula", ["dice(1)", "focal(2)", "bce + tversky(0.3, 0.7)"])
def test_a_number_as_a_tensor_is_placed_in_the_formula(formula: str) -> None:
    findings = lossdsl.check(formula).diagnostics
    assert findings
    assert all(finding.source and finding.source.text == formula for finding in findings)


@pytest.mark.parametrize("name", ["dice_loss", "iou_loss"])
def test_no_score_is_suggested_for_a_loss(name: str) -> None:
    (finding,) = lossdsl.check(name).diagnostics
    assert "_coef" not in (finding.hint or "")


@pytest.mark.parametrize("formula", ["bce(aux, mask)", "mean(mask*p)", "mean(self*p)"])
def test_names_that_no_call_can_pass(formula: str) -> None:
    assert not lossdsl.check(formula).ok


@pytest.mark.parametrize(
    "formula", ["dice(smooth=true)", "focal(gamma=image)", "bce(pos_weight=none)", "dice(smooth=nan)"]
)
def test_words_where_numbers_belong(formula: str) -> None:
    (finding,) = lossdsl.check(formula).diagnostics
    assert "loss" not in finding.message


@pytest.mark.parametrize("terms", [60, 200, 800])
def test_a_long_line_is_no_name_of_a_file(terms: int) -> None:
    assert lossdsl.check(" + ".join(["bce"] * terms)).ok
