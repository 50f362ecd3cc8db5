"""Measure how far drawings obey metadata: ask for numbers, draw, and read them back.

    python -m tools.measure_metadata --work WORK --controlled FOLDER --reader FOLDER

Sentences and records are those of renders held aside. One number of a record is varied, with the
others as they were; or a sentence is told the whole record of another view. The sentences do not
say the season. Beside it stand controls: told nothing, only sentences; what was asked, shuffled
among the drawings; the zoom level said in the sentence; and the reader's own error, on renders
whose truth is known. Everything is rendered or drawn: nothing here is said of real images. What was
drawn before is read back, so that a killed run goes on where it was.
"""

import argparse
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from course_utils import control
from course_utils.control import Controlled, Metadata
from course_utils.runtime import write_atomically
from tools import training
from tools.control import views
from tools.train_small_metadata import CLOUD, draw_rows, silent
from tools.training import REPO

COLUMNS = (
    *("told", "field", "where", "rank_correlation", "low", "high", "mean_absolute_error"),
    *("n", "seeds", "images", "command", "commit", "machine"),
)
FIELDS = ("meters_per_pixel", "cloud_share", "summer")  # the first is compared as its log2
ALONE = {field: f"{field} alone" for field in FIELDS}
ALL, NOTHING, SAID = "a record", "nothing", "a sentence with the zoom level"
FINEST, COARSEST, CLOUDIEST = 0.8, 12.0, 0.1  # as far as the renders go
TROPICS = 23.4  # degrees
RESAMPLED = 2000


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    table = REPO / "data" / "measured" / "metadata.csv"
    names = ("work", "table", "styles", "validation_renders", "seeds", "threads", "processes")
    parser = training.make_parser(__doc__, names, table=table, seeds=3, validation_renders=1000)
    add = parser.add_argument
    add("--controlled", default="small_metadata", help="an artifact of the lock or a folder")
    add("--reader", default="small_reader", help="an artifact of the lock or a folder")
    add("--num", type=int, default=24, help="drawings of a kind and seed")
    return parser.parse_args(argv)


# --- What is asked ----------------------------------------------------------------------------


def truth_of(records: Sequence[Metadata]) -> dict[str, Tensor]:
    """List what a reader should find."""
    columns = [[r.meters_per_pixel, r.cloud_share, control.summer_of(r)] for r in records]
    return dict(zip(FIELDS, torch.tensor(columns).T, strict=True))


def vary(records: Sequence[Metadata], field: str, rng: np.random.Generator) -> list[Metadata]:
    """Spread one number over its range, and leave the others as they are."""
    places = (rng.permutation(len(records)) + 0.5) / len(records)
    asked = []
    for record, place in zip(records, places.tolist(), strict=True):
        if field == "meters_per_pixel":
            new = {field: FINEST * (COARSEST / FINEST) ** place}
        elif field == "cloud_share":
            new = {field: CLOUDIEST * place}
        else:
            new = {"month": 1 + int(12 * place), "day": 1 + int(28 * (12 * place % 1))}
        asked.append(replace(record, **new))
    return asked


def jobs_of(
    held: views.ToldViews, seed: int, num: int
) -> dict[str, tuple[list[str], list[Metadata] | None, list[Metadata]]]:
    """Say for each kind of drawing the sentences, what is told beside, and what is to be read."""
    rng = np.random.default_rng([17, seed])
    cloudy = (held.metadata[:, CLOUD] > 0).nonzero()[:, 0]
    rows = draw_rows(cloudy, len(held), rng, batch=num)
    records = [Metadata(*row) for row in held.metadata[rows].tolist()]
    sentences = [silent(held.captions[i]) for i in rows]
    jobs = {}
    for field, name in ALONE.items():
        asked = vary(records, field, rng)
        jobs[name] = (sentences, asked, asked)
    asked = [records[i] for i in rng.permutation(num)]
    jobs[ALL] = (sentences, asked, asked)
    jobs[NOTHING] = (sentences, None, records)
    asked = vary(records, "meters_per_pixel", rng)
    levels = [training.google_level(record.meters_per_pixel) for record in asked]
    said = [f"{level}_GOOGLE_LEVEL_{each}" for level, each in zip(levels, sentences, strict=True)]
    jobs[SAID] = (said, None, asked)
    return jobs


def draw_kept(
    controlled: Controlled,
    path: Path,
    sentences: Sequence[str],
    told: Sequence[Metadata] | None,
    *,
    seed: int,
) -> np.ndarray:
    """Draw, or read back what was drawn before."""
    if not path.is_file():
        seeds = [1000 * seed + i for i in range(len(sentences))]
        buffer = io.BytesIO()
        np.save(buffer, control.draw(controlled, sentences, metadata=told, seeds=seeds))
        write_atomically(path, buffer.getvalue())
        training.say(f"drew {path.stem}")
    return np.load(path)


# --- What is read -----------------------------------------------------------------------------


def compare(said: Tensor, truth: Tensor, field: str) -> dict[str, float]:
    """Give the rank correlation with an interval over the images, and the mean absolute error.

    The interval takes 2.5 % off either end of what images drawn anew from these would give.
    """
    if field == "meters_per_pixel":
        said, truth = said.log2(), truth.log2()
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLED):
        rows = torch.from_numpy(rng.integers(len(said), size=len(said)))
        if said[rows].unique().numel() > 1 and truth[rows].unique().numel() > 1:
            found.append(spearmanr(said[rows], truth[rows]).statistic)
    low, high = np.quantile(found, (0.025, 0.975)).tolist()
    rank = float(spearmanr(said, truth).statistic)
    error = (said - truth).abs().mean().item()
    return {"rank_correlation": rank, "low": low, "high": high, "mean_absolute_error": error}


def rows_of(
    name: str, read: dict[str, Tensor], records: Sequence[Metadata], fields: Sequence[str]
) -> list[dict[str, object]]:
    """Compare what was read with what was asked, field by field; a season also by region."""
    truth, rows = truth_of(records), []
    tropical = torch.tensor([abs(record.latitude) < TROPICS for record in records])
    for field in fields:
        places = {"everywhere": torch.ones_like(tropical)}
        if field == "summer":
            places |= {"in the tropics": tropical, "elsewhere": ~tropical}
        for where, chosen in places.items():
            numbers = compare(read[field][chosen], truth[field][chosen], field)
            num = int(chosen.sum())
            rows.append({"told": name, "field": field, "where": where, "n": num} | numbers)
    return rows


def measure(args: argparse.Namespace, held: views.ToldViews) -> list[dict[str, object]]:
    """Draw with every seed, read back, and compare; the reader's own error comes first."""
    reader = control.load_reader(args.reader, device="cpu")
    controlled = control.load_control(args.controlled, device="cpu")
    truths = [Metadata(*row) for row in held.metadata.tolist()]
    own = control.read_metadata(reader, held.images.permute(0, 2, 3, 1).numpy())
    rows = [
        row | {"images": "renders", "seeds": 1}
        for row in rows_of("(reader's own error)", own, truths, FIELDS)
    ]
    asked: dict[str, list[Metadata]] = {}
    drawn: dict[str, list[np.ndarray]] = {}
    for seed in range(args.seeds):
        for name, (sentences, told, records) in jobs_of(held, seed, args.num).items():
            path = args.work / f"{name.replace(' ', '_')}-{seed}-{args.num}.npy"
            drawn.setdefault(name, []).append(
                draw_kept(controlled, path, sentences, told, seed=seed)
            )
            asked.setdefault(name, []).extend(records)
    said = {"images": "drawings", "seeds": args.seeds}
    for name, parts in drawn.items():
        read = control.read_metadata(reader, np.concatenate(parts))
        fields = [field for field in FIELDS if name == ALONE[field]] or FIELDS
        fields = FIELDS[:1] if name == SAID else fields
        rows += [row | said for row in rows_of(name, read, asked[name], fields)]
        if name in ALONE.values():
            order = np.random.default_rng(3).permutation(len(asked[name]))
            others = [asked[name][i] for i in order]
            rows += [row | said for row in rows_of(f"{name}, shuffled", read, others, fields)]
    return rows


def show(args: argparse.Namespace, held: views.ToldViews) -> None:
    """Write a sheet a field: a row a sentence, from left to right the asked value rises."""
    controlled = control.load_control(args.controlled, device="cpu")
    rows = [i for i, record in enumerate(held.metadata) if abs(record[1]) > TROPICS][:4]
    for field in FIELDS:
        lines = []
        for line, i in enumerate(rows):
            record = Metadata(*held.metadata[i].tolist())
            asked = vary([record] * 7, field, np.random.default_rng(0))
            asked.sort(key=lambda each: truth_of([each])[field].item())
            sentences = [silent(held.captions[i])] * len(asked)
            seeds = [line] * len(asked)
            drawn = control.draw(controlled, sentences, metadata=asked, seeds=seeds)
            lines.append(torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)
        training.sheet(lines, args.work / f"{field}.png")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, then write the table and the sheets."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    settings = {"work": args.work, "styles": args.styles, "processes": args.processes}
    held = views.render_told(args.validation_renders, seed=12, **settings)
    rows = measure(args, held)
    told = {"controlled": Path(args.controlled).name, "reader": Path(args.reader).name}
    names = ("work", "seeds", "num", "controlled", "reader")
    origin = training.origin(training.command_line("measure_metadata", args, names, **told))
    training.write_rows(args.table, COLUMNS, [row | origin for row in rows])
    for row in rows:
        numbers = {name: row[name] for name in ("rank_correlation", "low", "high")}
        training.say_numbers(f"{row['told']}: {row['field']}, {row['where']}", numbers)
    show(args, held)


if __name__ == "__main__":
    main()
