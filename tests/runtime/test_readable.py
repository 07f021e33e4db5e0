"""Where values can be read, and where a tensor only stands for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from lossdsl.runtime.accepted_tensors import can_be_read

X = torch.arange(6.0).reshape(2, 3)


class Named(Tensor):
    """A subclass that only adds to Tensor, as torchvision and MONAI have them."""


def within(transform: Callable[..., Any]) -> bool:
    """What is found inside a transform. What can be read is read."""
    found = []

    def look(x: Tensor) -> Tensor:
        found.append(can_be_read(x))
        if found[-1]:
            assert x.amax().item() <= 5
        return x.sum()

    transform(look)
    return found[0]


def beside(transform: Callable[..., Any]) -> bool:
    """The same for a tensor that the transform is not about."""
    return within(lambda look: transform(lambda x: look(X) + x.sum()))


def of_fake() -> bool:
    with FakeTensorMode() as mode:
        return can_be_read(mode.from_tensor(X))


def under_fake() -> bool:
    with FakeTensorMode(allow_non_fake_inputs=True):
        return can_be_read(X)


def of_batched_derivatives() -> bool:
    """What the backward of a function is given with is_grads_batched=True."""
    found = []

    class Look(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.sum()

        @staticmethod
        def backward(ctx: Any, seed: Tensor) -> Tensor:
            found.append(can_be_read(seed))
            return seed.expand(2, 3)

    x = X.clone().requires_grad_()
    torch.autograd.grad(Look.apply(x), x, torch.ones(2), is_grads_batched=True)
    return found[0]


READ: dict[str, tuple[bool, Callable[[], bool]]] = {
    "plain": (True, lambda: can_be_read(X)),
    "integers": (True, lambda: can_be_read(X.long())),
    "a parameter": (True, lambda: can_be_read(nn.Parameter(X))),
    "a view": (True, lambda: can_be_read(X[:1].expand(4, 3))),
    "a subclass": (True, lambda: can_be_read(X.as_subclass(Named))),
    "grad": (True, lambda: within(lambda look: torch.func.grad(look)(X))),
    "jvp": (True, lambda: within(lambda look: torch.func.jvp(look, (X,), (X,)))),
    "hessian": (True, lambda: within(lambda look: torch.func.hessian(look)(X))),
    "beside grad": (True, lambda: beside(lambda look: torch.func.grad(look)(X))),
    "beside vmap": (True, lambda: beside(lambda look: torch.func.vmap(look)(X))),
    "meta": (False, lambda: can_be_read(X.to("meta"))),
    "fake": (False, of_fake),
    "under a fake mode": (False, under_fake),
    "vmap": (False, lambda: within(lambda look: torch.func.vmap(look)(X))),
    "grad in vmap": (False, lambda: within(lambda look: torch.func.vmap(torch.func.grad(look))(X))),
    "make_fx": (False, lambda: within(lambda look: make_fx(look)(X))),
    "make_fx of fake": (False, lambda: within(lambda look: make_fx(look, tracing_mode="fake")(X))),
    "beside make_fx": (False, lambda: beside(lambda look: make_fx(look)(X))),
    "batched derivatives": (False, of_batched_derivatives),
    "jit": (False, lambda: within(lambda look: torch.jit.trace(look, (X,), check_trace=False))),
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_can_be_read(kind: str) -> None:
    wanted, find = READ[kind]
    assert find() == wanted


def test_what_can_be_read_under_a_transform() -> None:
    """What is read there is the value."""
    found = []

    def look(x: Tensor, y: Tensor) -> Tensor:
        found.extend(float(value.item()) for value in (x, y) if can_be_read(value))
        return x.sum() * y.sum()

    torch.func.vmap(look, in_dims=(0, None))(X, torch.tensor(7.0))
    torch.func.grad(look)(torch.tensor(3.0), torch.tensor(7.0))
    assert found == [7, 3, 7]
