"""Train the small super-resolution network that is no generator, and write its folder.

    python -m tools.train_small_sr --data DATA --work WORK --minutes 7

Ten bands of 16 x 16 become a picture of 64 x 64, by absolute error, on renders of ``mini_earth`` in
the training styles and on photographs of UC Merced. A killed run goes on where it was when the
command is given again.

Source: Lim et al. 2017 (arXiv:1707.02921); Shi et al. 2016 (arXiv:1609.05158).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from course_utils.control import SmallSR
from course_utils.images import to_unit
from tools import training
from tools.control import coarse
from tools.training import cards

SIZES = {"channels": 48, "num_blocks": 6}
NUM_POSES = 8


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = {"name": "small_sr", "minutes": 7.0, "batch": 32, "learning_rate": 2e-3}
    return coarse.make_parser(__doc__, **defaults).parse_args(argv)


def train(args: argparse.Namespace) -> None:
    """Train the network; leave its weights in WORK."""
    sources, held = coarse.load_sources(args)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        net = SmallSR(**SIZES)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        rows, real_rows = coarse.draw_batch(args, sources, rng)
        poses = dict(zip(("pose", "real_pose"), rng.integers(NUM_POSES, size=2), strict=True))
        images, bands = coarse.bands_of(sources, rows, real_rows, **poses, generator=generator)
        return (net(bands) - to_unit(images)).abs().mean(), {}

    tests = coarse.held_bands(held, 256)

    @torch.no_grad()
    def evaluate(averaged: torch.nn.Module) -> dict[str, float]:
        return {
            f"absolute error, {name}": (averaged(bands) - to_unit(images)).abs().mean().item()
            for name, (images, bands) in tests.items()
        }

    budget = training.budget_of(args, ema_decay=0.995)
    folder = args.work / args.name
    averaged = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    record = coarse.record(args, held)
    training.write_metrics(folder, record, evaluate(averaged), config=SIZES)


def write(folder: Path, state: dict[str, Tensor], config: dict) -> None:
    """Write weights, in half precision, and sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(training.halved(state), folder / "model.safetensors", metadata={"format": "pt"})
    training.write_json(folder / "config.json", config)


def card(name: str, metrics: dict, millions: float) -> str:
    """Compose the card."""
    header = ("held out", "absolute error of 1")
    return cards.card("small_sr", metrics, header=header, name=name, millions=millions)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then write the folder."""
    training.run_script(parse(argv), train, lambda args: training.export_run(args, write, card))


if __name__ == "__main__":
    main()
