"""Train a small U-Net to find grey matter in MRI slices, with a loss that is a formula in a config file.

    python examples/train_segmentation.py
    python examples/train_segmentation.py --loss "bce + tversky(fn_weight=0.7)"

The images are the MNI ICBM152 T1 template and its grey-matter map. Both lie inside the `nilearn` package: nothing is
downloaded. lossdsl comes in at two places: `read_loss` turns text into a loss, `train` asks the loss for its parts.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import yaml
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lossdsl

HERE = Path(__file__).parent
TOTAL = "total loss"  # a name that no term can have
RIGHT, MISSED, EXTRA = "#2a9d8f", "#e63946", "#f4c430"

Curves = dict[str, list[float]]  # what each term, and TOTAL, came to at every training step


def main() -> int:
    arguments = parse_arguments()
    try:
        run(arguments)
    except lossdsl.LossError as error:  # the message says what is wrong with the formula, where, and what to do
        print(error, file=sys.stderr)
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small U-Net on MRI slices, with a loss written as a formula.")
    parser.add_argument("--config", type=Path, default=HERE / "brain_mri.yaml", help="the experiment with its loss")
    parser.add_argument("--loss", metavar="FORMULA", help="a formula to use instead of the one in the config")
    parser.add_argument("--epochs", type=int, help="how long to train, if not as long as the config says")
    parser.add_argument("--output", type=Path, default=HERE / "output" / "brain_mri.png", help="the picture to write")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    loss = read_loss(arguments.config, arguments.loss)
    config = yaml.safe_load(arguments.config.read_text(encoding="utf-8"))
    epochs = arguments.epochs or config["epochs"]
    console = Console(highlight=False, markup=False, soft_wrap=True)
    torch.manual_seed(config["seed"])
    torch.set_num_threads(1)  # more gain little on so small a network; with one, the number of cores changes no result

    console.print(f"loss: {loss.text}")
    slices = load_slices(**config["data"])
    model = UNet(**config["model"])
    size = sum(parameter.numel() for parameter in model.parameters())
    console.print(f"{len(slices.train)} slices to train on, {len(slices.held_out)} held out; {size:,} parameters")

    before = dice_scores(predict(model, slices.held_out), slices.held_out).mean()
    console.print(f"Dice on held-out slices before training: {before:.3f}")
    curves = train(model, loss, slices.train, epochs, console, **config["optimizer"])
    prediction = predict(model, slices.held_out)
    after = dice_scores(prediction, slices.held_out).mean()
    console.print(f"Dice on held-out slices after training:  {after:.3f}")

    draw(slices.held_out, prediction, curves, epochs, loss.text, arguments.output)
    console.print(f"picture: {arguments.output}")


def read_loss(config: Path, formula: str | None) -> lossdsl.Loss:
    """The loss of the command line if there is one, else that of the config file."""
    if formula is not None:
        return lossdsl.compile(formula, task="binary")
    return lossdsl.load(config, key="loss", task="binary")


# ------------------------------------------------------------------------------------------------------------ the data


@dataclass(frozen=True)
class Slices:
    """Pairs of an image and its truth, each (1, height, width); the truth is 1 in grey matter, 0 elsewhere."""

    train: TensorDataset
    held_out: TensorDataset


def load_slices(resolution: int, size: list[int], held_out: list[list[float]], gap: float) -> Slices:
    """Axial slices that contain grey matter, in two parts.

    Neighbouring slices of one brain look nearly alike, so with a random split the test would be on what was trained.
    Instead whole slabs are held out, and slices closer than `gap` millimetres to a slab are in neither part. The grey
    matter of two slices 6 mm apart overlaps with a Dice of only 0.64, so copying a neighbour does not get far.
    """
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template  # slow, so after the loss is checked

    template = load_mni152_template(resolution)
    image = axial(template.get_fdata(), size)
    truth = (axial(load_mni152_gm_template(resolution).get_fdata(), size) > 0.5).float()
    brain = image[image > 0.05]
    image = (image - brain.mean()) / brain.std()

    z = template.affine[2, 3] + template.affine[2, 2] * torch.arange(len(image))  # of each slice, in millimetres
    tissue = truth.mean(dim=(1, 2, 3)) > 0.01
    test, near = torch.zeros_like(tissue), torch.zeros_like(tissue)
    for low, high in held_out:
        test |= tissue & (low <= z) & (z <= high)
        near |= (low - gap < z) & (z < high + gap)
    train = tissue & ~near
    return Slices(TensorDataset(image[train], truth[train]), TensorDataset(image[test], truth[test]))


def axial(volume: np.ndarray, size: list[int]) -> Tensor:
    """Slices (slice, 1, height, width) of a volume (x, y, z), nose up, cut to `size` around the middle."""
    slices = torch.tensor(volume, dtype=torch.float32).permute(2, 1, 0).flip(1).unsqueeze(1)
    top, left = ((have - want) // 2 for have, want in zip(slices.shape[2:], size, strict=True))
    return slices[:, :, top : top + size[0], left : left + size[1]].contiguous()


# ----------------------------------------------------------------------------------------------------------- the model


class UNet(nn.Module):
    """A U-Net with one logit per pixel."""

    def __init__(self, channels: list[int]):
        super().__init__()
        scales = list(pairwise(channels))
        self.first = convolutions(1, channels[0])
        self.down = nn.ModuleList(convolutions(fine, coarse) for fine, coarse in scales)
        self.up = nn.ModuleList(convolutions(coarse + fine, fine) for fine, coarse in reversed(scales))
        self.last = nn.Conv2d(channels[0], 1, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        features = [self.first(image)]
        for down in self.down:
            features.append(down(nn.functional.max_pool2d(features[-1], 2)))
        x = features.pop()
        for up in self.up:
            x = nn.functional.interpolate(x, scale_factor=2)
            x = up(torch.cat([x, features.pop()], dim=1))
        logits: Tensor = self.last(x)
        return logits


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, kernel_size=3, padding=1),
        nn.ReLU(),
    )


# -------------------------------------------------------------------------------------------------------- the training


def train(
    model: UNet, loss: lossdsl.Loss, data: TensorDataset, epochs: int, console: Console, *, lr: float, batch_size: int
) -> Curves:
    """Train `model` in place, and keep what each term of the loss contributed."""
    batches = DataLoader(data, batch_size=batch_size, shuffle=True)
    steps = epochs * len(batches)
    optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=lr)  # a formula may have learned scalars
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    curves: Curves = defaultdict(list)

    with progress_bar(console) as progress:
        bar = progress.add_task("", total=steps, terms="")
        for epoch in range(epochs):
            for image, truth in batches:
                parts = loss.breakdown(model(image), truth, epoch=epoch)
                optimizer.zero_grad()
                parts.total.backward()
                optimizer.step()
                schedule.step()

                for name, term in parts.terms.items():
                    curves[name].append(term.contribution.item())
                curves[TOTAL].append(parts.total.item())
                label = f"epoch {epoch + 1:2}/{epochs}"
                progress.update(bar, advance=1, description=label, terms=describe(curves, last=1))
            console.print(f"{label}   {describe(curves, last=len(batches))}")
    return curves


def progress_bar(console: Console) -> Progress:
    """Seen in a terminal only; a log file has the line of each epoch."""
    columns = TextColumn("{task.description}"), BarColumn(14), TextColumn("{task.fields[terms]}", markup=False)
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def describe(curves: Curves, last: int) -> str:
    """The means over the last steps, such as `total loss 0.412: bce 0.212, dice 0.200`."""
    means = {name: f"{name} {np.mean(values[-last:]):.3f}" for name, values in curves.items()}
    return f"{means.pop(TOTAL)}: {', '.join(means.values())}"


@torch.no_grad()
def predict(model: UNet, data: TensorDataset) -> Tensor:
    """1 where the model sees grey matter, 0 elsewhere."""
    return torch.cat([(model(image) > 0).float() for image, _ in DataLoader(data, batch_size=8)])


def dice_scores(prediction: Tensor, data: TensorDataset) -> Tensor:
    """The Dice score of each slice."""
    truth = data.tensors[1]
    overlap = (prediction * truth).sum(dim=(1, 2, 3))
    return 2 * overlap / (prediction.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3)))


# --------------------------------------------------------------------------------------------------------- the picture


def draw(data: TensorDataset, prediction: Tensor, curves: Curves, epochs: int, formula: str, output: Path) -> None:
    """The held-out slice of median Dice with its truth and prediction, above the curve of each term."""
    scores = dice_scores(prediction, data)
    typical = int(scores.argsort()[len(scores) // 2])
    image, truth, guess = (tensor[typical, 0].numpy() for tensor in (*data.tensors, prediction))

    figure = Figure(figsize=(11, 9), layout="constrained")
    panels = figure.subplot_mosaic("ITP;CCC", height_ratios=[1.5, 1])
    titles = {"I": "T1 image, held out", "T": "truth: grey matter", "P": f"prediction: Dice {scores[typical]:.3f}"}
    for name, title in titles.items():
        panels[name].set_title(title)
        panels[name].set_axis_off()
        panels[name].imshow(image, cmap="gray")
    paint(panels["T"], truth, RIGHT, "grey matter")
    paint(panels["P"], guess * truth, RIGHT, "right")
    paint(panels["P"], (1 - guess) * truth, MISSED, "missed")
    paint(panels["P"], guess * (1 - truth), EXTRA, "too much")
    draw_curves(panels["C"], curves, epochs, formula)

    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130)


def paint(panel: Axes, where: np.ndarray, color: str, label: str) -> None:
    """Lay a colour over the pixels that are 1, and name it below the panel."""
    panel.imshow(where, cmap=ListedColormap([color]), alpha=0.75 * where)
    panel.scatter([], [], marker="s", color=color, label=label)
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False, handletextpad=0.2)


def draw_curves(panel: Axes, curves: Curves, epochs: int, formula: str) -> None:
    """What each term contributed: every step faint, the mean of each epoch strong."""
    for name, values in curves.items():
        color = "black" if name == TOTAL else None
        means = np.reshape(values, (epochs, -1)).mean(axis=1)
        (line,) = panel.plot(np.arange(epochs) + 0.5, means, "o-", color=color, linewidth=2, label=name)
        panel.plot(np.linspace(0, epochs, len(values)), values, color=line.get_color(), alpha=0.25, linewidth=1)
    panel.set_title(f"loss: {formula}", wrap=True)
    panel.set(xlabel="epoch", ylabel="contribution", xlim=(0, epochs))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)


if __name__ == "__main__":
    sys.exit(main())
