"""Named axes: what a value has, what a reduction takes, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.errors import FormulaError
from lossdsl.graph.nodes import AXES

# formula with «...» around the place, task: (code, part of the message, part of the hint)
WRONG: dict[tuple[str, str], tuple[str, str, str]] = {
    ("«bce(reduction=none)»", "binary"): (
        "LD303",
        "the axes batch, class and pixel",
        "mean(..., over=[batch, class, pixel])",
    ),
    ("bce + «mean(p, over=pixel)»", "binary"): ("LD303", "the axes batch and class", "over=[batch, class]"),
    ("«sum(p, per=batch)»", "binary"): ("LD303", "the axis class", "mean"),
    ("«p*bce»", "binary"): ("LD303", "batch, class and pixel", "reduce it"),
    ("«ce(reduction=none)»", "multiclass"): ("LD303", "the axes batch and pixel", ""),
    ("«mean(bce)»", "binary"): ("LD302", "`mean` of a scalar", "reduction=none"),
    ("sqrt(«sum(1)»)", "binary"): ("LD302", "`sum` of a scalar", ""),
    ("«mean(mean(p))»", "binary"): ("LD302", "`mean` of a scalar", ""),
    ("mean(«sum(sum(p, over=class), over=class)»)", "binary"): (
        "LD302",
        "`sum` over class of a value with the axes batch and pixel",
        "",
    ),
    ("mean(«sum(mean(p, over=pixel), per=image)»)", "binary"): (
        "LD302",
        "`sum` over pixel of a value with",
        "",
    ),
    ("mean(«max(ce(reduction=none), over=class)»)", "multiclass"): ("LD302", "`max` over class", ""),
    ("mean(mean(p, over=pixel), count=«y»)", "binary"): ("LD302", "`count` has the axis pixel", ""),
    ("mean(mean(p, over=pixel), weight=«y»)", "binary"): ("LD302", "`weight` has the axis pixel", ""),
    ("mean(ce(reduction=none), weight=«[1, 2, 3]»)", "multiclass"): (
        "LD302",
        "`weight` has the axis class",
        "",
    ),
    ("topk(p, share=«0»)", "binary"): ("LD204", "a number in (0, 1]", "0.1 keeps one tenth"),
    ("topk(p, share=«1.5»)", "binary"): ("LD204", "a number in (0, 1]", ""),
    ("topk(p, share=«epoch»)", "binary"): ("LD204", "a number in (0, 1]", ""),
    ("«bce»", "multiclass"): ("LD301", "`bce` is for binary, multilabel; the task is multiclass", "use ce"),
    ("«ce»", "binary"): ("LD301", "`ce` is for multiclass; the task is binary", "use bce"),
    ("«ce»", "multilabel"): ("LD301", "the task is multilabel", "use bce"),
    ("«hinge»", "multiclass"): ("LD301", "`hinge` is for binary, multilabel", ""),
    ("«dice»", "regression"): ("LD301", "the task is regression", ""),
    ("mean(«p»)", "regression"): ("LD301", "a regression has no probabilities `p`", "use pred and target"),
    ("mean(«z»)", "regression"): ("LD301", "no logits `z`", ""),
    ("mean(«y»*pred)", "regression"): ("LD301", "no labels `y`", ""),
    ("mean(pred - «target»)", "multiclass"): ("LD301", "holds class indices", "use p and y"),
    ("lovasz(classes=«all»)", "binary"): ("LD305", "`classes` of `lovasz` has no effect for binary", ""),
    ("focal(alpha=«0.5»)", "multiclass"): ("LD305", "`alpha` of `focal` has no effect for multiclass", ""),
}


def marked(text: str) -> tuple[str, str]:
    """A formula without the marks, and what stands between them."""
    start, end = text.index("«"), text.index("»")
    return text[:start] + text[start + 1 : end] + text[end + 1 :], text[start + 1 : end]


@pytest.mark.parametrize(("text", "task"), WRONG, ids=[" ".join(row) for row in WRONG])
def test_wrong(text: str, task: str, built: Any) -> None:
    formula, place = marked(text)
    with pytest.raises(FormulaError) as caught:
        built(formula, task)
    finding = caught.value.diagnostics[0]
    code, message, hint = WRONG[text, task]
    assert finding.code == code
    assert message in finding.message
    assert hint in (finding.hint or "")
    assert finding.source.text[finding.span.start : finding.span.end] == place


def test_all_terms_are_looked_at(built: Any) -> None:
    with pytest.raises(FormulaError) as caught:
        built("bce(reduction=none) + mean(dice) + ce")
    assert [finding.code for finding in caught.value.diagnostics] == ["LD303", "LD302", "LD301"]


# formula: the axes of its argument to the outer mean
AXES_OF = {
    "mean(p)": "batch class pixel",
    "mean(sum(p, over=pixel))": "batch class",
    "mean(sum(p, over=class))": "batch pixel",
    "mean(sum(p, per=image))": "batch class",
    "mean(sum(p, per=batch))": "class",
    "mean(max(p, over=[pixel, batch]))": "class",
    "mean(topk(p, share=0.5, over=batch))": "class pixel",
    "mean(dice(reduction=none))": "batch class",
    "mean(dice(per=batch, reduction=none))": "class",
    "mean(bce(reduction=none))": "batch class pixel",
    "mean(sum(p, over=pixel)*y)": "batch class pixel",
    "mean(epoch*sum(p, over=class))": "batch pixel",
    "mean(w*sum(p, over=class))": "batch pixel",
    "mean(v*sum(p, over=[class, pixel]))": "batch",
    "mean(class_weight*v*mean(p, over=pixel))": "batch class",
    "mean(p, weight=w)": "batch class pixel",
}


@pytest.mark.parametrize("formula", AXES_OF)
def test_axes_follow_names(formula: str, built: Any) -> None:
    tensors = (("v", ("batch",)), ("w", ("batch", "pixel")))
    loss = built(formula, "multilabel", weighted="class_weight" in formula, tensors=tensors)
    reduction = next(node for node in (loss.total, *loss.total.arguments) if node.operation in ("mean", "sum"))
    assert reduction.arguments[0].axes == set(AXES_OF[formula].split())
    assert reduction.axes == set()
    assert loss.total.axes == set()


def test_axes_of_class_indices(built: Any) -> None:
    loss = built("mean(sum(y*log(p), over=class))", "multiclass")
    assert loss.total.arguments[0].axes == {"batch", "pixel"}
    assert built("mean(y)", "multiclass").total.arguments[0].axes == set(AXES)
