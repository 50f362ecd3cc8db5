"""From a script's options to its files, for the models that ship."""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_utils.runtime import write_atomically
from tools.training.data import (
    Captioned,
    read_captioned,
    record_seen,
    refuse_test_style,
    render_both,
    split_last_tenth,
)
from tools.training.files import provenance, say, say_numbers, write_json
from tools.training.loop import Budget, step_draws

DECISIVE = ("stage", "seed", "batch", "real_share", "renders", "styles", "learning_rate")


def training_device(args: argparse.Namespace) -> torch.device:
    """Return the asked-for device, else a GPU if there is one."""
    return torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def budget_of(args: argparse.Namespace, **settings: object) -> Budget:
    """Make the budget that the options ask for."""
    asked = {"minutes": args.minutes, "steps": args.steps, "learning_rate": args.learning_rate}
    return Budget(**asked, **settings)


# --- What is seen -----------------------------------------------------------------------------


def load_sources(
    args: argparse.Namespace, *, allow_eurosat: bool = False, disaster_share: float = 0.5
) -> tuple[list[Captioned], list[Captioned]]:
    """Return (training, validation): each file, UC Merced at 96 pixels, then renders at 64."""
    refuse_test_style(args.styles)
    files, parts = _files(args), []
    for path in files:
        size = 64 if "eurosat" in path.name else 96
        data = read_captioned(path, size=size, allow_eurosat=allow_eurosat)
        parts.append(split_last_tenth(data))
    record_seen(files, args.models.parent / "train_hashes.npy")
    parts.append(render_both(args, disaster_share=disaster_share))
    return [past for past, _ in parts], [held for _, held in parts]


def _files(args: argparse.Namespace) -> list[Path]:
    return [args.data / "train" / name for name in args.file]


def draw_rows(
    sources: Sequence[Captioned], rng: np.random.Generator, *, batch: int, real_share: float
) -> Iterator[tuple[Captioned, np.ndarray]]:
    """Draw the rows of a batch, source by source; the renders come last and get what is left."""
    counts = [round(batch * real_share / (len(sources) - 1))] * (len(sources) - 1)
    counts.append(batch - sum(counts))
    for data, count in zip(sources, counts, strict=True):
        yield data, rng.integers(len(data), size=count)


def draw_pairs(
    args: argparse.Namespace,
    sources: Sequence[Captioned],
    step: int,
    *,
    look: Callable[[Captioned, np.ndarray, torch.Generator], Tensor],
    say_of: Callable[[Captioned, int, np.random.Generator], str],
) -> tuple[Tensor, list[str], list[str]]:
    """Draw a step's views in [0, 1], a caption of each, and their labels.

    ``look`` draws views of some rows, ``say_of`` says something of one; renders come last.
    """
    rng, generator = step_draws(args.seed, step)
    images, captions, labels = [], [], []
    for data, rows in draw_rows(sources, rng, batch=args.batch, real_share=args.real_share):
        images.append(look(data, rows, generator))
        captions += [say_of(data, i, rng) for i in rows]
        labels += [data.labels[i] for i in rows]
    return torch.cat(images), captions, labels


# --- What is left -----------------------------------------------------------------------------


def run_record(args: argparse.Namespace, held: Sequence[Captioned]) -> dict[str, object]:
    """Record what decided a run."""
    settings = {key: value for key, value in vars(args).items() if key in DECISIVE}
    num_validation = {data.source: len(data) for data in held}
    return provenance(_files(args), **settings, num_validation=num_validation)


def write_metrics(
    folder: Path, record: dict, validation: dict[str, float], *, run: Path | None = None, **more
) -> None:
    """Write what a card is made of into ``metrics.json``: numbers, time and provenance.

    The checkpoint is in ``run``, if not in ``folder``; ``more`` is what else has to be known.
    """
    checkpoint = read_checkpoint(run or folder)
    metrics = {
        "validation": validation,
        **more,
        "steps": checkpoint["step"],
        "minutes": checkpoint["used"] / 60,
        "provenance": record,
    }
    say_numbers(f"{folder.name} at the end", validation)
    write_json(folder / "metrics.json", metrics)


def read_checkpoint(folder: Path) -> dict:
    """Read the last checkpoint of a run; ``ema`` are the averaged weights."""
    return torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)


def export_run(
    args: argparse.Namespace,
    write: Callable[[Path, dict[str, Tensor], dict], None],
    card: Callable[[str, dict, float], str],
) -> None:
    """Write a model's folder from the last checkpoint, with the run's tokenizer if it has one.

    ``write`` puts averaged weights and their configuration into a folder; ``card`` composes the
    card from the name, the metrics and the million weights.
    """
    folder, run = args.models / args.name, args.work / args.name
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    state = read_checkpoint(run)["ema"]
    write(folder, state, metrics.get("config", {}))
    for path in (run / "tokenizer").glob("*"):
        write_atomically(folder / path.name, path.read_bytes())
    millions = sum(value.numel() for value in state.values()) / 1e6
    write_atomically(folder / "README.md", card(args.name, metrics, millions).encode())
    say(f"wrote {folder}: {sum(p.stat().st_size for p in folder.iterdir()) / 1e6:.1f} MB")


def run_script(
    args: argparse.Namespace,
    work: Callable[[argparse.Namespace], object],
    export: Callable[[argparse.Namespace], object] | None = None,
) -> None:
    """Do a script's work, then write what is shipped; with ``--export`` only write it."""
    torch.set_num_threads(args.threads)
    if not vars(args).get("export"):
        work(args)
    if export:
        export(args)
