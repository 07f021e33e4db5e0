"""Configs that make a loss of one of the libraries: the answer is a formula of this package with the library's number."""  # noqa: E501

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import lossdsl

STAY = "; with Hydra, use `_target_: lossdsl.compile` with the formula as `source`"

# The losses of bundles of the MONAI model zoo, and the formula to write.
BUNDLES = {
    # spleen_ct_segmentation
    '{"_target_": "DiceCELoss", "to_onehot_y": true, "softmax": true, "squared_pred": true, "batch": true}': (
        "monai.DiceCELoss(to_onehot_y=true, softmax=true, squared_pred=true, batch=true)"
    ),
    # multi_organ_segmentation
    '{"_target_": "monai.losses.DiceCELoss", "include_background": false, "to_onehot_y": true, "softmax": true,'
    ' "squared_pred": true, "batch": true, "smooth_nr": 1e-05, "smooth_dr": 0.00001}': (
        "monai.DiceCELoss(include_background=false, to_onehot_y=true, softmax=true, squared_pred=true, batch=true,"
        " smooth_nr=1e-5, smooth_dr=1e-5)"
    ),
    # endoscopic_tool_segmentation
    '{"_target_": "DiceFocalLoss", "include_background": false, "to_onehot_y": true, "softmax": true, "jaccard": true}': (  # noqa: E501
        "monai.DiceFocalLoss(include_background=false, to_onehot_y=true, softmax=true, jaccard=true)"
    ),
    '{"_target_": "monai.losses.dice.DiceLoss", "_desc_": "words", "softmax": true, "to_onehot_y": true}': (
        "monai.DiceLoss(softmax=true, to_onehot_y=true)"
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("text", BUNDLES)
def test_a_bundle_of_monai(text: str, tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(f'{{"imports": ["$import glob"], "lr": 0.1, "loss": {text}}}')
    (found,) = lossdsl.check(path).diagnostics
    assert (found.code, found.line) == ("LD409", 1)
    assert found.hint == f"write `{BUNDLES[text]}`{STAY}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        losses = pytest.importorskip("monai.losses", exc_type=ImportError)
    arguments = {name: value for name, value in json.loads(text).items() if not name.startswith("_")}
    theirs = getattr(losses, json.loads(text)["_target_"].rpartition(".")[2])(**arguments)
    torch.manual_seed(0)
    pred, target = torch.randn(2, 3, 6, 5), torch.randint(0, 3, (2, 6, 5))
    given = lossdsl.compile(BUNDLES[text], task="multiclass")(pred, target)
    torch.testing.assert_close(given, theirs(pred, target[:, None]), rtol=1e-5, atol=1e-6)


CONFIGS = {
    "{_target_: segmentation_models_pytorch.losses.DiceLoss, mode: multiclass, ignore_index: 255}": (
        'write `{expr: "smp.DiceLoss(mode=multiclass)", ignore_index: 255}`'
    ),
    "{_target_: monai.losses.FocalLoss, gamma: 2.0, weight: [1, 2]}": "write `monai.FocalLoss(gamma=2, weight=[1, 2])`",
    "{_target_: kornia.losses.focal.FocalLoss, alpha: 0.5}": "write `kornia.FocalLoss(alpha=0.5)`",
    "{_target_: nnunetv2.training.loss.compound_losses.DC_and_CE_loss, ce_kwargs: {}, weight_ce: 1,"
    " soft_dice_kwargs: {batch_dice: true, do_bg: false, smooth: 1e-5}}": (
        "write `nnunet.DC_and_CE_loss(weight_ce=1, batch_dice=true, do_bg=false, smooth=1e-5)`"
    ),
    "{_target_: monai.losses.DiceLoss, sigmoid: true, other_act: tanh}": (
        "the nearest is `monai.DiceLoss(sigmoid=true)`; its smoothing and averaging may differ; `other_act` is omitted"
    ),
    "{_target_: monai.losses.SSIMLoss, spatial_dims: 2}": "for monai.SSIMLoss: write `ssim`, or `ssim(p, y)` of probabilities",  # noqa: E501
    "{_target_: JukeboxLoss}": "for monai.JukeboxLoss: there is none; pass a number",
    "[{_target_: monai.losses.DiceLoss, sigmoid: true}, {_target_: torch.nn.BCEWithLogitsLoss}]": (
        "write `monai.DiceLoss(sigmoid=true) + bce`"
    ),
    "{class_path: monai.losses.DiceLoss, init_args: {sigmoid: true}}": "write `monai.DiceLoss(sigmoid=true)`",
    "{class_name: BinaryCrossentropy, config: {from_logits: true, name: x}}": (
        "write `keras.BinaryCrossentropy(from_logits=true)`"
    ),
    "{class_name: Huber, config: {delta: 2.0}}": "for keras.Huber: write `lossdsl.huber(delta=1)`",
    "{monai.DiceLoss: 0.5, bce: 0.5}": "write `0.5*monai.DiceLoss + 0.5*bce`",
    "{type: smp.losses.JaccardLoss, mode: binary, loss_weight: 2}": "write `2*smp.JaccardLoss(mode=binary)`",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_the_names_of_the_libraries(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"loss: {text}\n")
    (found,) = lossdsl.check(path).diagnostics
    assert found.code == "LD409"
    assert (found.hint or "").startswith(CONFIGS[text])
    source: Any = found.hint.partition("`")[2].partition("`")[0]
    source = yaml.safe_load(source) if source.startswith("{") else source
    assert all(d.code == "LD724" or d.severity == "warning" for d in lossdsl.check(source, files=False).diagnostics)
