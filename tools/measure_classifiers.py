"""Measure the small classifiers of notebook 02 with several seeds, by running its own cells.

    python -m tools.measure_classifiers --work WORK

The notebook trains each small variant once; this repeats its cells ``fit`` for more seeds, on the
same renders of ``mini_earth``, and writes ``data/measured/small_classifiers.csv``. What is in the
table already with the same settings is kept, so that a stopped run goes on where it was.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import torch

from course_utils import metrics
from tools import training
from tools.training import REPO

NOTEBOOK = REPO / "notebooks" / "02_image_classification.ipynb"
LAST_CELL = "02-short-fit"  # defines ``fit``; what comes before is run, the pictures left out
COLUMNS = (
    *("model", "start", "mean", "low", "high", "seeds", "num_test", "per_class", "num_steps"),
    *("data", "command", "commit", "machine"),
)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    table = REPO / "data" / "measured" / "small_classifiers.csv"
    names = ("work", "table", "seeds", "threads")
    parser = training.make_parser(__doc__, names, table=table, seeds=5)
    parser.add_argument("--models", nargs="+", help="names in the notebook's LINE; default all")
    return parser.parse_args(argv)


def run_cells(notebook: Path, work: Path) -> dict[str, Any]:
    """Run the notebook's definitions and data; give its names.

    Cells with a figure or a widget are left out: they show what the others made.
    """
    os.environ |= {"COURSE_CACHE": str(work / "cache"), "COURSE_OUT": str(work / "out")}
    os.environ |= {"COURSE_PROFILE": "mini", "COURSE_DATA": "", "COURSE_SEED": "0"}
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in nbformat.read(notebook, as_version=4).cells:
        is_shown = any(word in cell.source for word in ("plots.", "widgets."))
        if cell.cell_type == "code" and (not is_shown or "def " in cell.source):
            lines = [line for line in cell.source.splitlines() if not line.startswith("%")]
            exec(compile("\n".join(lines), cell.id, "exec"), names)
        if cell.id == LAST_CELL:
            return names
    raise ValueError(f"{notebook.name} has no cell {LAST_CELL}, which defines how to train")


def measure(names: dict[str, Any], job: tuple[str, str], num_seeds: int) -> dict[str, object]:
    """Train one variant with every seed, and bound its test accuracy."""
    model, start = job
    make = getattr(names["LINE"][model], "small" if start == "random weights" else "trained")
    correct = [names["fit"](make, seed)[1] for seed in range(num_seeds)]
    found = metrics.crossed_interval(torch.stack(correct).double(), ends=(0, 1))
    return {
        "model": model,
        "start": start,
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "seeds": num_seeds,
        "num_test": len(names["test_y"]),
        "per_class": len(names["train_y"]) // names["num_classes"],
        "num_steps": names["NUM_STEPS"],
        "data": names["data"].name,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every variant that is not in the table yet."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    names = run_cells(NOTEBOOK, args.work)
    said = ("work", "models", "seeds")
    origin = training.origin(training.command_line("measure_classifiers", args, said))
    rows = training.read_rows(args.table)
    jobs = [(name, "random weights") for name in args.models or names["LINE"]]
    jobs += [(name, "pretrained") for name in names["PRETRAINED"] if (name, jobs[0][1]) in jobs]
    for job in jobs:
        if any((row["model"], row["start"]) == job for row in rows):
            continue
        rows.append(measure(names, job, args.seeds) | origin)
        training.write_rows(args.table, COLUMNS, rows)
        training.say(f"{' from '.join(job)}: {rows[-1]['mean']:.3f}")


if __name__ == "__main__":
    main()
