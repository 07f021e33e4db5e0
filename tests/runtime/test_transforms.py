"""Formulas with masks, ignored labels, class weights, heads, outputs at several scales, learned numbers and schedules
under the transforms and modes of torch that a training program may put around them."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, func
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.multiprocessing.spawn import spawn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import lossdsl

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]


@dataclass(frozen=True)
class Case:
    """A formula, how it is compiled, and what is passed beside pred and target."""

    text: str
    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    named: tuple[str, ...] = ()

    def loss(self) -> Any:
        return lossdsl.compile(self.text, task=self.task, **self.options).double()

    def batch(self, seed: int = 0, samples: int = 2) -> tuple[Tensor, Tensor, dict[str, Any]]:
        random = torch.Generator().manual_seed(seed)
        sizes = (samples, 1 if self.task == "binary" else 3, 4, 5)

        def normal(shape: tuple[int, ...] = sizes) -> Tensor:
            return torch.randn(shape, generator=random, dtype=torch.float64)

        labels = torch.randint(0, 3, (samples, 4, 5), generator=random)
        given: dict[str, Any] = {
            "mask": torch.rand(samples, 4, 5, generator=random) < 0.7,
            "epoch": 3,
            "aux": normal((samples, sizes[1], 2, 3)),
            "aux_target": (torch.rand(samples, sizes[1], 2, 3, generator=random) < 0.5).double(),
            "w": torch.rand(samples, 4, 5, generator=random, dtype=torch.float64),
        }
        target = {
            "multiclass": labels,
            "regression": normal(),
            "binary": (torch.rand(sizes, generator=random) < 0.4).double(),
            "multilabel": (torch.rand(sizes, generator=random) < 0.4).double(),
        }[self.task]
        if "ignore_index" in self.options:
            target = target.masked_fill(torch.rand(target.shape, generator=random) < 0.2, 255)
        return normal(), target, {name: given[name] for name in self.named}


CASES = (
    Case("0.5*bce + 0.5*(-log(1 - dice))", "binary", named=("mask",)),
    Case("0.5*ce(label_smoothing=0.1) + exp_log", "multiclass", {"ignore_index": 255}),
    Case("ce + focal(gamma=0.5) + dice(per=batch)", "multiclass", {"class_weight": [0.2, 0.3, 0.5]}, ("mask",)),
    Case("bce + 0.4*bce(aux, aux_target)", "multilabel", named=("aux", "aux_target")),
    Case("mean(w*bce(reduction=none)) + sqrt(dice)", "binary", named=("w",)),
    Case("s = learn(0.4)\nt = learn(-1)\nexp(-s)*bce + s + mean(iou(reduction=none)**exp(t))", "binary"),
    Case("min(1, epoch/10)*mse + huber + log(1 + l1)", "regression", named=("epoch",)),
    Case("topk(ce(reduction=none), share=0.5) + lovasz", "multiclass", {"class_weight": [1, 2, 3]}),
    Case("mean(local_mean(p, size=3)*y) + bce", "binary", named=("mask",)),
    Case("generalized_dice + kl + js", "multiclass"),
)
EACH = pytest.mark.parametrize("case", CASES, ids=[str(index) for index in range(len(CASES))])


def _gradient(case: Case, pred: Tensor, target: Tensor, given: Mapping[str, Any]) -> Tensor:
    leaf = pred.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(case.loss()(leaf, target, **given), leaf)
    return found


def _of(case: Case, seed: int = 0) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """The loss as a function of the prediction alone, the prediction, and the gradient there."""
    loss, (pred, target, given) = case.loss(), case.batch(seed)
    return lambda x: loss(x, target, **given), pred, _gradient(case, pred, target, given)


def _close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.sampled(5)
@EACH
def test_gradcheck(case: Case) -> None:
    """Forward mode, batched gradients and second derivatives, against differences."""
    function, pred, _ = _of(case)
    leaf = pred.requires_grad_()
    assert gradcheck(
        function, leaf, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True, atol=1e-6
    )
    assert gradgradcheck(function, leaf, check_batched_grad=True, atol=1e-5)


@EACH
def test_jacobians(case: Case) -> None:
    function, pred, wanted = _of(case)
    _close(func.jacrev(function)(pred), wanted)
    _close(func.jacfwd(function)(pred), wanted)
    second = func.hessian(function)(pred)
    _close(second, torch.autograd.functional.hessian(function, pred, vectorize=True))
    _close(second, torch.autograd.functional.hessian(function, pred))


@pytest.mark.sampled(5)
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")  # torch's own, of linearize
@EACH
def test_linearize(case: Case) -> None:
    function, pred, wanted = _of(case)
    value, product = func.linearize(function, pred)
    _close(value, function(pred))
    _close(product(pred), (wanted * pred).sum())


@EACH
def test_dual_numbers(case: Case) -> None:
    function, pred, wanted = _of(case)
    with forward_ad.dual_level():
        _, slope = forward_ad.unpack_dual(function(forward_ad.make_dual(pred, torch.ones_like(pred))))
    _close(slope, wanted.sum())


@EACH
def test_per_sample_gradients(case: Case) -> None:
    """Each sample as a batch of one, as differential privacy and influence functions do; twice mapped too."""
    loss, (pred, target, given) = case.loss(), case.batch(samples=4)
    along = {name: 0 if isinstance(value, Tensor) else None for name, value in given.items()}

    def of_one(x: Tensor, y: Tensor, rest: dict[str, Any]) -> Tensor:
        return loss(x[None], y[None], **{name: v[None] if isinstance(v, Tensor) else v for name, v in rest.items()})

    of_each = func.vmap(func.grad(of_one), in_dims=(0, 0, along))
    found = of_each(pred, target, given)
    for index in range(4):
        one = {name: v[index : index + 1] if isinstance(v, Tensor) else v for name, v in given.items()}
        _close(found[index], _gradient(case, pred[index : index + 1], target[index : index + 1], one)[0])
    pairs = [tensor.unflatten(0, (2, 2)) for tensor in (pred, target)]
    of_pairs = {name: v.unflatten(0, (2, 2)) if isinstance(v, Tensor) else v for name, v in given.items()}
    _close(func.vmap(of_each, in_dims=(0, 0, along))(*pairs, of_pairs).flatten(0, 1), found)


def test_an_ensemble_of_learned_numbers() -> None:
    loss, (pred, target, _) = CASES[5].loss(), CASES[5].batch()
    names = [name for name, _ in loss.named_parameters()]
    several = {name: torch.linspace(-1, 1, 3, dtype=torch.float64) for name in names}

    def value(parameters: dict[str, Tensor]) -> Tensor:
        shaped = {name: parameters[name].reshape(loss.get_parameter(name).shape) for name in names}
        result: Tensor = func.functional_call(loss, shaped, (pred, target))
        return result

    found = func.vmap(func.grad(value))(several)
    for index in range(3):
        loss.load_state_dict({name: several[name][index].reshape(loss.get_parameter(name).shape) for name in names})
        slopes = torch.autograd.grad(loss(pred, target), [*loss.parameters()])
        for name, slope in zip(names, slopes, strict=True):
            _close(found[name][index], slope.reshape(()))


@EACH
@pytest.mark.parametrize("first", ["first call", "later call"])
def test_checkpoint(case: Case, first: str) -> None:
    loss, (pred, target, given) = case.loss(), case.batch()
    if first == "later call":
        loss(pred, target, **given)
    leaf = pred.clone().requires_grad_()
    checkpoint(loss, leaf, target, use_reentrant=False, **given).backward()
    assert leaf.grad is not None
    _close(leaf.grad, _gradient(case, pred, target, given))


@EACH
def test_modes_around_a_call(case: Case) -> None:
    function, pred, wanted = _of(case)
    value = function(pred)
    for mode in (torch.no_grad(), torch.inference_mode(), FlopCounterMode(display=False)):
        with mode:
            _close(function(pred), value)
    modes = (
        lambda: torch.autograd.graph.save_on_cpu(),
        lambda: torch.autograd.set_detect_anomaly(mode=True),
        lambda: torch.autograd.graph.allow_mutation_on_saved_tensors(),
    )
    for around in modes:
        leaf = pred.clone().requires_grad_()
        with warnings.catch_warnings(), around():
            warnings.simplefilter("ignore", UserWarning)  # that anomalies are looked for
            function(leaf).backward()
        assert leaf.grad is not None
        _close(leaf.grad, wanted)


@pytest.fixture
def mesh(tmp_path: Path) -> Any:
    """One process as a group of its own."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@EACH
def test_distributed_tensors(case: Case, mesh: Any) -> None:
    """The whole batch on one process, as a replica and as its only shard."""
    pred, target, given = case.batch()
    wanted = _gradient(case, pred, target, given)
    for placement in (Replicate(), Shard(0)):

        def spread(tensor: Tensor, placement: Any = placement) -> Tensor:
            return distribute_tensor(tensor, mesh, [placement])

        leaf = spread(pred).requires_grad_()
        rest = {name: spread(v) if isinstance(v, Tensor) else v for name, v in given.items()}
        loss = case.loss()
        value = loss(leaf, spread(target), **rest)
        value.backward()
        assert isinstance(leaf.grad, DTensor)
        _close(leaf.grad.full_tensor(), wanted)
        _close(loss.breakdown(leaf, spread(target), **rest).total, value)


def test_a_distributed_tensor_beside_a_plain_one(mesh: Any) -> None:
    pred, target, _ = CASES[0].batch()
    with pytest.raises(lossdsl.InputError, match=r"LD501.*`pred` is a DTensor, `target` is not"):
        CASES[0].loss()(distribute_tensor(pred, mesh, [Shard(0)]), target)


def _one_of_two(rank: int, address: str, results: Any) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    found = []
    for case in CASES[:4]:
        pred, target, given = case.batch(samples=3)  # 2 samples here, 1 there
        leaf = distribute_tensor(pred, mesh, [Shard(0)]).requires_grad_()
        rest = {name: distribute_tensor(v, mesh, [Shard(0)]) for name, v in given.items()}
        value = case.loss()(leaf, distribute_tensor(target, mesh, [Shard(0)]), **rest)
        value.backward()
        assert isinstance(leaf.grad, DTensor)
        found.append((value.detach(), leaf.grad.full_tensor()))
    results[rank] = found
    dist.destroy_process_group()


@pytest.mark.long
def test_shards_on_two_processes(tmp_path: Path) -> None:
    """Each rank has the value and gradient of the whole batch."""
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        spawn(_one_of_two, (f"file://{tmp_path / 'group'}", results), nprocs=2)
        for found in results.values():
            for case, (value, slope) in zip(CASES[:4], found, strict=True):
                pred, target, given = case.batch(samples=3)
                _close(value, case.loss()(pred, target, **given))
                _close(slope, _gradient(case, pred, target, given))
        assert len(results) == 2


@EACH
def test_a_compiled_loss_under_transforms(case: Case) -> None:
    """Nothing is compiled there: transforms of torch do not go through a compiled function."""
    loss = lossdsl.compile(case.text, task=case.task, backend="inductor", **case.options).double()
    pred, target, given = case.batch()
    found = func.grad(lambda x: loss(x, target, **given))(pred)
    _close(found, _gradient(case, pred, target, given))


@pytest.mark.parametrize(
    "text", ["bce", "bce - log(1 - dice)", "log(1 + dice)", "sqrt(dice)", "dice**0.3", "focal_tversky"]
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_the_precision_of_tangents(text: str, dtype: torch.dtype) -> None:
    """That of the value. (Torch itself makes that of `0.5*x` double precision where x has no axes.)"""
    pred, target = torch.randn(2, 1, 4, 4).to(dtype), (torch.rand(2, 1, 4, 4) < 0.4).float()
    loss = lossdsl.compile(text, task="binary")
    value, slope = func.jvp(lambda x: loss(x, target), (pred,), (pred,))
    assert (value.dtype, slope.dtype) == (torch.float32, torch.float32)
