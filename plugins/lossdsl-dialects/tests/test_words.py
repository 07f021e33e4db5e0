"""What a moved config meets: words that are refused say what to write, and names that are left out say why."""

from __future__ import annotations

import pytest

import lossdsl
from lossdsl.registry.discover import default_registry
from lossdsl.registry.loss_files import library_files, read_absences

DIALECTS = ("monai", "smp", "kornia", "nnunet", "toolbelt", "keras")

REFUSED = {
    "monai.DiceLoss(sigmoid=true, softmax=true)": ("LD203", "one activation at most"),
    "monai.DiceLoss(other_act=tanh)": ("LD203", "write the activation in the network"),
    "monai.DiceLoss(sigmoid=true, ignore_index=255)": ("LD203", "give ignore_index to lossdsl.compile"),
    "monai.DiceLoss(include_background=false, reduction=none)": ("LD203", "for_class"),
    "monai.FocalLoss(reduction=sum)": ("LD203", "sum(mean(monai.FocalLoss(reduction=none), over=pixel))"),
    "monai.FocalLoss(alpha=[0.25, 0.75])": ("LD203", "write weight="),
    'monai.DiceCELoss(sigmoid=true, reduction="sum")': ("LD302", "lossdsl show DiceCELoss"),
    "monai.DiceLoss(sigmoid=True)": ("LD205", "did you mean `true`?"),
    "smp.DiceLoss": ("LD202", "`mode` takes binary"),
    "smp.DiceLoss(mode=\"binary\", ignore_index=255)": ("LD203", "give ignore_index to lossdsl.compile"),
    "smp.DiceLoss(mode=\"segmentation\")": ("LD205", None),
    "smp.FocalLoss(mode=\"multiclass\", from_logits=false)": ("LD203", "log(p) as the logit of a sigmoid"),
    "smp.FocalLoss(mode=\"multiclass\", reduction=none)": ("LD203", "lossdsl.focal"),
    "smp.FocalLoss(mode=\"binary\", alpha=[0.25, 0.75])": ("LD203", "alpha is one number"),
    "smp.LovaszLoss(mode=\"multilabel\")": ("LD301", "lossdsl.lovasz has a list for each class"),
    "smp.LovaszLoss(mode=\"multiclass\", from_logits=false)": ("LD203", "always applies the softmax"),
    "smp.SoftCrossEntropyLoss": ("LD202", "`smooth_factor` takes [0, 1]"),
    "kornia.FocalLoss": ("LD202", "`alpha` takes [0, 1] or none"),
    "kornia.TverskyLoss(alpha=0.3)": ("LD202", "`beta` takes"),
    "kornia.DiceLoss(ignore_index=255)": ("LD203", "give ignore_index to lossdsl.compile"),
    "nnunet.DC_and_CE_loss(soft_dice_kwargs=none)": ("LD203", "write batch_dice, do_bg, smooth"),
    "nnunet.DC_and_BCE_loss(use_ignore_label=true)": ("LD203", "mask="),
    "toolbelt.BinaryFocalLoss(activation=softmax)": ("LD203", "no focal loss"),
    "keras.Dice(axis=1)": ("LD203", "per= and average="),
}  # fmt: skip

ABSENT = {
    "toolbelt.CrossEntropyFocalLoss": ("a sigmoid cross-entropy of the same logits", "`focal` with task=multiclass"),
    "toolbelt.JointLoss(dice, bce)": ("removed them in 2023", "a sum"),
    "monai.MaskedLoss": ("multiplies it into the logits", "mask="),
    "keras.Tversky(alpha=0.3)": ("23333", "fp_weight"),
    "keras.tversky": ("23333", "fp_weight"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    code, hint = REFUSED[text]
    (found,) = lossdsl.check(text).diagnostics
    assert found.code == code
    assert hint is None or hint in (found.hint or "")


@pytest.mark.parametrize("text", ABSENT)
def test_left_out(text: str) -> None:
    reason, instead = ABSENT[text]
    (found,) = lossdsl.check(text).diagnostics
    assert found.code == "LD201"
    assert found.message.startswith(f"there is no `{text.partition('(')[0]}`: ")
    assert reason in found.message
    assert instead in (found.hint or "")


@pytest.mark.parametrize("name", ["DiceLoss", "FocalLoss", "TverskyLoss", "JaccardLoss"])
def test_a_name_of_several_libraries_is_a_clash(name: str) -> None:
    (found,) = lossdsl.check(name).diagnostics
    owners = default_registry().namesakes(name)
    assert len(owners) > 1
    assert found.code == "LD601"
    assert found.hint.startswith("write ")
    assert all(f"`{c.namespace}.{name}` of lossdsl-dialects" in found.message for c in owners)


def test_what_is_left_out_is_nowhere_defined() -> None:
    """And each reason comes with what to write instead."""
    registry = default_registry()
    for dialect in DIALECTS:
        for path in library_files(f"lossdsl_dialects.{dialect}"):
            for absence in read_absences(path):
                assert not registry.candidates(f"{dialect}.{absence.name}")
                assert absence.reason
                assert absence.instead


def test_short_names_mean_what_they_mean_without_this_package() -> None:
    """`keras.dice` does not make `dice` ambiguous, and a tensor may be called as a loss of kornia."""
    assert not {c.name for c in default_registry().all() if c.provider.distribution == "lossdsl-dialects"} & {
        name for name in default_registry().names() if name not in ("dice",)
    }
    assert lossdsl.check("focal_loss = focal(gamma=1)\nfocal_loss + mean(dice_loss*p)").ok
    assert lossdsl.check("dice + bce + tversky").ok
    (candidate,) = default_registry().candidates("dice")
    assert candidate.namespace == "lossdsl"
