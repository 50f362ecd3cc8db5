"""Splits that nobody has to trust blindly: stratified, groups whole, drawn by a seed."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from course_utils.examples.records import ClassFolder, Example
from course_utils.runtime import seeded


def split_examples(
    examples: Sequence[Example],
    *,
    num_classes: int,
    fractions: tuple[float, float, float] = (0.5, 0.1, 0.4),
    seed: int,
) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
    """Split at random into train, validation and test, class by class, groups kept whole.

    Each class is divided by ``fractions``, rounded, at least one example each. Without groups that
    is exact. Groups are dealt largest first (the seed orders those of equal size), each to the part
    that lacks the largest share of what it should get of the group's classes.

    Args:
        examples: all examples; those with the same non-empty ``group`` stay together.
        num_classes: labels are 0 … num_classes - 1.
        fractions: shares of train, validation and test, each above 0, sum 1.
        seed: decides who goes where.

    Returns:
        Train, validation and test, each in the order of ``examples``.

    Raises:
        ValueError: wrong fractions, unknown labels, or a class that cannot be in every part.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions: expected three shares above 0 of sum 1, got {fractions}")
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
        raise ValueError(f"classes {missing.tolist()} have too few groups for three parts")
    parts = (tuple(examples[i] for i in np.flatnonzero(part_of == part)) for part in range(3))
    return tuple(parts)


def split_folder(
    folder: ClassFolder, *, num_classes: int | None = None, seed: int = 0
) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
    """Split by the data set's own parts, if it has all three, or else at random by class.

    Args:
        folder: from `scenes.load_scenes` or `folders.scan_folder`.
        num_classes: use the first so many classes only; None takes all.
        seed: decides who goes where, if there are no own parts.

    Returns:
        Train, validation and test; at random a half, a tenth and the rest of every class.

    Raises:
        ValueError: a class cannot be in every part.
    """
    num_classes = num_classes or len(folder.class_names)
    if set(folder.parts) != {"train", "validation", "test"}:
        some = [example for example in folder.examples if example.label < num_classes]
        return split_examples(some, num_classes=num_classes, seed=seed)
    both = list(zip(folder.examples, folder.parts, strict=True))
    parts = tuple(
        tuple(each for each, own in both if own == part and each.label < num_classes)
        for part in ("train", "validation", "test")
    )
    for label, name in enumerate(folder.class_names[:num_classes]):
        if not all(any(each.label == label for each in part) for part in parts):
            raise ValueError(f"class {name!r} has no image in a part of the data set's own split")
    return parts


def _part_sizes(counts: np.ndarray, fractions: tuple[float, ...]) -> np.ndarray:
    """Divide each class: sizes[part, class], columns sum to ``counts``, no entry below 1."""
    if counts.min() < 3:
        few = np.flatnonzero(counts < 3).tolist()
        raise ValueError(f"classes {few} have under 3 examples; add images")
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
