"""The one place that picks the images of an experiment: real ones, or the procedural world."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import mini_earth
from course_utils.examples import (
    ClassFolder,
    Example,
    Splits,
    load_scenes,
    split_folder,
    take_per_class,
)
from course_utils.runtime import Profile, seeded
from course_utils.sources.renders import render_part
from course_utils.sources.shipped import is_shipped, load_shipped
from course_utils.texts import text

# What the models read, so English whatever the learner reads: words that their captions had.
_DISASTER_PHRASES = {
    "earthquake": "a place damaged by an earthquake",
    "flooding": "a place damaged by flooding",
    "tsunami": "a place damaged by a tsunami",
    "volcano": "a place damaged by a volcano",
    "wildfire": "a place damaged by a wildfire",
    "wind": "a place damaged by wind",
}
_SCENE_PHRASES = {name: mini_earth.SCENE_PHRASES[name][0] for name in mini_earth.SCENE_CLASSES}
TASKS = {"disasters": _DISASTER_PHRASES, "scenes": _SCENE_PHRASES}
_STANDS_FOR = {"disasters": "xBD", "scenes": None}
_TRAIN_PER_SHOT = 3  # so that every seed can draw other real images
_NUM_VALIDATION = 40


def load_examples(
    task: str,
    *,
    profile: Profile,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    cache: Path | None = None,
    progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> Splits:
    """Load the training, validation and test images of a task.

    With ``root``, real images: for ``eurosat`` in the profile ``mini`` those that ship with the
    course (`load_shipped`); of anything else the data set's own parts if it brings them, or else
    by class a half for training, a tenth for validation and the rest for testing. Without it,
    renders of the procedural world in ``mini_earth.TEST_STYLE``, which no shipped model has seen;
    each is a scene of its own.

    Args:
        task: ``"disasters"``, the six types of xBD, or ``"scenes"``, kinds of land; a folder
            brings its own classes.
        profile: decides how many images are rendered.
        root: a folder of class folders, an archive of them, or the name of a data set in the lock,
            such as ``eurosat``; see `examples.load_scenes`.
        classes: some of the task's classes, in this order; None takes all. A folder gives as many
            of its own, the first by name.
        per_class: at most this many training images a class; None leaves it to the profile.
        cache: where renders are kept, and archives unpacked; None renders anew.
        progress: wraps the loop over renders, given their number; ``tqdm`` fits.

    Returns:
        The three parts with their class names; ``notes`` is what must be said about them.

    Raises:
        ArtifactError: a file of the images that ship is missing or damaged.
        ValueError: for an unknown task or class, or a root that is not usable as class folders.

    Source:
        Six disaster types: Gupta et al. 2019 (arXiv:1911.09296).
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is not one of {', '.join(TASKS)}")
    names = _names_of(task, classes)
    if per_class is not None and per_class < 1:
        raise ValueError(f"per_class is {per_class}, expected at least 1")
    if root is not None:
        read = partial(load_scenes, cache=cache, progress=progress)
        found = load_shipped(root) if is_shipped(root, profile) else read(root)
        return _from_folder(found, classes, per_class)
    sizes = {
        "train": per_class or _TRAIN_PER_SHOT * profile.shots,
        "validation": _NUM_VALIDATION,
        "test": profile.num_test // len(names),
    }
    parts, notes = {}, [text("data.mini_earth", style=mini_earth.TEST_STYLE)]
    for part, num in sizes.items():
        parts[part], said = render_part(names, part, num, cache=cache, progress=progress)
        notes.extend(said)
    return Splits(
        **parts,
        class_names=names,
        phrases=tuple(TASKS[task][name] for name in names),
        name=f"mini_earth ({mini_earth.TEST_STYLE})",
        notes=tuple(dict.fromkeys(notes)),
        stand_in_for=_STANDS_FOR[task],
    )


def _names_of(task: str, classes: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(TASKS[task] if classes is None else classes)
    unknown = [name for name in names if name not in TASKS[task]]
    if unknown or len(set(names)) < max(len(names), 2):
        raise ValueError(
            f"classes {', '.join(map(repr, names))}: expected two or more different ones "
            f"of {', '.join(TASKS[task])}"
        )
    return names


def _from_folder(
    folder: ClassFolder, classes: Sequence[str] | None, per_class: int | None
) -> Splits:
    names = folder.class_names[: len(classes) if classes else None]
    train, validation, test = split_folder(folder, num_classes=len(names))
    notes = folder.notes + folder.skipped
    if len(names) < len(folder.class_names):
        notes += (text("data.some_classes", names=", ".join(names), num=len(folder.class_names)),)
    return Splits(
        train=train if per_class is None else _some_per_class(train, per_class),
        validation=validation,
        test=test,
        class_names=names,
        phrases=folder.phrases[: len(names)],
        name=folder.name,
        notes=notes,
    )


def _some_per_class(examples: Sequence[Example], num: int) -> tuple[Example, ...]:
    """Draw ``num`` examples of every class, or as many as the smallest class has."""
    smallest = min(Counter(example.label for example in examples).values())
    chosen = take_per_class(examples, shots=min(num, smallest), generator=seeded(0))
    return tuple(examples[i] for i in chosen)
