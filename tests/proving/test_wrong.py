"""Wrong inputs with the code and the place of what is found, marked in the input itself: `<<...>>`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

import lossdsl

Unmarked: TypeAlias = Callable[[str], tuple[str, list[tuple[int, int]]]]

BINARY: dict[str, Any] = {"task": "binary"}
MULTICLASS: dict[str, Any] = {"task": "multiclass"}
PROBS: dict[str, Any] = {"task": "binary", "input": "probs"}

# codes in the order of the marks, the marked input, options of the check
WRONG: list[tuple[str, str, dict[str, Any]]] = [
    # syntax and names
    ("LD108", "bce + <<*>> dice", {}),
    ("LD102", "bce<<^>>2", {}),
    ("LD201", "bce + <<dcie>>", {}),
    ("LD201 LD201", "<<bec>> + <<dcie>>", {}),
    ("LD202", "bce + <<log>>", {}),
    ("LD203", "focal(<<gama=2>>)", {}),
    ("LD203", "tversky(<<alpha=0.7>>)", {}),
    ("LD204", "focal(gamma=<<-1>>)", {}),
    ("LD204", "dice(smooth=<<1 - 2>>)", {}),
    ("LD205", "dice(per=<<class>>)", {}),
    ("LD206", "<<bce>> = focal\nbce + dice", {}),
    ("LD210", "a = <<b>>\nb = a\na*bce", {}),
    ("LD301", "<<bce>> + dice", MULTICLASS),
    ("LD302", "<<mean(dice)>>", {}),
    ("LD303", "<<bce(reduction=none)>>", {}),
    ("LD303", "<<bce(reduction=none)>> + dice", {}),
    ("LD305", "focal(alpha=<<0.25>>)", MULTICLASS),
    # logarithms
    ("LD701", "-log(<<1 - dice(smooth=0)>>)", {}),
    ("LD701", "bce - log(<<1 - iou(smooth=0, per=batch)>>)", {}),
    ("LD701", "-log(<<dice_coef(smooth=0)>>)", {}),
    ("LD701", "bce + log(<<dice - 1>>)", {}),
    ("LD701", "log(<<-bce>>) + bce", {}),
    ("LD701", "bce + log(<<bce>>)", {}),
    ("LD701", "-mean(log(<<1 - p*y>>))", BINARY),
    ("LD701", "-mean(y*log(<<p>>) + (1 - y)*log(1 - p + 1e-6))", PROBS),
    ("LD701", "mean(w*abs(p - y)) - mean(log(<<w>>)*p)", BINARY),
    ("LD701", "bce*max(0, log(<<epoch>>))", {}),
    # roots
    ("LD702", "sqrt(<<dice - 0.5>>) + bce", {}),
    ("LD702", "bce + sqrt(<<mean(p) - 0.5>>)", BINARY),
    ("LD702", "mean(sqrt(<<z>>)) + bce", BINARY),
    ("LD705", "sqrt(<<mse>>)", {}),
    ("LD705", "bce + sqrt(<<dice>>)", {}),
    ("LD705", "mean(sqrt(<<abs(p - y)>>))", BINARY),
    # divisions
    ("LD703", "1 - sum(p*y)/<<sum(p + y)>>", BINARY),
    ("LD703", "mean(abs(p - y)/<<y>>)", BINARY),
    ("LD703", "bce/<<mean(y)>>", BINARY),
    ("LD703", "bce/<<mean(p - 0.5)>>", BINARY),
    ("LD703", "sum(w*abs(p - y))/<<sum(w)>>", BINARY),
    ("LD703", "1 - mean(2*sum(p*y, per=image)/<<(sum(p, per=image) + sum(y, per=image))>>)", BINARY),
    ("LD703", "bce*10/<<epoch>>", {}),
    # what a mean divides by
    ("LD703", "mean(bce(reduction=none), count=<<y>>)", BINARY),
    ("LD703", "mean(bce(reduction=none), count=<<0>>)", BINARY),
    ("LD703", "mean(bce(reduction=none), count=<<y - y>>)", BINARY),
    ("LD703", "mean(w*bce(reduction=none), count=<<w>>)", BINARY),
    ("LD703", "mean(mean(p, over=pixel, count=<<p*y>>)) + bce", BINARY),
    ("LD703", "mean(bce(reduction=none), count=<<epoch>>)", BINARY),
    ("LD703", "mean(where(y > 0.5, mean(p, count=<<y>>), p)) + bce", BINARY),
    ("LD703", "mean(bce(reduction=none), weight=<<w>>)", BINARY),
    ("LD703", "mean(bce(reduction=none), weight=<<y - 0.5>>)", BINARY),
    ("LD703", "bce + mean(1/<<(1 - dice(smooth=0, reduction=none))>>)", {}),
    # powers
    ("LD704", "bce + <<mean(p)>>**-1", BINARY),
    ("LD704", "<<(dice - 0.5)>>**0.5 + bce", {}),
    ("LD704", "mean(<<(p - y)>>**1.5)", BINARY),
    ("LD704", "bce + <<mean(p - y)>>**(1 + epoch)", BINARY),
    ("LD705", "<<dice>>**0.5", {}),
    ("LD705", "bce + <<focal>>**0.75", {}),
    ("LD705", "mean(<<abs(p - y)>>**0.5)", BINARY),
    ("LD705", "<<(-log(1 - dice))>>**0.3 + bce", {}),
    # what does not fit into float32
    ("LD706", "mean(exp(<<z>>))", BINARY),
    ("LD706", "bce + exp(<<bce>>)", {}),
    ("LD706", "exp(<<unified_focal>>)", {"task": "multiclass", "ignore_index": 255}),
    ("LD706", "mean(cosh(<<pred - target>>))", {}),
    ("LD706", "<<mse>>**8", {}),
    ("LD706", "<<2>>**epoch*bce", {}),
    # the wrong way
    ("LD710", "bce - 2*<<dice>>", {}),
    ("LD710", "ce + <<dice_coef>>", {}),
    ("LD710", "<<dice_coef>>", {}),
    ("LD710", "bce + (1 - <<dice>>)", {}),
    ("LD710", "dice - <<bce>>", {}),
    ("LD710", "-<<focal>>", {}),
    ("LD710", "bce + log(1 - <<dice>>)", {}),
    ("LD710", "bce - exp(<<dice>>)", {}),
    ("LD710", "bce + exp(-<<focal>>)", {}),
    ("LD710", "mean(-<<iou_coef(reduction=none)>>*log(p))", BINARY),
    ("LD710 LD710", "-<<bce>> - <<dice>>", {}),
    ("LD710", "0.5*bce + 0.5*<<iou_coef(per=batch)>>", {}),
    ("LD711", "<<(1 - epoch/100)>>*bce + dice", {}),
    ("LD711", "s = learn(1)\n<<s>>*bce + dice", {}),
    ("LD712", "<<mean(y*log(p) + (1 - y)*log(1 - p))>>", BINARY),
    ("LD712", "<<mean(-abs(pred - target))>>", {}),
    ("LD713", "s = <<learn(0)>>\nbce + s", {}),
    ("LD713", "s = <<learn(0)>>\nexp(-s)*bce", {}),
    # kinds
    ("LD720", "mean(abs(sigmoid(<<p>>) - y))", BINARY),
    ("LD720", "mean(abs(softmax(<<p>>) - y))", MULTICLASS),
    ("LD720", "bce(<<p>>, y)", BINARY),
    ("LD720", "dice + bce(<<1 - p>>, 1 - y)", BINARY),
    ("LD720", "ce(<<p>>, y)", MULTICLASS),
    ("LD720", "mean(abs(sigmoid(<<pred>>) - y))", PROBS),
    ("LD720", "mean(abs(sigmoid(<<sigmoid(z)>>) - y))", BINARY),
    ("LD721", "bce(z, <<2*y - 1>>)", BINARY),
    ("LD721", "dice(z, <<y + 0.5>>)", BINARY),
    ("LD721", "bce(<<target>>, pred)", BINARY),
    ("LD721", "ce + dice(<<y>>, p)", MULTICLASS),
    ("LD203", "ce(<<weight=[1, 2, 3]>>)", MULTICLASS),
    ("LD203", "bce + dice(<<per_image=true>>)", {}),
    ("LD202", "bce + <<mean(bce, dice)>>", {}),
    ("LD202", "<<multiscale(bce, [1, 0.5])>>", {}),
    ("LD205", "for_class(1, <<dice>>)", {}),
    ("LD207", "<<learn(1)>>*bce", {}),
    ("LD208", "bce(pos_weight=[1, <<[2]>>])", {"task": "multilabel"}),
    ("LD204 LD204", "bce(pos_weight=[1, <<-2>>, <<-3>>])", {"task": "multilabel"}),
    ("LD204", "cldice(iterations=<<2.5>>)", {}),
    ("LD204", "<<ssim(size=epoch)>> + 0.1*l1", {}),
    ("LD302", "for_class(<<mean(dice)>>, [1])", MULTICLASS),
    ("LD722", "focal(gamma=<<2 - epoch>>)", {}),
    ("LD722", "focal(gamma=<<-1 - epoch>>)", {}),
    ("LD722", "bce(label_smoothing=<<epoch/10>>)", BINARY),
    ("LD722", "s = learn(2)\nfocal(gamma=<<s>>) + exp(s)", {}),
    ("LD722", "dice + focal(gamma=<<classes - 2>>)", BINARY),
    ("LD722", "g = 2 - epoch/50\nbce + focal_tversky(gamma=<<g>>)", {}),
    ("LD730", "<<ce>>", {"task": "multiclass", "class_weight": [1.0]}),
    ("LD722", "bce(pos_weight=<<[1, 2 - epoch]>>)", {"task": "multilabel"}),
    ("LD723", "ce + <<for_class(dice, [1, 3])>>", {"task": "multiclass", "class_weight": [1, 1, 1]}),
    # the target twice, and logits that are compared with labels
    ("LD725", "huber(<<pred - target>>)", {}),
    ("LD725", "mse(<<target - pred>>)", {}),
    ("LD725", "l1(<<-target + pred>>)", {}),
    ("LD725", "charbonnier(<<abs(pred - target)>>)", {}),
    ("LD725", "smooth_l1(<<w*(pred - target)/3>>)", {}),
    ("LD725", "d = pred - target\nlog_cosh(<<d>>) + l1", {}),
    ("LD725", "wing(<<(pred - target)**2>>)", {}),
    ("LD725", "mse(<<log(1 + relu(pred)) - log(1 + relu(target))>>)", {}),
    ("LD725", "mse(<<aux - target>>)", {}),
    ("LD725", "sqrt(welsch(<<pred - 0.5*target>>) + 1e-6)", {}),
    ("LD725", "mean(cauchy(<<pred - target>>, reduction=none))", {}),
    ("LD725", "ssim(<<pred - target>>) + 0.1*l1", {}),
    ("LD725", "mse(<<z - y>>)", BINARY),
    ("LD725", "bce + geman_mcclure(<<p - y>>)", BINARY),
    ("LD725", "bce(<<p - y>>)", BINARY),
    ("LD725", "ce + dice(<<y - z>>)", MULTICLASS),
    ("LD725", "bce + dice(<<p*y>>)", BINARY),
    ("LD725", "lovasz(<<y*z>>) + bce", BINARY),
    ("LD725", "mse(<<pred*target>>)", {}),
    ("LD725", "mse(<<pred + target>>)", {}),
    ("LD726", "bce + <<mse>>", {}),
    ("LD726", "<<l1>>", BINARY),
    ("LD726", "dice + 0.1*<<huber(delta=2)>>", {}),
    ("LD726", "bce + <<mse(pred, target)>>", {}),
    ("LD726", "bce + <<mse(pred)>>", {}),
    ("LD726 LD726", "bce + <<ssim>> + <<smooth_l1>>", BINARY),
    ("LD726", "bce + mean(w*<<charbonnier(reduction=none)>>)", {"task": "multilabel"}),
    ("LD726", "multiscale(bce + <<wing>>, weights=[1, 0.5])", {}),
    # numbers of classes
    ("LD723", "<<bce>>", {"task": "binary", "class_weight": [1, 10]}),
    ("LD723", "<<for_class(dice, [1])>> + bce", BINARY),
    ("LD723", "bce(pos_weight=<<[1, 2]>>)", BINARY),
    ("LD723", "w = <<[1, 2]>>\nbce(pos_weight=w) + dice", BINARY),
    ("LD723", "mean(<<[1, 2]>>*p) + bce", BINARY),
    ("LD723 LD723", "bce(pos_weight=<<[1, 2]>>) + <<for_class(dice, [2])>>", BINARY),
    ("LD723", "multiscale(bce(pos_weight=<<[1, 2]>>), weights=[1, 0.5])", BINARY),
    ("LD723", "bce(aux, target, pos_weight=<<[1, 2]>>) + bce", BINARY),
    ("LD723", "bce(pos_weight=[1, 2]) + mean(<<[1, 2, 3]>>*bce(reduction=none))", {}),
    ("LD723 LD723", "bce(pos_weight=[1, 2]) + focal + bce(pos_weight=<<[1]>>)*mean(<<[1, 2, 3]>>*p)", {}),
    ("LD723", "bce(pos_weight=<<[1, 2, 3]>>)", {"task": "multilabel", "class_weight": [1, 2]}),
    ("LD723", "bce(pos_weight=[1, 2]) + <<for_class(dice, [0, 2])>>", {}),
    ("LD723", "<<for_class(dice, [2])>> + bce(pos_weight=[1, 2])", {}),
    ("LD723", "bce(aux, seg, pos_weight=[1, 2]) + bce(aux, seg, pos_weight=<<[1, 2, 3]>>)", {}),
    ("LD723", "mean(<<[1, 2, 3]>>*p) + smp.DiceLoss(mode=multiclass)", {"class_weight": [1, 2]}),
    ("LD723", "smp.DiceLoss(mode=multiclass, classes=<<[1, 3]>>)", {"class_weight": [1, 1, 1]}),
    ("LD723", "<<smp.DiceLoss(mode=binary)>>", {"class_weight": [1, 1]}),
    ("LD723", "wasserstein_dice(distances=<<[[0, 1, 1], [1, 0, 1], [1, 1, 0]]>>)", {"class_weight": [1, 2]}),
    ("LD723", "wasserstein_dice(distances=[[0, 1], [1, 0]]) + <<for_class(dice, [2])>>", {}),
    ("LD208", "wasserstein_dice(distances=<<[[0, 1], [1, 0, 1]]>>)", {}),
    ("LD208", "ce + wasserstein_dice(distances=<<[[0, 1, 1], [1, 0, 1]]>>)", MULTICLASS),
    ("LD730", "ce + mean(<<[2]>>*p)", MULTICLASS),
    ("LD730", "wasserstein_dice(distances=<<[[0]]>>)", MULTICLASS),
    # what does nothing
    ("LD731", "bce + <<3>>", {}),
    ("LD731", "bce + <<epoch/10>>", {}),
    ("LD731", "abs(bce - 0.1) + <<0.2>>", {}),
    ("LD731", "bce - <<0.1>>", {}),
    ("LD703", "bce + dice/<<(classes - 1)>>", BINARY),
    ("LD202", "ce + <<wasserstein_dice>>", MULTICLASS),
    ("LD731", "bce + <<mean(y)>>", BINARY),
    ("LD731", "bce + <<stop_gradient(dice)>>", {}),
    ("LD732", "bce + <<0>>*dice", {}),
    ("LD732", "bce + <<min(0, epoch)>>*dice", {}),
    ("LD732", "bce + <<mean(p - p)>>", BINARY),
    ("LD733", "bce + <<focal(gamma=0)>>", BINARY),
    ("LD733", "dice + <<f_beta>>", BINARY),
    ("LD733", "2*mean(abs(p - y)) + <<mean(abs(p - y)*3)>>", BINARY),
    ("LD734", "<<a>> = dice\nbce", {}),
    ("LD734 LD734", "<<a>> = dice\n<<b>> = a + focal\nbce", {}),
    # several at once
    ("LD711 LD701", "<<(1 - epoch/50)>>*bce - log(<<1 - dice(smooth=0)>>)", {}),
    ("LD710 LD731", "bce + <<dice_coef>> + <<2>>", {}),
]


@pytest.mark.parametrize(("codes", "marked", "options"), WRONG, ids=[f"{code}: {text}" for code, text, _ in WRONG])
def test_code_and_place(codes: str, marked: str, options: dict[str, Any], unmarked: Unmarked) -> None:
    text, places = unmarked(marked)
    found = lossdsl.check(text, **options).diagnostics
    spans = [(one.span.start, one.span.end) if one.span else None for one in found]
    expected = [(code, text[start:end]) for code, (start, end) in zip(codes.split(), places, strict=True)]
    shown = [(one.code, text[span[0] : span[1]] if span else "") for one, span in zip(found, spans, strict=True)]
    assert sorted(shown) == sorted(expected)
    assert sorted(span for span in spans if span) == sorted(places)


def test_enough_of_them() -> None:
    assert len({text for _, text, _ in WRONG}) >= 120
