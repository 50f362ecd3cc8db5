"""What people keep in a folder: class folders, parts of a split, Parquet files, and the rest."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from course_utils.examples.classes import (
    CLASSES_FILE,
    choose_table,
    composed,
    read_phrases,
    read_scene_classes,
)
from course_utils.examples.records import PARTS, Example, LabelledImages
from course_utils.examples.tables import read_labelled
from course_utils.images import SUFFIXES, ImageError, load_image, read_file
from course_utils.texts import text

Progress = Callable[[Iterable, int], Iterable]
MIN_IMAGES = 3  # one each to train, validate and test
TRAIN, VALIDATION, TEST = PARTS
_KEPT_FIRST = (TEST, VALIDATION, TRAIN, "")  # where copies of an image lie in several parts
_PART_NAMES = {
    **dict.fromkeys(("train", "training", "trainset", "trainval", "fit"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating"), VALIDATION),
    **dict.fromkeys(("dev", "devel", "development", "eval", "evaluation", "valset"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "testset", "holdout"), TEST),
}
_NO_NAMES = {"set", "image", "images", "img", "imgs", "data", "dataset", "split", "part", "folder"}
_DOCUMENTS = {  # a folder of nothing but these is no class
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml"),
    *(".html", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".py", ".ipynb", ".m", ".mat", ".sh"),
    *(".npy", ".npz", ".log", ".bib", ".cfg", ".ini", ".geojson", ".parquet", ".arrow", ".db"),
    *(".zip", ".tar", ".gz", ".rar", ".7z"),
}


def part_of(name: str) -> str | None:
    """Name the part of a split that a folder or file is called after; None if it is not.

    ``Training``, ``training_set``, ``train_images`` and ``train2017`` are all ``train``.
    """
    words = [word for word in re.findall(r"[a-z]+", name.lower()) if word not in _NO_NAMES]
    return _PART_NAMES.get(words[0]) if len(words) == 1 else None


def read_folder(
    root: Path | str, *, progress: Progress = lambda items, total: items
) -> LabelledImages:
    """Read class folders, alone or in the parts of a split, or Parquet files; open every image.

    The class of an image is the first folder below the folder of classes; a lone folder around
    them is passed through. Folders are the parts of a split if every one of them has a part's name
    (`part_of`). The content decides what an image is, not its ending. Left out, each with its
    reason in ``skipped``: files that are no images, further copies of a file in its class (of one
    in several parts that for testing is kept), every copy of a file that lies in several classes,
    links out of ``root`` or to a folder, files beside the class folders. Hidden files are passed
    over silently.

    Args:
        root: the folder; a ``classes.csv`` in it or beside the classes gives the words for prompts
            (`classes.read_phrases`).
        progress: wraps the loop over the files, given their number.

    Returns:
        Examples in a fixed order, with ``parts`` where there are any. Classes of a data set that
        the course knows have its names, order and words.

    Raises:
        ValueError: no folder, nothing of the kind, a single class, a folder that can be read in two
            ways, or classes with under three images.
    """
    root = Path(root).resolve()
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give the folder that holds one folder per class")
    skipped: list[str] = []
    tree = _walk(root, skipped)
    tables = [path for _, files in tree.values() for path in files if path.suffix == ".parquet"]
    if tables and len(_class_like(tree, _unwrapped(tree, root))) < 2:
        found, order = _read_tables(sorted(tables), root)
        words = choose_table(tree, [path for _, files in tree.values() for path in files])
        return _gather(found, order, root, skipped, progress, words=words)
    folders = _find_classes(tree, root)
    names = sorted({composed(folder.name) for _, folder in folders})
    inside = [
        _File(path, path.relative_to(root).as_posix(), composed(folder.name), part)
        for part, folder in folders
        for path in _files_below(tree, folder)
    ]
    known = {file.content for file in inside}
    above = tree.keys() & {parent for _, folder in folders for parent in folder.parents}
    beside = [path for _, files in tree.values() for path in files if path not in known]
    words = choose_table(above, beside)
    skipped += [
        text("skipped.no_class", file=path.relative_to(root).as_posix())
        for path in sorted(beside)
        if path.name.lower() != CLASSES_FILE or path.parent not in above
    ]
    return _gather(inside, names, root, skipped, progress, words=words)


@dataclass(frozen=True)
class _File:
    """A file of a class, not looked at yet."""

    content: Path | bytes
    name: str  # what messages call it
    class_name: str
    part: str


Tree = dict[Path, tuple[list[Path], list[Path]]]  # folder -> folders and files in it, by name


def _walk(root: Path, skipped: list[str]) -> Tree:
    """List what is below a folder, without hidden things and without links that lead away."""
    tree: Tree = {}
    for parent, folders, files in os.walk(root):
        here = Path(parent)
        folders[:] = sorted(filter(is_visible, folders), key=composed)
        for name in [name for name in folders if (here / name).is_symlink()]:
            folders.remove(name)
            skipped.append(text("skipped.link", file=(here / name).relative_to(root).as_posix()))
        kept = []
        for path in (here / name for name in sorted(filter(is_visible, files))):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                skipped.append(text("skipped.link", file=path.relative_to(root).as_posix()))
            else:
                kept.append(path)
        tree[here] = ([here / name for name in folders], kept)
    return tree


def is_visible(name: str) -> bool:
    """Tell a learner's files from those that systems leave."""
    return not name.startswith((".", "__"))  # "__MACOSX" comes with archives packed on a Mac


def _files_below(tree: Tree, folder: Path) -> list[Path]:
    folders, files = tree[folder]
    return [*files, *(path for inner in folders for path in _files_below(tree, inner))]


def _class_like(tree: Tree, folder: Path) -> list[Path]:
    """List the folders in a folder, without those that hold documents only."""

    def may_hold_images(inner: Path) -> bool:
        suffixes = {path.suffix.lower() for path in _files_below(tree, inner)}
        return not suffixes or not suffixes <= _DOCUMENTS

    return [inner for inner in tree[folder][0] if may_hold_images(inner)]


def _unwrapped(tree: Tree, folder: Path) -> Path:
    """Go down through folders that hold a single one, to that of the classes or parts."""
    while len(inner := _class_like(tree, folder)) == 1 and _class_like(tree, inner[0]):
        folder = inner[0]
    return folder


def _find_classes(tree: Tree, root: Path) -> list[tuple[str, Path]]:
    """Find the class folders, each with its part ("" without a split)."""
    top = _unwrapped(tree, root)
    folders = _class_like(tree, top)
    if not folders:
        raise ValueError(f"{root} holds no class folders; put the images into one folder per class")
    parts = {folder: part_of(folder.name) for folder in folders}
    if len(folders) > 1 and all(parts.values()):
        inside = {folder: _class_like(tree, _unwrapped(tree, folder)) for folder in folders}
        empty = [folder.name for folder in folders if not inside[folder]]
        if empty:
            raise ValueError(
                f"{top} holds the parts {', '.join(folder.name for folder in folders)} of a data "
                f"set, but there are no class folders in {', '.join(empty)}; put the images of "
                "each part into one folder per class"
            )
        return [(parts[folder], inner) for folder in folders for inner in inside[folder]]
    _refuse_two_readings(tree, folders, parts)
    return [("", folder) for folder in folders]


def _refuse_two_readings(tree: Tree, folders: list[Path], parts: dict[Path, str | None]) -> None:
    """Refuse folders that may be classes or parts: two have the same folders inside."""
    inner = {folder: {composed(each.name) for each in tree[folder][0]} for folder in folders}
    for i, first in enumerate(folders):
        for other in folders[i + 1 :]:
            both = sorted(inner[first] & inner[other])
            if len(both) > 1 or (both and (parts[first] or parts[other])):
                names = ", ".join(folder.name for folder in folders)
                raise ValueError(
                    f"{first.parent} can be read in two ways: as the classes {names}, or as parts "
                    f"of a data set whose classes are {', '.join(both[:5])}. Rename the parts to "
                    "train, validation and test, or give the folder of one part, or remove the "
                    "folders inside the classes"
                )


def _read_tables(paths: Sequence[Path], root: Path) -> tuple[list[_File], list[str]]:
    """Read Parquet files: their images, and the names of the classes in the order of the labels."""
    found: list[_File] = []
    order: list[str] = []
    for path in paths:
        try:
            rows, names = read_labelled(path, root)
        except (OSError, ValueError) as error:
            raise ValueError(f"{root}: its Parquet files cannot be read ({error})") from error
        order += [name for name in names if name not in order]
        words = [*re.split(r"[^A-Za-z]+", path.stem), *path.relative_to(root).parts[:-1]]
        part = next(filter(None, map(part_of, words)), TRAIN)
        found += [
            _File(image, f"row {number} of {path.stem}", name, part)
            for number, (name, image) in enumerate(rows)
        ]
    order = order or sorted({file.class_name for file in found})
    if not order:
        raise ValueError(f"{root}: there are no rows in its Parquet files; fetch them again")
    if empty := sorted(set(order) - {file.class_name for file in found}):
        raise ValueError(f"{root}: there is no image of the classes {', '.join(empty)}")
    return found, order


def _gather(
    files: Sequence[_File],
    names: Sequence[str],
    root: Path,
    skipped: list[str],
    progress: Progress,
    *,
    words: Path | None = None,
) -> LabelledImages:
    """Open all files and make examples of those that can be used; ``words`` is a table of them."""
    if len(names) == 1:
        raise ValueError(
            f"{root} holds a single class, {names[0]!r}, but classes are to be told apart; "
            "put the images of every class into a folder of its own"
        )
    known = next((c for c in read_scene_classes().values() if c.matches(names)), None)
    labels = known.labels_of(names, where=str(root)) if known else range(len(names))
    label_of = dict(zip(names, labels, strict=True))
    class_names = known.class_names if known else tuple(names)
    if known and words is None:
        phrases = known.phrases
    else:
        phrases = read_phrases(words or root / CLASSES_FILE, sorted(names, key=label_of.get))
    copies: dict[str, list[int]] = defaultdict(list)
    remarks: dict[str, list[str]] = defaultdict(list)
    for i, (digest, reason) in enumerate(progress(_look(files, remarks), len(files))):
        if reason:
            skipped.append(reason)
        else:
            copies[digest].append(i)
    kept = [files[i] for i in sorted(_keep(copies.values(), files, skipped))]
    kept.sort(key=lambda file: label_of[file.class_name])  # else as they were found
    examples = [_example(file, label_of[file.class_name]) for file in kept]
    _require_images(examples, class_names, root, skipped)
    notes = tuple(text(key, num=len(some), file=some[0]) for key, some in remarks.items())
    parts = tuple(file.part for file in kept)
    parts = parts if all(parts) else ()
    return LabelledImages(
        tuple(examples), class_names, phrases, tuple(skipped), notes=notes, parts=parts
    )


def _example(file: _File, label: int) -> Example:
    if isinstance(file.content, Path):
        return Example(label, "real", path=file.content)
    return Example(label, "real", data=file.content)


def _look(files: Sequence[_File], remarks: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Open files; give the hash of each, or why it cannot be used; collect remarks on images."""
    for file in files:
        try:
            data = file.content if isinstance(file.content, bytes) else read_file(file.content)
            image = load_image(data, name=file.name)
        except ImageError as error:
            yield "", text("skipped.unreadable", error=error)
        except OSError as error:
            yield "", text("skipped.not_opened", file=file.name, reason=error.strerror)
        else:
            if remark := image.info.get("remark"):
                remarks[remark].append(file.name)
            yield sha256(data).hexdigest(), ""


def _keep(copies: Iterable[list[int]], files: Sequence[_File], skipped: list[str]) -> Iterator[int]:
    """Choose one of the copies of each file, or none if their classes differ."""
    for same in copies:
        if len({files[i].class_name for i in same}) > 1:
            names = ", ".join(files[i].name for i in same)
            skipped.append(text("skipped.same_across_classes", files=names))
            continue
        first = min(same, key=lambda i: (_KEPT_FIRST.index(files[i].part), i))
        for i in same:
            if i != first:
                values = {"file": files[i].name, "first": files[first].name}
                skipped.append(text("skipped.same_in_class", **values))
        yield first


def _require_images(
    examples: Sequence[Example], class_names: Sequence[str], root: Path, skipped: Sequence[str]
) -> None:
    counts = np.bincount([example.label for example in examples], minlength=len(class_names))
    few = [f"{name!r} ({n})" for name, n in zip(class_names, counts, strict=True) if n < MIN_IMAGES]
    if few:
        reasons = f"; left out: {'; '.join(skipped[:5])}" if skipped else ""
        raise ValueError(
            f"{root}: every class needs {MIN_IMAGES} readable images ({' '.join(SUFFIXES)}), but "
            f"these have fewer: {', '.join(few)}; add images or remove the folders{reasons}"
        )
