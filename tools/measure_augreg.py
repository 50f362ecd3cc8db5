"""Measure augmentation x regularization x amount of data, as Steiner et al. 2022 did, very small.

    python -m tools.measure_augreg --work WORK

Trains ``lab.train_vit`` from scratch on 10, 40 and 160 renders a class of ``mini_earth``'s
disasters, for every pair of ``lab.AUGMENTATIONS`` and ``lab.REGULARIZATIONS``; each seed has images
of its own. All runs take the same number of steps. Nothing is chosen, so that the test images serve
as such. Writes ``data/measured/steiner.csv``, one row a run; runs of an earlier call are kept.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

import mini_earth
from course_utils import examples, lab, metrics
from course_utils.examples import Example
from course_utils.images import to_unit
from course_utils.runtime import PROFILES
from tools import training
from tools.training import options

SETTING = ("per_class", "augmentation", "regularization", "seed")
COLUMNS = (
    *SETTING,
    *("accuracy", "train_loss", "num_steps", "num_test"),
    *("world", "command", "commit", "machine"),
)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    settings = {"table": options.REPO / "data" / "measured" / "steiner.csv", "threads": 1}
    settings |= {"amounts": [10, 40, 160], "seeds": 3, "steps": 200}
    names = ("work", "num_test", *settings)
    parser = training.make_parser(__doc__, names, num_test=PROFILES["mini"].num_test, **settings)
    parser.add_argument("--pool", type=int, default=500, help="renders a class, for all seeds")
    args = parser.parse_args(argv)
    if max(args.amounts) * args.seeds > args.pool:
        parser.error("--pool: every seed needs images of its own")
    return args


def tensors(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Stack images in [0, 1], and their labels."""
    pixels = torch.from_numpy(np.stack([example.pixels for example in examples]))
    labels = torch.tensor([example.label for example in examples])
    return to_unit(pixels.permute(0, 3, 1, 2)), labels


def run_once(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    setting: tuple[int, str, str, int],
    *,
    num_steps: int,
) -> tuple[float, float]:
    """Train one network; give its accuracy, and its mean loss over the last tenth of the steps."""
    _, augmentation, regularization, seed = setting
    losses = []
    for step in lab.train_vit(
        *train,
        num_classes=int(test[1].max()) + 1,
        augmentation=lab.AUGMENTATIONS[augmentation],
        regularization=lab.REGULARIZATIONS[regularization],
        seed=seed,
        num_steps=num_steps,
    ):
        losses.append(step.loss)
    guess = lab.classify(step.net, test[0])
    return metrics.accuracy(guess, test[1]), float(np.mean(losses[-max(1, num_steps // 10) :]))


def measure(args: argparse.Namespace) -> None:
    """Train every network that the table lacks; runs of another command or world are dropped."""
    profile = replace(PROFILES["mini"], num_test=args.num_test)
    data = examples.load_examples(
        "disasters", profile=profile, per_class=args.pool, cache=args.work
    )
    num_classes, test = len(data.class_names), tensors(data.test)
    said = ("work", "amounts", "seeds", "steps", "num_test")
    same = {"command": training.command_line("measure_augreg", args, said)}
    same |= {"world": mini_earth.__version__}
    shared = training.origin(same["command"]) | same
    shared |= {"num_steps": args.steps, "num_test": len(data.test)}
    rows = [row for row in training.read_rows(args.table) if same.items() <= row.items()]
    done = {tuple(row[key] for key in SETTING) for row in rows}
    settings = product(args.amounts, lab.AUGMENTATIONS, lab.REGULARIZATIONS, range(args.seeds))
    for setting in sorted(settings, key=lambda setting: setting[3]):
        if tuple(map(str, setting)) in done:
            continue
        per_class, seed = setting[0], setting[3]
        start = seed * max(args.amounts) * num_classes
        train = tensors(data.train[start : start + per_class * num_classes])
        accuracy, loss = run_once(train, test, setting, num_steps=args.steps)
        cells = {**dict(zip(SETTING, setting, strict=True)), "accuracy": accuracy}
        rows.append(cells | {"train_loss": loss} | shared)
        training.write_rows(args.table, COLUMNS, rows)
        training.say(f"{setting}: accuracy {accuracy:.3f}, loss {loss:.3f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure everything."""
    training.run_script(parse(argv), measure)


if __name__ == "__main__":
    main()
