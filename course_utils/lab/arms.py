"""What is compared: a budget, prompts, and every arm's images for every seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from course_utils.examples import Splits
from course_utils.runtime import Profile, derive_seed, seeded
from course_utils.tuning import HeadData

RATIOS = (1, 2, 3, 4)
SPARE_SHARE = 0.5  # the pool holds half as much again as 1:4 needs, so that seeds differ


@dataclass(frozen=True)
class Budget:
    """How many images of a class an experiment uses."""

    shots: int
    pool_per_class: int
    seeds: tuple[int, ...]


def plan_budget(profile: Profile, data: Splits, *, seed: int) -> Budget:
    """Fit the profile's numbers to a data set: no class may run out of images.

    Raises:
        ValueError: when a data set has so many classes that the pool cannot serve them.
    """
    num_classes = len(data.class_names)
    most = profile.num_synthetic // num_classes
    counts = np.bincount([example.label for example in data.train], minlength=num_classes)
    shots = min(profile.shots, int(counts.min()), most // RATIOS[-1])
    if shots < 1:
        raise ValueError(
            f"{num_classes} classes are too many for a pool of {profile.num_synthetic} synthetic "
            f"images; use at most {profile.num_synthetic // RATIOS[-1]} classes"
        )
    pool = min(most, math.ceil((1 + SPARE_SHARE) * RATIOS[-1] * shots))
    return Budget(shots, pool, tuple(seed + k for k in range(profile.num_seeds)))


def write_prompts(
    phrases: Sequence[str], templates: Sequence[str], *, per_class: int
) -> tuple[list[str], list[int]]:
    """Write ``per_class`` prompts for every class, going round the templates.

    Returns:
        Prompts and their labels, classes taking turns, so that a cut-short pool is balanced.
    """
    prompts, labels = [], []
    for index in range(per_class):
        for label, phrase in enumerate(phrases):
            prompts.append(templates[index % len(templates)].format(phrase))
            labels.append(label)
    return prompts, labels


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
    real: Int[Tensor, " n"],
    synthetic: Int[Tensor, " m"],
    budget: Budget,
    *,
    seen: Int[Tensor, " s"] | None = None,
) -> list[Arm]:
    """Draw every arm's images for every seed, as rows of real, synthetic, seen, in that order.

    A seed draws its own real images, synthetic images and batch order. The synthetic images of
    a smaller ratio are among those of a larger one. Controls: the real images repeated as often
    as 1:4 has images; the 1:4 arm with all its labels shuffled; and, when the generator was
    trained on labelled images of these classes (``seen``), those images in place of the
    synthetic ones.

    Args:
        real: labels of the real training images.
        synthetic: labels of the synthetic pool.
        budget: shots and seeds.
        seen: labels of real images that the generator was trained on.
    """
    arms = []
    start_seen = len(real) + len(synthetic)
    for seed in budget.seeds:
        chosen = _per_class(real, budget.shots, derive_seed("lab", "real", seed))
        pool = _per_class(synthetic, RATIOS[-1] * budget.shots, derive_seed("lab", "pool", seed))
        extra = {"real+synthetic": (pool, len(real), synthetic)}
        if seen is not None:
            some = _per_class(seen, RATIOS[-1] * budget.shots, derive_seed("lab", "seen", seed))
            extra["real+seen"] = (some, start_seen, seen)
        arms += _draw_seed(seed, real, chosen, extra, budget.shots)
    return arms


def _per_class(labels: Int[Tensor, " n"], shots: int, seed: int) -> Int[Tensor, "shots k"]:
    """Draw ``shots`` positions of every class; a class with fewer is an error of the budget."""
    generator = seeded(seed)
    columns = []
    for label in range(int(labels.max()) + 1):
        rows = (labels == label).nonzero().squeeze(1)
        if len(rows) < shots:
            raise ValueError(f"class {label} has {len(rows)} images, {shots} are needed")
        columns.append(rows[torch.randperm(len(rows), generator=generator)[:shots]])
    return torch.stack(columns, 1)


def _draw_seed(
    seed: int, real: Tensor, chosen: Tensor, extra: dict[str, tuple], shots: int
) -> list[Arm]:
    """Put one seed's arms together from its drawn images; ``extra`` is what is added to real."""
    rows = chosen.flatten()
    labels, n = real[rows], len(rows)

    def arm(name: str, ratio: int, images: Tensor, said: Tensor, *, num_real: int) -> Arm:
        data = HeadData(images, said, derive_seed("lab", "batches", name, ratio, seed))
        return Arm(name, ratio, seed, num_real, len(images) - num_real, data)

    arms = [Arm("zero_shot", 0, seed, 0, 0, None), arm("real", 0, rows, labels, num_real=n)]
    for name, (drawn, start, source) in extra.items():
        mixed = []
        for ratio in RATIOS:
            more = drawn[: ratio * shots].flatten()
            images, said = torch.cat([rows, more + start]), torch.cat([labels, source[more]])
            num_real = n if name == "real+synthetic" else len(images)
            mixed.append(arm(name, ratio, images, said, num_real=num_real))
        arms += mixed
        if name == "real+synthetic":
            alone = ((a.ratio, a.data.rows[n:], a.data.labels[n:]) for a in mixed)
            arms += [arm("synthetic", *parts, num_real=0) for parts in alone]
    copies = 1 + RATIOS[-1]
    repeated = rows.repeat(copies), labels.repeat(copies)
    arms.append(arm("real_duplicated", 0, *repeated, num_real=n * copies))
    full = next(a for a in arms if (a.arm, a.ratio) == ("real+synthetic", RATIOS[-1])).data
    order = torch.randperm(len(full.labels), generator=seeded(derive_seed("shuffle", seed)))
    arms.append(arm("shuffled", RATIOS[-1], full.rows, full.labels[order], num_real=n))
    return arms
