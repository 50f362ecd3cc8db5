"""Splits that nobody has to trust blindly: stratified, groups whole, drawn by a seed."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import repeat

import numpy as np
import torch

from course_utils.examples.records import PARTS, Example, LabelledImages
from course_utils.runtime import seeded
from course_utils.texts import text

SHARES = (0.5, 0.1, 0.4)  # where the course draws the parts
Parts = tuple[tuple[Example, ...], ...]


def split_examples(
    examples: Sequence[Example],
    *,
    num_classes: int,
    fractions: tuple[float, ...] = SHARES,
    seed: int,
) -> Parts:
    """Split at random into parts (train, validation and test), class by class, groups kept whole.

    Each class is divided by ``fractions``, rounded, at least one example each. Without groups that
    is exact. Groups are dealt largest first (the seed orders those of equal size), each to the part
    that lacks the largest share of what it should get of the group's classes.

    Args:
        examples: all examples; those with the same non-empty ``group`` stay together.
        num_classes: labels are 0 … num_classes - 1.
        fractions: shares of the parts, each above 0, sum 1.
        seed: decides who goes where.

    Returns:
        The parts, each in the order of ``examples``.

    Raises:
        ValueError: wrong fractions, unknown labels, or a class that cannot be in every part.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions: expected shares above 0 of sum 1, got {fractions}")
    labels = np.array([example.label for example in examples], dtype=np.int64)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"labels: expected 0 … {num_classes - 1}, got {sorted(set(labels))}")
    targets = _part_sizes(np.bincount(labels, minlength=num_classes), fractions)
    lacking = targets.astype(float)
    part_of = np.empty(len(examples), dtype=np.int64)
    for unit in _shuffled_units(examples, seed):
        counts = np.bincount(labels[unit], minlength=num_classes)
        part = np.lexsort((lacking @ counts, (lacking / targets) @ counts))[-1]
        lacking[part] -= counts
        part_of[unit] = part
    missing = np.flatnonzero((lacking == targets).any(axis=0))
    if len(missing):
        num = len(fractions)
        raise ValueError(f"classes {missing.tolist()} have too few groups for {num} parts")
    members = (np.flatnonzero(part_of == part) for part in range(len(fractions)))
    return tuple(tuple(examples[i] for i in some) for some in members)


def split_images(
    found: LabelledImages, *, num_classes: int | None = None, seed: int = 0
) -> tuple[Parts, tuple[str, ...]]:
    """Split by the data set's own parts, or at random by class where it has none.

    A part that the data set lacks is drawn from its training part, so that its own test images are
    never trained on.

    Args:
        found: from `folders.read_folder`.
        num_classes: use the first so many classes only; None takes all.
        seed: decides who goes where, where that is drawn.

    Returns:
        Train, validation and test, and what must be said of them; at random a half, a tenth and the
        rest of every class.

    Raises:
        ValueError: a class cannot be in every part, or there is nothing to train on.
    """
    num_classes = num_classes or len(found.class_names)
    parts: dict[str, Sequence[Example]] = {part: [] for part in PARTS}
    for example, part in zip(found.examples, found.parts or repeat(PARTS[0]), strict=False):
        if example.label < num_classes:
            parts[part].append(example)
    present = [part for part in PARTS if parts[part]]
    if PARTS[0] not in present:
        raise ValueError(
            f"{found.name}: of the parts there is only {' and '.join(present)}, none to train on; "
            "add a folder train, or give the folder of one part to have its images divided"
        )
    drawn = [part for part in PARTS if part == PARTS[0] or part not in present]
    needed = dict.fromkeys(present, 1) | {PARTS[0]: len(drawn)}
    for part in present:
        counts = Counter(each.label for each in parts[part])
        for label, name in enumerate(found.class_names[:num_classes]):
            if counts[label] < needed[part]:
                raise ValueError(
                    f"{found.name}: class {name!r} has {counts[label]} images in the part {part}, "
                    f"but {needed[part]} are needed; add images or remove the class"
                )
    shares = [SHARES[PARTS.index(part)] for part in drawn]
    if len(drawn) > 1:
        fractions = tuple(share / sum(shares) for share in shares)
        options = {"num_classes": num_classes, "fractions": fractions, "seed": seed}
        parts |= zip(drawn, split_examples(parts[PARTS[0]], **options), strict=True)
    is_mixed = len(drawn) == 2
    notes = (text("data.part_drawn", part=drawn[1], kept=present[1]),) if is_mixed else ()
    return tuple(tuple(parts[part]) for part in PARTS), notes


def _part_sizes(counts: np.ndarray, fractions: tuple[float, ...]) -> np.ndarray:
    """Divide each class: sizes[part, class], columns sum to ``counts``, no entry below 1."""
    num = len(fractions)
    if counts.min() < num:
        few = np.flatnonzero(counts < num).tolist()
        raise ValueError(f"classes {few} have under {num} examples; add images")
    bounds = np.rint(np.outer(np.cumsum((0.0, *fractions)), counts)).astype(np.int64)
    sizes = np.diff(bounds, axis=0)
    for column in sizes.T:
        while column.min() < 1:
            column[column.argmax()] -= 1
            column[column.argmin()] += 1
    return sizes


def _shuffled_units(examples: Sequence[Example], seed: int) -> list[list[int]]:
    """List what must stay together (indices of a group, or a single example), largest first."""
    members: dict[tuple[str, int], list[int]] = defaultdict(list)
    for i, example in enumerate(examples):
        members[(example.group, 0) if example.group else ("", i)].append(i)
    units = list(members.values())
    order = torch.randperm(len(units), generator=seeded(seed)).tolist()
    return sorted((units[i] for i in order), key=len, reverse=True)  # a stable sort


def take_per_class(
    examples: Sequence[Example],
    *,
    shots: int,
    generator: torch.Generator,
    class_names: Sequence[str] | None = None,
) -> tuple[int, ...]:
    """Draw the same number of examples from every class that occurs, without replacement.

    Equal generators give nested draws: the indices for 2 shots are among those for 4.

    Args:
        examples: what to draw from.
        shots: examples per class.
        generator: source of randomness.
        class_names: names by label, for the error message.

    Returns:
        Indices into ``examples``, class by class.

    Raises:
        ValueError: a class has fewer than ``shots`` examples, or there are none at all.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for i, example in enumerate(examples):
        members[example.label].append(i)
    if not members:
        raise ValueError("there are no examples to draw from")
    chosen: list[int] = []
    for label, indices in sorted(members.items()):
        if len(indices) < shots:
            name = repr(class_names[label]) if class_names else label
            raise ValueError(
                f"class {name} has {len(indices)} examples, but {shots} were asked for; "
                "lower the number of shots or add images"
            )
        order = torch.randperm(len(indices), generator=generator)[:shots]
        chosen += [indices[i] for i in order.tolist()]
    return tuple(chosen)
