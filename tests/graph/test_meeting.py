"""What meets in one operation: one value has all axes of the others, and one choice of classes holds for all."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.errors import FormulaError

# v (N,), w (N, *spatial), u (N, C); the same layouts in every test.
TENSORS = (("u", ("batch", "class")), ("v", ("batch",)), ("w", ("batch", "pixel")))

# formula with «...» around the place, task: parts of the message, part of the hint
APART: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("mean(«[1, 2, 0.5]*focal(reduction=none)»)", "multiclass"): (
        (
            "`[1, 2, 0.5]` has the axis class",
            "`focal(reduction=none)` has the axes batch and pixel",
        ),
        "sum([1, 2, 0.5]*y, over=class)",
    ),
    ("mean(«u*ce(reduction=none)»)", "multiclass"): (
        ("`u` has the axes batch and class", "`ce(reduction=none)` has the axes batch and pixel"),
        "sum(u*y, over=class)",
    ),
    ("mean(«ce(reduction=none)*(1 + u)»)", "multiclass"): (("`ce(reduction=none)`", "`(1 + u)`"), "sum((1 + u)*y"),
    ("mean(«ce(reduction=none)/[1, 2, 3]»)", "multiclass"): (("`[1, 2, 3]`",), "sum([1, 2, 3]*y, over=class)"),
    ("mean(«ce(reduction=none) + u»)", "multiclass"): (("`ce(reduction=none)`", "`u`"), "class_weight"),
    ("mean(«ce(reduction=none)**[1, 2, 3]»)", "multiclass"): (("`[1, 2, 3]`",), ""),
    ("mean(«max(ce(reduction=none), u)»)", "multiclass"): (("`u`",), ""),
    ("mean(«clamp(w, max=u)»)", "multilabel"): (("`w`", "`u`"), "multiply both into a map"),
    ("mean(«where(w > 0.5, u, 0)»)", "multilabel"): (("`w`", "`u`"), ""),
    ("mean(«where(u > w, 1, 0)»)", "multilabel"): (("`u`", "`w`"), ""),
    ("mean(«where(v > 0.5, [1, 2, 3], 0)»)", "multilabel"): (("`v`", "`[1, 2, 3]`"), ""),
    ("mean(«v*[1, 2, 3]»)", "multilabel"): (("`v` has the axis batch", "`[1, 2, 3]`"), ""),
    ("mean(«(v*[1, 2, 3])»*bce(reduction=none))", "multilabel"): (("`v`", "`[1, 2, 3]`"), ""),
    ("k = «v*[1, 2, 3]»\nmean(k*bce(reduction=none))", "multilabel"): (("`v`", "`[1, 2, 3]`"), ""),
    ("mean(«sum(p, over=pixel)*sum(p, over=class)»)", "multilabel"): (("`sum(p, over=pixel)`",), "reduce one of them"),
    ("mean(«w*sum(p, over=pixel)»)", "binary"): (("`w`",), ""),
    ("mean(«u + w»)", "regression"): (("`u`", "`w`"), "reduce one of them"),
    ("«l1(w, u)»", "multilabel"): (("in `l1`: ",), ""),
    ("«lovasz_extension(w, u)»", "multilabel"): (("`w`", "`u`"), ""),
    ("«ce(label_smoothing=[0.1, 0.2, 0.3])»", "multiclass"): (("in `ce`: ",), ""),
    ("mean(«ce(reduction=none)*for_class(u, [1])»)", "multiclass"): (("`for_class(u, [1])`",), ""),
    # one choice of classes
    ("mean(«for_class(p, [1]) + for_class(p, [2])»)", "multilabel"): (
        ("`for_class(p, [1])` uses the classes [1]", "`for_class(p, [2])` the classes [2]"),
        "mean(for_class(p, [1]))",
    ),
    ("mean(«for_class(p, [0, 1])*y*for_class(p, [1])»)", "multilabel"): (("[0, 1]", "[1]"), "reduce each"),
    ("mean(«where(for_class(y, [0]) > 0.5, for_class(p, [1]), 0)»)", "multilabel"): (("[0]", "[1]"), ""),
    ("a = for_class(p, [0])\nb = for_class(p, [2])\nmean(«max(a, b)»)", "multilabel"): (("`for_class(p, [2])`",), ""),
    ("«l1(for_class(p, [1]), for_class(y, [2]))»", "multilabel"): (("[1]", "[2]"), ""),
    ("«mean(for_class(p, [1]), weight=for_class(y, [2]))»", "multilabel"): (("[1]", "[2]"), ""),
}

# what has a choice and cannot keep it, task: the code, part of the message, the way out
LOST: dict[tuple[str, str], tuple[str, str, str]] = {
    ("mean(for_class(«ce(reduction=none)», [1]))", "multiclass"): (
        "LD302",
        "`ce` divides by a count over the classes [1]",
        "for_class(ce, [1]) is the mean; use reduction=sum for its sum",
    ),
    ("mean(for_class(«ce(label_smoothing=0.1, reduction=none)», [1]))", "multiclass"): (
        "LD302",
        "`ce` divides",
        "for_class(ce(label_smoothing=0.1), [1]) is the mean",
    ),
    ("for_class(mean(«focal(reduction=none)»**2), [1])", "multiclass"): ("LD302", "`focal` divides", "for_class(focal"),
    ("m = «bi_tempered(reduction=none)»\nfor_class(max(m), [1])", "multiclass"): (
        "LD302",
        "`bi_tempered`",
        "for_class",
    ),
    ("mean(for_class(«frequency_ce(reduction=none)», [0]))", "multiclass"): ("LD302", "`frequency_ce`", "for_class"),
    ("mean(«softmax(for_class(z, [1]))»*y)", "multilabel"): ("LD302", "a softmax", "for_class(softmax(...), [1])"),
    ("«dice(for_class(z, [1]), y)»", "multiclass"): ("LD302", "in `dice`: a softmax", "for_class(..., [1])"),
    ("mean(«lovasz_extension(for_class(p, [1]), y, reduction=none)»)", "multilabel"): (
        "LD306",
        "`lovasz_extension` uses all classes, but only the classes [1] of its input count",
        "for_class(lovasz_extension(...), [1])",
    ),
    ("mean(for_class(«for_class(p, [1])», [2]))", "multilabel"): ("LD302", "counts no class", "one for_class"),
    ("mean(bce(reduction=none)*«for_class(w, [1])»)", "multilabel"): ("LD302", "for_class has no effect", "remove"),
    ("bce*«for_class(1 + epoch, [1])»", "multilabel"): ("LD302", "for_class has no effect", "remove"),
    ("bce + «for_class(p, [1])»", "multilabel"): ("LD303", "the axes batch, class and pixel", "reduce it"),
}

FIT = {
    "mean(v*[1, 2, 3]*bce(reduction=none))": "multilabel",
    "mean([1, 2, 3]/v*w*bce(reduction=none)*u)": "multilabel",
    "mean([1, 2, 3]*w*y*p)": "multiclass",
    "mean(w + [1, 2, 3] - p)": "multilabel",
    "mean(sum([1, 2, 0.5]*y, over=class)*focal(reduction=none))": "multiclass",
    "mean(v*w*ce(reduction=none))": "multiclass",
    "mean(where(y > 0.5, w, [1, 2, 3]))": "multilabel",
    "mean(min(w, [1, 2, 3], p))": "multilabel",
    "mean(max(p, min(u, p), w))": "multilabel",
    "mean(u*mean(p, over=pixel))": "multilabel",
    "mean(bce(reduction=none), weight=u)": "multilabel",
    "mean(epoch*u)": "multilabel",
    "mean(for_class(p, [1]) + for_class(y, [1]))": "multilabel",
}
LIBRARY = [
    ("unified_focal", "multiclass"),
    ("exp_log", "multiclass"),
    ("generalized_dice", "multiclass"),
    ("cldice(average=micro)", "multilabel"),
    ("context_attention", "multilabel"),
    ("bi_tempered", "multiclass"),
    ("mean(ssim(reduction=none)*w)", "multilabel"),
    ("focal(gamma=[1, 2, 3])", "multiclass"),
    ("tversky(fp_weight=[1, 2, 3])", "multiclass"),
    ("for_class(topk_ce, [1])", "multiclass"),
]


def marked(text: str) -> tuple[str, str]:
    """A formula without the marks, and what stands between them."""
    return text.replace("«", "").replace("»", ""), text[text.index("«") + 1 : text.index("»")]


def the_fault(built: Any, text: str, task: str) -> tuple[Any, str]:
    formula, place = marked(text)
    with pytest.raises(FormulaError) as caught:
        built(formula, task, tensors=TENSORS)
    finding = caught.value.diagnostics[0]
    assert finding.source.text[finding.span.start : finding.span.end] == place
    return finding, finding.hint or ""


@pytest.mark.parametrize(("text", "task"), APART, ids=[" ".join(row) for row in APART])
def test_values_that_do_not_fit(text: str, task: str, built: Any) -> None:
    parts, way_out = APART[text, task]
    finding, hint = the_fault(built, text, task)
    assert finding.code == "LD308"
    assert all(part in finding.message for part in parts)
    assert hint
    assert way_out in hint


@pytest.mark.parametrize(("text", "task"), LOST, ids=[" ".join(row) for row in LOST])
def test_a_choice_that_cannot_be_kept(text: str, task: str, built: Any) -> None:
    code, message, way_out = LOST[text, task]
    finding, hint = the_fault(built, text, task)
    assert finding.code == code
    assert message in finding.message
    assert way_out in hint


@pytest.mark.parametrize("text", FIT)
def test_a_chain_is_judged_as_a_whole(text: str, built: Any) -> None:
    assert not built(text, FIT[text], tensors=TENSORS).total.axes


@pytest.mark.parametrize(("text", "task"), LIBRARY, ids=[" ".join(row) for row in LIBRARY])
def test_definitions_fit(text: str, task: str, built: Any) -> None:
    assert not built(text, task, tensors=TENSORS).total.axes


def test_a_chosen_map_has_the_graph_of_the_loss(built: Any) -> None:
    """Whatever rewrites there are, it is what `for_class` around the loss gives."""
    for loss in ("bce", "dice", "focal"):
        mapped = built(f"mean(for_class({loss}(reduction=none), [1])) + for_class({loss}, [1])", "multilabel")
        one, other = mapped.terms
        assert one.value is other.value
