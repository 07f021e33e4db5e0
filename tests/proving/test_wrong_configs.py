"""Wrong configs in every form of YAML, with what is found marked in the file itself: `«...»`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

import lossdsl

Unmarked: TypeAlias = Callable[[str], tuple[str, list[tuple[int, int]]]]

# codes in the order of the marks, the marked file
WRONG: list[tuple[str, str]] = [
    # scalars of all styles
    ("LD701", "loss: bce - log(«1 - dice(smooth=0)»)\n"),
    ("LD701", "loss: >\n  bce\n  - log(«1 -\n  dice(smooth=0)»)\n"),
    ("LD701", "loss: |\n  overlap = dice(smooth=0)\n  bce - log(«1 - overlap»)\n"),
    ("LD203", "loss:\n  expr: >-\n    bce +\n    focal(«gama=2»)\n"),
    ("LD201", "loss: |\n  # the pixel part\n  a = 0.5*bce\n  a + «dcie»\n"),
    ("LD705", "loss: 'bce + sqrt(«dice»)'\n"),
    ("LD710", 'loss: "bce + \\\n  «dice_coef»"\n'),
    ("LD701", 'loss: "bce\\x20- log(«1 - dice(smooth=0)»)"\n'),
    ("LD703", "# lossdsl\nloss: &main\n  task: binary\n  expr: bce/«mean(y)»\n"),
    # terms
    ("LD711", "loss:\n  terms:\n    pixel: {expr: bce, weight: «1 - epoch/100»}\n    region: dice\n"),
    ("LD711", "loss:\n  define: {s: learn(1)}\n  terms: {pixel: {expr: bce, weight: «s»}, region: dice}\n"),
    ("LD722", "loss:\n  terms:\n    pixel: {expr: 'bce(label_smoothing=«epoch/10»)', weight: 0.5}\n    region: dice\n"),
    ("LD732", "loss:\n  terms:\n    pixel: bce\n    region: {expr: dice, weight: «0»}\n"),
    ("LD732", 'loss:\n  terms:\n    pixel: bce\n    region: {expr: dice, weight: "«min(0, epoch/20)»"}\n'),
    ("LD733", "loss:\n  terms:\n    region: dice\n    overlap: «2*dice»\n"),
    ("LD731", "loss:\n  terms:\n    pixel: bce\n    offset: «0.3»\n"),
    ("LD734", "loss:\n  terms: {a: bce, «b»: dice}\n  total: 2*a\n"),
    ("LD735 LD731", "loss:\n  terms:\n    pixel: bce\n    «dice»: «0.5»\n"),
    ("LD405", "loss:\n  «total»: bce + dice\n"),
    ("LD735", "loss:\n  terms:\n    pixel: bce\n    «dice»: 1 - iou_coef\n"),
    ("LD710", "loss:\n  terms:\n    pixel: bce\n    region: «dice»\n  total: pixel - region\n"),
    ("LD710", "loss:\n  terms:\n    pixel: bce\n    region: «dice»\n  total: pixel + exp(-region)\n"),
    ("LD303", "loss:\n  terms:\n    pixel: «bce(reduction=none)»\n"),
    ("LD712", "loss:\n  task: binary\n  terms:\n    entropy: «mean(y*log(p))»\n"),
    ("LD406", "loss:\n  terms:\n    «pixel»: {weight: 2}\n"),
    # definitions
    ("LD722", "loss:\n  define: {g: 2 - epoch/50}\n  expr: focal(gamma=«g»)\n"),
    ("LD734", "loss:\n  define:\n    «overlap»: dice(smooth=1)\n  expr: bce + dice\n"),
    ("LD206", "loss:\n  define: {«bce»: focal}\n  expr: dice\n"),
    ("LD206", "loss:\n  define: {region: dice}\n  expr: |\n    «region» = iou\n    bce + region\n"),
    ("LD713", "loss:\n  define:\n    s: «learn(0)»\n  expr: exp(-s)*bce\n"),
    ("LD734 LD701", "loss:\n  define: {«a»: dice, b: iou(smooth=0)}\n  expr: bce - log(«1 - b»)\n"),
    # options
    ("LD402", "loss:\n  expr: bce\n  «weigth»: 2\n"),
    ("LD403", "loss:\n  terms:\n    pixel: bce\n    «pixel»: dice\n"),
    ("LD405", "loss:\n  task: «segmentation»\n  expr: bce\n"),
    ("LD405", "loss:\n  class_weight: [1, «-1»]\n  expr: ce\n"),
    ("LD301", "loss:\n  task: multiclass\n  expr: 0.5*«bce» + 0.5*dice\n"),
    ("LD720", "loss:\n  task: binary\n  expr: bce(«p», y)\n"),
    ("LD720", "loss:\n  task: binary\n  input: probs\n  expr: mean(abs(sigmoid(«pred») - y))\n"),
    ("LD723", "loss:\n  task: multiclass\n  class_weight: [1, 1, 2]\n  expr: ce + «for_class(dice, [3])»\n"),
    ("LD730", "loss:\n  task: multiclass\n  class_weight: «[»1]\n  expr: ce\n"),
    ("LD723", "loss:\n  task: binary\n  class_weight: «[»1, 10]\n  expr: bce\n"),
    ("LD723", "loss:\n  task: binary\n  class_weight: «{»0: 1, 1: 10}\n  terms: {a: bce, b: dice}\n"),
    ("LD723", "loss:\n  class_weight: [1, 10]\n  expr: bce(pos_weight=«[1, 2, 3]»)\n"),
    ("LD723", "loss:\n  define: {w: '[1, 2]'}\n  expr: bce(pos_weight=w) + mean(«[1, 2, 3]»*p)\n"),
    ("LD725", "loss:\n  define: {d: pred - target}\n  terms: {a: {expr: huber(«d»), weight: 2}}\n"),
    ("LD726", "loss:\n  task: binary\n  terms: {a: bce, b: «mse»}\n"),
    # tensors
    ("LD703", "loss:\n  task: binary\n  terms:\n    pixel: bce\n    edges: sum(edge*abs(p - y))/«sum(edge)»\n"),
    ("LD211", "loss:\n  task: binary\n  tensors: [edge]\n  expr: bce + mean(«edgs»*abs(p - y))\n"),
    ("LD211", "loss:\n  tensors: []\n  define: {weights: 1 + «edge»}\n  expr: mean(weights*bce(reduction=none))\n"),
    ("LD211 LD211", "loss:\n  tensors: [aux]\n  expr: bce + bce(aux, «labels») + mean(«dcie»)\n"),
    ("LD736", "loss:\n  task: binary\n  tensors: [edge, «depth»]\n  expr: bce + mean(edge*abs(p - y))\n"),
    ("LD206 LD206", "loss:\n  tensors: [«dice», «mask», edge]\n  expr: bce + mean(edge*abs(p - y))\n"),
    ("LD405", "loss:\n  tensors: «edge»\n  expr: bce\n"),
    ("LD405", "loss:\n  tensors: [«edge map»]\n  expr: bce\n"),
    ("LD303", "loss:\n  task: binary\n  tensors: [edge]\n  expr: bce + «edge*dice»\n"),
    # heads, scales, lists, required parameters
    ("LD720", "loss:\n  task: binary\n  expr: bce + 0.4*bce(«sigmoid(aux)», y)\n"),
    ("LD721", "loss:\n  task: binary\n  expr: bce(z, «2*y - 1»)\n"),
    ("LD710", "loss:\n  expr: 5*l1(boxes, true_boxes) + «iou_coef»\n"),
    ("LD701", "loss:\n  expr: bce + multiscale(-log(«1 - dice(smooth=0)»), weights=[1, 0.5])\n"),
    ("LD722", "loss:\n  expr: multiscale(focal(gamma=«2 - epoch»), weights=[1, 0.5])\n"),
    ("LD722", "loss:\n  task: multilabel\n  expr: bce(pos_weight=«[1, 2 - epoch]»)\n"),
    ("LD204", "loss:\n  task: multilabel\n  expr: bce(pos_weight=[1, «-2»])\n"),
    ("LD202", "loss:\n  terms:\n    cover: «wasserstein_dice»\n    pixel: ce\n"),
    ("LD205", "loss:\n  task: multiclass\n  expr: ce + for_class(dice, «[1.5]»)\n"),
    # several losses in one file, and several findings in one
    ("LD710 LD701", "train:\n  loss: bce + «dice_coef»\nval:\n  loss: bce - log(«1 - iou(smooth=0)»)\n"),
    ("LD732 LD711 LD733", "loss:\n  terms:\n    a: {expr: bce, weight: «0»}\n    b: {expr: dice, weight: «2 - epoch»}\n    c: «dice»\n"),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("codes", "marked"), WRONG, ids=[f"{codes}: {text!r}" for codes, text in WRONG])
def test_code_and_place(codes: str, marked: str, tmp_path: Path, unmarked: Unmarked) -> None:
    text, places = unmarked(marked)
    path = tmp_path / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    keys = ("train.loss", "val.loss") if text.startswith("train") else ("loss",)
    found = [finding for key in keys for finding in lossdsl.check(path, key=key).diagnostics]
    shown = []
    for finding in found:
        assert finding.source
        assert finding.span
        at = (finding.source.offset(finding.span.start), finding.source.offset(finding.span.end - 1) + 1)
        shown.append((finding.code, at))
    assert sorted(shown) == sorted(zip(codes.split(), places, strict=True))


def test_enough_of_them() -> None:
    assert len({text for _, text in WRONG}) >= 50
