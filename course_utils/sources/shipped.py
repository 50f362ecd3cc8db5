"""Real images that ship with the course; no test tile lies beside a training tile."""

from collections import Counter
from pathlib import Path

import numpy as np

from course_utils import hub
from course_utils.examples import ClassFolder, Example, read_scene_classes
from course_utils.images import load_image
from course_utils.runtime import Profile, resolve_path
from course_utils.sources.parquet import read_labelled
from course_utils.texts import text

SHIPPED = {"eurosat": "eurosat_course"}  # names for COURSE_DATA, and what of them ships


def is_shipped(root: str | Path, profile: Profile) -> bool:
    """Tell whether a name means images that ship: in ``mini``, where no folder is called so."""
    return profile.name == "mini" and root in SHIPPED and not resolve_path(root).is_dir()


def load_shipped(name: str, *, models: Path | None = None) -> ClassFolder:
    """Load the part of a data set that ships: a thousand real images to train on, as many to test.

    Args:
        name: a key of ``SHIPPED``.
        models: a folder to search first (``COURSE_MODELS``).

    Returns:
        Examples with the ``parts`` of the spatial split, and what must be said of them.

    Raises:
        ArtifactError: a file is missing or damaged.

    Source:
        EuroSAT: Helber et al. 2019 (arXiv:1709.00029), MIT licence, contains Copernicus Sentinel
        data; divided by longitude as torchgeo's ``EuroSATSpatial`` does.
    """
    located = hub.locate(SHIPPED[name], models=models)
    classes = read_scene_classes()[name]
    examples, parts = [], []
    for part in ("train", "validation", "test"):
        images, names = read_labelled(located.root / f"{SHIPPED[name]}_{part}.parquet")
        for image, label in zip(images, names, strict=True):
            pixels = np.asarray(load_image(image))
            examples.append(Example(classes.class_names.index(label), "real", pixels=pixels))
        parts += [part] * len(images)
    said = {part: f"{num:,}" for part, num in Counter(parts).items()}
    note = text("data.shipped", title=classes.title, license=located.artifact.license, **said)
    return ClassFolder(
        examples=tuple(examples),
        class_names=classes.class_names,
        phrases=classes.phrases,
        skipped=(),
        name=classes.title,
        notes=(note,),
        parts=tuple(parts),
    )
