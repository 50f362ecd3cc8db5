"""Measure what pairs drawn with their masks are worth, and whether masks and images agree.

    python -m tools.measure_satsynth --work WORK --model FOLDER

*teaches*: a small segmenter on N real pairs, alone, with augmentation, with 1 to 5 times as many
drawn pairs (half of every batch is real), or with as many of the pairs that the generator was
trained on (retrieval). All take the same number of steps. "Real" are renders that the generator
has not seen: of places as in its training (seen), or in ``mini_earth.TEST_STYLE`` (unseen).
*agrees*: a segmenter trained on rendered pairs looks for the drawn mask in the drawn image; the
control are masks of other drawings. Nothing is chosen, so that the test tiles serve as such. One
row a setting, five seeds each; rows of an earlier call of the same model are kept.
"""

import argparse
import io
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

import mini_earth
from course_utils import hub, metrics, runtime
from course_utils.control import satsynth, study, tiles
from course_utils.control.satsynth import Pairs
from tools import training
from tools.training import options

SETTING = ("study", "place", "num_real", "arm", "multiple")
COLUMNS = (
    *SETTING,
    *("miou", "low", "high", "gain", "gain_low", "gain_high", "p_holm", "verdict"),
    *("by_seed", "unused_share", "num_test", "num_steps", "fingerprint", "world"),
    *("command", "commit", "machine"),
)
SEEDS, SMALLEST = 5, 0.02  # the smallest effect of interest
POOL, AT_A_TIME = 1000, 40  # drawn pairs; the first 40 are those that the notebook draws
NUM_TEST = 120
LONG = 400  # steps of the segmenter that looks for masks
STYLES = {"seen": mini_earth.TRAIN_STYLES, "unseen": (mini_earth.TEST_STYLE,)}
AMOUNTS = (("seen", 40), ("unseen", 40), ("seen", 200))
MULTIPLES = {("seen", 40): (1, 2, 3, 4, 5), ("unseen", 40): (5,), ("seen", 200): (1, 3, 5)}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    table = options.REPO / "data" / "measured" / "satsynth.csv"
    names = ("work", "table", "threads")
    parser = training.make_parser(__doc__, names, table=table, threads=1)
    parser.add_argument("--model", default="small_satsynth", help="an artifact or a folder")
    return parser.parse_args(argv)


def settings() -> Iterator[tuple[str, str, int, str, int]]:
    """List what is measured, the declared rows first."""
    for place, num in AMOUNTS:
        multiples, is_first = MULTIPLES[place, num], (place, num) == AMOUNTS[0]
        arms = [("real", 0), *(("synthetic", m) for m in multiples), ("retrieval", multiples[-1])]
        if is_first:
            arms += [("augmented", 0), ("augmented synthetic", multiples[-1])]
        for arm, multiple in arms:
            yield "teaches", place, num, arm, multiple
        if is_first:
            for arm in ("rendered", "drawn", "shuffled"):
                yield "agrees", place, 0, arm, 0


def take_part(pairs: Pairs, seed: int, count: int) -> Pairs:
    """Take a seed's own rows; where there are too few for all seeds, parts overlap."""
    start = seed * (len(pairs) // SEEDS)
    return pairs.take((start + torch.arange(count)) % len(pairs))


def draw_pool(net: torch.nn.Module, path: Path) -> Pairs:
    """Draw all pairs that teach, or read them back."""
    if not path.is_file():
        generator = runtime.seeded(0)
        draw = partial(satsynth.draw_pairs, net, AT_A_TIME, generator=generator)
        parts = [draw() for _ in range(POOL // AT_A_TIME)]
        state = {name: torch.cat([getattr(p, name) for p in parts]) for name in ("images", "masks")}
        state["unused_share"] = float(np.mean([p.unused_share for p in parts]))
        torch.save(state, buffer := io.BytesIO())
        runtime.write_atomically(path, buffer.getvalue())
    return Pairs(**torch.load(path, weights_only=True))


class Bench:
    """All pairs that are needed."""

    def __init__(self, args: argparse.Namespace) -> None:
        located = hub.locate(args.model)
        weights = located.root / "model.safetensors"
        self.fingerprint = hub.sha256_of(weights)[:12]
        net = satsynth.load_satsynth(args.model)
        self.drawn = draw_pool(net, args.work / f"pool-{self.fingerprint}.pt")
        render = partial(tiles.render_pairs, cache=args.work)
        self.seen = render("train", 6000, styles=STYLES["seen"])
        self.real = {place: render("real", 1000 if place == "seen" else 200, styles=styles)
                     for place, styles in STYLES.items()}  # fmt: skip
        self.test = {place: render("test", 300 if place == "seen" else 240, styles=styles)
                     .take(slice(NUM_TEST)) for place, styles in STYLES.items()}  # fmt: skip

    def teach(self, place: str, num: int, arm: str, multiple: int, *, seed: int) -> float:
        """Train a segmenter in an arm, and give its mIoU on held-out tiles."""
        pool = {"retrieval": self.seen}.get(arm, self.drawn)
        extra = take_part(pool, seed, multiple * num) if multiple else None
        how = {"extra": extra, "augment": arm.startswith("augmented"), "seed": seed}
        how["num_steps"] = study.NUM_STEPS
        return study.measure_once(take_part(self.real[place], seed, num), self.test[place], **how)

    def find(self, arm: str, *, seed: int) -> float:
        """Look for masks in images, by a segmenter trained on rendered pairs."""
        net = self.finder(seed)
        pairs = self.test["seen"] if arm == "rendered" else self.drawn
        masks = pairs.masks.roll(1, 0) if arm == "shuffled" else pairs.masks
        return study.score_masks(study.segment_tiles(net, pairs.images), masks)

    @cache  # noqa: B019 (one bench a run)
    def finder(self, seed: int) -> torch.nn.Module:
        """Train a segmenter for longer, on the pairs that the generator has seen."""
        return study.train_segmenter(self.seen, augment=True, seed=seed, num_steps=LONG)

    def measure(self, setting: tuple) -> dict[str, object]:
        """Measure a setting with every seed."""
        study_name, place, num, arm, multiple = setting
        teaches = study_name == "teaches"
        ask = partial(self.teach, place, num, arm, multiple) if teaches else partial(self.find, arm)
        values = [ask(seed=seed) for seed in range(SEEDS)]
        bounds = metrics.mean_interval(values, ends=(0, 1))
        return {
            **dict(zip(SETTING, setting, strict=True)),
            **{"miou": bounds.mean, "low": bounds.low, "high": bounds.high},
            "by_seed": " ".join(f"{value:.4f}" for value in values),
            "unused_share": self.drawn.unused_share if arm in ("drawn", "synthetic") else None,
            "num_test": len(self.test[place]) if arm != "drawn" else len(self.drawn),
            "num_steps": study.NUM_STEPS if teaches else LONG,
        }


def by_seed(row: dict[str, str]) -> np.ndarray:
    """Read the numbers of a row's seeds."""
    return np.array([float(value) for value in row["by_seed"].split()])


def compare(rows: Sequence[dict[str, str]]) -> list[dict[str, object]]:
    """Compare each arm with real only, seed by seed; p-values are corrected within an amount."""
    told = [dict(row) for row in rows]
    for place, num in AMOUNTS:
        here = [r for r in told if (r["place"], r["num_real"]) == (place, str(num))]
        base = [by_seed(row) for row in here if row["arm"] == "real"]
        others = [row for row in here if row["arm"] != "real"]
        gains = [metrics.mean_interval((by_seed(row) - base[0]).tolist()) for row in others]
        corrected = metrics.holm([metrics.p_value(gain) for gain in gains])
        for row, gain, p in zip(others, gains, corrected, strict=True):
            row |= {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high, "p_holm": p}
            row["verdict"] = metrics.verdict(gain, smallest=SMALLEST, p=p)
    return told


def measure(args: argparse.Namespace) -> None:
    """Measure every setting that the table lacks; rows of another model or world are dropped."""
    bench = Bench(args)
    same = {"fingerprint": bench.fingerprint, "world": mini_earth.__version__}
    command = training.command_line("measure_satsynth", args, ("work",), work="WORK")
    shared = training.origin(command) | same
    rows = [row for row in training.read_rows(args.table) if same.items() <= row.items()]
    done = {tuple(row[key] for key in SETTING) for row in rows}
    for setting in settings():
        if tuple(map(str, setting)) in done:
            continue
        rows.append(training.as_text(bench.measure(setting) | shared, COLUMNS))
        training.write_rows(args.table, COLUMNS, compare(rows))
        training.say(f"{setting}: {rows[-1]['by_seed']}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure everything."""
    training.run_script(parse(argv), measure)


if __name__ == "__main__":
    main()
