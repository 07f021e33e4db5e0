"""What a kernel must leave as it finds it: the settings of torch, and the tensors that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from math import isnan
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossdsl.runtime.accepted_tensors import can_be_read

_AUTOCAST = ("cpu", "cuda")
_LEFT_OUT: ContextVar[bool] = ContextVar("left_out", default=False)


@contextmanager
def unwatched() -> Iterator[None]:
    """No kernel is watched inside. For the kit, whose rules say more of what a loss does wrong."""
    token = _LEFT_OUT.set(True)
    try:
        yield
    finally:
        _LEFT_OUT.reset(token)


def is_watched() -> bool:
    return not _LEFT_OUT.get()


class _Setting(NamedTuple):
    """A setting of torch that others rely on. put_back: None where it cannot be set without other effects."""

    name: str
    read: Callable[[], Any]
    put_back: Callable[[Any], object] | None


def _autocast() -> tuple[tuple[bool, torch.dtype], ...]:
    return tuple((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in _AUTOCAST)


def _set_autocast(states: tuple[tuple[bool, torch.dtype], ...]) -> None:
    for kind, (enabled, dtype) in zip(_AUTOCAST, states, strict=True):
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device == torch.device("cpu") else device)


_SETTINGS = (
    _Setting("the grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
    _Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Setting("the default device", torch.get_default_device, _set_default_device),
    _Setting("autocast", _autocast, _set_autocast),
    _Setting("the number of threads", torch.get_num_threads, torch.set_num_threads),
    _Setting(
        "the precision of matrix products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    _Setting(
        "whether algorithms are deterministic",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    _Setting("the seed of random numbers", torch.initial_seed, None),
)


def settings() -> tuple[Any, ...]:
    """The settings of torch that a kernel must not change."""
    return tuple(setting.read() for setting in _SETTINGS)


def put_back(before: tuple[Any, ...]) -> str:
    """Put back what was changed, and say what it was; empty when nothing was."""
    changed = []
    for setting, old, new in zip(_SETTINGS, before, settings(), strict=True):
        if new != old:
            changed.append(f"changed {setting.name} from {old} to {new}")
            if setting.put_back:
                setting.put_back(old)
    return " and ".join(changed)


def marks(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, float]]:
    """For each tensor what tells that it was written to: torch's count of that, and on a CPU the sum of its values,
    which also shows what was written past torch."""
    return {name: (_version(tensor), _sum(tensor)) for name, tensor in tensors.items()}


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _sum(tensor: Tensor) -> float:
    if not tensor.is_cpu or not can_be_read(tensor):
        return 0.0
    total = float(tensor.detach().sum(dtype=torch.float64))
    return 0.0 if isnan(total) else total  # a NaN is equal to nothing


def written_to(before: Mapping[str, tuple[int, float]], tensors: Mapping[str, Tensor]) -> str:
    """The first tensor that is not as it was; empty when all are."""
    after = marks(tensors)
    return next((name for name, mark in before.items() if after[name] != mark), "")


def not_finite(result: Tensor, tensors: Mapping[str, Tensor], counts: Tensor | None, infinite: bool) -> str:
    """`nan`, `inf` or `-inf` where a result has one that none of the tensors has; empty when all is well.

    counts: the elements of the result that count, None for all of them. infinite: whether infinity is a right value.
    """
    result = result.detach()
    wrong = result.isnan() if infinite else ~result.isfinite()
    if counts is not None:
        wrong = wrong & counts
    if not wrong.any() or not all(bool(tensor.detach().isfinite().all()) for tensor in tensors.values()):
        return ""
    return f"{result[wrong][0].item():g}"
