"""What an opened loss says is what the loss computes: the opened text, compiled, gives the same number."""

from __future__ import annotations

import pytest
import torch

import lossdsl
from lossdsl.api.open_losses import openings
from lossdsl.registry.discover import default_registry
from lossdsl.syntax.parse import parse
from lossdsl.syntax.printing import text

CALLS = {
    "dice": "binary",
    "dice(smooth=0, squared=true, per=batch)": "multilabel",
    "dice(include_background=false, empty=skip)": "multiclass",
    "bce": "binary",
    "bce(pos_weight=3, label_smoothing=0.1)": "multilabel",
    "ce(label_smoothing=0.1)": "multiclass",
    "focal(gamma=1, alpha=0.25)": "binary",
    "focal": "multiclass",
    "tversky(fn_weight=0.7, smooth=0)": "binary",
    "generalized_dice(weight=simple)": "multiclass",
    "focal_tversky(gamma=1)": "binary",
    "mcc": "binary",
    "huber(delta=2)": "regression",
    "combo(beta=0.3)": "binary",
}


@pytest.mark.parametrize("call", CALLS)
def test_the_opened_text_gives_the_same_number(call: str) -> None:
    task = CALLS[call]
    opening = openings([parse(call).expression], default_registry(), [call.partition("(")[0]])[0]
    case = next(case for case in opening.cases if not case.tasks or task in case.tasks)
    opened = "\n".join([*(text(binding) for binding in opening.bindings), text(case.expression)])
    generator = torch.Generator().manual_seed(7)
    channels = 1 if task == "binary" else 3
    pred = torch.randn(2, channels, 4, 4, dtype=torch.float64, generator=generator)
    target = (torch.rand(2, channels, 4, 4, dtype=torch.float64, generator=generator) > 0.6).double()
    if task == "multiclass":
        target = torch.randint(0, channels, (2, 4, 4), generator=generator)
    values = [lossdsl.compile(source, task=task)(pred, target) for source in (call, opened)]  # type: ignore[arg-type]
    torch.testing.assert_close(*values, rtol=1e-12, atol=0)
