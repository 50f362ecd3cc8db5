"""The one place that picks the images of an experiment: a folder, or the procedural world."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import PIL
import pyarrow.parquet as pq

from course_utils import hub, mini_earth
from course_utils.examples import Example, Splits, scan_folder, split_examples
from course_utils.images import load_image, write_atomically
from course_utils.runtime import Profile, derive_seed, resolve_path
from course_utils.texts import text

TASKS = ("disasters",)
# What the models read, so English whatever the learner reads: words that their captions had.
_PHRASES = {
    "earthquake": "a place damaged by an earthquake",
    "flooding": "a place damaged by flooding",
    "tsunami": "a place damaged by a tsunami",
    "volcano": "a place damaged by a volcano",
    "wildfire": "a place damaged by a wildfire",
    "wind": "a place damaged by wind",
}
_IMAGE_SIZE = 64
_TRAIN_PER_SHOT = 3  # so that every seed can draw other real images
_NUM_VALIDATION = 40


def load_examples(
    task: str,
    *,
    profile: Profile,
    root: str | Path | None = None,
    cache: Path | None = None,
    progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> Splits:
    """Load the training, validation and test images of a task.

    With ``root``, real images in class folders, split by class into a half for training, a
    tenth for validation and the rest for testing. Without it, renders of the procedural world
    in ``mini_earth.TEST_STYLE``, which no shipped model has seen; each is a scene of its own.

    Args:
        task: ``"disasters"``, the six types of xBD; a folder brings its own classes.
        profile: decides how many images are rendered.
        root: a folder of class folders.
        cache: where renders are kept; None renders anew.
        progress: wraps the loop over renders, given their number; ``tqdm`` fits.

    Returns:
        The three parts with their class names; ``notes`` is what must be said about them.

    Raises:
        ValueError: for an unknown task, or a folder that is not usable as class folders.

    Source:
        Six disaster types: Gupta et al. 2019 (arXiv:1911.09296).
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is not one of {', '.join(TASKS)}")
    if root is not None:
        return _from_folder(resolve_path(root))
    sizes = {
        "train": _TRAIN_PER_SHOT * profile.shots,
        "validation": _NUM_VALIDATION,
        "test": profile.num_test // len(mini_earth.DISASTERS),
    }
    notes = [text("data.mini_earth", style=mini_earth.TEST_STYLE)]
    parts = {part: _render_part(part, num, cache, progress, notes) for part, num in sizes.items()}
    return Splits(
        **parts,
        class_names=mini_earth.DISASTERS,
        phrases=tuple(_PHRASES[name] for name in mini_earth.DISASTERS),
        name=f"mini_earth ({mini_earth.TEST_STYLE})",
        notes=tuple(dict.fromkeys(notes)),
        stand_in_for="xBD",
    )


def _from_folder(root: Path) -> Splits:
    folder = scan_folder(root)
    train, validation, test = split_examples(
        folder.examples, num_classes=len(folder.class_names), seed=0
    )
    return Splits(
        train=train,
        validation=validation,
        test=test,
        class_names=folder.class_names,
        phrases=folder.phrases,
        name=root.name,
        notes=folder.skipped,
    )


def _render_part(
    part: str, num_per_class: int, cache: Path | None, progress: Callable, notes: list[str]
) -> tuple[Example, ...]:
    """Render ``num_per_class`` post-event views of every disaster, or read them back."""
    num = num_per_class * len(mini_earth.DISASTERS)
    labels = [index % len(mini_earth.DISASTERS) for index in range(num)]
    path = cache / f"mini_earth-{part}-{_world_key(num)}.npy" if cache else None
    pixels = _read_back(path, num)
    if pixels is None:
        jobs = [(label, _scene_seed(part, index)) for index, label in enumerate(labels)]
        pixels = np.stack([_render_one(*job) for job in progress(jobs, num)])
        try:
            _keep(pixels, path)
        except OSError as error:  # renders that cannot be kept are still renders
            notes.append(text("data.not_kept", reason=error))
    else:
        notes.append(text("data.cached"))
    return tuple(
        Example(label=label, source="real", pixels=image)
        for label, image in zip(labels, pixels, strict=True)
    )


def _scene_seed(part: str, index: int) -> int:
    return derive_seed("mini_earth", part, index) % (1 << 48)


def _keep(pixels: np.ndarray, path: Path | None) -> None:
    if path is not None:
        buffer = io.BytesIO()
        np.save(buffer, pixels, allow_pickle=False)
        write_atomically(path, buffer.getvalue())


def _render_one(label: int, seed: int) -> np.ndarray:
    disaster = mini_earth.DISASTERS[label]
    scene = mini_earth.disaster_scene(disaster, mini_earth.TEST_STYLE, seed=seed)
    return mini_earth.render(scene, size=_IMAGE_SIZE).image


def _read_back(path: Path | None, num: int) -> np.ndarray | None:
    """Read cached renders; None if there are none or the file is damaged."""
    if path is None or not path.exists():
        return None
    try:
        pixels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = pixels.shape == (num, _IMAGE_SIZE, _IMAGE_SIZE, 3) and pixels.dtype == np.uint8
    return pixels if fits else None


def _world_key(num: int) -> str:
    """Name what decides the renders, so that those of an older world are never reused."""
    decisive = (num, _IMAGE_SIZE, np.__version__, PIL.__version__, mini_earth.world_key())
    return hashlib.sha256(repr(decisive).encode() + Path(__file__).read_bytes()).hexdigest()[:16]


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
