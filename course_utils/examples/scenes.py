"""Labelled scenes, whichever way they come: by name, in an archive, in class folders."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from course_utils import hub
from course_utils.examples.archives import extract_images
from course_utils.examples.folders import CLASSES_FILE, scan_folder
from course_utils.examples.hub_sets import (
    PARTS,
    Progress,
    key_of,
    name_in_lock,
    open_repository,
    read_repository,
    unpack_scenes,
)
from course_utils.examples.layouts import are_parts, find_classes, folders_in, unwrapped
from course_utils.examples.records import ClassFolder, Example
from course_utils.examples.scene_classes import SceneClasses, read_scene_classes
from course_utils.images import SUFFIXES
from course_utils.runtime import cache_folder, resolve_path, write_atomically
from course_utils.texts import text

INDEX_FILE = "index.json"
_UNPACKED = re.compile(r"(\w+)-\d{5}")
_Filled = tuple[str, Sequence[str] | None]  # where from, and the classes in the order of labels


def load_scenes(
    root: str | Path,
    *,
    cache: Path | None = None,
    progress: Progress = lambda items, total: items,
) -> ClassFolder:
    """Load labelled images and their classes from a folder, an archive or the hub.

    Of a data set that the course knows (`read_scene_classes`) the classes get their official
    names, label order and words, however its folders or labels are spelled and ordered; a folder is
    known by the names of its class folders, which may lie one or two folders down (``2750/``,
    ``Images/``). Any other folder is read by `scan_folder`, under the names of its folders. Where
    ``train``, ``val``, ``test`` lie above the class folders, they are the data set's own parts.

    Args:
        root: a folder of class folders, or with the Parquet files of a repository; a tar or zip
            archive of class folders; or, if there is no such path, a data set of the lock:
            ``resisc45``, ``eurosat``, ``ucmerced`` or ``aid``, or its id on the hub. It is looked
            for in the folder ``COURSE_MODELS``, then in the cache, then on the hub and its mirrors:
            naming it is the permission to download it.
        cache: where archives and data sets of the hub are unpacked, once; ``COURSE_CACHE`` or
            ``outputs/cache`` by default.
        progress: wraps the loop over the images that are unpacked, given their number.

    Returns:
        Examples class by class, with the data set's own ``parts`` if it brings them.

    Raises:
        ValueError: there is nothing of the kind, or it is not what its name says.
        OSError: the cache cannot be written.

    Source:
        Data sets, versions and licences: ``data/artifacts.lock.json``.
    """
    path, known = resolve_path(root), read_scene_classes()
    store = cache_folder(cache) / "scenes"
    if path.is_dir():
        return _from_folder(path, store, progress)
    if path.is_file():
        return _from_archive(path, store)
    if name := name_in_lock(root, known):
        return _from_name(known[name], store, progress)
    raise ValueError(
        f"{str(root)!r} is neither a folder nor an archive (looked at {path}), nor one of "
        f"{', '.join(known)}; give one of these"
    )


def _from_folder(path: Path, store: Path, progress: Progress) -> ClassFolder:
    key, folder = find_classes(path)
    inside = folders_in(path)
    has_classes = key or len(inside) > 1  # a repository has at most one, "data"
    kind, pattern = ("parts", "*.*") if are_parts(inside) else ("Parquet files", "*.parquet")
    files = [] if has_classes and kind != "parts" else sorted(path.rglob(pattern))
    if not files:
        return _describe(_scan(folder, key), key, path.name)

    def fill(target: Path) -> _Filled:
        try:
            found = read_repository(str(path), cache=store.parent)
        except Exception as error:  # the library lets through whatever its parts raise
            raise ValueError(f"{path}: its {kind} cannot be read ({error})") from error
        return path.name, unpack_scenes(found, target, key=None, progress=progress)

    state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return _once(store, path.name, state, fill)


def _from_archive(path: Path, store: Path) -> ClassFolder:
    def fill(target: Path) -> _Filled:
        extract_images(path, target, suffixes=SUFFIXES)
        return path.name, None

    state = [str(path), path.stat().st_size, path.stat().st_mtime_ns]
    return _once(store, path.stem, state, fill)


def _from_name(classes: SceneClasses, store: Path, progress: Progress) -> ClassFolder:
    artifact = hub.read_lock()[classes.key]
    try:
        folder = hub.locate(artifact.name).root
    except hub.ArtifactError:
        folder = None
    if folder:
        found = _from_folder(folder, store, progress)
        classes.labels_of(found.class_names, where=str(folder))
        return found

    def fill(target: Path) -> _Filled:
        repository, place = open_repository(artifact, store.parent)
        return place, unpack_scenes(repository, target, key=classes.key, progress=progress)

    return _once(store, artifact.name, [artifact.id, artifact.revision, artifact.mirrors], fill)


def _scan(folder: Path, key: str | None, order: Sequence[str] | None = None) -> ClassFolder:
    """Scan class folders; those of a known data set get its names, labels and words.

    Labels of any other follow ``order``, by default the names of its folders.
    """
    if are_parts(inside := folders_in(folder)):
        names = ", ".join(each.name for each in inside)
        raise ValueError(f"{folder.name} holds the parts {names} of a data set; give the folder")
    found = scan_folder(folder)
    names, words = tuple(order or found.class_names), None
    labels = tuple(map(names.index, found.class_names))
    if key:
        classes = read_scene_classes()[key]
        names, words = classes.class_names, classes.phrases
        labels = classes.labels_of(found.class_names, where=str(folder))
    examples = [replace(example, label=labels[example.label]) for example in found.examples]
    phrases = dict(zip(labels, found.phrases, strict=True))
    if words is None or (folder / CLASSES_FILE).exists():
        words = tuple(phrases[label] for label in range(len(labels)))
    return replace(
        found,
        examples=tuple(sorted(examples, key=lambda example: example.label)),
        class_names=names,
        phrases=words,
    )


def _describe(found: ClassFolder, key: str | None, origin: str) -> ClassFolder:
    """Add the name of a data set, and what must be said of it."""
    if key is None:
        return replace(found, name=origin)
    classes, artifact = read_scene_classes()[key], hub.read_lock()[key]
    note = text(
        "data.scenes",
        title=classes.title,
        num=f"{len(found.examples):,}",
        total=f"{classes.num_images:,}",
        origin=origin,
        license=artifact.license,
    )
    return replace(found, name=classes.title, notes=(note,))


def _once(store: Path, name: str, state: Any, fill: Callable[[Path], _Filled]) -> ClassFolder:
    """Fill a folder of the cache and scan it, or read what an earlier run has found there.

    Args:
        store: the folder for such folders.
        name: how the new one begins.
        state: what decides its content, as JSON has it.
        fill: writes the images, and says where they are from and how their labels are ordered.
    """
    table = [asdict(classes) for classes in read_scene_classes().values()]
    folder = store / f"{name}-{key_of([state, table])}"
    index = _read_index(folder)
    if index is None:
        origin, order = fill(folder)
        key, inner = find_classes(folder)
        found = _scan(inner if key else unwrapped(folder), key, order)
        index = {"origin": origin, "key": key, **_as_json(found, folder)}
        write_atomically(folder / INDEX_FILE, json.dumps(index).encode())
    found = ClassFolder(
        examples=tuple(Example(label, "real", folder / file) for label, file in index["files"]),
        class_names=tuple(index["class_names"]),
        phrases=tuple(index["phrases"]),
        skipped=tuple(index["skipped"]),
        parts=_parts_of([file for _, file in index["files"]]),
    )
    return _describe(found, index["key"], index["origin"])


def _as_json(found: ClassFolder, folder: Path) -> dict[str, Any]:
    files = [(each.label, each.path.relative_to(folder).as_posix()) for each in found.examples]
    names = ("class_names", "phrases", "skipped")
    return {"files": files, **{name: list(getattr(found, name)) for name in names}}


def _read_index(folder: Path) -> dict[str, Any] | None:
    """Read what was found in a folder; None if that run was stopped or files have gone since."""
    try:
        index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        is_whole = all((folder / file).is_file() for _, file in index["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return index if is_whole else None


def _parts_of(files: list[str]) -> tuple[str, ...]:
    """Read the parts of a data set from the names that `unpack_scenes` gives its files."""
    matches = [_UNPACKED.fullmatch(Path(file).stem) for file in files]
    parts = [match and PARTS.get(match[1]) for match in matches]
    return () if None in parts else tuple(parts)
