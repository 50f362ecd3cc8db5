"""The one place that picks the images of an experiment: real ones, or the procedural world."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mini_earth
from course_utils import hub
from course_utils.archives import extract_files
from course_utils.examples.classes import composed, read_scene_classes
from course_utils.examples.eurosat import divide_as_shipped
from course_utils.examples.folders import Progress, read_folder
from course_utils.examples.records import PARTS, Example, LabelledImages, Splits
from course_utils.examples.splits import split_images, take_per_class
from course_utils.examples.tables import read_labelled
from course_utils.examples.worlds import render_part
from course_utils.runtime import (
    DISASTERS,
    Profile,
    cache_folder,
    derive_seed,
    discard,
    new_part,
    read_file,
    resolve_path,
    seeded,
    sweep,
    write_atomically,
)
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
EUROSAT, SHIPPED = "eurosat", "eurosat_course"  # all of it, and what stands for it in mini
MANIFEST = ".files.json"  # in the folder of an unpacked archive: what was written
_NUM_REASONS = 20  # of what was left out, in the notes
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
    progress: Progress = lambda items, total: items,
) -> Splits:
    """Load the training, validation and test images of a task.

    With ``root``, real images: for ``eurosat`` in the profile ``mini`` those that ship with the
    course, a thousand to train on and as many to test, divided by longitude, and elsewhere all
    27,000 divided alike (`eurosat.divide_as_shipped`); of anything else the data set's own parts if
    it brings them, or else by class a half for training, a tenth for validation and the rest for
    testing (`splits.split_images`). Without it, renders of the procedural world in
    ``mini_earth.TEST_STYLE``, which no shipped model has seen; each is a scene of its own.

    Args:
        task: ``"disasters"``, the six types of xBD, or ``"scenes"``, kinds of land; a folder
            brings its own classes.
        profile: decides how many images are rendered.
        root: a folder of class folders, an archive of them, or the name of a data set in the lock,
            such as ``eurosat``; see `load_scenes`. ``disasters`` counts as None.
        classes: some of the task's classes, in this order; None takes all. A folder gives as many
            of its own, the first by name.
        per_class: at most this many training images a class; None leaves it to the profile.
        cache: where renders are kept, and archives unpacked; None renders anew.
        progress: wraps the loop over images, given their number; ``tqdm`` fits.

    Returns:
        The three parts with their class names; ``notes`` is what must be said about them.

    Raises:
        ArtifactError: a file of the images that ship is missing or damaged.
        ValueError: for an unknown task or class, or a root that is not usable as class folders.

    Source:
        Six disaster types: Gupta et al. 2019 (arXiv:1911.09296). EuroSAT: Helber et al. 2019
        (arXiv:1709.00029), divided as torchgeo's ``EuroSATSpatial`` does.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is not one of {', '.join(TASKS)}")
    names, options = _names_of(task, classes), {"cache": cache, "progress": progress}
    if per_class is not None and per_class < 1:
        raise ValueError(f"per_class is {per_class}, expected at least 1")
    is_name = root in (DISASTERS, EUROSAT) and not resolve_path(root).is_dir()
    if is_name and root == EUROSAT:
        found = _load_eurosat(profile, **options)
        return replace(_split(found, classes, per_class), task=EUROSAT)
    if root is not None and not is_name:
        return _split(load_scenes(root, **options), classes, per_class)
    sizes = part_sizes(profile, len(names))
    if per_class:
        sizes["train"] = per_class
    parts, notes = {}, [text("data.mini_earth", style=mini_earth.TEST_STYLE)]
    for part, num in sizes.items():
        parts[part], said = render_part(names, part, num, **options)
        notes.extend(said)
    return Splits(
        **parts,
        class_names=names,
        phrases=tuple(TASKS[task][name] for name in names),
        name=f"mini_earth ({mini_earth.TEST_STYLE})",
        notes=tuple(dict.fromkeys(notes)),
        stand_in_for=_STANDS_FOR[task],
        task=task,
    )


def part_sizes(profile: Profile, num_classes: int) -> dict[str, int]:
    """Give how many images of a class each part has where there are as many as we like."""
    numbers = (_TRAIN_PER_SHOT * profile.shots, _NUM_VALIDATION, profile.num_test // num_classes)
    return dict(zip(PARTS, numbers, strict=True))


def _names_of(task: str, classes: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(TASKS[task] if classes is None else classes)
    unknown = [name for name in names if name not in TASKS[task]]
    if unknown or len(set(names)) < max(len(names), 2):
        raise ValueError(
            f"classes {', '.join(map(repr, names))}: expected two or more different ones "
            f"of {', '.join(TASKS[task])}"
        )
    return names


def _load_eurosat(profile: Profile, *, cache: Path | None, progress: Progress) -> LabelledImages:
    """Load all of EuroSAT, or in ``mini``, and where it cannot be had, the part that ships."""
    located, notes = hub.locate(SHIPPED), ()
    if profile.name != "mini":
        try:
            found = load_scenes(EUROSAT, cache=cache, progress=progress)
            return divide_as_shipped(found, located.root)
        except hub.ArtifactError as error:
            notes = (text("data.eurosat_missing", reason=" ".join(str(error).split())),)
    found = read_folder(located.root, progress=progress)
    title = read_scene_classes()[EUROSAT].title
    said = {part: f"{num:,}" for part, num in Counter(found.parts).items()}
    note = text("data.shipped", title=title, license=located.artifact.license, **said)
    return replace(found, name=title, notes=(*notes, note), skipped=())


def load_scenes(
    root: str | Path,
    *,
    cache: Path | None = None,
    progress: Progress = lambda items, total: items,
) -> LabelledImages:
    """Load labelled images and their classes from a folder, an archive or the hub.

    Args:
        root: a folder as `folders.read_folder` takes it; a tar or zip archive of one; or, if there
            is no such path, a data set of the lock: ``resisc45``, ``eurosat``, ``ucmerced`` or
            ``aid``, or its id on the hub. It is looked for in the folder ``COURSE_MODELS``, then in
            the cache, then on the hub and its mirrors: naming it is the permission to download it.
        cache: where archives and data sets of the hub are kept, once; ``COURSE_CACHE`` or
            ``outputs/cache`` by default.
        progress: wraps the loop over the images, given their number.

    Raises:
        ValueError: there is nothing of the kind, or it is not what its name says.
        OSError: the cache cannot be written.

    Source:
        Data sets, versions and licences: ``data/artifacts.lock.json``.
    """
    path, known, lock = resolve_path(root), read_scene_classes(), hub.read_lock()
    if os.path.isdir(path):
        return _described(read_folder(path, progress=progress), path.name)
    if os.path.isfile(path):
        folder = _unpacked(path, cache_folder(cache) / "scenes")
        return _described(read_folder(folder, progress=progress), path.name)
    key = next((name for name in known if str(root) in (name, lock[name].id)), None)
    if key is None:
        raise ValueError(
            f"{str(root)!r} is neither a folder nor an archive (looked at {path}), nor one of "
            f"{', '.join(known)}; give one of these"
        )
    located = hub.locate(key, remote=True, cache=cache)
    found = read_folder(located.root, progress=progress)
    known[key].labels_of(found.class_names, where=str(located.root))
    found = _described(found, located.repository or str(located.root))
    return replace(found, notes=(*found.notes, *filter(None, [located.unpinned])))


def _described(found: LabelledImages, origin: str) -> LabelledImages:
    """Add the name of a data set, and what must be said of it."""
    known = read_scene_classes().values()
    classes = next((each for each in known if each.class_names == found.class_names), None)
    if classes is None:
        return replace(found, name=composed(origin))
    note = text(
        "data.scenes",
        title=classes.title,
        num=f"{len(found.examples):,}",
        total=f"{classes.num_images:,}",
        origin=composed(origin),
        license=hub.read_lock()[classes.key].license,
    )
    return replace(found, name=classes.title, notes=(note, *found.notes))


def _unpacked(archive: Path, store: Path) -> Path:
    """Unpack an archive once; what was lost or changed in its folder in the cache is noticed.

    Another run may unpack it at the same time, or read what is there: files are written aside, and
    what is there is only replaced while it is the folder that was found damaged.
    """
    sweep(store)
    status = archive.stat()
    key = derive_seed("in a folder", str(archive), status.st_size, status.st_mtime_ns)
    folder, found = store / f"{archive.stem}-{key:016x}", None
    if os.path.lexists(folder):
        found = folder.lstat().st_ino
        if _is_whole(folder):
            return folder / archive.stem
    part, aside = new_part(store), new_part(store)
    try:
        extract_files(archive, part / archive.stem)
        write_atomically(part / MANIFEST, json.dumps(_digests(part)).encode())
        if os.path.lexists(folder) and folder.lstat().st_ino == found:
            folder.rename(aside)
        _rename_first(part, folder)
    finally:
        discard(part)
        discard(aside)
    return folder / archive.stem


def _rename_first(part: Path, folder: Path) -> None:
    """Give a folder its name, unless that of a faster run is there."""
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _is_whole(folder: Path) -> bool:
    try:
        return json.loads(read_file(folder / MANIFEST) or b"null") == _digests(folder)
    except (OSError, ValueError, RecursionError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    return {name: hub.sha256_of(folder / name) for name in hub.list_files(folder)}


def _split(found: LabelledImages, classes: Sequence[str] | None, per_class: int | None) -> Splits:
    names = found.class_names[: len(classes) if classes else None]
    (train, validation, test), said = split_images(found, num_classes=len(names))
    notes = (*found.notes, *said, *_reasons(found.skipped))
    if len(names) < len(found.class_names):
        notes += (text("data.some_classes", names=", ".join(names), num=len(found.class_names)),)
    return Splits(
        train=train if per_class is None else _some_per_class(train, per_class),
        validation=validation,
        test=test,
        class_names=names,
        phrases=found.phrases[: len(names)],
        name=found.name,
        notes=notes,
    )


def _reasons(skipped: Sequence[str]) -> tuple[str, ...]:
    """Give what was left out, or the first few lines and the number of the others."""
    more = len(skipped) - _NUM_REASONS
    if more <= 0:
        return tuple(skipped)
    return (*skipped[:_NUM_REASONS], text("skipped.more", num=f"{more:,}"))


def _some_per_class(examples: Sequence[Example], num: int) -> tuple[Example, ...]:
    """Draw ``num`` examples of every class, or as many as the smallest class has."""
    smallest = min(Counter(example.label for example in examples).values())
    chosen = take_per_class(examples, shots=min(num, smallest), generator=seeded(0))
    return tuple(examples[i] for i in chosen)


def load_seen(
    data: Splits, trained_on: str | None, *, per_class: int, models: Path | None = None
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Load labelled real images of a data set's classes that a generator was trained on.

    They are what such a generator could have told a classifier at best: all of its training
    images where they are at hand, else the sample that ships. Labels are matched to the data set's
    classes by name, and images that choose or judge (validation and test) are left out.

    Args:
        data: brings the class names, and the validation and test images.
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
    (table,) = (name for name in located.artifact.files if name.endswith(".parquet"))
    rows, _ = read_labelled(located.root / table)
    if not set(data.class_names) <= {class_name for class_name, *_ in rows}:
        return (), (text("note.seen_other", name=trained_on),)
    rows = [row for row in rows if row[0] in data.class_names]
    test = {example.digest() for example in data.test}
    other = {example.digest() for example in data.validation}
    left = dict.fromkeys(data.class_names, per_class)
    seen, num_tested = [], 0
    for class_name, image, name in rows:
        place = {"path" if isinstance(image, Path) else "data": image, "name": name}
        example = Example(data.class_names.index(class_name), "real", **place)
        if (digest := example.digest()) in test:
            num_tested += 1
        elif left[class_name] and digest not in other:
            left[class_name] -= 1
            seen.append(example)
    sample = "note.seen_sample" if located.origin == "stand-in" else "note.seen"
    notes = [text(sample, per_class=f"{len(rows) // len(data.class_names):,}")]
    if num_tested:
        notes.append(text("note.seen_test", num=num_tested))
    return tuple(seen), tuple(notes)
