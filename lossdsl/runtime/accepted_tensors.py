"""Which tensors a loss accepts, which of them it can look at, and DTensors, which are gathered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn

from lossdsl.errors import Diagnostic, InputError

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


def is_spread(value: Any) -> bool:
    """Whether a value is a DTensor. Asked by its method: torch.distributed may not be part of a build of torch."""
    return isinstance(value, Tensor) and hasattr(value, "full_tensor")


def gathered(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call with whole tensors in the place of those that are spread. The gradient is spread again.

    Raises InputError when only some are spread: how the others are to be cut is not known.
    """
    if not any(is_spread(value) for argument in given.values() for value in _values(argument)):
        return dict(given)
    check_together({name: value for name, argument in given.items() for value in _values(argument)})
    return {name: _whole(argument) for name, argument in given.items()}


def _values(argument: Any) -> Sequence[Any]:
    return argument if isinstance(argument, (list, tuple)) else [argument]


def _whole(argument: Any) -> Any:
    if isinstance(argument, (list, tuple)):
        return [_whole(value) for value in argument]
    return argument.full_tensor() if is_spread(argument) else argument


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_DTYPES = frozenset((*FLOATS, *INTEGERS, torch.bool))
_LONGEST = 40
_ORDINARY = {Tensor, nn.Parameter, type(None)}


def check_kind(name: str, value: Any) -> None:
    """Raise InputError unless a value is a dense tensor."""
    if not isinstance(value, Tensor):
        raise _fault("LD501", f"`{name}` is {type(value).__name__}, not a torch tensor", _tensor_of(name, value))
    if isinstance(value, torch.masked.MaskedTensor):
        hint = f"pass {name}.get_data(), and mask={name}.get_mask()"
        raise _fault("LD501", f"`{name}` is a MaskedTensor", hint)
    if value.is_nested:
        hint = f"torch.nested.to_padded_tensor({name}, 0) pads it to one size; exclude the padding with mask="
        raise _fault("LD501", f"`{name}` is nested: its samples have different sizes", hint)
    if value.layout is not torch.strided:
        raise _fault("LD501", f"`{name}` has the layout {value.layout}, not torch.strided", f"{name}.to_dense()")


def check_dtype(name: str, value: Tensor) -> None:
    """Raise InputError unless torch computes with the dtype of a tensor."""
    if value.dtype not in _DTYPES:
        raise _fault("LD503", f"`{name}` has dtype {value.dtype}", _computable(name, value))


def of_one_type(values: Sequence[Any]) -> bool:
    """Whether one type answers for all tensors.

    torch refuses to compute with two that know nothing of each other, such as images and masks of torchvision.
    """
    kinds = {*map(type, values)} - _ORDINARY
    if len(kinds) < 2 and not kinds & {list, tuple}:
        return True
    return len({type(tensor) for tensor in _tensors(values) if _is_only_a_name(type(tensor))}) < 2


def without_types(value: Any) -> Any:
    """A tensor, or a list of tensors, as plain ones; the memory and the gradient stay."""
    if isinstance(value, (list, tuple)):
        return [without_types(item) for item in value]
    return value.as_subclass(Tensor) if isinstance(value, Tensor) and _is_only_a_name(type(value)) else value


def check_together(inputs: Mapping[str, Any]) -> None:
    """Raise InputError when some tensors of a call that failed are of a kind that only works with its own."""
    kinds = {name: type(value) for name, value in inputs.items() if isinstance(value, Tensor)}
    plain = next((name for name, kind in kinds.items() if not _has_its_own_way(kind)), None)
    other = next((name for name, kind in kinds.items() if _has_its_own_way(kind)), None)
    if plain is None or other is None:
        return
    message = f"`{other}` is a {kinds[other].__name__}, `{plain}` is not"
    hint = "pass tensors of one kind; convert a DTensor with full_tensor(), or the others with distribute_tensor(...)"
    if other.startswith("learned "):
        hint = 'FSDP gathers learned numbers only in forward; call register_fsdp_forward_method(loss, "breakdown")'
    raise _fault("LD501", message, hint)


def _fault(code: str, message: str, hint: str | None) -> InputError:
    return InputError([Diagnostic(code, message, hint=hint)])


def _tensor_of(name: str, value: Any) -> str | None:
    """What to pass instead of something that is no tensor."""
    if isinstance(value, Number):
        if name in ("pred", "target", "mask"):
            return None
        return f"write a constant in the formula, and pass a number that changes as torch.tensor({_short(value)})"
    inside = [place for place, item in _items(value) if isinstance(item, Tensor)]
    if inside:
        return f"pass one of its tensors: {', '.join(f'{name}{place}' for place in inside[:4])}"
    if hasattr(value, "__array__") or isinstance(value, (list, tuple)):
        return f"torch.as_tensor({name})"
    return None


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """What a mapping, a sequence or an object holds, each with how it is written after its name."""
    if isinstance(value, Mapping):
        yield from ((f"[{_short(key)}]".replace("'", '"'), item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif hasattr(value, "__dict__"):
        yield from ((f".{key}", item) for key, item in vars(value).items() if not key.startswith("_"))


def _short(value: object) -> str:
    """A value as it is written, where that is short: Python refuses to write whole numbers of many digits."""
    try:
        written = repr(value)
    except Exception:
        return "..."
    return written if len(written) <= _LONGEST else "..."


def _computable(name: str, value: Tensor) -> str | None:
    if value.is_quantized:
        return f"{name}.dequantize()"
    if value.is_complex():
        return None
    return f"{name}.float()" if value.is_floating_point() else f"{name}.long()"


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield value


def _is_only_a_name(kind: type) -> bool:
    """Whether a subclass holds its numbers as every tensor does, and only says more about them."""
    return kind not in _ORDINARY and not _has_its_own_way(kind)


def _has_its_own_way(kind: Any) -> bool:
    """Whether a subclass computes by itself, as those of tensors on many machines do."""
    return kind.__torch_dispatch__ is not Tensor.__torch_dispatch__
