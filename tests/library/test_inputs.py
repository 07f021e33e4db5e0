"""Built-ins: a model that returns probabilities has the loss of one that returns the logits that they come from."""

from __future__ import annotations

import pytest

import lossdsl
from lossdsl.registry.discover import default_registry
from lossdsl.testing.batches import Setting, random_batch
from lossdsl.testing.subjects import subject_of

NAMES = sorted(loss.name for loss in default_registry().built_ins())
# It takes any tensor, not a prediction: of z it is the sigmoid that the user writes.
ANY_TENSOR = {"tempered_sigmoid", "lovasz_extension"}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", sorted({*NAMES} - ANY_TENSOR))
def test_the_same_for_logits_and_probabilities(name: str) -> None:
    subject = subject_of(name)
    tasks = [task for task in subject.tasks if task != "regression"]
    compared = 0
    for call in (subject.call, *subject.variants()):
        for task in tasks:
            pair = []
            for given in ("logits", "probs"):
                setting = Setting(task, given, "hard", *(subject.loss.documentation.shape or (3, 6)))
                batch = random_batch(setting, subject.tensors, 3)
                try:
                    pair.append(subject.value(setting, batch, formula=call).item())
                except lossdsl.LossError:  # no parameter of this task, or a value that the loss refuses
                    continue
            compared += len(pair) == 2
            assert len(pair) != 1
            assert pair[:1] == pytest.approx(pair[1:], rel=1e-9, abs=1e-12), (call, task)
    assert compared >= len(tasks)
