"""What is compared: a budget, prompts, and every arm's images for every seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from course_utils.examples import Example, Splits, take_per_class
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
    """Fit the profile's numbers to a data set, so that every seed can draw other images.

    Of its real training images a class is asked for at most half, of the synthetic pool for at
    most two thirds at 1:4; a data set that is too small for that gives what it has.

    Args:
        profile: the numbers that are wanted.
        data: brings the training images.
        seed: the first of the seeds.

    Returns:
        Shots, pool and seeds.

    Raises:
        ValueError: when a data set has so many classes that the pool cannot serve them.
    """
    num_classes, largest = len(data.class_names), RATIOS[-1]
    most = profile.num_synthetic // num_classes
    counts = np.bincount([example.label for example in data.train], minlength=num_classes)
    half = max(1, int(counts.min()) // 2)
    spared = max(1, int(most / ((1 + SPARE_SHARE) * largest)))
    shots = min(profile.shots, half, spared)
    if most < largest:
        raise ValueError(
            f"{num_classes} classes are too many for a pool of {profile.num_synthetic} synthetic "
            f"images; use at most {profile.num_synthetic // largest} classes"
        )
    pool = min(most, math.ceil((1 + SPARE_SHARE) * largest * shots))
    return Budget(shots, pool, tuple(seed + k for k in range(profile.num_seeds)))


def write_prompts(
    phrases: Sequence[str], templates: Sequence[str], *, per_class: int
) -> tuple[list[str], list[int]]:
    """Write ``per_class`` prompts for every class, going round the templates.

    Args:
        phrases: the words for each class, in label order.
        templates: prompts with ``{}`` for the words.
        per_class: how many.

    Returns:
        Prompts and their labels, classes taking turns, so that a cut-short pool is balanced.
    """
    prompts, labels = [], []
    for index in range(per_class):
        for label, phrase in enumerate(phrases):
            prompts.append(templates[index % len(templates)].replace("{}", phrase))
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
    real: Sequence[Example],
    synthetic: Sequence[Example],
    budget: Budget,
    *,
    seen: Sequence[Example] = (),
) -> list[Arm]:
    """Draw every arm's images for every seed, as rows of real, synthetic, seen, in that order.

    A seed draws its own real images, synthetic images and batch order. The synthetic images of
    a smaller ratio are among those of a larger one. Controls: the real images repeated as often
    as 1:4 has images; the 1:4 arm with all its labels shuffled; and, when the generator was
    trained on labelled images of these classes (``seen``), those images in place of the
    synthetic ones.

    Args:
        real: the real training images.
        synthetic: the pool of synthetic images.
        budget: shots and seeds.
        seen: real images that the generator was trained on.

    Returns:
        Arms, seed after seed.

    Raises:
        ValueError: a class has fewer images than are to be drawn.
    """
    arms = []
    num = RATIOS[-1] * budget.shots
    labels = torch.tensor([example.label for example in (*real, *synthetic, *seen)])
    for seed in budget.seeds:
        chosen = _draw(real, budget.shots, derive_seed("lab", "real", seed))
        extra = {"real+synthetic": _draw(synthetic, num, derive_seed("lab", "pool", seed))}
        extra["real+synthetic"] += len(real)
        if seen:
            start = len(real) + len(synthetic)
            extra["real+seen"] = start + _draw(seen, num, derive_seed("lab", "seen", seed))
        arms += _draw_seed(seed, labels, chosen, extra, budget.shots)
    return arms


def _draw(examples: Sequence[Example], shots: int, seed: int) -> Int[Tensor, "shots k"]:
    """Draw ``shots`` rows of every class: one row of the result has one image of each."""
    rows = take_per_class(examples, shots=shots, generator=seeded(seed))
    return torch.tensor(rows).view(-1, shots).T


def _draw_seed(
    seed: int, labels: Tensor, chosen: Tensor, extra: dict[str, Tensor], shots: int
) -> list[Arm]:
    """Put one seed's arms together from its drawn images; ``extra`` is what is added to real."""
    rows, n = chosen.flatten(), chosen.numel()

    def arm(name: str, ratio: int, images: Tensor, *, num_real: int) -> Arm:
        data = HeadData(images, labels[images], derive_seed("lab", "batches", name, ratio, seed))
        return Arm(name, ratio, seed, num_real, len(images) - num_real, data)

    arms = [Arm("zero_shot", 0, seed, 0, 0, None), arm("real", 0, rows, num_real=n)]
    for name, drawn in extra.items():
        more = {ratio: drawn[: ratio * shots].flatten() for ratio in RATIOS}
        for ratio, added in more.items():
            num_real = n if name == "real+synthetic" else n + len(added)
            arms.append(arm(name, ratio, torch.cat([rows, added]), num_real=num_real))
        if name == "real+synthetic":
            arms += [arm("synthetic", ratio, added, num_real=0) for ratio, added in more.items()]
    copies = 1 + RATIOS[-1]
    arms.append(arm("real_duplicated", 0, rows.repeat(copies), num_real=n * copies))
    full = next(a for a in arms if (a.arm, a.ratio) == ("real+synthetic", RATIOS[-1]))
    order = torch.randperm(
        len(full.data.labels), generator=seeded(derive_seed("lab", "shuffle", seed))
    )
    mixed = replace(full.data, labels=full.data.labels[order])
    arms.append(replace(full, arm="shuffled", data=mixed))
    return arms
