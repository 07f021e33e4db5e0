"""Train a small U-Net to find grey matter in MRI slices, with a loss that is a formula in a config file.

    python examples/train_segmentation.py
    python examples/train_segmentation.py --loss "bce + 2*tversky(fn_weight=0.7)"

The images are the MNI ICBM152 T1 template and its grey-matter map, both inside the `nilearn` package: nothing is
downloaded. lossdsl is used in two places: `read_loss` turns text into a loss, `train` asks it for its parts.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
HIT, MISSED, EXTRA = "#2a9d8f", "#e63946", "#f4c430"
Curves = dict[str, list[float]]  # for each term, and for "total", one value per training step


def main() -> int:
    arguments = parse_arguments()
    try:
        run(arguments)
    except lossdsl.LossError as error:  # a wrong formula: the message says what, where and how to mend it
        print(error, file=sys.stderr)
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small U-Net on MRI slices with a loss written as a formula.")
    parser.add_argument("--config", type=Path, default=HERE / "brain_mri.yaml", help="the experiment, loss included")
    parser.add_argument("--loss", metavar="FORMULA", help="use this formula instead of the one in the config")
    parser.add_argument("--epochs", type=int, help="train this long instead of what the config says")
    parser.add_argument("--output", type=Path, default=HERE / "output" / "brain_mri.png", help="the picture to write")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    loss = read_loss(arguments.config, arguments.loss)
    config = yaml.safe_load(arguments.config.read_text(encoding="utf-8"))
    epochs = arguments.epochs or config["epochs"]
    torch.manual_seed(config["seed"])

    slices = load_slices(**config["data"])
    model = UNet(**config["model"])
    console.print(
        f"{len(slices.train)} slices to train on, {len(slices.held_out)} held out; "
        f"a U-Net with {sum(p.numel() for p in model.parameters()):,} parameters"
    )

    before = dice_scores(predict(model, slices.held_out), slices.held_out)
    console.print(f"Dice on held-out slices before: {before.mean():.3f}")
    curves = train(model, loss, slices.train, epochs=epochs, console=console, **config["optimizer"])
    prediction = predict(model, slices.held_out)
    after = dice_scores(prediction, slices.held_out)
    console.print(f"Dice on held-out slices after:  {after.mean():.3f}")

    draw(slices.held_out, prediction, curves, epochs, arguments.output)
    console.print(f"picture: {arguments.output}")


def read_loss(config: Path, formula: str | None) -> lossdsl.Loss:
    """The loss from the config file, or from the command line."""
    if formula is not None:
        return lossdsl.compile(formula, task="binary")
    return lossdsl.load(config, key="loss", task="binary")


# ---------------------------------------------------------------------------------------------------------- the data


@dataclass(frozen=True)
class Slices:
    """Pairs of image and truth, each (1, height, width); the truth is 1 in grey matter and 0 elsewhere."""

    train: TensorDataset
    held_out: TensorDataset


def load_slices(resolution: int, size: list[int], held_out: list[list[float]], gap: float) -> Slices:
    """Axial slices of the T1 template that contain grey matter, split into train and held-out.

    Neighbouring slices of one brain look nearly the same, so a random split would test on what was trained on.
    Instead whole slabs are held out, and slices closer than `gap` millimetres to a slab are in neither part. At a
    distance of 6 mm the grey matter of two slices overlaps with a Dice of 0.64: copying does not get far.
    """
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template  # slow: only once the loss is fine

    template = load_mni152_template(resolution)
    image = axial(template.get_fdata(), size)
    truth = (axial(load_mni152_gm_template(resolution).get_fdata(), size) > 0.5).float()
    z = template.affine[2, 2] * torch.arange(len(image)) + template.affine[2, 3]  # millimetres

    tissue = truth.mean(dim=(1, 2, 3)) > 0.01
    test = torch.zeros_like(tissue)
    near = torch.zeros_like(tissue)
    for low, high in held_out:
        test |= (z >= low) & (z <= high)
        near |= (z > low - gap) & (z < high + gap)
    return Slices(
        train=TensorDataset(image[tissue & ~near], truth[tissue & ~near]),
        held_out=TensorDataset(image[tissue & test], truth[tissue & test]),
    )


def axial(volume: Any, size: list[int]) -> Tensor:
    """Axial slices (slice, 1, height, width) of a volume (x, y, z), cut to `size` around the middle, nose up."""
    slices = torch.as_tensor(volume, dtype=torch.float32).permute(2, 1, 0).flip(1).unsqueeze(1)
    top, left = ((have - want) // 2 for have, want in zip(slices.shape[2:], size, strict=True))
    return slices[:, :, top : top + size[0], left : left + size[1]].contiguous()


# --------------------------------------------------------------------------------------------------------- the model


class UNet(nn.Module):
    """A U-Net that gives one logit per pixel."""

    def __init__(self, channels: list[int]):
        super().__init__()
        pairs = list(zip(channels, channels[1:], strict=False))
        self.first = convolutions(1, channels[0])
        self.down = nn.ModuleList(convolutions(fine, coarse) for fine, coarse in pairs)
        self.up = nn.ModuleList(convolutions(coarse + fine, fine) for fine, coarse in reversed(pairs))
        self.last = nn.Conv2d(channels[0], 1, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        features = [self.first(image)]
        for down in self.down:
            features.append(down(nn.functional.max_pool2d(features[-1], 2)))
        x = features.pop()
        for up in self.up:
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = up(torch.cat([x, features.pop()], dim=1))
        return self.last(x)


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


# -------------------------------------------------------------------------------------------------------- the training


def train(
    model: nn.Module, loss: lossdsl.Loss, data: TensorDataset, *, epochs: int, lr: float, batch_size: int, console: Console
) -> Curves:
    """Train `model` in place; returns what each term of the loss contributed at each step."""
    loader = DataLoader(data, batch_size=batch_size, shuffle=True)
    parameters = [*model.parameters(), *loss.parameters()]  # a formula may have learned scalars
    optimizer = torch.optim.AdamW(parameters, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
    curves: Curves = defaultdict(list)

    model.train()
    with progress_bar(console) as progress:
        bar = progress.add_task("epoch", total=epochs * len(loader), terms="")
        for epoch in range(epochs):
            progress.update(bar, description=f"epoch {epoch + 1}/{epochs}")
            for image, truth in loader:
                parts = loss.breakdown(model(image), truth, epoch=epoch)
                optimizer.zero_grad()
                parts.total.backward()
                optimizer.step()
                schedule.step()

                for name, term in parts.terms.items():
                    curves[name].append(term.contribution.item())
                curves["total"].append(parts.total.item())
                progress.update(bar, advance=1, terms=describe(curves, last=1))
            console.print(f"epoch {epoch + 1:>{len(str(epochs))}}/{epochs}   {describe(curves, last=len(loader))}")
    return curves


def progress_bar(console: Console) -> Progress:
    """Shown in a terminal only; a log file gets the line per epoch."""
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[terms]}", markup=False)
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def describe(curves: Curves, last: int) -> str:
    """The mean over the last steps, as in `0.412 = 0.212 bce + 0.200 dice`."""
    mean = {name: sum(values[-last:]) / last for name, values in curves.items()}
    total = mean.pop("total")
    return f"{total:.3f} = " + " + ".join(f"{value:.3f} [{name}]" for name, value in mean.items())


@torch.no_grad()
def predict(model: nn.Module, data: TensorDataset) -> Tensor:
    """1 where the model sees grey matter, 0 elsewhere."""
    model.eval()
    return torch.cat([(model(image) > 0).float() for image, _ in DataLoader(data, batch_size=8)])


def dice_scores(prediction: Tensor, data: TensorDataset) -> Tensor:
    """The Dice score of each slice."""
    truth = data.tensors[1]
    overlap = (prediction * truth).sum(dim=(1, 2, 3))
    return 2 * overlap / (prediction.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3)))


# -------------------------------------------------------------------------------------------------------- the picture


def draw(data: TensorDataset, prediction: Tensor, curves: Curves, epochs: int, output: Path) -> None:
    """The held-out slice of median Dice with its truth and prediction, and the curve of each term."""
    scores = dice_scores(prediction, data)
    chosen = int(scores.argsort()[len(scores) // 2])
    image, truth, guess = (tensor[chosen, 0].numpy() for tensor in (*data.tensors, prediction))

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    panels = figure.subplot_mosaic([["image", "truth", "prediction"], ["curve"] * 3], height_ratios=[1.5, 1])
    for name in ("image", "truth", "prediction"):
        panels[name].imshow(image, cmap="gray", vmin=0, vmax=1)
        panels[name].set_axis_off()
    panels["image"].set_title("T1 image, held out")
    panels["truth"].set_title("grey matter: truth")
    paint(panels["truth"], truth, HIT)
    panels["prediction"].set_title(f"grey matter: prediction, Dice {scores[chosen]:.3f}")
    paint(panels["prediction"], guess * truth, HIT, label="right")
    paint(panels["prediction"], truth * (1 - guess), MISSED, label="missed")
    paint(panels["prediction"], guess * (1 - truth), EXTRA, label="too much")
    panels["prediction"].legend(loc="lower right", ncols=3, fontsize="small", handlelength=0.8, columnspacing=1)
    draw_curves(panels["curve"], curves, epochs)

    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130)


def paint(panel: Axes, where: np.ndarray, color: str, label: str | None = None) -> None:
    """Lay a colour over the pixels that are 1."""
    panel.imshow(where, cmap=ListedColormap([color]), alpha=0.75 * where)
    if label:
        panel.scatter([], [], marker="s", color=color, label=label)  # an entry for the legend


def draw_curves(panel: Axes, curves: Curves, epochs: int) -> None:
    """Each term's contribution: every step faint, the mean of each epoch on top."""
    for name, values in curves.items():
        style = {"color": "black", "linewidth": 2.5} if name == "total" else {"linewidth": 1.8}
        steps = np.reshape(values, (epochs, -1))
        (line,) = panel.plot(np.arange(epochs) + 0.5, steps.mean(axis=1), marker="o", label=name, **style)
        panel.plot(np.linspace(0, epochs, len(values)), values, color=line.get_color(), alpha=0.25, linewidth=1)
    panel.set(title="what each term contributes to the loss", xlabel="epoch", ylabel="contribution", xlim=(0, epochs))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)


if __name__ == "__main__":
    sys.exit(main())
