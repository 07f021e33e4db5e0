"""Whether the values of a tensor can be read: the one question before any look at them."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

_functorch = torch._C._functorch
_PROXY = torch._C._TorchDispatchModeKey.PROXY
_FAKE = torch._C._TorchDispatchModeKey.FAKE


def can_be_read(tensor: Tensor) -> bool:
    """Whether a tensor has values that Python may read here.

    Not while something is traced or captured, not under vmap, and not those of a tensor that only describes one: meta,
    fake, or a part of a tensor on many machines.
    """
    if type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__ or tensor.is_meta:
        return False
    if torch._C._get_tracing_state() is not None or torch.compiler.is_compiling():
        return False
    if torch._C._get_dispatch_mode(_PROXY) is not None or torch._C._get_dispatch_mode(_FAKE) is not None:
        return False
    if is_one_of_several(tensor):
        return False
    while _functorch.is_functorch_wrapped_tensor(tensor):
        if not _functorch.is_gradtrackingtensor(tensor):
            return False
        tensor = _functorch.get_unwrapped(tensor)
    return not tensor.is_cuda or not torch.cuda.is_current_stream_capturing()


def is_one_of_several(tensor: Tensor) -> bool:
    """Whether a tensor stands for several, as the derivatives with `is_grads_batched=True` do."""
    return torch._C._dispatch_keys(tensor).has("Batched")


def must_wait(tensor: Tensor) -> bool:
    """Whether reading the values of a tensor waits for a device that could check them by itself."""
    return not tensor.is_cpu and _asserts(tensor.device.type)


@cache
def _asserts(device: str) -> bool:
    """Whether a device can stop at a condition that is false, without the program waiting for it."""
    key = torch._C._dispatch_key_for_device(device)
    return torch._C._dispatch_has_kernel_for_dispatch_key("aten::_assert_async.msg", key)
