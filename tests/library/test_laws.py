"""What every built-in says of itself, and what it is at the target. All other laws are rules of lossdsl.testing, and
tests/testing puts every built-in to them."""

from __future__ import annotations

from typing import Any

import pytest

from lossdsl.registry.discover import default_registry
from lossdsl.registry.model import Loss
from lossdsl.testing.batches import perfect, random_batch
from lossdsl.testing.subjects import subject_of

BUILT_INS = default_registry().built_ins()


@pytest.mark.parametrize("loss", BUILT_INS, ids=lambda loss: loss.name)
def test_every_built_in_says_what_it_is_and_where_from(loss: Any) -> None:
    assert loss.documentation.summary
    assert loss.documentation.source
    assert loss.range.low <= loss.range.high
    assert all(parameter.interval or parameter.words for parameter in loss.parameters)


CALLS = [
    "dice(smooth=0)", "dice(squared=true, smooth=0, empty=skip)", "dice(average=micro, smooth=0)",
    "dice(include_background=false)", "dice_coef(smooth=0, per=batch)", "iou(smooth=1e-5, per=batch)",
    "generalized_dice(weight=simple, per=batch, smooth=1)", "tversky(smooth=0, fp_weight=5, fn_weight=0)",
    "focal_tversky(gamma=0.1)", "f_beta(beta=0.5, smooth=0, per=batch)", "mcc(per=image)", "bce(pos_weight=7)",
    "focal(gamma=0.3)", "smooth_l1(beta=0)", "huber(delta=1e-3)", "hinge(margin=0.2)", "lovasz(per=batch)",
    "combo(alpha=0.2, beta=0.9, smooth=0, per=batch)", "bi_tempered(t1=0.3, t2=1)", "wing(width=0.3, curvature=2)",
]  # fmt: skip
# A heavy tail leaves something of every class at each finite logit.
NEVER = {"bi_tempered"}
LEAST = {"flipped_iou": -1.0, "combo": -0.5, "combo(alpha=0.2, beta=0.9, smooth=0, per=batch)": -0.8}


def has_a_best_value(loss: Loss) -> bool:
    documentation = loss.documentation
    excepted = {word for word, _ in documentation.exceptions}
    return documentation.better != "neither" and "best" not in excepted and loss.name not in NEVER


@pytest.mark.parametrize("call", [*(loss.name for loss in BUILT_INS if has_a_best_value(loss)), *CALLS])
def test_the_target_itself_has_exactly_the_best_value(call: str) -> None:
    """0 for a loss, 1 for a score, with all classes in each image, from saturated logits and from probabilities."""
    subject = subject_of(call)
    best = 1.0 if subject.loss.documentation.better == "higher" else LEAST.get(call, 0.0)
    for setting in subject.hard_settings:
        batch = random_batch(setting, subject.tensors, 1)
        result = subject.value(setting, perfect(setting, batch)).item()
        assert result == pytest.approx(best, abs=1e-12), setting
