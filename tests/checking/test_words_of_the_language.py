"""Words of the language are no tensors and no numbers, wherever a value may stand; other words are what they were."""

from __future__ import annotations

from pathlib import Path

import pytest

import lossdsl

# marked formula: part of the hint
WRONG = {
    "dice(«false»)": "write dice(squared=false) or dice(include_background=false)",
    "dice(«none»)": "`dice` takes tensors: dice(pred, y)",
    "dice(«True»)": "write dice(squared=true)",
    "dice(z, «None»)": "`dice` takes tensors",
    "focal(«none»)": "write focal(alpha=none)",
    "bce(«true», y)": "`bce` takes tensors: bce(pred, y)",
    "bce(«nan», y)": "write a number",
    "smp.DiceLoss(«none», mode=binary)": "write smp.DiceLoss(classes=none)",
    "«true»": "with the name of its parameter",
    "«false»*bce": "with the name of its parameter",
    "bce + «none»": "",
    "mean(«true»*p)": "",
    "sum(«None»)": "",
    "mean(p*y, count=«none»)": "",
    "topk(bce(reduction=none), share=«none»)": "",
    "mean(where(«true» == 1, p, y))": "",
    "where(epoch > 3, bce, «none»)": "",
    "local_mean(«false», size=3)": "",
    "for_class(«none», [1])": "",
    "multiscale(«true»)": "",
    "exp(«nan»)": "write a number",
    "a = «true»\nmean(a*p) + bce": "",
    "a = 1 + «none»\na*bce": "",
    "a = «nan»\na*bce": "",
    "s = learn(«inf»)\nexp(-s)*bce + s": "write a finite number",
    "s = learn(«none»)\nexp(-s)*bce + s": "",
    "«inf»*bce": "it is only allowed for a parameter whose range includes it; write a finite number",
    "bce + «inf»": "",
    "-«inf»*bce": "",
    "«nan»*bce": "",
    "«NaN»*bce": "",
    "bce**«inf»": "",
    "min(«inf», bce)": "",
    "max(bce, -«inf»)": "",
    "mean([1, «inf»]*p)": "",
    "bce(pos_weight=[1, «inf»])": "",
    "clamp(bce, max=«inf»)": "leave max= out",
    "mean(clamp(z, min=«-inf», max=1))": "leave min= out",
    "focal(gamma=2*«inf»)": "",
    "g = «inf»\nfocal(gamma=g)": "",
    "multiscale(bce, weights=[1, «inf»])": "",
}


@pytest.mark.parametrize("marked", WRONG)
def test_no_value(marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    (found,) = lossdsl.check(text).diagnostics
    assert (found.code, found.severity) == ("LD205", "error")
    assert found.span
    start, end = found.span.start, found.span.end
    assert f"{text[:start]}«{text[start:end]}»{text[end:]}" == marked
    assert WRONG[marked] in (found.hint or "")
    assert found.hint
    assert found.edit is None


@pytest.mark.parametrize(
    ("formula", "code"),
    [
        ("focal(gamma=inf)", "LD204"),
        ("focal(gamma=-inf)", "LD204"),
        ("dice(smooth=nan)", "LD205"),
        ("dice(smooth=None)", "LD205"),
        ("dice(squared=inf)", "LD205"),
        ("dice(squared=True)", "LD205"),
        ("nan = 3\nnan*bce", "LD206"),
        ("None = dice\nbce + None", "LD206"),
        ("True = dice\nbce + True", "LD206"),
        ("s = learn(1e30*1e30)\nexp(-s)*bce + s", "LD207"),
    ],
)
def test_other_findings(formula: str, code: str) -> None:
    assert [found.code for found in lossdsl.check(formula).diagnostics] == [code]


RIGHT = [
    "mean(image*bce(reduction=none))",
    "mean(abs(image - p)) + bce",
    "mean(batch*p) + bce",
    "bce + 0.4*bce(aux, target)",
    "image = dice\nbce + image",
    "macro = 0.5\nmacro*bce",
    "Infinite = 0.5\nInfinite*bce",
    "where(epoch < inf, bce, dice)",
    "focal(alpha=none)",
    "dice(squared=true, empty=skip)",
    "mean(bce(reduction=none)) + mean(nonempty*p)",
]


@pytest.mark.parametrize("formula", RIGHT)
def test_words_that_are_names(formula: str) -> None:
    assert not [found for found in lossdsl.check(formula, task="binary").diagnostics if found.code < "LD7"]


def test_a_parameter_may_be_infinite() -> None:
    """Where its range says so: written, by default, in a list, and compared in the text of the definition."""
    import torch

    z, y = torch.randn(2, 1, 5), torch.ones(2, 1, 5)
    with lossdsl.testing.registry():
        lossdsl.define("largest(q: [1, inf] = inf) = where(q == inf, max(abs(p - y)), mean(abs(p - y)**q)**(1/q))")
        for text in ("largest", "largest(q=inf)"):
            value = lossdsl.compile(text, task="binary")(z, y)
            torch.testing.assert_close(value, (z.sigmoid() - y).abs().amax())
        value = lossdsl.compile("largest(q=2)", task="binary")(z, y)
        torch.testing.assert_close(value, (z.sigmoid() - y).square().mean().sqrt())


CONFIGS = {
    "loss:\n  terms:\n    pixel: {expr: bce, weight: «inf»}\n": "LD205",
    "loss:\n  terms:\n    pixel: {expr: bce, weight: «.inf»}\n": "LD405",
    "loss:\n  terms:\n    pixel: {expr: bce, weight: «1e400»}\n": "LD405",
    "loss:\n  terms:\n    pixel: {expr: bce, weight: «010»}\n": "LD101",
    "loss:\n  terms:\n    pixel: {expr: bce, weight: «nan»}\n": "LD205",
    "loss:\n  define: {a: «none»}\n  expr: a*bce\n": "LD205",
    "loss:\n  define: {a: dice(«false»)}\n  expr: bce + a\n": "LD205",
    "loss:\n  define: {«nan»: dice}\n  expr: bce + nan\n": "LD206",
    "loss:\n  tensors: [«none»]\n  expr: mean(none*bce(reduction=none))\n": "LD206",
    "loss:\n  tensors: [«None»]\n  expr: mean(None*bce(reduction=none))\n": "LD206",
    "loss:\n  terms: {a: bce, b: dice}\n  total: a + «inf»*b\n": "LD205",
}


@pytest.mark.parametrize("marked", CONFIGS)
def test_in_a_config(marked: str, tmp_path: Path) -> None:
    text = marked.replace("«", "").replace("»", "")
    path = tmp_path / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    found = lossdsl.check(path).diagnostics[0]
    assert found.code == CONFIGS[marked]
    assert found.source
    assert found.span
    start, end = (found.source.offset(place) for place in (found.span.start, found.span.end))
    assert f"{text[:start]}«{text[start:end]}»{text[end:]}" == marked


def test_in_a_definition() -> None:
    with lossdsl.testing.registry():
        for body in ("mean(none*p)", "bce + inf", "dice(true)", "mean(p)*nan"):
            with pytest.raises(lossdsl.FormulaError, match="LD205"):
                lossdsl.define(f"wrong() -> [0, inf) = {body}")
        with pytest.raises(lossdsl.FormulaError, match="LD206"):
            lossdsl.define("wrong(nan: [0, 1] = 0) -> [0, inf) = nan*bce")
