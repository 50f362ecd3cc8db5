"""Captioned images: RSICD, UCM-Captions, Sydney-Captions and RSICap, as their makers wrote them."""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from course_utils import hub
from course_utils.examples.classes import composed, read_scene_classes
from course_utils.examples.folders import Progress
from course_utils.examples.records import CaptionedImage, CaptionSet, part_of
from course_utils.examples.tables import read_rows
from course_utils.examples.trees import is_visible
from course_utils.images import SUFFIXES
from course_utils.runtime import resolve_path
from course_utils.texts import text

RSICD, UCM, SYDNEY, RSICAP = "RSICD", "UCM-Captions", "Sydney-Captions", "RSICap"
LOCK_NAMES = {"rsicd": RSICD, "ucm_captions": UCM, "sydney_captions": SYDNEY, "rsicap": RSICAP}
FILE_NAMES = ("dataset_rsicd.json", "dataset.json", "captions.json")
IMAGE_FOLDERS = ("RSICD_images", "UCM_images", "Sydney_images", "imgs", "images")
_PREFIXES = {"rsicd": RSICD, "ucm": UCM, "sydney": SYDNEY}  # of what the files call themselves
_HALF = re.compile("[\ud800-\udfff]")  # JSON may have them, but no file name
_PER_CLASS = 100  # images of a class of UC Merced
_COLUMNS = ("filename", "captions", "image")  # of RSICD on the hub
_WITH_SPLITS = "a list 'images' of {'filename', 'split', 'sentences': [{'raw'}, …]}"
_WITHOUT = "a list 'annotations' of {'filename', 'text_output'}"


class CaptionsError(ValueError):
    """A file of captions, or a folder of their images, that is not what it should be."""


def load_captions(
    root: str | Path,
    *,
    images: str | Path | None = None,
    cache: Path | None = None,
    progress: Progress = lambda items, total: items,
) -> CaptionSet:
    """Load a caption set from its files, or by its name in the lock.

    Args:
        root: what `read_captions` takes; or, if there is no such path, ``rsicd``,
            ``ucm_captions``, ``sydney_captions`` or ``rsicap``, or its id on the hub. It is looked
            for in the folder ``COURSE_MODELS``; RSICD, which alone is on the hub, then there too.
        images: see `read_captions`.
        cache: ``COURSE_CACHE`` or ``outputs/cache`` by default.
        progress: wraps the loop over the Parquet files of a set from the hub, given their number.

    Raises:
        ValueError: there is nothing of the kind, or it is not what it should be.
        OSError: the cache cannot be written.
    """
    path, images = resolve_path(root), images if images is None else resolve_path(images)
    if not path.exists():
        lock = hub.read_lock()
        name = next((name for name in LOCK_NAMES if str(root) in (name, lock[name].id)), None)
        if name is None:
            raise CaptionsError(
                f"{str(root)!r} is no path (looked at {path}) and none of {', '.join(LOCK_NAMES)}"
            )
        path = hub.locate(name, remote=True, cache=cache).root
        if tables := sorted(path.rglob("*.parquet")):
            return _read_tables(tables, LOCK_NAMES[name], progress)
    return read_captions(path, images=images)


def read_captions(path: str | Path, *, images: str | Path | None = None) -> CaptionSet:
    """Read the sentences of a caption set, and find its images.

    Two schemas: ``{"dataset", "images": [{"filename", "split", "sentences": [{"raw"}]}]}`` of
    RSICD, UCM-Captions and Sydney-Captions, and of sets made like them; and
    ``{"annotations": [{"filename", "text_output"}]}`` of RSICap. The sentences are the ``raw`` ones
    (``tokens`` are spelled otherwise here and there). The part for validation may be called
    ``val``, ``valid`` or ``validation``.

    Args:
        path: the JSON file, or a folder that has it under its usual name.
        images: a folder with the images, searched with all folders below: by the path that is
            listed, then by the name, then without ending; by default what lies beside the file
            under a usual name. For UCM-Captions it may be UC Merced in its own layout, see
            `ucmerced_stem`. Endings may differ (``.tif`` in the file, ``.jpg`` in the folder).

    Returns:
        The images in the order of the file, with sentences only where there is no folder.

    Raises:
        CaptionsError: there is no such file or folder, broken JSON, another schema, an image that
            is listed twice or fits two files, an empty sentence, an unknown split, a folder with
            none of the images.

    Source:
        RSICD: Lu et al. 2018 (arXiv:1712.07835). UCM-Captions, Sydney-Captions: Qu et al. 2016,
        CITS. RSICap: Hu et al. 2023 (arXiv:2307.15266). No licence is stated; for research.
    """
    path = _json_file(Path(path).expanduser())
    name, found = _read_file(path)
    names = {
        file: _names_of(file, folder, path.parent)
        for folder in _image_folders(path, images)
        for file in _files_below(folder)
    }
    places = _find_files(found, names)
    found = tuple(replace(each, path=place) for each, place in zip(found, places, strict=True))
    missing = [each.file_name for each in found if not each.has_image]
    if images is not None and len(missing) == len(found):
        raise CaptionsError(
            f"{images} has none of the {len(found)} images of {name}, such as {missing[0]}; "
            "give the folder that holds them, and no links out of it"
        )
    return CaptionSet(name, found, _notes_on(name, found))


def _notes_on(name: str, found: Sequence[CaptionedImage]) -> tuple[str, ...]:
    """Say what must be known of a caption set."""
    notes, missing = [], [each.file_name for each in found if not each.has_image]
    if len(missing) == len(found):
        notes.append(text("captions.no_images", name=name))
    elif missing:
        values = {"num": len(missing), "total": len(found), "files": ", ".join(missing[:3])}
        notes.append(text("captions.missing", name=name, **values))
    if name == UCM:
        notes.append(text("captions.ucm_rule"))
    if repeated := sum(len(set(each.captions)) < len(each.captions) for each in found):
        notes.append(text("captions.repeated", name=name, num=repeated, total=len(found)))
    return tuple(notes)


def _read_tables(paths: Sequence[Path], name: str, progress: Progress) -> CaptionSet:
    """Read Parquet files with the columns ``filename``, ``captions`` and ``image``."""
    found: list[CaptionedImage] = []
    for path in progress(paths, len(paths)):
        split = path.stem.split("-")[0]
        try:
            rows = list(read_rows(path, _COLUMNS))
        except (OSError, ValueError) as error:
            raise CaptionsError(f"{path} cannot be read ({error}); fetch it again") from error
        for number, row in enumerate(rows):
            found.append(_from_row(row, name, split, f"{path}: row {number}"))
    if not found:
        raise CaptionsError(f"{', '.join(map(str, paths))}: no image is listed; fetch them again")
    _refuse_repeated(found, paths[0].parent)
    return CaptionSet(name, tuple(found), _notes_on(name, found))


def _from_row(row: dict[str, Any], name: str, split: str, where: str) -> CaptionedImage:
    if missing := [column for column in _COLUMNS if not row.get(column)]:
        raise CaptionsError(f"{where}: {', '.join(missing)} missing in a row")
    file_name = PurePosixPath(_text_in(row, "filename", where).replace("\\", "/")).name
    captions, image = row["captions"], row["image"]
    if not isinstance(captions, list):
        captions = [captions]
    return CaptionedImage(
        file_name=file_name,
        captions=tuple(_text_in({"captions": each}, "captions", where) for each in captions),
        source=name,
        split=part_of(split) or "",
        original_split=split,
        class_name=_class_of(file_name, name),
        **{"path" if isinstance(image, Path) else "data": image},
    )


def _json_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in FILE_NAMES if (path / name).is_file()]
    if len(found) != 1:
        here = ", ".join(file.name for file in found) or "none of them"
        raise CaptionsError(
            f"{path}: expected one of {', '.join(FILE_NAMES)}, found {here}; give the JSON file"
        )
    return found[0]


def _image_folders(path: Path, images: str | Path | None) -> list[Path]:
    if images is None:
        beside = (path.parent / name for name in IMAGE_FOLDERS)
        return [folder for folder in beside if folder.is_dir()]
    folder = Path(images).expanduser()
    if not folder.is_dir():
        raise CaptionsError(
            f"there is no folder {folder} of images (an archive has to be extracted first); "
            "give another, or leave it out to read sentences only"
        )
    return [folder]


def _files_below(folder: Path) -> Iterator[Path]:
    """List the files in a folder and below; links to folders or out of it are not followed."""
    top = Path(os.path.realpath(folder))
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(filter(is_visible, folders))
        for path in (Path(parent, name) for name in sorted(filter(is_visible, names))):
            if path.is_file() and Path(os.path.realpath(path)).is_relative_to(top):
                yield path


def _names_of(file: Path, *roots: Path) -> list[PurePosixPath]:
    """Name a file as seen from each folder around it."""
    around = [root for root in roots if file.is_relative_to(root)]
    return [PurePosixPath(composed(file.relative_to(root).as_posix())) for root in around]


_RULES: tuple[Callable[[PurePosixPath], str], ...] = (
    str,
    lambda name: name.name,
    lambda name: str(name.parent / name.stem),
    lambda name: name.stem,
)


def _find_files(
    images: Sequence[CaptionedImage], names: dict[Path, list[PurePosixPath]]
) -> list[Path | None]:
    """Find the file of each image: by its path, by its name, then both without ending.

    A file that one rule has found is no other image's by the next. Names are compared as they are
    written, and where that finds nothing, without regard to capitals; they never lead to a file
    that is not among these.

    Raises:
        CaptionsError: two files fit an image, or two images a file.
    """
    listed = [PurePosixPath(composed(each.file_name.replace("\\", "/"))) for each in images]
    found: list[Path | None] = [None] * len(images)
    for rule in _RULES:
        index: dict[str, set[tuple[str, Path]]] = defaultdict(set)
        for file in names.keys() - set(found):
            if rule in _RULES[:2] or file.suffix.lower() in SUFFIXES:
                for name in map(rule, names[file]):
                    index[name.casefold()].add((name, file))
        for i in [i for i, file in enumerate(found) if file is None]:
            found[i] = _only_one(images[i], rule(listed[i]), index)
            if rule is _RULES[-1] and not found[i] and images[i].source == UCM:
                found[i] = _only_one(images[i], ucmerced_stem(images[i].file_name), index)
        _refuse_shared(images, found)
    return found


def _only_one(
    image: CaptionedImage, key: str, index: dict[str, set[tuple[str, Path]]]
) -> Path | None:
    fitting = index.get(key.casefold(), set())
    files = {file for name, file in fitting if name == key} or {file for _, file in fitting}
    if len(files) > 1:
        raise CaptionsError(
            f"{image.file_name} of {image.source} fits several files: "
            f"{', '.join(sorted(map(str, files)))}; keep one, or list the image with its folder"
        )
    return next(iter(files), None)


def _refuse_shared(images: Sequence[CaptionedImage], found: Sequence[Path | None]) -> None:
    for file, count in Counter(filter(None, found)).items():
        if count > 1:
            both = [
                image.file_name for image, own in zip(images, found, strict=True) if own == file
            ]
            raise CaptionsError(
                f"{' and '.join(both)} of {images[0].source} fit the same file {file}; "
                "list each image once, with its folder"
            )


def _read_file(path: Path) -> tuple[str, tuple[CaptionedImage, ...]]:
    """Read a JSON file of either schema: the name of the set, and its images without paths."""
    content = _read_json(path)
    with_splits, without = content.get("images"), content.get("annotations")
    if isinstance(with_splits, list):
        called = str(content.get("dataset") or path.stem)
        names = [name for start, name in _PREFIXES.items() if called.lower().startswith(start)]
        name, read, entries = (names or [called])[0], _with_split, with_splits
    elif isinstance(without, list):
        name, read, entries = RSICAP, _without_split, without
    else:
        raise CaptionsError(
            f"{path} is no file of captions: expected {_WITH_SPLITS}, or {_WITHOUT}, "
            f"got the keys {', '.join(map(repr, content)) or 'of nothing'}"
        )
    if not entries:
        raise CaptionsError(f"{path} lists no image; use the original file")
    images = tuple(read(e, name, f"{path}: entry {i}") for i, e in enumerate(entries))
    _refuse_repeated(images, path)
    return name, images


def _refuse_repeated(images: Sequence[CaptionedImage], path: Path) -> None:
    twice = [name for name, n in Counter(each.file_name for each in images).items() if n > 1]
    if twice:
        raise CaptionsError(f"{path}: listed more than once: {', '.join(twice[:5])}; keep one each")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CaptionsError(f"there is no file {path}; give the JSON file of a caption set")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also of bytes that are no UTF-8
        raise CaptionsError(
            f"{path} is no JSON ({error}); download it again, or write {_WITH_SPLITS}"
        ) from error
    if not isinstance(content, dict):
        raise CaptionsError(
            f"{path} is no file of captions: expected {_WITH_SPLITS}, or {_WITHOUT}, "
            f"got a {type(content).__name__}"
        )
    return content


def _with_split(entry: Any, name: str, where: str) -> CaptionedImage:
    file_name = _text_in(entry, "filename", where)
    where = f"{where} ({file_name})"
    split, sentences = _text_in(entry, "split", where), entry.get("sentences")
    part = part_of(split)
    if part is None:
        raise CaptionsError(f"{where}: split {split!r} is none of train, val and test")
    if not isinstance(sentences, list) or not sentences:
        raise CaptionsError(f"{where} has no sentences; expected {_WITH_SPLITS}")
    return CaptionedImage(
        file_name=file_name,
        captions=tuple(_text_in(sentence, "raw", where) for sentence in sentences),
        source=name,
        split=part,
        original_split=split,
        class_name=_class_of(file_name, name),
    )


def _without_split(entry: Any, name: str, where: str) -> CaptionedImage:
    file_name = _text_in(entry, "filename", where)
    caption = _text_in(entry, "text_output", f"{where} ({file_name})")
    return CaptionedImage(file_name, (caption,), name)


def _text_in(entry: Any, field: str, where: str) -> str:
    """Read a text that must be there."""
    value = entry.get(field) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        got = f"keys {list(entry)}" if isinstance(entry, dict) else f"a {type(entry).__name__}"
        raise CaptionsError(f"{where} has no text {field!r}, got {got}; use the original file")
    if not value.strip():
        raise CaptionsError(f"{where}: {field!r} is empty; write something or remove the entry")
    if _HALF.search(value):
        raise CaptionsError(f"{where}: {field!r} has half a character, {value!a}; correct it")
    return value.strip()


def _class_of(file_name: str, name: str) -> str:
    """Read the class from a file name, where the set has a rule for that.

    RSICD: ``<class>_<number>`` with the classes of AID; images with a number only have none.
    UCM-Captions: see `ucmerced_stem`.
    """
    stem = PurePosixPath(file_name).stem
    if name == RSICD and (match := re.fullmatch(r"([a-z]+)_\d+", stem)):
        aid = read_scene_classes()["aid"].class_names
        return next((known for known in aid if known.lower() == match[1]), "")
    if name == UCM and (merced := ucmerced_stem(file_name)):
        return merced.rstrip("0123456789")
    return ""


def ucmerced_stem(file_name: str) -> str:
    r"""Name the image of UC Merced that UCM-Captions calls ``N.tif``.

    $$c = \lfloor (N - 1) / 100 \rfloor, \quad i = (N - 1) \bmod 100$$

    with the classes c in the order of the alphabet: 201 is ``baseballdiamond00``.

    Returns:
        The name without ending; "" for any other file name.

    Source:
        Its makers did not write the rule down. It was checked by eye on images of three classes.
        Sentences on ``agricultural`` images are too alike to tell, and a copy has them one off.
    """
    match = re.fullmatch(r"(\d+)", PurePosixPath(file_name).stem)
    classes = read_scene_classes()["ucmerced"].class_names
    label, index = divmod(int(match[1]) - 1, _PER_CLASS) if match else (-1, 0)
    return f"{classes[label]}{index:02d}" if 0 <= label < len(classes) else ""
