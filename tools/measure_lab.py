"""Measure the final lab with more images than a notebook can wait for: whole new pools, all arms.

    python -m tools.measure_lab --work WORK --pools 10 --arms real+synthetic retrieval

In the notebook all seeds share one pool of drawings, most arms are compared at 4 shots only, and
one generator is adapted. Here every seed has a whole pool of its own (``--pools`` as many as
``--seeds``), so that the interval allows for another pool too, and every arm is compared at all
shots with all seeds. Sentences, guided drawings, adapted generators and augmented copies are made
anew for each seed; `retrieval_random` takes the generator's training images at random where
``retrieval`` takes the nearest. All else is the lab's: cells, settings by arm, intervals, verdicts.

Writes its rows of ``data/measured/lab.csv``, which supersedes ``generator_use.csv`` there: that one
was measured before the lab was rebuilt. What is finished is kept in WORK, so a run that was stopped
goes on where it was. By default the test part is not read: one half of the validation part chooses
settings, the other judges.

Source:
    He et al. 2023 (arXiv:2210.07574), section 4; Geng et al. 2024 (arXiv:2406.05184), retrieval.
"""

import argparse
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load, save
from torch import Tensor

from course_utils import examples, lab, strategies, text2image, zero_shot
from course_utils.examples import Example, Splits
from course_utils.lab import Bank, Cell, Fit, Grid
from course_utils.lab.design import CURVE, DRAWN
from course_utils.lab.results import Part as JudgedBy
from course_utils.runtime import (
    DISASTERS,
    PROFILES,
    derive_seed,
    read_sealed,
    seeded,
    write_sealed,
    xbd_folder,
)
from course_utils.strategies import adaptation
from course_utils.text2image import Generated, TextToImage
from tools import training
from tools.training import options

TEMPLATES = zero_shot.TEMPLATES["satellite"]  # the lab's
PROFILE = PROFILES["mini"]
RANDOM = "retrieval_random"
SOURCES: Mapping[str, str] = MappingProxyType(  # of what an arm adds to the real images
    {
        **dict.fromkeys(("synthetic", *CURVE), "drawn"),
        **DRAWN,
        "retrieval": "retrieved",
        RANDOM: "random",
        "augmented": "augmented",
    }
)
ARMS = (*lab.ARMS, RANDOM)
BASELINES = ("zero_shot", "real")  # always measured
STRENGTH_BEFORE = 0.5  # of the way to noise, from a place before its disaster
COPY_SIZE = 64  # pixels of augmented copies
COLUMNS = (
    *("task", "evaluate", "arm", "generator", "shots", "pools", "seeds", "accuracy", "low", "high"),
    *("gain", "gain_low", "gain_high", "p_holm", "verdict", "steps", "learning_rate", "by_seed"),
    *("num_judged", "per_class", "fingerprint", "model", "command", "commit", "machine"),
)
KEY = COLUMNS[:7]  # a later run replaces these rows
_FORM = 1  # of what is kept: a new number where the making of images changes


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    table = options.REPO / "data" / "measured" / "lab.csv"
    names = ("work", "clip", "table", "seeds", "threads")
    parser = training.make_parser(__doc__, names, table=table, seeds=10)
    add = parser.add_argument
    add("--task", choices=("eurosat", DISASTERS), default="eurosat")
    add("--evaluate", choices=JudgedBy.__args__, default="validation")
    add("--pools", type=int, help="1, which all seeds share, or one a seed (default)")
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=", ".join(ARMS))
    add("--shots", type=int, nargs="+", default=list(lab.SHOTS), help="real images a class")
    add("--generators", nargs="+", default=list(PROFILE.pool_generators), help="of the lock")
    args = parser.parse_args(argv)
    args.pools = args.pools or args.seeds
    if args.pools not in (1, args.seeds):
        parser.error(f"--pools is 1 or as many as seeds, {args.seeds}: got {args.pools}")
    return args


@dataclass(frozen=True)
class Part:
    """Images that are made together; None is for all seeds, 0 for all shots, "" for nobody's."""

    what: str
    generator: str = ""
    shots: int = 0
    seed: int | None = None

    def __str__(self) -> str:
        """Name it in a line of progress."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        shots = f"{self.shots} shots" if self.shots else ""
        return ", ".join(filter(None, (self.what, self.generator, shots, seed)))


@dataclass(frozen=True, eq=False)
class Bench:
    """What images are made from and encoded with."""

    work: Path
    data: Splits
    grid: Grid
    clip: zero_shot.Clip
    weights: Tensor  # k d

    def encode(self, part: Sequence[Example]) -> Tensor:
        """Encode images that are kept elsewhere."""
        return zero_shot.image_features(self.clip, part, cache=self.work / "features")

    def shots(self, part: Part) -> list[Example]:
        """Give the real images that the lab's heads of a seed learn from."""
        return lab.shots_of(self.grid, self.data.train, part.shots, part.seed)


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


# --- images -------------------------------------------------------------------------------------


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


def make_part(bench: Bench, part: Part) -> tuple[Tensor, Tensor]:
    """Make and encode images, or read what an earlier run has kept: features and labels."""
    path = bench.work / "parts" / f"{_key(bench, part)}.safetensors"
    kept = read_sealed(path)
    if kept is None:
        made = MAKERS[part.what](bench, part)
        labels = torch.tensor([example.label for example in made])
        kept = save({"features": zero_shot.image_features(bench.clip, made), "labels": labels})
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, kept)
    found = load(kept)
    return found["features"], found["labels"]


def _key(bench: Bench, part: Part) -> str:
    """Hash everything on which images and their features depend."""
    sizes = bench.grid.per_class, bench.grid.pool_per_class
    decisive = [_FORM, part, bench.data.phrases, TEMPLATES, sizes, bench.clip.fingerprint]
    decisive.append(torch.__version__)
    if part.generator:
        names = {part.generator, teacher_of(part.generator)}
        decisive += sorted(load_model(name).fingerprint for name in names)
        decisive.append(load_model(part.generator).config)
    if part.shots:
        decisive += [shot.digest() for shot in bench.shots(part)]
    if part.what == "adapted":
        learning = adaptation.EPOCHS, adaptation.RANK, adaptation.LEARNING_RATE
        decisive += [learning, adaptation.BATCH_SIZE, adaptation.EMPTY_SHARE]
    if part.what in ("retrieved", "random"):
        decisive += [example.digest() for example in learned_from(bench, part.generator).examples]
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:32]


@cache
def load_model(name: str, task: str = "text-to-image") -> TextToImage:
    """Load a generator once."""
    return text2image.load_pipeline(name, task=task, device="cpu")


def teacher_of(name: str) -> str:
    """Name the generator from which one of few steps was distilled; others are their own."""
    return name.removesuffix("_few_steps")


def draw(bench: Bench, part: Part) -> list[Example]:
    """Draw a pool as the notebook does; that of seed 0 is the notebook's own."""
    num = bench.grid.pool_per_class
    prompts, labels = lab.write_prompts(bench.data.phrases, TEMPLATES, per_class=num)
    return _drawn(load_model(part.generator), prompts, labels, seed=part.seed or 0)


def draw_sentences(bench: Bench, part: Part) -> list[Example]:
    """Draw what sentences say that differ."""
    generator = seeded(derive_seed("lab", "language", part.seed))
    told = {"per_class": bench.grid.per_class, "generator": generator, "templates": TEMPLATES}
    prompts, labels = strategies.write_sentences(bench.data.phrases, **told)
    return _drawn(load_model(part.generator), prompts, labels, seed=part.seed)


def draw_guided(bench: Bench, part: Part) -> list[Example]:
    """Draw from noised shots."""
    return _from_images(bench, part, strategies.guide, strategies.strength_for(part.shots))


def draw_from_before(bench: Bench, part: Part) -> list[Example]:
    """Draw from the places of the shots before their disaster."""
    return _from_images(bench, part, strategies.from_before, STRENGTH_BEFORE)


def draw_adapted(bench: Bench, part: Part) -> list[Example]:
    """Teach the shots to a generator, and draw with it, or with its student of few steps."""
    teacher, student = (load_model(n) for n in (teacher_of(part.generator), part.generator))
    generator = seeded(derive_seed("lab", "adapt", part.shots, part.seed))
    taught = bench.shots(part), bench.data.phrases, TEMPLATES
    *_, last = strategies.adapt(teacher, *taught, generator=generator, onto=student)
    num = bench.grid.per_class
    prompts, labels = lab.write_prompts(bench.data.phrases, TEMPLATES, per_class=num)
    return _drawn(last.model, prompts, labels, seed=part.seed)


def augment_shots(bench: Bench, part: Part) -> list[Example]:
    """Copy the shots, augmented by all that changes no class."""
    copies = lab.augmented_copies(
        bench.shots(part),
        lab.FAMILIES["legal"],
        num_classes=len(bench.data.class_names),
        num_copies=-(-bench.grid.per_class // part.shots),
        generator=seeded(derive_seed("lab", "augmented", part.shots, part.seed)),
        size=COPY_SIZE,
    )
    return list(copies.examples)


def look_up(bench: Bench, part: Part) -> list[Example]:
    """Take real images that the generator has learned from: the nearest to the text, or any."""
    found = learned_from(bench, part.generator)
    labels = torch.tensor([example.label for example in found.examples])
    stream = None
    if part.what == "random":
        stream = seeded(derive_seed("lab", "retrieval", part.seed))
    rows, labels = strategies.retrieve(
        bench.encode(found.examples),
        bench.weights,
        per_class=bench.grid.per_class,
        labels=labels if found.is_labelled else None,
        generator=stream,
    )
    pairs = zip(rows.tolist(), labels.tolist(), strict=True)
    return [replace(found.examples[row], label=label) for row, label in pairs]


@cache
def learned_from(bench: Bench, generator: str) -> strategies.TrainingImages:
    """Collect what a generator has learned from, as far as it is at hand."""
    trained_on, num = load_model(generator).trained_on, bench.grid.pool_per_class
    found = strategies.training_images(trained_on, bench.data, per_class=num, cache=bench.work)
    for note in found.notes:
        training.say(f"{generator}: {note}")
    return found


MAKERS: Mapping[str, Callable[[Bench, Part], list[Example]]] = MappingProxyType(
    {
        "augmented": augment_shots,
        "retrieved": look_up,
        "random": look_up,
        "guided": draw_guided,
        "before": draw_from_before,
        "language": draw_sentences,
        "drawn": draw,
        "adapted": draw_adapted,
    }
)
BY_SHOTS = ("augmented", "guided", "before", "adapted")


def _drawn(
    model: TextToImage, prompts: Sequence[str], labels: Sequence[int], *, seed: int
) -> list[Example]:
    stream = text2image.generate(model, prompts, replace(model.config, seed=seed))
    return _as_examples(stream, labels)


def _from_images(bench: Bench, part: Part, make: Callable, strength: float) -> list[Example]:
    model = load_model(part.generator, "image-to-image")
    stream, labels = make(
        model,
        bench.shots(part),
        bench.data.phrases,
        TEMPLATES,
        per_class=bench.grid.per_class,
        strength=strength,
        config=replace(model.config, seed=part.seed),
    )
    return _as_examples(stream, labels)


def _as_examples(stream: Iterator[Generated], labels: Sequence[int]) -> list[Example]:
    pairs = zip(labels, stream, strict=True)
    return [Example(label, "synthetic", pixels=made.image) for label, made in pairs]


# --- the grid -----------------------------------------------------------------------------------


def train_grid(
    args: argparse.Namespace, bench: Bench, made: Mapping[Part, tuple[Tensor, Tensor]]
) -> list[Fit]:
    """Train all arms at all shots: every number of shots in its turn is the lab's few."""
    labels = torch.tensor([example.label for example in bench.data.train])
    real, fits = Bank.of(bench.encode(bench.data.train), labels), []
    for shots in bench.grid.shots:
        here = replace(bench.grid, shots=(shots,), few=shots, num_few_seeds=len(bench.grid.seeds))
        for is_random in (False, True):
            bank = real
            for part, (features, labels) in made.items():
                if part.shots in (0, shots) and part.what != ("retrieved", "random")[not is_random]:
                    what = "retrieved" if part.what == "random" else part.what
                    added = {"generator": part.generator, "seed": part.seed}
                    bank = bank.add(what, features, labels, **added)
            options = {"logit_scale": bench.clip.logit_scale}
            drawn = lab.draw_cells(here, bank, bench.weights, **options)
            cells = [cell for cell in drawn if cell.shots or shots == bench.grid.shots[0]]
            cells = pick_cells(args.arms, cells, is_random=is_random)
            kept = args.work / "cells"
            fits += lab.train_cells(cells, bank, bench.weights, cache=kept, **options)
        training.say(f"{shots} shots: {len(fits)} cells so far")
    return fits


def pick_cells(arms: Sequence[str], cells: Sequence[Cell], *, is_random: bool) -> list[Cell]:
    """Keep the arms that are asked for; random retrieval has banks of its own."""
    if is_random:
        found = [replace(cell, arm=RANDOM) for cell in cells if cell.arm == "retrieval"]
        return found if RANDOM in arms else []
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


# --- the table ----------------------------------------------------------------------------------


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
        gained = {} if is_baseline else {n: entry[n] for n in COLUMNS[10:15]}
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
