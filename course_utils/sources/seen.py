"""Load the labelled real images that a generator has seen: what it could have told at best."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from course_utils import hub
from course_utils.examples import Example, Splits
from course_utils.images import load_image
from course_utils.texts import text


def load_seen(
    data: Splits, trained_on: str | None, *, per_class: int, models: Path | None = None
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Load labelled real images of a data set's classes that a generator was trained on.

    They are what such a generator could have told a classifier at best. Labels are matched to
    the data set's classes by name, and images of its test part are left out.

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
    path = located.root / next(iter(located.artifact.files))
    table = pq.read_table(path, columns=["image", "label"])
    names = _label_names(table.schema.metadata)
    if not set(data.class_names) <= set(names):
        return (), (text("note.seen_other", name=trained_on),)
    images = [row["bytes"] for row in table["image"].to_pylist()]
    labels = [names[label] for label in table["label"].to_pylist()]
    test = {example.digest() for example in data.test}
    is_test = [hashlib.sha256(image).hexdigest() in test for image in images]
    rows = [row for row, name in enumerate(labels) if name in data.class_names]
    notes = [text("note.seen", per_class=f"{len(rows) // len(data.class_names):,}")]
    if any(is_test):
        notes.append(text("note.seen_test", num=sum(is_test)))
    left = dict.fromkeys(data.class_names, per_class)
    seen = []
    for row in rows:
        if left[labels[row]] and not is_test[row]:
            left[labels[row]] -= 1
            pixels = np.asarray(load_image(images[row]))
            seen.append(Example(data.class_names.index(labels[row]), "real", pixels=pixels))
    return tuple(seen), tuple(notes)


def _label_names(metadata: dict[bytes, bytes] | None) -> Sequence[str]:
    """Read the class names that the ``datasets`` library stores in a Parquet file."""
    features = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    label = features.get("info", {}).get("features", {}).get("label", {})
    return label.get("names", ())
