"""Peak memory of a training step beside its inputs, in gradient tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_in_gradients(step: Callable[[], torch.Tensor]) -> float:
    """The most memory that is held at once during a step, divided by the size of the gradient that it returns."""
    gradient = step()
    size = gradient.numel() * gradient.element_size()
    del gradient
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return (torch.cuda.max_memory_allocated() - before) / size
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        step()
    return _most(found) / size


def _most(found: profile) -> int:
    """The largest running sum of what was allocated and freed."""
    held = most = 0
    assert found.profiler is not None
    for event in sorted(found.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most
