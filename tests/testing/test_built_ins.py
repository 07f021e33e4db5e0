"""Every built-in keeps every rule that it does not except itself from, also with parameters far from their defaults."""

from __future__ import annotations

import pytest

import lossdsl.testing
from lossdsl.registry.discover import default_registry

# What parameters can change; the other rules are about the module, which is the same for all of them.
VALUES = ("gradient", "range", "finite", "best", "mask", "mask_anywhere", "ignore_index")
DISTANCES = "[[0, 1, 1], [0.9, 0, 0.5], [1, 0.3, 0]]"
CALLS = {
    "balanced_bce": ["beta=0.9"],
    "bce": ["pos_weight=100", "label_smoothing=0.4, pos_weight=3"],
    "bi_tempered": ["t1=0.3, t2=1", "t1=1, t2=1", "t1=0, t2=4, label_smoothing=0.1", "t1=1, t2=2"],
    "ce": ["label_smoothing=0.2"],
    "cldice": ["iterations=1, smooth=0, per=batch", "average=micro, smooth=0", "include_background=false"],
    "combo": ["alpha=0.2, beta=0.9, smooth=0, per=batch"],
    "context_attention": ["strength=1, size=5, smooth=0"],
    "dice": [
        "smooth=0", "smooth=0, per=batch", "squared=true", "squared=true, smooth=0, empty=skip",
        "empty=skip, per=batch", "average=micro, smooth=0", "include_background=false",
        "average=micro, include_background=false, squared=true, per=batch",
        "include_background=false, empty=skip, smooth=0",
    ],
    "dice_coef": ["smooth=0", "smooth=0, per=batch"],
    "exp_log": ["dice_gamma=2, ce_gamma=1.5, smooth=0.001"],
    "f_beta": ["beta=0.5, smooth=0, per=batch"],
    "flipped_iou": ["smooth=1"],
    "focal": ["gamma=0", "gamma=0.05", "gamma=0.5", "gamma=1", "gamma=3.5"],
    "focal_tversky": [f"gamma={gamma}, smooth={smooth}" for gamma in (0.01, 0.5, 1, 3.5) for smooth in (0, 1)],
    "frequency_ce": ["power=0.5"],
    "generalized_dice": [
        "weight=simple, per=batch, smooth=1", "weight=uniform, include_background=false",
        "include_background=false, per=batch",
    ],
    "hinge": ["margin=0.2"],
    "huber": ["delta=1e-30", "delta=0.3", "delta=1e4"],
    "iou": ["smooth=0", "smooth=0, per=batch"],
    "iou_coef": ["smooth=0, per=batch"],
    "log_cosh_dice": ["smooth=0, per=batch"],
    "lovasz": ["per=batch", "classes=all"],
    "mcc": ["per=image"],
    "nt_xent": ["temperature=0.05"],
    "barlow_twins": ["redundancy=0.4"],
    "normalized_focal": ["gamma=0.5"],
    "precision": ["smooth=0, per=batch"],
    "quality_focal": ["beta=0.5"],
    "recall": ["smooth=0, per=batch"],
    "reduced_focal": ["gamma=0.5, threshold=0.2"],
    "sensitivity_specificity": ["balance=1, per=batch"],
    "smooth_l1": ["beta=0", "beta=1e-30", "beta=0.3"],
    "topk_ce": ["share=0.6"],
    "tversky": ["smooth=0", "fp_weight=0.2, fn_weight=5, smooth=0, per=batch"],
    "unified_focal": ["gamma=0.9, delta=0.2, smooth=0, per=batch"],
    "wasserstein_dice": [f"distances={DISTANCES}", f"distances={DISTANCES}, smooth=0, per=batch"],
    "wing": ["width=0.3, curvature=2"],
}  # fmt: skip
WITH_PARAMETERS = [f"lossdsl.{name}({arguments})" for name, rows in CALLS.items() for arguments in rows]


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", lossdsl.testing.names("lossdsl"))
def test_it_conforms(name: str) -> None:
    lossdsl.testing.check_loss(name)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("call", WITH_PARAMETERS)
def test_it_conforms_with_parameters(call: str) -> None:
    # The best prediction of a smoothed label is that label.
    rules = [rule for rule in VALUES if rule != "best" or "label_smoothing" not in call]
    lossdsl.testing.check_loss(call, rules=rules)


def test_exceptions_are_few() -> None:
    """Each is a property that the loss has by its definition, and says why."""
    with lossdsl.testing.registry(installed=False):
        losses = default_registry().built_ins()
    found = {(loss.name, word) for loss in losses for word, _ in loss.documentation.exceptions}
    assert {word for _, word in found} <= {"reductions", "mask_anywhere", "best", "worse"}
    assert len(found) < len(losses) / 4
