"""What people keep in a folder: class folders, parts of a split, Parquet files, and the rest."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import NoReturn

import numpy as np

from course_utils.examples.classes import (
    CLASSES_FILE,
    choose_table,
    composed,
    phrase_from_name,
    read_phrases,
    read_scene_classes,
)
from course_utils.examples.records import PARTS, Example, LabelledImages, part_of
from course_utils.examples.tables import read_labelled
from course_utils.examples.trees import (
    Tree,
    class_like,
    files_below,
    names_of,
    not_opened,
    shown,
    some,
    unwrapped,
    walk,
)
from course_utils.images import SUFFIXES, ImageError, load_image, read_file
from course_utils.texts import text

Progress = Callable[[Iterable, int], Iterable]
MIN_IMAGES = 3  # one each to train, validate and test
TRAIN, VALIDATION, TEST = PARTS
_KEPT_FIRST = (TEST, VALIDATION, TRAIN, "")  # where copies of an image lie in several parts
_NUM_NAMED = 10  # of classes, in a note


def read_folder(
    root: Path | str, *, progress: Progress = lambda items, total: items
) -> LabelledImages:
    """Read class folders, alone or in the parts of a split, or Parquet files; open every image.

    The class of an image is the first folder below the folder of classes; a lone folder around
    them is passed through. Folders are the parts of a split if every one of them has a part's name
    (`part_of`). The content decides what an image is, not its ending. Left out, each with its
    reason in ``skipped``: files that are no images, further copies of a file in its class (of one
    in several parts that for testing is kept), every copy of a file that lies in several classes,
    links out of ``root`` or to a folder, files beside the class folders, what cannot be opened;
    hidden files are counted in one line. Names are shown as `classes.composed` writes them.

    Args:
        root: the folder; a ``classes.csv`` in it or beside the classes gives the words for prompts
            (`classes.read_phrases`).
        progress: wraps the loop over the files, given their number.

    Returns:
        Examples in a fixed order, with ``parts`` where there are any; ``notes`` says what the
        folder was taken for. Classes of a data set that the course knows have its names, order and
        words.

    Raises:
        ValueError: no folder, nothing of the kind, a single class, a folder that can be read in two
            ways, or classes with under three images.
    """
    root = Path(os.path.realpath(root))
    if not os.path.isdir(root):
        raise ValueError(f"{root} is no folder; give the folder that holds one folder per class")
    skipped: list[str] = []
    tree = walk(root, skipped)
    paths = files_below(tree, root)
    tables = sorted(path for path in paths if path.suffix.lower() == ".parquet" and path.is_file())
    if tables and len(class_like(tree, unwrapped(tree, root))) < 2:
        files, names = _read_tables(tables, root)
        top, folders, how, known, above = root, [], "data.read_tables", set(tables), set(tree)
    else:
        top, folders = _find_classes(tree, root, skipped)
        names = sorted({composed(folder.name) for _, folder in folders})
        files = [
            _File(path, shown(path, root), composed(folder.name), part)
            for part, folder in folders
            for path in files_below(tree, folder)
        ]
        how = "data.read_parts" if folders[0][0] else "data.read_classes"
        known = {file.content for file in files}
        above = tree.keys() & {parent for _, folder in folders for parent in folder.parents}
    words = choose_table(above, [path for path in paths if path not in known])
    beside = sorted(set(paths) - known - {words})
    if how == "data.read_tables" and beside:
        values = {"num": len(beside), "names": some(shown(path, root) for path in beside)}
        skipped.append(text("skipped.beside_tables", **values))
    else:
        skipped += [text("skipped.no_class", file=shown(path, root)) for path in beside]
    found = _gather(files, names, root, skipped, progress, words=words)
    how = text(how, folder=shown(top, root.parent))
    return replace(found, notes=(_reading(found, how, top, folders), *found.notes))


@dataclass(frozen=True)
class _File:
    """A file of a class, not looked at yet."""

    content: Path | bytes
    name: str  # what messages call it
    class_name: str
    part: str
    id: str = ""  # of the image in its set, if that says one


def _find_classes(
    tree: Tree, root: Path, skipped: Sequence[str]
) -> tuple[Path, list[tuple[str, Path]]]:
    """Find the class folders.

    Returns:
        The folder that holds them, or their parts; and of each its part ("" without a split). What
        lies in a lone folder for testing or validation is of that part, and not trained on.
    """
    top = unwrapped(tree, root)
    folders = class_like(tree, top)
    if not folders:
        raise ValueError(
            f"{root} holds no class folders{_only(tree[top].files)}; put the images into one "
            "folder per class" + _reasons(skipped)
        )
    parts = {folder: part_of(folder.name) for folder in folders}
    if len(folders) > 1 and all(parts.values()):
        inside = {folder: class_like(tree, unwrapped(tree, folder)) for folder in folders}
        empty = [folder for folder in folders if not inside[folder]]
        if empty:
            raise ValueError(
                f"{top} holds the parts {names_of(folders)} of a data "
                f"set, but there are no class folders in {names_of(empty)}; put the images of "
                "each part into one folder per class, or give the folder of a part that has them"
            )
        _refuse_two_spellings(top, list(inside.values()))
        for classes in inside.values():
            _refuse_parts_of_classes(tree, classes)
        return top, [(parts[folder], inner) for folder in folders for inner in inside[folder]]
    _refuse_two_readings(tree, folders, parts)
    around = (folder for folder in (top, *top.parents) if root in folder.parents)
    lone = next((folder for folder in around if part_of(folder.name)), None)
    if lone and part_of(lone.name) != TRAIN:
        return lone.parent, [(part_of(lone.name), folder) for folder in folders]
    return top, [("", folder) for folder in folders]


def _only(files: Sequence[Path]) -> str:
    """Say what there is instead, such as archives that nobody unpacked."""
    return f", only {some(file.name for file in files)}" if files else ""


def _refuse_two_spellings(top: Path, parts: Sequence[Sequence[Path]]) -> None:
    """Refuse parts whose classes differ in spelling only, such as ``Forest`` and ``forest``."""
    names = [{composed(folder.name) for folder in folders} for folders in parts]
    for one, other in combinations(names, 2):
        words = {phrase_from_name(name): name for name in one - other}
        for name in other - one:
            if first := words.get(phrase_from_name(name)):
                raise ValueError(
                    f"{top}: {first!r} in one part and {name!r} in another look like one class; "
                    "give a class the same name in every part"
                )


def _refuse_two_readings(tree: Tree, folders: list[Path], parts: dict[Path, str | None]) -> None:
    """Refuse folders that may be classes or parts.

    They hold the parts of a split, or two have the same folders inside, or some are called after
    different parts.
    """
    _refuse_parts_of_classes(tree, folders)
    inner = {
        folder: {composed(each.name) for each in class_like(tree, unwrapped(tree, folder))}
        for folder in folders
    }
    for first, other in combinations(folders, 2):
        both = sorted(inner[first] & inner[other])
        if len(both) > 1 or (both and (parts[first] or parts[other])):
            _refuse_both(
                folders,
                f"parts of a data set whose classes are {some(both, 5)}. Rename the parts to "
                "train, validation and test, or give the folder of one part, or remove the "
                "folders inside the classes",
            )
    called = [folder for folder in folders if parts[folder]]
    if len({parts[folder] for folder in called}) > 1:
        _refuse_both(
            folders,
            f"parts of a data set, for {names_of(called)} are called so. Move the other folders "
            "away and put the images of each part into one folder per class, or rename the classes",
        )


def _refuse_parts_of_classes(tree: Tree, classes: Sequence[Path]) -> None:
    """Refuse classes with a split of their own inside: its test images would be trained on."""
    within = set(classes)
    for around in (each for each in tree if within & {each, *each.parents}):
        parts = {folder: part_of(folder.name) for folder in class_like(tree, around)}
        if all(parts.values()) and {*parts.values()} - {TRAIN}:
            _refuse_both(
                classes,
                f"parts of a data set, {names_of(parts)} in {around.name}. Put the parts around "
                "the classes (train/forest, test/forest), or give the folder that holds the parts",
            )


def _refuse_both(classes: Sequence[Path], otherwise: str) -> NoReturn:
    raise ValueError(
        f"{classes[0].parent} can be read in two ways: as the classes {names_of(classes)}, or as "
        + otherwise
    )


def _read_tables(paths: Sequence[Path], root: Path) -> tuple[list[_File], list[str]]:
    """Read Parquet files: their images, and the names of the classes in the order of the labels."""
    found: list[_File] = []
    order: list[str] = []
    parts = {path: _part_of_table(path.relative_to(root)) for path in paths}
    if any(parts.values()) and not all(parts.values()):
        others = some(shown(path, root) for path in paths if not parts[path])
        raise ValueError(
            f"{root}: some of its Parquet files are called after a part of a data set, but not "
            f"{others}; call every file or its folder train, validation or test"
        )
    for path in paths:
        try:
            rows, names = read_labelled(path, root)
        except (OSError, ValueError) as error:
            raise ValueError(f"{root}: its Parquet files cannot be read ({error})") from error
        order += [name for name in names if name not in order]
        part, name_of_table = parts[path] or TRAIN, shown(path.with_suffix(""), root)
        found += [
            _File(image, f"row {number} of {name_of_table}", name, part, id)
            for number, (name, image, id) in enumerate(rows)
        ]
    order = order or sorted({file.class_name for file in found})
    if not order:
        raise ValueError(f"{root}: there are no rows in its Parquet files; fetch them again")
    if empty := sorted(set(order) - {file.class_name for file in found}):
        raise ValueError(f"{root}: there is no image of the classes {', '.join(empty)}")
    return found, order


def _part_of_table(path: Path) -> str | None:
    """Name the part that a table is called after, or else a folder, the innermost first."""
    for name in (path.stem, *reversed(path.parts[:-1])):
        words = (*re.split(r"[^A-Za-z]+", name), *phrase_from_name(name).split())
        if part := next(filter(None, map(part_of, (name, *words))), None):
            return part
    return None


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
    notes = tuple(text(key, num=len(names), file=names[0]) for key, names in remarks.items())
    parts = tuple(file.part for file in kept)
    parts = parts if all(parts) else ()
    return LabelledImages(
        tuple(examples), class_names, phrases, tuple(skipped), notes=notes, parts=parts
    )


def _example(file: _File, label: int) -> Example:
    if isinstance(file.content, Path):
        return Example(label, "real", path=file.content, name=file.id or file.content.name)
    return Example(label, "real", data=file.content, name=file.id)


def _look(files: Sequence[_File], remarks: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Open files; give the hash of each, or why it cannot be used; collect remarks on images."""
    for file in files:
        try:
            data = file.content if isinstance(file.content, bytes) else read_file(file.content)
            image = load_image(data, name=file.name)
        except ImageError as error:
            yield "", text("skipped.unreadable", error=error)
        except OSError as error:
            yield "", not_opened(file.name, error)
        else:
            if remark := image.info.get("remark"):
                remarks[remark].append(file.name)
            yield sha256(data).hexdigest(), ""


def _reading(
    found: LabelledImages, how: str, top: Path, folders: Sequence[tuple[str, Path]]
) -> str:
    """Say in one line what a folder was taken for."""
    counts, called = Counter(found.parts), defaultdict(set)
    for part, folder in folders:
        called[part].add(names_of([top / folder.relative_to(top).parts[0]]))
    parts = (
        f"{part} ({', '.join([*sorted(called[part] - {part}), f'{counts[part]:,}'])})"
        for part in PARTS
        if counts[part]
    )
    return text(
        "data.read",
        how=", ".join([how, *parts]),
        num=f"{len(found.examples):,}",
        num_classes=len(found.class_names),
        classes=some(found.class_names, _NUM_NAMED),
    )


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
        raise ValueError(
            f"{root}: every class needs {MIN_IMAGES} readable images ({' '.join(SUFFIXES)}), but "
            f"these have fewer: {', '.join(few)}; add images or remove the folders"
            + _reasons(skipped)
        )


def _reasons(skipped: Sequence[str]) -> str:
    return f"; left out: {'; '.join(skipped[:5])}" if skipped else ""
