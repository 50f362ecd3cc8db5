"""Class folders: one folder per class, whatever else people keep in them."""

import csv
import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from course_utils.examples.records import ClassFolder, ClassTable, Example
from course_utils.images import SUFFIXES, ImageError, load_image
from course_utils.texts import text

CLASSES_FILE = "classes.csv"
MIN_IMAGES = 3  # one each to train, validate and test


def scan_folder(root: Path | str) -> ClassFolder:
    """Read ``root/<class>/**/<image>`` and open every image once.

    Left out, each with its reason in ``skipped``: files that do not open, further copies of a file
    in its class, every copy of a file that lies in several classes, links out of ``root`` or to a
    folder, images beside the class folders. Hidden files are passed over silently.

    Args:
        root: a folder with one folder per class, perhaps with a ``classes.csv`` (`read_classes`).

    Returns:
        Examples in a fixed order, class by class; paths are absolute.

    Raises:
        ValueError: no folder, no class folders, a single one, or classes with under three images.
    """
    root = Path(root).resolve()
    table, skipped = read_classes(root), []
    for path in sorted(root.iterdir()):
        if _is_visible(path.name) and path.suffix.lower() in SUFFIXES:
            skipped.append(text("skipped.no_class", file=path.name))
    copies: dict[str, list[Example]] = defaultdict(list)
    for label, folder in enumerate(_class_folders(root, skipped)):
        for path in _image_files(folder, root, skipped):
            name = path.relative_to(root).as_posix()
            try:
                data = path.read_bytes()
                load_image(data, name=name)
            except ImageError as error:
                skipped.append(text("skipped.unreadable", error=error))
            except OSError as error:
                skipped.append(text("skipped.not_opened", file=name, reason=error.strerror))
            else:
                copies[hashlib.sha256(data).hexdigest()].append(Example(label, "real", path))
    examples = [found[0] for found in copies.values() if _is_kept(found, root, skipped)]
    _require_images(examples, table.class_names, root, skipped)
    return ClassFolder(tuple(examples), table.class_names, table.phrases, tuple(skipped))


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "__"))  # "__MACOSX" comes with archives packed on a Mac


def _class_folders(root: Path, skipped: list[str]) -> list[Path]:
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give the folder that holds one folder per class")
    folders = []
    for path in sorted(root.iterdir(), key=lambda path: _composed(path.name)):
        if path.is_dir() and _is_visible(path.name):
            if path.is_symlink():
                skipped.append(text("skipped.link", file=path.name))
            else:
                folders.append(path)
    if not folders:
        raise ValueError(f"{root} holds no class folders; put the images into one folder per class")
    if len(folders) == 1:
        raise ValueError(
            f"{root} holds a single class folder, {folders[0].name!r}, but classes are to be told "
            f"apart; if the class folders lie inside it, give {folders[0]}"
        )
    return folders


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS writes "é" as two characters


def _image_files(folder: Path, root: Path, skipped: list[str]) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):  # does not enter linked folders
        folders[:] = sorted(name for name in folders if _is_visible(name))
        for path in (Path(parent, name) for name in sorted(folders + files)):
            is_image = path.suffix.lower() in SUFFIXES and _is_visible(path.name)
            leads_out = path.is_symlink() and not path.resolve().is_relative_to(root)
            if path.is_symlink() and (path.is_dir() or (is_image and leads_out)):
                skipped.append(text("skipped.link", file=path.relative_to(root).as_posix()))
            elif is_image and not path.is_dir():
                yield path


def _is_kept(copies: list[Example], root: Path, skipped: list[str]) -> bool:
    names = [example.path.relative_to(root).as_posix() for example in copies]
    if len({example.label for example in copies}) > 1:
        skipped.append(text("skipped.same_across_classes", files=", ".join(names)))
        return False
    skipped += [text("skipped.same_in_class", file=name, first=names[0]) for name in names[1:]]
    return True


def _require_images(
    examples: list[Example], class_names: Sequence[str], root: Path, skipped: list[str]
) -> None:
    counts = np.bincount([example.label for example in examples], minlength=len(class_names))
    few = [f"{name!r} ({n})" for name, n in zip(class_names, counts, strict=True) if n < MIN_IMAGES]
    if few:
        reasons = f"; left out: {'; '.join(skipped[:5])}" if skipped else ""
        raise ValueError(
            f"{root}: every class needs {MIN_IMAGES} readable images ({' '.join(SUFFIXES)}), but "
            f"these have fewer: {', '.join(few)}; add images or remove the folders{reasons}"
        )


def read_classes(root: Path | str) -> ClassTable:
    """List the class folders and the words that stand for them in a prompt.

    The words come from the folder names, or from ``root/classes.csv`` in UTF-8 with the columns
    ``name`` (a folder) and ``phrase``, one row for every class.

    Raises:
        ValueError: ``classes.csv`` is unreadable, names a class twice or one that is no folder, or
            forgets one; or two classes have the same phrase and no prompt could tell them apart.
    """
    root = Path(root).resolve()
    names = tuple(_composed(folder.name) for folder in _class_folders(root, []))
    path = root / CLASSES_FILE
    phrases = _read_phrases(path, names) if path.exists() else tuple(map(phrase_from_name, names))
    for phrase in phrases:
        same = [name for name, other in zip(names, phrases, strict=True) if other == phrase]
        if len(same) > 1:
            raise ValueError(f"{path}: give {', '.join(same)} different phrases, not {phrase!r}")
    return ClassTable(names, phrases)


def _read_phrases(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # Excel writes a byte order mark
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames, list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file in UTF-8 ({error}); save it as such") from error
    if not {"name", "phrase"} <= set(columns or ()):
        raise ValueError(f"{path}: expected columns name,phrase, got {columns}")
    listed = [_composed((row["name"] or "").strip()) for row in rows]
    phrases = dict(zip(listed, ((row["phrase"] or "").strip() for row in rows), strict=True))
    for problem, wrong in (
        ("is listed twice", {name for name in listed if listed.count(name) > 1}),
        ("is no folder here", set(listed) - set(names)),
        ("is not listed", set(names) - set(listed)),
        ("has no phrase", {name for name, phrase in phrases.items() if not phrase}),
    ):
        if wrong:
            raise ValueError(f"{path}: {', '.join(map(repr, sorted(wrong)))} {problem}")
    return tuple(phrases[name] for name in names)


def phrase_from_name(name: str) -> str:
    """Turn a folder name into words: ``AnnualCrop`` into "annual crop", ``tank_2`` into "tank 2".

    Words end at separators, at a change to a capital and between letters and digits. An acronym
    keeps its capitals ("BBQArea" gives "BBQ area") unless the whole name is in capitals.
    """
    name = _composed(name)
    spaced = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in name)
    letters = ""
    for before, c, after in zip(" " + spaced, spaced, spaced[1:] + " ", strict=False):
        starts_word = c.isupper() and (before.islower() or (before.isupper() and after.islower()))
        is_number_edge = (before.isdigit() and c.isalpha()) or (before.isalpha() and c.isdigit())
        letters += f" {c}" if starts_word or is_number_edge else c
    keeps_acronyms = not name.isupper()
    words = (
        word if keeps_acronyms and word.isupper() and len(word) > 1 else word.lower()
        for word in letters.split()
    )
    return " ".join(words) or name
