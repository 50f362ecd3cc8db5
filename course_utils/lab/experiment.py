"""The experiment: a budget, every arm's images for every seed, training, one tidy table."""

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.examples import Example, Splits, take_per_class
from course_utils.metrics import accuracy, crossed_interval, macro_f1, verdict
from course_utils.metrics.generation import check_features
from course_utils.runtime import Profile, check_seed, derive_seed, seeded, write_atomically
from course_utils.tuning import HeadData, Heads, TuneConfig, tune_heads

RATIOS = (1, 2, 3, 4)
SPARE_SHARE = 0.5  # the pool holds half as much again as 1:4 needs, so that seeds differ


@dataclass(frozen=True)
class Budget:
    """How many images of a class an experiment uses."""

    shots: int
    pool_per_class: int
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse seeds that some later step could not take."""
        object.__setattr__(self, "seeds", tuple(check_seed(s, "seeds") for s in self.seeds))


def plan_budget(profile: Profile, data: Splits, *, seed: int) -> Budget:
    """Fit the profile's numbers to a data set, so that every seed can draw other images.

    Of its real training images a class is asked for at most half, of the synthetic pool for at
    most two thirds at 1:4; a data set that is too small for that gives what it has. ``seed`` is
    the first of the seeds.

    Raises:
        ValueError: a data set has so many classes that the pool cannot serve them, or under two
            test images, with which no interval can be told; no seed.
    """
    seed = check_seed(seed)
    if len(data.test) < 2:
        raise ValueError(f"expected two test images or more, got {len(data.test)}: add some")
    num_classes, largest = len(data.class_names), RATIOS[-1]
    most = profile.num_synthetic // num_classes
    if most < largest:
        raise ValueError(
            f"{num_classes} classes are too many for a pool of {profile.num_synthetic} synthetic "
            f"images; use at most {profile.num_synthetic // largest} classes"
        )
    counts = np.bincount([example.label for example in data.train], minlength=num_classes)
    half = max(1, int(counts.min()) // 2)
    spared = max(1, int(most / ((1 + SPARE_SHARE) * largest)))
    shots = min(profile.shots, half, spared)
    pool = min(most, math.ceil((1 + SPARE_SHARE) * largest * shots))
    return Budget(shots, pool, tuple(seed + k for k in range(profile.num_seeds)))


def write_prompts(
    phrases: Sequence[str], templates: Sequence[str], *, per_class: int
) -> tuple[list[str], list[int]]:
    """Write prompts for every class, going round the templates; give them and their labels.

    Classes take turns, so that a cut-short pool is balanced. ``phrases`` are the words for each
    class, in label order, which stand for the ``{}`` of a template.
    """
    turns = [templates[i % len(templates)] for i in range(per_class)]
    prompts = [template.replace("{}", phrase) for template in turns for phrase in phrases]
    return prompts, list(range(len(phrases))) * per_class


@dataclass(frozen=True)
class Arm:
    """One classifier to train: what it is called, what it learns from; no data is zero-shot."""

    arm: str
    ratio: int
    seed: int
    num_real: int
    num_synthetic: int
    data: HeadData | None


def draw_arms(
    real: Sequence[Example],
    synthetic: Sequence[Example],
    budget: Budget,
    *,
    seen: Sequence[Example] = (),
) -> list[Arm]:
    """Draw every arm's images, seed after seed, as rows of real, synthetic, seen, in that order.

    A seed draws its own real images, synthetic images, batch order and shuffled labels. The
    synthetic images of a smaller ratio are among those of a larger one. Controls: the real images
    repeated as often as 1:4 has images; the 1:4 arm with all its labels shuffled; and, when the
    generator was trained on labelled images of these classes (``seen``), those images in place of
    the synthetic ones.

    Args:
        real: the real training images.
        synthetic: the pool of synthetic images.
        budget: shots and seeds.
        seen: real images that the generator was trained on.

    Raises:
        ValueError: a class has fewer images than are to be drawn.
    """
    arms = []
    num = RATIOS[-1] * budget.shots
    labels = torch.tensor([example.label for example in (*real, *synthetic, *seen)])
    for seed in budget.seeds:
        chosen = _draw(real, budget.shots, derive_seed("lab", "real", seed))
        pool = len(real) + _draw(synthetic, num, derive_seed("lab", "pool", seed))
        added = {"real+synthetic": pool}
        if seen:
            start = len(real) + len(synthetic)
            added["real+seen"] = start + _draw(seen, num, derive_seed("lab", "seen", seed))
        arms += _draw_seed(seed, labels, chosen, added)
    return arms


def _draw(examples: Sequence[Example], shots: int, seed: int) -> Int[Tensor, "shots k"]:
    """Draw ``shots`` rows of every class: one row of the result has one image of each."""
    rows = take_per_class(examples, shots=shots, generator=seeded(seed))
    return torch.tensor(rows).view(-1, shots).T


def _draw_seed(
    seed: int,
    labels: Int[Tensor, " b"],
    chosen: Int[Tensor, "shots k"],
    added: dict[str, Int[Tensor, "most k"]],
) -> list[Arm]:
    """Put one seed's arms together from its drawn images; ``added`` is what comes to the real."""
    rows, shots = chosen.flatten(), len(chosen)
    n, copies = len(rows), 1 + RATIOS[-1]

    def arm(name: str, ratio: int, images: Tensor, *, num_real: int) -> Arm:
        data = HeadData(images, labels[images], derive_seed("lab", "batches", name, ratio, seed))
        return Arm(name, ratio, seed, num_real, len(images) - num_real, data)

    arms = [Arm("zero_shot", 0, seed, 0, 0, None), arm("real", 0, rows, num_real=n)]
    for name, drawn in added.items():
        more = {ratio: drawn[: ratio * shots].flatten() for ratio in RATIOS}
        for ratio, images in more.items():
            num_real = n if name == "real+synthetic" else n + len(images)
            arms.append(arm(name, ratio, torch.cat([rows, images]), num_real=num_real))
        if name == "real+synthetic":
            full = arms[-1]
            arms += [arm("synthetic", ratio, images, num_real=0) for ratio, images in more.items()]
    arms.append(arm("real_duplicated", 0, rows.repeat(copies), num_real=n * copies))
    generator = seeded(derive_seed("lab", "shuffle", seed))
    order = torch.randperm(len(full.data.labels), generator=generator)
    mixed = replace(full.data, labels=full.data.labels[order])
    return [*arms, replace(full, arm="shuffled", data=mixed)]


@dataclass(frozen=True)
class Trained:
    """A step of the grid; ``predictions`` (arms in order, test images) only after the last."""

    step: int
    loss: float
    predictions: Int[Tensor, "a n"] | None


def run_arms(
    arms: Sequence[Arm],
    bank: Float[Tensor, "b d"],
    weights: Float[Tensor, "k d"],
    config: TuneConfig,
    *,
    test: Float[Tensor, "n d"],
    logit_scale: float,
) -> Iterator[Trained]:
    """Train every arm at once and let each predict the test set; yield one record a step.

    Args:
        arms: from ``draw_arms``.
        bank: features of real, synthetic and seen images, in that order.
        weights: zero-shot class weights, where every head starts.
        config: chosen on validation data; the same for all.
        test: features of the test images.
        logit_scale: the model's.

    Raises:
        ValueError: as ``tune_heads``, or test features with NaN or of another model.
    """
    check_features(bank, test, weights, at_least=1)
    heads = [arm.data for arm in arms if arm.data is not None]
    for step in tune_heads(bank, heads, weights, config, logit_scale=logit_scale):
        if step.heads is None:
            yield Trained(step.step, float(step.loss.mean()), None)
    start = Heads(logit_scale * weights[None], torch.zeros(1, len(weights)).to(weights))
    guess = start.logits(test).argmax(-1)
    tuned = iter(step.heads.logits(test).argmax(-1))
    predictions = [guess[0] if arm.data is None else next(tuned) for arm in arms]
    yield Trained(step.step, float(step.loss.mean()), torch.stack(predictions).cpu())


@dataclass(frozen=True)
class Results:
    """The whole outcome; ``content`` is what ``results.json`` holds."""

    content: dict
    predictions: pa.Table


def tabulate(
    arms: Sequence[Arm], predictions: Int[Tensor, "a n"], data: Splits, *, shots: int, header: dict
) -> Results:
    """Turn predictions into rows, one an arm, ratio and seed, and a summary over seeds.

    An arm's verdict is the sign of the 95 % interval of its paired difference to real-only,
    which allows for other seeds and other test images (``metrics.crossed_interval``).

    Args:
        arms: from ``draw_arms``.
        predictions: of ``run_arms``.
        data: brings the test labels and class names.
        shots: real images a class.
        header: profile, data, model, generator, stand_ins.

    Raises:
        ValueError: not one prediction for each arm and test image, or under two test images.
    """
    if predictions.shape != (len(arms), len(data.test)):
        raise ValueError(
            f"predictions: expected shape ({len(arms)}, {len(data.test)}), arms x test images, got "
            f"{tuple(predictions.shape)}"
        )
    labels = torch.tensor([example.label for example in data.test])
    num_classes = len(data.class_names)
    rows = [
        {
            "arm": arm.arm,
            "ratio": arm.ratio,
            "shots": shots if arm.data else 0,
            "seed": arm.seed,
            "num_real": arm.num_real,
            "num_synthetic": arm.num_synthetic,
            "accuracy": accuracy(guess, labels),
            "macro_f1": macro_f1(guess, labels, num_classes=num_classes),
        }
        for arm, guess in zip(arms, predictions, strict=True)
    ]
    content = {"version": 1, **header, "class_names": list(data.class_names)}
    content |= {"num_test": len(labels), "rows": rows}
    content["summary"] = _summarize(rows, (predictions == labels).double())
    return Results(content, _prediction_table(rows, predictions, data))


def _summarize(rows: list[dict], correct: Float[Tensor, "a n"]) -> list[dict]:
    groups: dict[tuple, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault((row["arm"], row["ratio"]), []).append(index)
    baseline = correct[groups["real", 0]]
    summary = []
    for (arm, ratio), members in groups.items():
        hits = correct[members]
        level, gain = crossed_interval(hits, ends=(0, 1)), crossed_interval(hits - baseline)
        summary.append(
            {
                "arm": arm,
                "ratio": ratio,
                "accuracy": level.mean,
                "accuracy_low": level.low,
                "accuracy_high": level.high,
                "macro_f1": float(np.mean([rows[index]["macro_f1"] for index in members])),
                "gain": gain.mean,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "verdict": verdict(gain),
            }
        )
    return summary


def _prediction_table(rows: list[dict], predictions: Tensor, data: Splits) -> pa.Table:
    """One line for each arm, ratio, seed and test image; images are named by their content."""
    repeats = ("arm", "ratio", "seed")
    columns = {name: np.repeat([row[name] for row in rows], len(data.test)) for name in repeats}
    columns["image"] = [example.digest()[:16] for example in data.test] * len(rows)
    columns["label"] = [example.label for example in data.test] * len(rows)
    return pa.table({**columns, "prediction": predictions.flatten().numpy()})


def save_results(results: Results, out: Path) -> None:
    """Write ``results.json`` and ``predictions.parquet`` into ``out``, each whole or not at all.

    Raises:
        OSError: when the disk is full or read-only; says what to do.
    """
    buffer = io.BytesIO()
    pq.write_table(results.predictions, buffer)
    write_atomically(out / "predictions.parquet", buffer.getvalue())
    text = json.dumps(results.content, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(out / "results.json", text.encode())
