"""What is right is not complained about: built-ins, recipes, the README, and formulas like them.

The few findings that are true of them stand here with their reasons.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import lossdsl
from lossdsl.registry.discover import default_registry

ROOT = Path(__file__).parents[2]
TASKS = ("binary", "multilabel", "multiclass", "regression")
RECIPES = sorted((ROOT / "examples").rglob("*.yaml"))
BUILT_INS = [loss.name for loss in default_registry().built_ins() if loss.name != "lovasz_extension"]

# What is found in what we ship, and why it is true.
EXPECTED = {
    "dice_coef": ("LD710", "a score alone: training would make it small"),
    "iou_coef": ("LD710", "a score alone: training would make it small"),
    "32_beta_vae": ("LD706", "nothing bounds the logarithm of the variance that a network returns"),
    "lovasz_as_printed": ("LD710", "the score is a factor of -log(p), so that a worse overlap lowers the total"),
}
# They compare what the model returns with the target, in every task.
RAW = {
    *("l1", "mse", "smooth_l1", "huber", "log_cosh", "charbonnier", "cauchy", "geman_mcclure", "welsch", "wing"),
    *("ssim", "ms_ssim", "barlow_twins", "giou", "nt_xent"),
}
# In the README to show that it is found.
SHOWN = "0.5*bce + 0.5*dcie + focal(gamma=-1)"

# formula, options of the check
RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("0.5*bce + 0.5*(-log(1 - dice))", {}),
    ("-log(1 - dice(per=batch, smooth=1e-5))", {}),
    ("mean(log(sum(exp(z), over=class)) - sum(y*z, over=class))", {"task": "multiclass"}),
    ("ce + 1e-4*mean(logsumexp(z, over=class)**2)", {}),
    ("mean(log(1 + exp(z)) - y*z)", {"task": "binary"}),
    ("mean(log(1 + exp(-(2*y - 1)*z)))", {"task": "binary"}),
    ("mean(-y*log(exp(z)/sum(exp(z), over=class)))", {"task": "multiclass"}),
    ("mean(-y*log(softmax(z, over=pixel)))", {"task": "multilabel"}),
    ("dice + mean(y*(1 - 1/(1 + exp(-z))))", {"task": "binary"}),
    ("-log(dice_coef)", {}),
    ("bce + 1 - dice_coef", {}),
    ("1 - dice_coef(smooth=0)", {}),
    ("bce - dice_coef", {}),
    ("bce - 0.3*log(iou_coef(per=batch))", {}),
    ("-log(1 - tversky(fp_weight=0.3, fn_weight=0.7))", {}),
    ("-log(1 - dice(squared=true))", {}),
    ("-log(1 - f_beta(beta=2)) + bce", {}),
    ("-log(1 - generalized_dice(smooth=1))", {"task": "multiclass"}),
    ("-log(1 - dice(empty=skip))", {}),
    ("-log(1 - dice(average=micro))", {"task": "multiclass"}),
    ("-log(1 - dice)", {"task": "multiclass", "ignore_index": 255}),
    ("ce - log(dice_coef)", {"task": "multiclass", "ignore_index": 255, "class_weight": [1, 2, 3]}),
    ("ce + dice(include_background=false)", {"task": "multiclass"}),
    ("mean(-log(1 - dice(reduction=none)))", {}),
    ("dice**2 + bce", {}),
    ("abs(bce - 0.1) + 0.1", {}),
    ("b = 0.05*min(1, epoch/10)\nrelu(bce + dice - b) + b", {}),
    ("(1 - dice_coef)**1.5", {}),
    ("(-log(1 - dice))**2 + bce", {}),
    ("sqrt(mse + 1e-6)", {}),
    ("mean(sqrt((pred - target)**2 + 1e-6))", {}),
    ("-mean(y*log(p) + (1 - y)*log(1 - p))", {"task": "binary"}),
    ("-mean((1 - p)**2*y*log(p) + p**2*(1 - y)*log(1 - p))", {"task": "binary"}),
    ("-mean(sum(y*log(p), over=class))", {"task": "multiclass"}),
    ("mean(softplus(z) - y*z)", {"task": "binary"}),
    ("1 - mean((2*sum(p*y, per=image) + 1)/(sum(p, per=image) + sum(y, per=image) + 1))", {"task": "binary"}),
    ("1 - (sum(p*y) + 1)/(sum(p) + sum(y) - sum(p*y) + 1)", {"task": "binary"}),
    ("-log((2*sum(p*y) + 1)/(sum(p) + sum(y) + 1))", {"task": "binary"}),
    ("-log(1 - sum((p - y)**2)/(sum(p**2) + sum(y**2) + 1))", {"task": "binary"}),
    ("mean(where(abs(p - y) > 0.1, log(abs(p - y)), log(0.1))) + 3*bce", {"task": "binary"}),
    ("bce + mean(where(y > 0, 1/max(y, 0.5), 0)*abs(p - y))", {"task": "binary"}),
    ("mean(where(sum(y, per=image) > 0, 1 - sum(p*y, per=image)/sum(y, per=image), 0)) + bce", {"task": "binary"}),
    ("mean(y*(log(y) - log(p)) + (1 - y)*(log(1 - y) - log(1 - p)))", {"task": "binary"}),
    ("bce + 0.1*mean(p*log(p) + (1 - p)*log(1 - p))", {"task": "binary"}),
    ("mean(bce(reduction=none), weight=abs(w))", {"task": "binary"}),
    ("mean(bce(reduction=none), weight=y)", {"task": "binary"}),
    ("mean(mean(bce(reduction=none), over=pixel, weight=1 - y), weight=v**2)", {"task": "binary"}),
    ("mean(y*bce(reduction=none), count=1 + y)", {"task": "binary"}),
    ("mean(bce(reduction=none), count=2)", {"task": "binary", "ignore_index": 255}),
    ("mean(where(sum(y, over=pixel) > 0, mean(p, over=pixel, count=y), 0))", {"task": "binary"}),
    ("mean(-sum([1, 2, 3]*y*log(p), over=class), count=sum([1, 2, 3]*y, over=class))", {"task": "multiclass"}),
    ("dice + 0.01*mean(phi*p)", {"task": "binary"}),
    ("mean(stop_gradient(abs(p - y))*bce(reduction=none))", {"task": "binary"}),
    ("min(1, epoch/10)*dice + bce", {}),
    ("max(0, 1 - epoch/100)*bce + (1 - max(0, 1 - epoch/100))*dice", {}),
    ("0.95**epoch*bce + dice", {}),
    ("exp(-epoch/50)*bce + dice", {}),
    ("focal(gamma=max(0, 2 - epoch/10))", {}),
    ("bce(label_smoothing=min(0.1, epoch/100))", {"task": "binary"}),
    ("s = learn(0)\nt = learn(0)\nexp(-s)*bce + s + exp(-t)*dice + t", {}),
    ("s = learn(1)\nbce/(2*s**2 + 1e-3) + log(1 + s**2)", {}),
    ("s = learn(2)\nfocal(gamma=1 + softplus(s))", {}),
    ("mean(abs(sigmoid(10*(p - 0.5)) - y))", {"task": "binary"}),
    ("bce(z/2, y) + dice", {"task": "binary"}),
    ("bce(-z, 1 - y) + bce", {"task": "binary"}),
    ("bce + 0.4*bce(aux, target)", {"task": "binary"}),
    ("lovasz(-z, 1 - y) + lovasz", {"task": "binary"}),
    ("log(cosh(dice))", {}),
    ("topk(bce(reduction=none), share=0.1) + dice", {"task": "binary"}),
    ("for_class(dice, [1]) + ce", {"task": "multiclass"}),
    ("ce/log(classes) + dice*classes/(classes - 1)", {"task": "multiclass"}),
    ("bce + sqrt(classes)*dice/(1 + classes)", {"task": "multilabel"}),
    ("for_class(dice, [1]) + 0.1*iou", {}),
    ("for_class(dice, [0]) + bce", {"task": "binary"}),
    ("bce(pos_weight=[3]) + dice", {"task": "binary", "class_weight": [2]}),
    ("bce(pos_weight=[1, 2]) + dice", {}),
    ("bce(pos_weight=[1, 2]) + for_class(dice, [0, 1])", {"class_weight": [1, 3]}),
    ("ce + bce(aux, seg, pos_weight=[1, 2])", {"task": "multiclass", "class_weight": [1, 2, 3]}),
    ("multiscale(bce(pos_weight=[1, 2]) + dice, weights=[1, 0.5, 0.25])", {}),
    ("l1 + mse", {"class_weight": [1, 2]}),
    ("wasserstein_dice(distances=[[0, 1], [1, 0]]) + ce", {}),
    ("bce + mse(p, y)", {}),
    ("bce + l1(z, y)", {}),
    ("bce + mse", {"task": "binary", "input": "probs"}),
    ("mse + 0.1*ssim", {}),
    ("huber(pred, target) + l1", {}),
    ("bce(aux, seg) + mse(depth, true_depth)", {}),
    ("bce + 0.1*huber(depth, true_depth)", {}),
    ("ce + mse(z, teacher)", {"task": "multiclass"}),
    ("bce + mse(pred, teacher)", {"task": "binary"}),
    ("mse(pred - base)", {}),
    ("mse(pred + base) + l1", {}),
    ("mse(where(target > 0, pred, target))", {}),
    ("ce(30*(z - 0.35*y))", {"task": "multiclass"}),
    ("bce(z + 2*(1 - y))", {"task": "binary"}),
    ("mean((pred - target)**2) + l1", {}),
    ("T = 4\nsoft = softmax(teacher/T)\nmean(sum(soft*(log(soft) - log(softmax(z/T))), over=class))", {}),
]

# What was complained about, and is right: proved by what its parts have in common.
RIGHT += [
    ("tp = sum(p*y)\n1 - (2*tp + 1)/(2*tp + sum((p*(1 - y))**2) + sum(((1 - p)*y)**2) + 1)", {"task": "binary"}),
    ("g = 2\n1 - (sum(2*p*y) + 1)/(sum(2*p*y) + sum((p - p*y)**g) + sum((y - p*y)**g) + 1)", {"task": "binary"}),
    (
        "1 - mean((2*sum(p*y, per=image) + 1)/(2*sum(p*y, per=image) + sum((p*(1 - y))**2, per=image)"
        " + sum(((1 - p)*y)**2, per=image) + 1))",
        {"task": "multilabel"},
    ),
    ("c = sum(pred*target)/sqrt(sum(pred**2)*sum(target**2) + 1e-6)\n1 - abs(c)", {}),
    ("1 - abs(sum(p*y)/(sqrt(sum(p**2) + 1e-6)*sqrt(sum(y**2) + 1e-6)))", {"task": "binary"}),
    (
        "n = sum(pred**2, over=class)*sum(target**2, over=class)\n"
        "1 - abs(mean(sum(pred*target, over=class)/sqrt(n + 1)))",
        {},
    ),
    ("a = p - mean(p)\nb = y - mean(y)\n1 - abs(sum(a*b)/sqrt(sum(a**2)*sum(b**2) + 1e-6))", {"task": "binary"}),
    ("d = pred - target\nsqrt(mean(d**2) - 0.85*mean(d)**2 + 1e-6)", {}),
    ("d = pred - target\nsqrt(mean(d*d) - mean(d)*mean(d) + 1e-6)", {"ignore_index": 255}),
    ("d = softplus(pred) - target\nmean(sqrt(mean(d**2, per=image) - 0.5*mean(d, per=image)**2 + 1e-3))", {}),
    (
        "t = (sum(p*y) + 1)/(sum(p**2) + sum(y**2) - sum(p*y) + 1)\n"
        "u = (sum((1 - p)*(1 - y)) + 1)/(sum((1 - p)**2) + sum((1 - y)**2) - sum((1 - p)*(1 - y)) + 1)\n1 - (t + u)/2",
        {"task": "binary"},
    ),
    ("mean((1 - sum(y*p, over=class)**0.7)/0.7)", {"task": "multiclass"}),
    ("q = 0.7\nmean(1 - sum(y*p, over=class)**q)/q", {}),
    ("mean((1 - (y*p + (1 - y)*(1 - p))**0.7)/0.7)", {"task": "binary"}),
    ("mean(sum(sqrt(p*y), over=class)) + ce", {"task": "multiclass"}),
    ("q = sigmoid(aux)\nm = (p + q)/2\nbce + mean(p*log(p/m)) + mean(q*log(q/m))", {"task": "binary"}),
    ("q = softmax(aux)\nm = 0.5*(p + q)\nce + mean(sum(p*(log(p) - log(m)), over=class))", {"task": "multiclass"}),
    ("ce - mean(sum(p*max(log(y), -4), over=class))", {"task": "multiclass"}),
    ("ce - mean(sum(p*clamp(log(y), min=-4), over=class))", {"task": "multiclass"}),
    ("bce + mean(max(sqrt(p*w**2), 0.1))", {"task": "binary"}),
    ("bce + mean(min(1/abs(w), 10)*abs(p - y))", {"task": "binary"}),
    ("0.5*mean(relu(1 - real)) + 0.5*mean(relu(1 + fake))", {}),
    ("mean(relu(1 - pred)) + mean(relu(1 + target))", {}),
    ("0.5*mean((pred - 1)**2) + 0.5*mean(target**2)", {}),
    ("0.7*ce(z, y) + 0.3*ce(z, y2)", {"task": "multiclass"}),
    ("m = 0.3\nm*ce(z, y2) + (1 - m)*ce(z, y3)", {"task": "multiclass"}),
    ("q = 0.9*y + 0.05\nmean(p*(log(p) - log(q)) + (1 - p)*(log(1 - p) - log(1 - q)))", {"task": "binary"}),
    ("mean(sum(p*log(p) - p*log(softmax(reward)), over=class))", {"task": "multiclass"}),
    ("q = 0.9*y + 0.1/3\nmean(sum(p*(log(p) - log(q)), over=class))", {"task": "multiclass"}),
    ("dice - 0.001*sum(p*y)", {"task": "binary"}),
    ("bce*max(0, log(epoch))", {}),
    ("s = learn(0)\nexp(-2*s)*bce + s", {"task": "binary"}),
    ("mean((pred - target)**4, weight=w**2)", {"ignore_index": 255}),
    ("mse(z, y) + l1(z, y)", {"task": "binary"}),
    ("bce(aux, stop_gradient(p)) + bce", {"task": "binary"}),
    ("mean(fake) - mean(real)", {}),
    ("-mean(advantage*log(p))", {"task": "binary"}),
]


@pytest.mark.parametrize(("formula", "options"), RIGHT, ids=[text for text, _ in RIGHT])
def test_right(formula: str, options: dict[str, Any]) -> None:
    assert str(lossdsl.check(formula, **options)) == "ok"


def _of_logits(name: str, task: str, input: str = "logits") -> bool:
    return name in RAW and task != "regression" and input == "logits"


@pytest.mark.parametrize("input", ["logits", "probs"])
@pytest.mark.parametrize("name", BUILT_INS)
def test_built_in(name: str, input: str) -> None:
    """With its defaults, and in the ways in which others use it."""
    for task in TASKS:
        for text in (name, f"2*{name}(reduction=mean)"):
            for ignored in (None, 255):
                found = lossdsl.check(text, task=task, input=input, ignore_index=ignored).diagnostics
                if not any(one.code < "LD7" for one in found):
                    wanted = {"LD726"} if _of_logits(name, task, input) else {EXPECTED.get(name, ("",))[0]}
                    assert {one.code for one in found} <= wanted, (text, task)


def test_built_ins_have_maps_that_are_quiet() -> None:
    for name in BUILT_INS:
        for task in TASKS:
            found = lossdsl.check(f"mean({name}(reduction=none))", task=task).diagnostics
            if not any(one.code < "LD7" for one in found):
                wanted = {"LD726"} if _of_logits(name, task) else {EXPECTED.get(name, ("",))[0]}
                assert {one.code for one in found} <= wanted, (name, task)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path: Path) -> None:
    report = lossdsl.check(path)
    assert report.diagnostics == ()
    found = [one.code for one in report.allowed]
    assert found == [EXPECTED[path.stem][0]] * (path.stem in EXPECTED) if path.stem in EXPECTED else found == []


def test_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    formulas = re.findall(r'compile\("([^"]+)"', text) + re.findall(r'-e "([^"]+)"', text)
    assert len(formulas) >= 5
    assert not [one for formula in formulas for one in lossdsl.check(formula).diagnostics if "cosine" not in formula]


def test_what_is_expected_is_found() -> None:
    for name, (code, _) in EXPECTED.items():
        source = ROOT / "examples" / "recipes" / f"{name}.yaml" if name not in BUILT_INS else name
        report = lossdsl.check(source)
        assert code in [one.code for one in (*report.diagnostics, *report.allowed)]
