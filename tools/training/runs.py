"""From a script's options to its files, for the models that see UC Merced and renders."""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import mini_earth
from tools.training.data import (
    Captioned,
    read_captioned,
    record_seen,
    refuse_test_style,
    render_views,
    split_last_tenth,
)
from tools.training.files import provenance, say, write_json
from tools.training.loop import Budget


def add_run_options(
    parser: argparse.ArgumentParser, *, name: str, minutes: float, batch: int
) -> None:
    """Add what the command lines of models that see UC Merced and renders have in common."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with train/*.parquet")
    add("--work", type=Path, required=True, help="folder for caches, checkpoints, logs")
    add("--file", nargs="+", default=["ucmerced_captions_train.parquet"], help="in DATA/train")
    add("--styles", nargs="+", default=list(mini_earth.TRAIN_STYLES), help="of mini_earth")
    add("--name", default=name, help="of the run and of the model folder")
    add("--models", type=Path, default=Path(__file__).parents[1] / "data" / "models")
    add("--export", action="store_true", help="only write the folder from the last checkpoint")
    add("--minutes", type=float, default=minutes)
    add("--steps", type=int, default=1_000_000)
    add("--batch", type=int, default=batch)
    add("--real-share", type=float, default=0.3, help="of UC Merced in a batch")
    add("--renders", type=int, default=24_000)
    add("--validation-renders", type=int, default=1_500)
    add("--learning-rate", type=float, default=1e-3)
    add("--seed", type=int, default=0)
    add("--device")
    add("--threads", type=int, default=2)
    add("--processes", type=int, default=2, help="that render at a time")


def training_files(args: argparse.Namespace) -> list[Path]:
    """List the files that a run reads."""
    return [args.data / "train" / name for name in args.file]


def load_sources(args: argparse.Namespace) -> tuple[list[Captioned], list[Captioned]]:
    """Return (training, validation): UC Merced at 96 pixels, and renders at 64.

    Raises:
        ValueError: a file is EuroSAT, or a style is not for training.
    """
    styles = refuse_test_style(args.styles)
    files = training_files(args)
    parts = [split_last_tenth(read_captioned(path, size=96)) for path in files]
    record_seen(files, args.models.parent / "train_hashes.npy")
    render = partial(render_views, styles=styles, work=args.work, processes=args.processes)
    renders, fresh = render(args.renders, seed=1), render(args.validation_renders, seed=2)
    return [*(part[0] for part in parts), renders], [*(part[1] for part in parts), fresh]


def draw_rows(
    sources: Sequence[Captioned], rng: np.random.Generator, *, batch: int, real_share: float
) -> Iterator[tuple[Captioned, np.ndarray]]:
    """Draw the rows of a batch, source by source; the renders come last and get what is left."""
    counts = [round(batch * real_share / (len(sources) - 1))] * (len(sources) - 1)
    counts.append(batch - sum(counts))
    for data, count in zip(sources, counts, strict=True):
        yield data, rng.integers(len(data), size=count)


def run_record(args: argparse.Namespace, held: Sequence[Captioned]) -> dict[str, object]:
    """Record what decided a run with the options of ``add_run_options``."""
    return provenance(
        training_files(args),
        seed=args.seed,
        batch=args.batch,
        real_share=args.real_share,
        renders=args.renders,
        styles=list(args.styles),
        learning_rate=args.learning_rate,
        num_validation={data.source: len(data) for data in held},
    )


def write_metrics(
    folder: Path, validation: dict[str, float], *, config: dict, record: dict[str, object]
) -> None:
    """Write what a card is made of, beside the checkpoint: numbers, time and provenance."""
    checkpoint = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    metrics = {
        "validation": validation,
        "config": config,
        "steps": checkpoint["step"],
        "minutes": checkpoint["used"] / 60,
        "provenance": record,
    }
    write_json(folder / "metrics.json", metrics)


def budget_of(args: argparse.Namespace) -> Budget:
    """Make the budget that the options of ``add_run_options`` ask for."""
    return Budget(
        minutes=args.minutes, steps=args.steps, learning_rate=args.learning_rate, weight_decay=0.05
    )


def run_script(
    args: argparse.Namespace,
    train: Callable[[argparse.Namespace], None],
    export: Callable[[argparse.Namespace], Path],
) -> None:
    """Train, then write the model's folder and say how large it is; or only write it."""
    torch.set_num_threads(args.threads)
    if not args.export:
        train(args)
    folder = export(args)
    say(f"wrote {folder}: {sum(p.stat().st_size for p in folder.iterdir()) / 1e6:.1f} MB")


def read_run(args: argparse.Namespace) -> tuple[dict, dict[str, Tensor]]:
    """Read (metrics, averaged weights) of a run."""
    folder = args.work / args.name
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    return metrics, state["ema"]
