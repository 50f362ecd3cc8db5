"""Train a small network that reads m per pixel, cloud and season from an image.

    python -m tools.train_small_reader --work WORK --minutes 16

It judges what drawings obey, and has no part of a generator: a residual network of timm from random
weights, trained on renders of ``mini_earth`` that no generator has seen, never on a photograph or a
drawing. What it says of drawings is only worth as much as what it says of fresh renders, which is
measured here. A killed run goes on where it was when the command is given again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from scipy.stats import spearmanr
from torch import Tensor, nn

from course_utils import control
from course_utils.control import reader
from course_utils.runtime import write_atomically
from tools import training
from tools.control import adapters, views
from tools.train_small_metadata import CLOUD, draw_rows
from tools.training import cards

SEED = 13  # of its renders: no generator and no adapter has seen them
CHANNELS, STEM = (24, 48, 96, 192), 16
JITTER = 0.2  # of training.jitter_colors; 1 would bridge sensors


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = {"name": "small_reader", "minutes": 16.0, "learning_rate": 3e-3, "batch": 64}
    defaults["renders"] = 10_000
    return adapters.parse(__doc__, **defaults).parse_args(argv)


def truths(told: views.ToldViews) -> Tensor:
    """List log2 of m per pixel, cloud share and summer of views, n 3."""
    records = [control.Metadata(*row) for row in told.metadata.tolist()]
    summer = torch.tensor([control.summer_of(record) for record in records])
    return torch.stack([told.metadata[:, 2].log2(), told.metadata[:, CLOUD], summer], dim=1)


def augmented(images: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Mirror, and change the light a little; in [0, 1]."""
    pixels = images.float() / 255
    for axis in (2, 3):
        chosen = torch.from_numpy(rng.random(len(pixels)) < 0.5)[:, None, None, None]
        pixels = torch.where(chosen, pixels.flip(axis), pixels)
    return training.jitter_colors(pixels, generator, strength=JITTER)


def quality(read: dict[str, Tensor], told: views.ToldViews) -> dict[str, float]:
    """Compare what was read with the truth: rank correlation and mean absolute error."""
    size, cloud, summer = truths(told).unbind(dim=1)
    found = {"log2 m per pixel": (read["meters_per_pixel"].log2(), size)}
    found |= {"cloud share": (read["cloud_share"], cloud), "summer": (read["summer"], summer)}
    numbers = {}
    for name, (said, truth) in found.items():
        numbers[f"{name}: rank correlation"] = float(spearmanr(said, truth).statistic)
        numbers[f"{name}: mean absolute error"] = (said - truth).abs().mean().item()
    return numbers


def by_region(read: dict[str, Tensor], told: views.ToldViews) -> dict[str, float]:
    """Measure how well summer is read inside and outside of the tropics."""
    tropics = told.metadata[:, 1].abs() < 23.4
    summer, numbers = truths(told)[:, 2], {}
    for name, rows in {"the tropics": tropics, "elsewhere": ~tropics}.items():
        rank = spearmanr(read["summer"][rows], summer[rows]).statistic
        numbers[f"summer, {name}: rank correlation"] = float(rank)
    cloudy = told.metadata[:, CLOUD] > 0
    rank = spearmanr(read["cloud_share"][cloudy], told.metadata[cloudy, CLOUD]).statistic
    return numbers | {"cloud share, cloudy views: rank correlation": float(rank)}


def train(args: argparse.Namespace) -> None:
    """Train the reader; leave its weights in WORK."""
    settings = {"work": args.work, "styles": args.styles, "processes": args.processes}
    told = views.render_told(args.renders, seed=SEED, **settings)
    held = views.render_told(args.validation_renders, seed=12, **settings)
    goals = truths(told)
    mean, std = goals.mean(dim=0), goals.std(dim=0)
    cloudy = (told.metadata[:, CLOUD] > 0).nonzero()[:, 0]
    net = reader.build_reader(CHANNELS, stem=STEM)
    goals = (goals - mean) / std

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        rows = draw_rows(cloudy, len(told), rng, batch=args.batch)
        pixels = augmented(told.images[rows], rng, generator)
        errors = (reader.read_fields(net, pixels) - goals[rows]).square().mean(dim=0)
        said = dict(zip(reader.FIELDS, errors.tolist(), strict=True))
        return errors.mean(), said

    pictures = held.images.permute(0, 2, 3, 1).numpy()

    def evaluate(averaged: nn.Module) -> dict[str, float]:
        judge = reader.Reader(averaged, mean, std, args.name)
        read = reader.read_metadata(judge, pictures)
        return quality(read, held) | by_region(read, held)

    budget = training.budget_of(args, weight_decay=0.05, save_every=60.0, ema_decay=0.995)
    run = args.work / args.name
    averaged = training.fit(net, loss_at, folder=run, budget=budget, evaluate=evaluate)
    names = ("seed", "batch", "learning_rate", "styles", "renders")
    settings = {name: getattr(args, name) for name in names}
    record = training.provenance([], **settings, num_validation={"mini_earth": len(held)})
    config = {"channels": CHANNELS, "stem": STEM, "mean": mean.tolist(), "std": std.tolist()}
    training.write_metrics(run, record, evaluate(averaged), config=config)


def export(args: argparse.Namespace) -> None:
    """Write the folder from the last checkpoint."""

    def write(folder: Path, state: dict[str, Tensor], config: dict) -> None:
        write_atomically(folder / "model.safetensors", save(training.halved(state)))
        training.write_json(folder / "config.json", config)

    def card(name: str, metrics: dict, millions: float) -> str:
        header = ("field", "value")
        return cards.card("small_reader", metrics, header=header, name=name, millions=millions)

    training.export_run(args, write, card)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then write the folder."""
    training.run_script(parse(argv), train, export)


if __name__ == "__main__":
    main()
