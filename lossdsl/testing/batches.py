"""Small inputs to try losses on: random, at the edges, perfect, and worse and worse. Layout (batch, class, pixel)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from lossdsl.tasks import TaskRecord, task_record

BATCH = 3
ADVERSARIAL = (0.0, 1e-8, 17.0, -17.0, 37.0, -37.0, 100.0, -100.0, 1e4, -1e4)
LOGITS = (0.0, 20.0, -20.0, 100.0, 1e4, -1e4)
PROBABILITIES = (0.0, 1e-8, 1 - 1e-8, 1.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """How a loss is called. target: `hard`, or `soft` for class probabilities in a multiclass task."""

    task: str
    input: str
    target: str = "hard"
    several: int = 3
    pixels: int = 6

    @property
    def record(self) -> TaskRecord:
        return task_record(self.task)

    @property
    def classes(self) -> int:
        return 1 if self.record.has_one_class else self.several

    def __str__(self) -> str:
        return f"task={self.task}, input={self.input}" + ", soft target" * (self.target == "soft")


@dataclass(frozen=True, slots=True)
class Batch:
    """A call: the prediction as the setting wants it, the target, and tensors by name."""

    pred: Tensor
    target: Tensor
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def __str__(self) -> str:
        named = {"pred": self.pred, "target": self.target, **self.tensors}
        return "\n".join(f"{name} = {_written(tensor)}" for name, tensor in named.items())

    def picked(self, images: Tensor, pixels: Tensor) -> Batch:
        """Some images and pixels alone."""
        tensors = {name: tensor[images][..., pixels] for name, tensor in self.tensors.items()}
        return Batch(self.pred[images][..., pixels], self.target[images][..., pixels], tensors)

    def kept(self, counts: Tensor) -> Batch:
        """What counts alone: images of which something does, with the same number of pixels in each."""
        images = counts.any(1).nonzero().flatten().tolist()

        def of(tensor: Tensor) -> Tensor:
            return torch.stack([tensor[image][..., counts[image]] for image in images])

        return Batch(of(self.pred), of(self.target), {name: of(tensor) for name, tensor in self.tensors.items()})

    def to(self, dtype: torch.dtype) -> Batch:
        target = self.target.to(dtype) if self.target.is_floating_point() else self.target
        return Batch(self.pred.to(dtype), target, {name: tensor.to(dtype) for name, tensor in self.tensors.items()})


def _written(tensor: Tensor) -> str:
    values = tensor.detach()
    return f"{values.tolist()}  # {str(values.dtype).removeprefix('torch.')}"


def random_batch(
    setting: Setting, named: frozenset[str], seed: int, *, scale: float = 1.0, adversarial: bool = False
) -> Batch:
    """Numbers of both signs and every class, the same for the same seed; `adversarial` ones saturate every function."""
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCH, setting.classes, setting.pixels)
    z = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    if adversarial:
        special = torch.tensor(ADVERSARIAL, dtype=torch.float64)
        z = special[torch.randint(len(ADVERSARIAL), shape, generator=generator)]
    target = _target(setting, shape, generator, scale)
    tensors = {
        name: torch.rand((shape[0], 1, shape[2]), generator=generator, dtype=torch.float64) + 0.1
        for name in sorted(named)
    }
    return Batch(_as_given(setting, z), target, tensors)


def _target(setting: Setting, shape: tuple[int, int, int], generator: torch.Generator, scale: float) -> Tensor:
    if not setting.record.has_labels:
        return torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    if setting.target == "soft":
        return torch.randn(shape, generator=generator, dtype=torch.float64).softmax(1)
    if setting.record.indices:
        index = torch.randint(0, shape[1], (shape[0], shape[2]), generator=generator)
        index[:, : shape[1]] = torch.arange(shape[1])[: shape[2]]
        return index
    labels = (torch.rand(shape, generator=generator) < 0.5).double()
    labels[..., 0], labels[..., -1] = 1, 0
    return labels


def _as_given(setting: Setting, z: Tensor) -> Tensor:
    if setting.input == "logits":
        return z
    return z.softmax(1) if setting.record.is_exclusive else z.sigmoid()


def holding(batch: Batch, counts: Tensor, number: float) -> Batch:
    """The number in the place of all that does not count; class indices stay."""
    hidden = ~counts.unsqueeze(1)
    target = batch.target.masked_fill(hidden, number) if batch.target.is_floating_point() else batch.target
    return replace(batch, pred=batch.pred.masked_fill(hidden, number), target=target)


def labels_of(setting: Setting, target: Tensor) -> Tensor:
    """The target laid out as the prediction."""
    if setting.record.indices and setting.target == "hard":
        return functional.one_hot(target, setting.classes).movedim(-1, 1).double()
    return target.double()


def perfect(setting: Setting, batch: Batch) -> Batch:
    """The prediction that is the target; logits are saturated."""
    return off_target(setting, batch, 0.0)


def off_target(setting: Setting, batch: Batch, share: float) -> Batch:
    """A prediction as far from the target as `share` says: 0 is right, 1 is wrong everywhere."""
    labels = labels_of(setting, batch.target)
    if not setting.record.has_labels:
        direction = torch.linspace(0.5, 2, labels.numel(), dtype=torch.float64).reshape(labels.shape)
        return replace(batch, pred=labels + share * direction)
    others = (1 - labels) / (setting.classes - 1 if setting.record.is_exclusive else 1)
    p = (1 - share) * labels + share * others
    if setting.input == "probs":
        return replace(batch, pred=p)
    tiny = 1e-300
    z = p.clamp_min(tiny).log() if setting.record.is_exclusive else (p + tiny).log() - (1 - p + tiny).log()
    return replace(batch, pred=z.clamp(-1e4, 1e4))


def edges(setting: Setting, named: frozenset[str]) -> Iterator[Batch]:
    """Saturated predictions against empty, full and one-pixel targets: one image in float32, two in float64."""
    for pred in _edge_predictions(setting):
        for target in _edge_targets(setting, pred):
            tensors = {name: torch.ones(len(pred), 1, pred.shape[2], dtype=torch.float64) for name in sorted(named)}
            yield Batch(pred, target, tensors).to(torch.float32 if len(pred) == 1 else torch.float64)


def _edge_predictions(setting: Setting) -> Iterator[Tensor]:
    """One class at a number, and all numbers side by side: each image alone, then both."""
    numbers = LOGITS if setting.input == "logits" else PROBABILITIES
    shape = (2, setting.classes, setting.pixels)
    for number in numbers:
        pred = torch.full(shape, 0.0 if setting.input == "logits" else (1 - number) / 2, dtype=torch.float64)
        pred[:, 0] = number
        yield from (pred[:1], pred)
    count = shape[0] * shape[1] * shape[2]
    mixed = torch.tensor(numbers, dtype=torch.float64).repeat(count // len(numbers) + 1)[:count].reshape(shape)
    if setting.input == "probs" and setting.record.is_exclusive:
        mixed = (mixed + 1e-30) / (mixed + 1e-30).sum(1, keepdim=True)
    yield from (mixed[:1], mixed)


def _edge_targets(setting: Setting, pred: Tensor) -> Iterator[Tensor]:
    if setting.target == "soft":
        yield torch.full_like(pred, 1 / pred.shape[1])
    elif setting.record.indices:
        index = torch.zeros(pred.shape[0], pred.shape[2], dtype=torch.long)
        yield from (index, index + 2, index.index_fill(1, torch.tensor([index.shape[1] - 1]), 1))
    else:
        one = torch.zeros_like(pred)
        one[0, 0, -1] = 1
        yield from (torch.zeros_like(pred), torch.ones_like(pred), one)
