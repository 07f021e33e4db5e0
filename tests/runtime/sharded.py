"""What test_learned.py runs in processes: a model with a loss inside, sharded in every way, trained for three steps.

python sharded.py WORLD FOLDER compares each way with the same training on one process, and prints the ways.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import Replicate, distribute_tensor
from torch.testing import assert_close

import lossdsl

TEXT = "s = learn(0.25)\nt = learn(-1)\nexp(-s)*ce + s + exp(-t)*dice + t"
CPU = torch.device("cpu")


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(2, 3, 1)
        self.loss = lossdsl.compile(TEXT, task="multiclass", class_weight=[1, 2, 3])

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        value: Tensor = self.loss(self.net(x), y)
        return value


def made() -> Model:
    torch.manual_seed(1)
    return Model()


def of_whole(model: Model, mesh: Any) -> nn.Module:
    fully_shard(model, mesh=mesh)
    return model


def of_loss(model: Model, mesh: Any) -> nn.Module:
    fully_shard(model.loss, mesh=mesh)
    return of_whole(model, mesh)


def first(model: Model, _: Any) -> nn.Module:
    return FullyShardedDataParallel(model, use_orig_params=True, device_id=CPU)


def first_flat(model: Model, _: Any) -> nn.Module:
    return FullyShardedDataParallel(model, use_orig_params=False, device_id=CPU)


def first_of_loss(model: Model, _: Any) -> nn.Module:
    model.loss = FullyShardedDataParallel(model.loss, use_orig_params=True, device_id=CPU)
    return model


WAYS: list[Callable[[Model, Any], nn.Module]] = [of_whole, of_loss, first, first_flat, first_of_loss]


def trained(model: nn.Module, batch: tuple[Tensor, Tensor]) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.01)
    values = []
    for _ in range(3):
        optimizer.zero_grad()
        value = model(*batch)
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values


def main(rank: int, world: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    torch.manual_seed(0)
    batch = torch.randn(4, 2, 5, 5), torch.randint(3, (4, 5, 5))
    mesh = init_device_mesh("cpu", (world,))
    wanted = trained(made(), batch)
    for way in WAYS:
        assert_close(trained(way(made(), mesh), batch), wanted)
    names = [name for name, _ in made().named_parameters()]
    model = made()
    of_loss(model, mesh)
    assert [name for name, _ in model.named_parameters()] == names

    # A breakdown, which is no forward, and the state that others may load.
    register_fsdp_forward_method(model.loss, "breakdown")
    logits = torch.randn(4, 3, 5, 5)
    parts = model.loss.breakdown(logits, batch[1])
    assert_close(parts.total, made().loss(logits, batch[1]))
    assert parts.terms["s"].value.shape == ()
    full = {name: value.full_tensor() for name, value in model.state_dict().items()}
    made().load_state_dict(full)

    # Kinds that do not go together are told.
    parts_of_it = made().loss
    fully_shard(parts_of_it, mesh=mesh)
    whole = lossdsl.compile("ce + dice", task="multiclass")
    spread = distribute_tensor(logits, mesh, [Replicate()])
    for call, words in (
        (lambda: parts_of_it.breakdown(logits, batch[1]), "register_fsdp_forward_method"),
        (lambda: whole(spread, batch[1]), "`pred` is a DTensor, `target` is not"),
    ):
        with pytest.raises(lossdsl.InputError, match=words):
            call()

    # Made where nothing has values.
    with torch.device("meta"):
        empty = Model()
    fully_shard(empty, mesh=mesh)
    empty.to_empty(device="cpu")
    empty.loss.reset_parameters()
    assert [p.full_tensor().item() for p in empty.loss.parameters()] == [0.25, -1]
    assert empty.loss.class_weight.tolist() == [1, 2, 3]
    with torch.device("meta"):
        empty = Model()
    wrapped = FullyShardedDataParallel(empty, use_orig_params=True, device_id=CPU)
    with FullyShardedDataParallel.summon_full_params(wrapped):
        assert [p.item() for p in empty.loss.parameters()] == [0.25, -1]
    dist.barrier()
    dist.destroy_process_group()
    if rank == 0:
        print(len(WAYS), "ways")


if __name__ == "__main__":
    arguments = (int(sys.argv[1]), sys.argv[2])
    if arguments[0] == 1:
        main(0, *arguments)
    else:
        mp.spawn(main, arguments, nprocs=arguments[0])
