"""Measure augmentation x regularization x amount of data, as Steiner et al. 2022 did, very small.

    python -m tools.measure_augreg --work WORK

Trains ``lab.train_vit`` from scratch on 10, 40 and 160 renders a class of ``mini_earth``'s
disasters, for every pair of ``lab.AUGMENTATIONS`` and ``lab.REGULARIZATIONS``; each seed has images
of its own. All runs take the same number of steps. Nothing is chosen, so that the test images serve
as such. Writes ``data/measured/steiner.csv``, one row a run; runs of an earlier call are kept.
"""

import argparse
import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import mini_earth
from course_utils import examples, lab, metrics
from course_utils.examples import Example
from course_utils.images import to_unit
from course_utils.runtime import PROFILES
from tools import training
from tools.measure_text2image import commit, text_of

REPO = Path(__file__).resolve().parents[1]
AMOUNTS = (10, 40, 160)  # images a class
SETTING = ("per_class", "augmentation", "regularization", "seed")
COLUMNS = (
    *SETTING,
    *("accuracy", "train_loss", "num_steps", "num_test"),
    *("world", "command", "commit", "machine"),
)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder for renders")
    add("--table", type=Path, default=REPO / "data" / "measured" / "steiner.csv")
    add("--amounts", type=int, nargs="+", default=list(AMOUNTS))
    add("--seeds", type=int, default=3)
    add("--steps", type=int, default=200)
    add("--pool", type=int, default=500, help="renders a class; seeds take theirs one by one")
    add("--num-test", type=int, default=PROFILES["mini"].num_test)
    add("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    if max(args.amounts) * args.seeds > args.pool:
        parser.error("--pool: every seed needs images of its own")
    return args


def command(args: argparse.Namespace) -> str:
    """Say what was run, without a path of this machine."""
    amounts = " ".join(map(str, args.amounts))
    return (
        f"python -m tools.measure_augreg --work WORK --amounts {amounts} --seeds {args.seeds} "
        f"--steps {args.steps} --num-test {args.num_test}"
    )


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


def read_rows(args: argparse.Namespace) -> dict[tuple, dict[str, str]]:
    """Read the runs of an earlier call with the same command in the same world."""
    if not args.table.is_file():
        return {}
    with args.table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    same = {"command": command(args), "world": mini_earth.__version__}
    kept = [row for row in rows if all(row[key] == value for key, value in same.items())]
    return {tuple(row[key] for key in SETTING): row for row in kept}


def write_rows(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write the table as it is so far."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    training.write_bytes(path, buffer.getvalue().encode())


def measure(args: argparse.Namespace) -> list[dict[str, str]]:
    """Train every network that the table lacks."""
    profile = replace(PROFILES["mini"], num_test=args.num_test)
    data = examples.load_examples(
        "disasters", profile=profile, per_class=args.pool, cache=args.work
    )
    num_classes, test = len(data.class_names), tensors(data.test)
    done = read_rows(args)
    shared = {"num_steps": args.steps, "num_test": len(data.test), "world": mini_earth.__version__}
    shared |= {"command": command(args), "commit": commit()}
    shared |= {"machine": training.provenance([])["machine"]}
    settings = product(args.amounts, lab.AUGMENTATIONS, lab.REGULARIZATIONS, range(args.seeds))
    for setting in sorted(settings, key=lambda setting: setting[3]):
        key = tuple(map(str, setting))
        if key in done:
            continue
        per_class, seed = setting[0], setting[3]
        start = seed * max(args.amounts) * num_classes
        train = tensors(data.train[start : start + per_class * num_classes])
        accuracy, loss = run_once(train, test, setting, num_steps=args.steps)
        cells = {**dict(zip(SETTING, setting, strict=True)), "accuracy": accuracy}
        cells |= {"train_loss": loss, **shared}
        done[key] = {name: text_of(cell) for name, cell in cells.items()}
        write_rows(args.table, list(done.values()))
        training.say(f"{setting}: accuracy {accuracy:.3f}, loss {loss:.3f}")
    return list(done.values())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure everything."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    measure(args)


if __name__ == "__main__":
    main()
