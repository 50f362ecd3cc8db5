"""Measure the final lab with more images than a notebook can wait for: whole new pools, all arms.

    python -m tools.measure_lab --work WORK --pools 10 --arms real+synthetic retrieval

In the notebook all seeds share one pool of drawings, most arms are compared at 4 shots only, and
one generator is adapted. Here every seed has a whole pool of its own (``--pools`` as many as
``--seeds``), so that the interval allows for another pool too, and every arm is compared at all
shots with all seeds. Sentences, guided drawings, adapted generators and augmented copies are made
anew for each seed; ``retrieval`` takes images that the generator was trained on at random, and
`retrieval_nearest` those nearest to the text. All else is the lab's: cells, settings by arm,
intervals, verdicts.

Writes its rows of ``data/measured/lab.csv``, which supersedes ``generator_use.csv`` there: that one
was measured before the lab was rebuilt. What is finished is kept in WORK, so a run that was stopped
goes on where it was. By default the test part is not read: one half of the validation part chooses
settings, the other judges.

Source:
    He et al. 2023 (arXiv:2210.07574), section 4; Geng et al. 2024 (arXiv:2406.05184), retrieval.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import torch
from torch import Tensor

from course_utils import examples, lab, zero_shot
from course_utils.lab import Bank, Cell, Fit, Grid
from course_utils.lab.design import CURVE, DRAWN
from course_utils.lab.results import Part as JudgedBy
from course_utils.runtime import DISASTERS, PROFILES, xbd_folder
from tools import training
from tools.lab_images import BY_SHOTS, MAKERS, TEMPLATES, Bench, Part, load_model, make_part
from tools.training import options

PROFILE = PROFILES["mini"]
NEAREST = "retrieval_nearest"
SOURCES: Mapping[str, str] = MappingProxyType(  # of what an arm adds to the real images
    {
        **dict.fromkeys(("synthetic", *CURVE), "drawn"),
        **DRAWN,
        "retrieval": "random",
        NEAREST: "retrieved",
        "augmented": "augmented",
    }
)
ARMS = (*lab.ARMS, NEAREST)
BASELINES = ("zero_shot", "real")  # always measured
COLUMNS = (
    *("task", "evaluate", "arm", "generator", "shots", "pools", "seeds", "accuracy", "low", "high"),
    *("gain", "gain_low", "gain_high", "p_holm", "verdict", "steps", "learning_rate", "by_seed"),
    *("num_judged", "per_class", "fingerprint", "model", "command", "commit", "machine"),
)
GAIN = ("gain", "gain_low", "gain_high", "p_holm", "verdict")
KEY = COLUMNS[:7]  # a later run replaces these rows


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    table = options.REPO / "data" / "measured" / "lab.csv"
    names = ("work", "clip", "table", "seeds", "threads")
    parser = training.make_parser(__doc__, names, table=table, seeds=10)
    add = parser.add_argument
    add("--task", choices=("eurosat", DISASTERS), default="eurosat")
    add("--evaluate", choices=get_args(JudgedBy), default="validation")
    add("--pools", type=int, help="1, which all seeds share, or one a seed (default)")
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=", ".join(ARMS))
    add("--shots", type=int, nargs="+", default=list(lab.SHOTS), help="real images a class")
    add("--generators", nargs="+", default=list(PROFILE.pool_generators), help="of the lock")
    args = parser.parse_args(argv)
    args.pools = args.pools or args.seeds
    if args.pools not in (1, args.seeds):
        parser.error(f"--pools is 1 or as many as seeds, {args.seeds}: got {args.pools}")
    return args


def set_up(args: argparse.Namespace) -> Bench:
    """Load data and classifier, and declare the grid."""
    xbd = xbd_folder() if args.task == DISASTERS else None
    data = examples.load_lab(
        PROFILE, data=None if args.task == "eurosat" else args.task, xbd=xbd, cache=args.work
    )
    clip = zero_shot.load_clip(args.clip, device="cpu")
    grid = lab.plan_grid(PROFILE, data, seed=0)
    if too_many := sorted(set(args.shots) - set(grid.shots)):
        raise ValueError(f"--shots: expected some of {grid.shots}, got {too_many}")
    seeds = tuple(range(args.seeds))
    grid = replace(
        grid, generators=tuple(args.generators), shots=tuple(sorted({*args.shots})), seeds=seeds
    )
    for note in (*data.notes, *grid.notes):
        training.say(note)
    weights = zero_shot.class_weights(clip, data.phrases, TEMPLATES)
    return Bench(args.work, data, grid, clip, weights)


def plan_parts(args: argparse.Namespace, grid: Grid) -> list[Part]:
    """List what is to be made, the cheapest kinds first."""
    wanted = {SOURCES[arm] for arm in args.arms if arm in SOURCES}
    if args.task != DISASTERS:
        wanted.discard("before")
    parts = []
    for what in sorted(wanted, key=list(MAKERS).index):
        is_shared = what == "retrieved" or (what == "drawn" and args.pools == 1)
        generators = grid.generators if what != "augmented" else ("",)
        shots = grid.shots if what in BY_SHOTS else (0,)
        seeds = (None,) if is_shared else grid.seeds
        parts += [Part(what, *each) for each in product(generators, shots, seeds)]
    return parts


def train_grid(
    args: argparse.Namespace, bench: Bench, made: Mapping[Part, tuple[Tensor, Tensor]]
) -> list[Fit]:
    """Train all arms at all shots: every number of shots in its turn is the lab's few."""
    labels = torch.tensor([example.label for example in bench.data.train])
    real, fits = Bank.of(bench.encode(bench.data.train), labels), []
    options = {"logit_scale": bench.clip.logit_scale}
    for shots in bench.grid.shots:
        here = replace(bench.grid, shots=(shots,), few=shots, num_few_seeds=len(bench.grid.seeds))
        for is_nearest in (False, True)[: 1 + (NEAREST in args.arms)]:
            bank = fill_bank(real, made, shots, is_nearest=is_nearest)
            cells = lab.draw_cells(here, bank, bench.weights, **options)
            if shots > bench.grid.shots[0]:
                cells = [cell for cell in cells if cell.shots]
            cells = pick_cells(args.arms, cells, is_nearest=is_nearest)
            kept = args.work / "cells"
            fits += lab.train_cells(cells, bank, bench.weights, cache=kept, **options)
        training.say(f"{shots} shots: {len(fits)} cells so far")
    return fits


def fill_bank(
    real: Bank, made: Mapping[Part, tuple[Tensor, Tensor]], shots: int, *, is_nearest: bool
) -> Bank:
    """Add what belongs to a number of shots; retrieved images are the nearest, or any."""
    bank, unused = real, "random" if is_nearest else "retrieved"
    for part, images in made.items():
        if part.shots in (0, shots) and part.what != unused:
            what = "retrieved" if part.what == "random" else part.what
            bank = bank.add(what, *images, generator=part.generator, seed=part.seed)
    return bank


def pick_cells(arms: Sequence[str], cells: Sequence[Cell], *, is_nearest: bool) -> list[Cell]:
    """Keep the arms that are asked for."""
    if is_nearest:
        return [replace(cell, arm=NEAREST) for cell in cells if cell.arm == "retrieval"]
    return [cell for cell in cells if cell.arm in (*BASELINES, *arms)]


def judge(args: argparse.Namespace, bench: Bench, fits: Sequence[Fit]) -> dict:
    """Choose each cell's setting and judge it; keep the predictions, and give the content."""
    data, nothing = bench.data, (bench.weights[:0], ())
    validation = bench.encode(data.validation), data.validation
    test = (bench.encode(data.test), data.test) if args.evaluate == "test" else nothing
    exam = lab.set_exam(validation, test, evaluate=args.evaluate)
    chosen = lab.choose_settings(fits, exam.choose[0], exam.labels("choose"))
    header = dict.fromkeys(("task", "commit", "started", "answer"), "") | {
        **{"profile": PROFILE.name, "data": data.name, "model": bench.clip.name},
        **{"generators": [], "versions": lab.versions(), "seconds": 0.0, "prediction": []},
    }
    results = lab.tabulate(bench.grid, fits, chosen, exam, data.class_names, header=header)
    lab.save_results(results, args.work / "results")
    return results.content


def table_rows(
    args: argparse.Namespace, bench: Bench, content: dict
) -> Iterator[dict[str, object]]:
    """Turn the lab's summary into rows of the table."""
    names = ("work", "task", "evaluate", "pools", "seeds", "shots", "arms", "generators")
    origin = training.origin(training.command_line("measure_lab", args, names))
    for entry, setting in zip(content["summary"], content["settings"], strict=True):
        arm, generator, shots = key = tuple(entry[name] for name in ("arm", "generator", "shots"))
        here = [r for r in content["rows"] if (r["arm"], r["generator"], r["shots"]) == key]
        is_baseline = key == ("zero_shot", "", 0) or arm == "real"
        gained = {} if is_baseline else {n: entry[n] for n in GAIN}
        yield {
            **{"task": args.task, "evaluate": args.evaluate, "arm": arm, "generator": generator},
            **{"shots": shots, "pools": pools_of(args, arm), "seeds": len(here)},
            **{"accuracy": entry["accuracy"], "low": entry["accuracy_low"]},
            **{"high": entry["accuracy_high"], **gained, "steps": setting["steps"]},
            **{"learning_rate": setting["learning_rate"], "num_judged": content["num_test"]},
            "by_seed": " ".join(training.text_of(row["accuracy"]) for row in here),
            "per_class": here[0]["num_synthetic"] // len(bench.data.class_names),
            "fingerprint": load_model(generator).fingerprint if generator else "",
            "model": bench.clip.name,
            **origin,
        }


def pools_of(args: argparse.Namespace, arm: str) -> int:
    """Say among how many sets of added images the seeds choose: one, or one each."""
    source = SOURCES.get(arm, "")
    return {"": 0, "drawn": args.pools, "retrieved": 1}.get(source, args.seeds)


def write_table(path: Path, rows: Iterator[dict[str, object]]) -> None:
    """Write these rows; those of other keys stay."""

    def key(row: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(row[name] for name in KEY)

    new = [training.as_text(row, COLUMNS) for row in rows]
    replaced = {key(row) for row in new}
    kept = [row for row in training.read_rows(path) if key(row) not in replaced]

    def place(row: Mapping[str, str]) -> tuple[object, ...]:
        first = row["task"], row["evaluate"], ARMS.index(row["arm"]), row["generator"]
        return *first, *(int(row[name]) for name in ("shots", "pools", "seeds"))

    training.write_rows(path, COLUMNS, sorted([*kept, *new], key=place))


def measure(args: argparse.Namespace) -> None:
    """Make the images, train and judge all cells, and write the table."""
    bench, made = set_up(args), {}
    parts = plan_parts(args, bench.grid)
    training.say(f"{len(parts)} sets of images to make or to read, then the grid")
    for number, part in enumerate(parts, start=1):
        begun = time.monotonic()
        made[part] = make_part(bench, part)
        training.say(f"{number} of {len(parts)}, {part}: {time.monotonic() - begun:.0f} s")
    content = judge(args, bench, train_grid(args, bench, made))
    write_table(args.table, table_rows(args, bench, content))
    training.say(f"wrote {len(content['summary'])} rows of {args.table.name}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure everything."""
    training.run_script(parse(argv), measure)


if __name__ == "__main__":
    main()
