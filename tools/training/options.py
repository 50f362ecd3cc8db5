"""Command lines: the options that tools have in common, and a command as a table says it."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mini_earth

REPO = Path(__file__).resolve().parents[2]
UC_MERCED, EUROSAT = "ucmerced_captions_train.parquet", "eurosat_spatial_train.parquet"
OPTIONS: dict[str, dict[str, Any]] = {
    "data": {"type": Path, "required": True, "help": "folder with train/*.parquet"},
    "work": {"type": Path, "required": True, "help": "folder for all that is kept for later"},
    "file": {"nargs": "+", "default": [UC_MERCED], "help": "in DATA/train"},
    "styles": {"nargs": "+", "default": list(mini_earth.TRAIN_STYLES), "help": "of mini_earth"},
    "name": {"help": "of the run and of the model folder"},
    "models": {"type": Path, "default": REPO / "data" / "models"},
    "export": {"action": "store_true", "help": "only write the folder from the last checkpoint"},
    "minutes": {"type": float},
    "steps": {"type": int, "default": 1_000_000},
    "batch": {"type": int},
    "learning_rate": {"type": float, "default": 1e-3},
    "real_share": {"type": float, "default": 0.3, "help": "of UC Merced in a batch"},
    "renders": {"type": int, "default": 48_000},
    "validation_renders": {"type": int, "default": 1_500},
    "seed": {"type": int, "default": 0},
    "device": {},
    "threads": {"type": int, "default": 2},
    "processes": {"type": int, "default": 2, "help": "that render at a time"},
    "clip": {"default": "small_clip", "help": "an artifact of the lock or an open_clip folder"},
    "table": {"type": Path, "help": "where the numbers go"},
    "amounts": {"type": int, "nargs": "+", "help": "real images a class"},
    "num_test": {"type": int, "help": "test images"},
    "seeds": {"type": int},
    "per_class": {"type": int, "default": 100, "help": "drawings"},
}
RENDERS = ("styles", "renders", "validation_renders", "processes")
RUN = ("work", "minutes", "steps", "batch", "learning_rate", "seed", "device", "threads")
SHIPPED = ("data", "file", "name", "models", "export", *RUN, *RENDERS)  # a model that ships


def make_parser(doc: str, names: Iterable[str], **defaults: object) -> argparse.ArgumentParser:
    """Make the parser of a script, by its docstring, with these options of ``OPTIONS``."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name in names:
        parser.add_argument("--" + name.replace("_", "-"), **OPTIONS[name])
    parser.set_defaults(**defaults)
    return parser


def command_line(
    script: str, args: argparse.Namespace, names: Iterable[str], **said: object
) -> str:
    """Say what was run, without a path of this machine.

    Args:
        script: of ``tools``.
        args: its options.
        names: those to say; one that is None is left out.
        said: what stands in for the value of an option.
    """
    values = {**vars(args), "data": "DATA", "work": "WORK", **said}
    words = ["python", "-m", f"tools.{script}"]
    for name in names:
        if (value := values[name]) is not None:
            parts = value if isinstance(value, list) else [value]
            texts = [f"{part:g}" if isinstance(part, float) else str(part) for part in parts]
            words += ["--" + name.replace("_", "-"), *texts]
    return " ".join(words)
