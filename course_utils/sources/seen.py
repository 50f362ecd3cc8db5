"""Load the labelled real images that a generator has seen: what it could have told at best."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from course_utils import hub
from course_utils.examples import Example, Splits
from course_utils.images import load_image
from course_utils.sources.parquet import read_labelled
from course_utils.texts import text


def load_seen(
    data: Splits, trained_on: str | None, *, per_class: int, models: Path | None = None
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Load labelled real images of a data set's classes that a generator was trained on.

    They are what such a generator could have told a classifier at best: all of its training
    images where they are at hand, else the sample that ships. Labels are matched to the data set's
    classes by name, and images of its test part are left out.

    Args:
        data: brings the class names and the test images.
        trained_on: the generator's lock entry for its training images, or None.
        per_class: how many images of a class, the first in the file.
        models: a folder to search first (``COURSE_MODELS``).

    Returns:
        The images, and what must be said beside every result.
    """
    if trained_on is None:
        return (), ()
    try:
        located = hub.locate(trained_on, models=models)
    except hub.ArtifactError:
        source = hub.read_lock()[trained_on].source
        return (), (text("note.seen_missing", name=trained_on, source=source),)
    (name,) = (name for name in located.artifact.files if name.endswith(".parquet"))
    images, labels = read_labelled(located.root / name)
    if not set(data.class_names) <= set(labels):
        return (), (text("note.seen_other", name=trained_on),)
    test = {example.digest() for example in data.test}
    found = [Example(0, "real", pixels=np.asarray(load_image(image))) for image in images]
    is_test = [
        not test.isdisjoint((example.digest(), hashlib.sha256(image).hexdigest()))
        for example, image in zip(found, images, strict=True)
    ]
    rows = [row for row, name in enumerate(labels) if name in data.class_names]
    num = f"{len(rows) // len(data.class_names):,}"
    sample = "note.seen_sample" if located.origin == "stand-in" else "note.seen"
    notes = [text(sample, per_class=num)]
    if any(is_test):
        notes.append(text("note.seen_test", num=sum(is_test)))
    left = dict.fromkeys(data.class_names, per_class)
    seen = []
    for row in rows:
        if left[labels[row]] and not is_test[row]:
            left[labels[row]] -= 1
            seen.append(replace(found[row], label=data.class_names.index(labels[row])))
    return tuple(seen), tuple(notes)
