"""Measure whether a generator's drawings help a classifier that has a few real EuroSAT images.

    python -m tools.measure_use --work WORK --models small_text2image small_text2image_eurosat

The shots are drawn from the training part that ships, anew for every seed; to them come drawings
of one generator, and half of the images that a head sees are real. Steps and learning rate are
chosen for each arm on one half of the validation part and judged on the other, both ways round;
the test part is not read. Writes the rows of these models in ``data/measured/generator_use.csv``.

Source:
    He et al. 2023 (arXiv:2210.07574), section 4: real and synthetic images in every batch.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_utils import examples, lab, metrics, text2image, tuning, zero_shot
from course_utils.examples import Example, take_per_class
from course_utils.runtime import PROFILES, derive_seed, seeded
from course_utils.tuning import HeadData, TuneConfig
from tools import training
from tools.training import options

TEMPLATES = zero_shot.TEMPLATES["satellite"]  # the lab's
COLUMNS = (
    *("arm", "fingerprint", "shots", "accuracy", "low", "high", "gain", "gain_low", "gain_high"),
    *("verdict", "num_validation", "seeds", "per_class", "settings", "guidance", "steps"),
    *("model", "command", "commit", "machine"),
)
KEY = ("arm", "fingerprint", "shots")  # a later run replaces these rows


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    table = options.REPO / "data" / "measured" / "generator_use.csv"
    names = ("work", "clip", "table", "seeds", "per_class", "steps", "threads")
    parser = training.make_parser(__doc__, names, table=table, seeds=10, steps=None)
    add = parser.add_argument
    add("--models", nargs="+", required=True, help="artifacts of the lock or diffusers folders")
    add("--shots", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    add("--guidance", type=float, help="as --steps by default the model's own")
    return parser.parse_args(argv)


@dataclass(frozen=True, eq=False)
class Bank:
    """Unit features of images, with their labels."""

    features: Tensor  # n d
    labels: Tensor  # int, n
    examples: Sequence[Example]

    @classmethod
    def of(cls, clip: zero_shot.Clip, examples: Sequence[Example], cache: Path) -> "Bank":
        """Encode examples."""
        labels = torch.tensor([example.label for example in examples])
        return cls(zero_shot.image_features(clip, examples, cache=cache), labels, examples)


@dataclass(frozen=True, eq=False)
class Arm:
    """One kind of training set: a head's data for each seed, and what drew its images."""

    name: str
    features: Tensor
    heads: tuple[HeadData, ...]
    about: dict[str, object]


def draw(args: argparse.Namespace, name: str, phrases: Sequence[str]) -> tuple[list, dict]:
    """Draw a pool with the lab's prompts: (examples, what to write down)."""
    model = text2image.load_pipeline(name)
    config = replace(
        model.config,
        num_sample_steps=args.steps or model.config.num_sample_steps,
        guidance_scale=args.guidance or model.config.guidance_scale,
        seed=0,
    )
    prompts, labels = lab.write_prompts(phrases, TEMPLATES, per_class=args.per_class)
    stream = text2image.generate(model, prompts, config, root=args.work / "drawn")
    examples = [
        Example(label, "synthetic", pixels=np.array(drawn.image))
        for label, drawn in zip(labels, stream, strict=True)
    ]
    training.say(f"{name}: {len(examples)} drawings")
    about = {"fingerprint": model.fingerprint, "guidance": float(config.guidance_scale)}
    return examples, about | {"steps": config.num_sample_steps}


def make_arm(
    name: str, real: Bank, extra: Bank | None, about: dict, *, shots: int, seeds: int
) -> Arm:
    """Draw each seed's shots and repeat them until they are as many as the extra images."""
    heads = []
    for seed in range(seeds):
        generator = seeded(derive_seed("use", "real", shots, seed))
        rows = torch.tensor(take_per_class(real.examples, shots=shots, generator=generator))
        if extra is not None:
            added = len(real.labels) + torch.arange(len(extra.labels))
            rows = torch.cat([rows.repeat(-(-len(added) // len(rows)))[: len(added)], added])
        labels = torch.cat([real.labels, extra.labels] if extra else [real.labels])[rows]
        heads.append(HeadData(rows, labels, derive_seed("use", "batches", name, shots, seed)))
    features = torch.cat([real.features, extra.features]) if extra else real.features
    return Arm(name, features, tuple(heads), about)


def judge(
    arm: Arm, weights: Tensor, scale: float, held: Bank
) -> tuple[Tensor, tuple[TuneConfig, ...]]:
    """Choose on each half of the held images, judge on the other: (hits s n, two settings)."""
    by_config = {}
    for num_steps, rate in product(tuning.NUM_STEPS, tuning.LEARNING_RATES):
        config = TuneConfig(num_steps=num_steps, learning_rate=rate)
        *_, last = tuning.tune_heads(arm.features, arm.heads, weights, config, logit_scale=scale)
        by_config[config] = (last.heads.logits(held.features).argmax(-1) == held.labels).double()
    hits, chosen = torch.empty(len(arm.heads), len(held.labels), dtype=torch.float64), []
    for half in halves(held.labels):
        best = max(by_config, key=lambda config: by_config[config][:, ~half].mean().item())
        hits[:, half] = by_config[best][:, half]
        chosen.append(best)
    return hits, tuple(chosen)


def halves(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mark one half of the images of every class, and the other."""
    first = torch.zeros(len(labels), dtype=torch.bool)
    for k in labels.unique():
        rows = torch.nonzero(labels == k)[:, 0]
        first[rows[: len(rows) // 2]] = True
    return first, ~first


def measure(args: argparse.Namespace) -> None:
    """Draw, encode, train every arm at every number of shots, and write the table."""
    clip = zero_shot.load_clip(args.clip, device="cpu")
    data = examples.load_examples("scenes", profile=PROFILES["mini"], root="eurosat")
    cache = args.work / "features"
    real, held = Bank.of(clip, data.train, cache), Bank.of(clip, data.validation, cache)
    pools = [(name, *draw(args, name, data.phrases)) for name in args.models]
    extras = [(name, Bank.of(clip, images, cache), about) for name, images, about in pools]
    weights = zero_shot.class_weights(clip, data.phrases, TEMPLATES)
    rows = []
    for shots in args.shots:
        size = {"shots": shots, "seeds": args.seeds}
        arms = [make_arm("real only", real, None, {"fingerprint": ""}, **size)]
        arms += [make_arm(name, real, bank, about, **size) for name, bank, about in extras]
        rows += arm_rows(args, arms, weights, clip, held)
    write_table(args.table, rows)
    training.say(f"wrote {args.table.name}")


def arm_rows(
    args: argparse.Namespace, arms: Sequence[Arm], weights: Tensor, clip: zero_shot.Clip, held: Bank
) -> Iterator[dict[str, object]]:
    """Judge the arms of one number of shots; the first is what the others are compared with."""
    command = training.command_line("measure_use", args, ("work", "models"))
    base, origin = None, training.origin(command)
    for arm in arms:
        hits, chosen = judge(arm, weights, clip.logit_scale, held)
        base = hits if base is None else base
        level = metrics.crossed_interval(hits, ends=(0, 1))
        gain = metrics.crossed_interval(hits - base)
        shots = len(arms[0].heads[0].rows) // len(weights)
        training.say(f"{shots} shots, {arm.name}: {level.mean:.3f}, {gain.mean:+.3f}")
        yield {
            **{"arm": arm.name, "shots": shots, "per_class": 0 if hits is base else args.per_class},
            **{"accuracy": level.mean, "low": level.low, "high": level.high},
            **({} if hits is base else gained(gain)),
            **{"num_validation": len(held.labels), "seeds": args.seeds, "model": clip.name},
            "settings": " and ".join(f"{c.num_steps} at {c.learning_rate:g}" for c in chosen),
            **origin,
            **arm.about,
        }


def gained(gain: metrics.Interval) -> dict[str, object]:
    """Write a gain and what it tells; the arm that others are compared with has none."""
    numbers = {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
    return numbers | {"verdict": metrics.verdict(gain)}


def write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write these rows; those of other arms, weights and numbers of shots stay."""

    def key(row: dict[str, str]) -> tuple[str, ...]:
        return tuple(row[name] for name in KEY)

    new = [training.as_text(row, COLUMNS) for row in rows]
    replaced = {key(row) for row in new}
    kept = [row for row in training.read_rows(path) if key(row) not in replaced]
    order = sorted([*kept, *new], key=lambda row: (row["arm"], int(row["shots"])))
    training.write_rows(path, COLUMNS, order)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure everything."""
    training.run_script(parse(argv), measure)


if __name__ == "__main__":
    main()
