"""Rules for every loss as a module: dtypes, devices, shapes, copies, compilation, imports."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lossdsl.errors import LossError
from lossdsl.registry.model import Kernel, full_name
from lossdsl.testing.batches import Batch, Setting, random_batch
from lossdsl.testing.rules import FOUND, example
from lossdsl.testing.subjects import Subject

SECONDS = 2.0
"""The limit of the CPU time to load a kernel, with all imports of its module."""

_LOAD = """
import sys, time
import lossdsl
from lossdsl.registry.discover import default_registry
registry, name = default_registry(), sys.argv[1]
started = time.process_time()
registry.load(registry.candidates(name)[0])
print(time.process_time() - started, "torch" in sys.modules)
"""


def no_broadcast(subject: Subject) -> FOUND:
    """A target of another shape is an error and is never broadcast."""
    for setting in subject.settings:
        batch = random_batch(setting, subject.tensors, 19)
        for wrong in (batch.target[:1], batch.target[..., :-1] if setting.pixels > 1 else batch.target[:2]):
            try:
                result = subject.value(setting, replace(batch, target=wrong))
            except LossError:
                continue
            shapes = f"pred {tuple(batch.pred.shape)} with target {tuple(wrong.shape)}"
            yield example(subject.call, setting, batch, f"{shapes} gives {result.item()}")


def half_precision(subject: Subject) -> FOUND:
    """float16, bfloat16 and autocast are computed in float32, so value and gradient are those of float32."""
    for setting in subject.settings:
        for dtype in (torch.float16, torch.bfloat16):
            batch = random_batch(setting, subject.tensors, 23).to(dtype)
            single = batch.to(torch.float32)
            wanted, wanted_slope = subject.value_and_slope(setting, single)
            result, slope = subject.value_and_slope(setting, batch)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                inside = subject.value(setting, single)
            for got, where in ((result, f"{dtype}"), (inside, "autocast")):
                if got.dtype != torch.float32 or not torch.isclose(got, wanted, rtol=1e-4, atol=1e-6):
                    said = f"in {where} it is {got.item():g} as {got.dtype}; the same numbers in float32 give"
                    yield example(subject.call, setting, batch, f"{said} {wanted.item():g}")
            if not torch.allclose(slope, wanted_slope.to(dtype), rtol=1e-2, atol=1e-5):
                yield example(subject.call, setting, batch, "the gradient is not that of the same numbers in float32")


def dtype_and_device(subject: Subject) -> FOUND:
    """The value is a scalar with the dtype and device of the prediction."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for setting in subject.settings:
        for dtype, device in ((dtype, device) for dtype in (torch.float32, torch.float64) for device in devices):
            batch = random_batch(setting, subject.tensors, 29).to(dtype)
            moved = Batch(
                batch.pred.to(device), batch.target.to(device), {k: v.to(device) for k, v in batch.tensors.items()}
            )
            result = subject.value(setting, moved)
            if (result.dtype, result.device.type, result.ndim) != (dtype, device, 0):
                said = (
                    f"pred is {dtype} on {device}, the value {result.dtype} on {result.device} with {result.ndim} axes"
                )
                yield example(subject.call, setting, batch, said)


def inputs_unchanged(subject: Subject) -> FOUND:
    """The inputs are not modified."""
    for setting in subject.settings:
        batch = random_batch(setting, subject.tensors, 31)
        named = {"pred": batch.pred, "target": batch.target, **batch.tensors}
        before = {name: (tensor.clone(), tensor._version) for name, tensor in named.items()}
        shown = str(batch)
        subject.value(setting, batch)
        for name, tensor in named.items():
            old, version = before[name]
            if tensor._version != version or not torch.equal(tensor, old):
                yield f"{subject.call} ({setting})\n{shown}\n`{name}` was written to"


def no_state(subject: Subject) -> FOUND:
    """The value only depends on the call: other calls do not change it, and the module has no state."""
    for setting in subject.settings:
        module = subject.compiled(subject.call, setting)
        first, second = (random_batch(setting, subject.tensors, seed) for seed in (37, 41))
        before, _, after = (subject.value(setting, batch) for batch in (first, second, first))
        if not torch.equal(before, after):
            said = f"it is {before.item():.12g}, and {after.item():.12g} after another call"
            yield example(subject.call, setting, first, said)
        if module.state_dict():
            yield example(subject.call, setting, first, f"it has a state: {', '.join(module.state_dict())}")


def stored(subject: Subject) -> FOUND:
    """A pickled and restored loss, and a copy, gives the same value."""
    for setting in list(subject.settings)[:1]:
        batch = random_batch(setting, subject.tensors, 43)
        wanted = subject.value(setting, batch)
        module = subject.compiled(subject.call, setting)
        file = io.BytesIO()
        try:
            torch.save(module, file)
            file.seek(0)
            read = torch.load(file, weights_only=False)
        except Exception as cause:  # whatever a function that cannot be pickled raises
            yield example(subject.call, setting, batch, f"it cannot be pickled: {cause!r}")
            continue
        for other in (read, copy.deepcopy(module)):
            result = other(batch.pred, batch.target, **batch.tensors)
            if not torch.equal(result, wanted):
                yield example(subject.call, setting, batch, f"it is {wanted.item()}, its copy {result.item()}")


def full_graph(subject: Subject) -> FOUND:
    """torch.compile compiles it to a single graph with the same value and gradient, also with a mask."""
    takes_mask = isinstance(subject.loss, Kernel) and subject.loss.takes_mask
    for setting in list(subject.hard_settings)[:1]:
        batch = random_batch(setting, subject.tensors, 47)
        for counts in (None, torch.arange(setting.pixels) % 2 == 0)[: 1 + takes_mask]:
            wanted, slope = subject.value_and_slope(setting, batch, mask=counts)
            try:
                result, compiled_slope = _compiled_whole(subject, setting, batch, counts)
            except Exception as cause:  # torch has many
                said = f"torch.compile(fullgraph=True) fails: {str(cause).strip().splitlines()[0]}"
                yield example(subject.call, setting, batch, said)
                continue
            if not (torch.allclose(result, wanted) and torch.allclose(compiled_slope, slope)):
                yield example(
                    subject.call, setting, batch, f"it is {wanted.item():.12g}, compiled {result.item():.12g}"
                )


def _compiled_whole(subject: Subject, setting: Setting, batch: Batch, counts: Tensor | None) -> tuple[Tensor, Tensor]:
    torch._dynamo.reset()  # every loss is the same class to dynamo, which gives up after a number of kinds of one
    # Of a kernel the backward pass is traced too, which takes longer. Formulas are made of operations that are known.
    backend = "aot_eager" if isinstance(subject.loss, Kernel) else "eager"
    module: Any = torch.compile(subject.compiled(subject.call, setting), fullgraph=True, backend=backend)
    leaf = batch.pred.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dynamo warns about what it does itself
        result = module(leaf, batch.target, mask=counts, **batch.tensors)
    if not result.requires_grad:
        return result, torch.zeros_like(leaf)
    (slope,) = torch.autograd.grad(result, leaf, allow_unused=True)
    return result.detach(), torch.zeros_like(leaf) if slope is None else slope


def import_cost(subject: Subject) -> FOUND:
    """Loading a kernel is fast and does not import torch, which `lossdsl check` relies on."""
    loss = subject.loss
    if not isinstance(loss, Kernel) or not loss.provider.installed:
        return
    told = _loading(loss.provider.entry_point.partition(":")[0], full_name(loss), tuple(sys.path))
    yield from (f"{subject.call}\n{said}" for said in told)


@cache
def _loading(module: str, name: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The result is cached for all kernels of a module."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in path if entry)}
    done = subprocess.run([sys.executable, "-c", _LOAD, name], env=environment, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        return (f"a process of its own cannot load it: {done.stderr.strip().splitlines()[-1]}",)
    seconds, torch_too = done.stdout.split()[-2:]
    found = []
    if torch_too == "True":
        found.append(f"importing {module} imports torch: import it in the functions that need it")
    if float(seconds) > SECONDS:
        found.append(f"importing {module} takes {float(seconds):.1f} s of CPU time, more than {SECONDS:g}")
    return tuple(found)
