"""The JSON files of caption sets, as their makers wrote them."""

import json
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from course_utils.examples.hub_sets import PARTS
from course_utils.examples.records import CaptionedImage
from course_utils.examples.scene_classes import read_scene_classes

RSICD, UCM, SYDNEY, RSICAP = "RSICD", "UCM-Captions", "Sydney-Captions", "RSICap"
_PREFIXES = {"rsicd": RSICD, "ucm": UCM, "sydney": SYDNEY}  # of what the files call themselves
_PER_CLASS = 100  # images of a class of UC Merced
_WITH_SPLITS = "a list 'images' of {'filename', 'split', 'sentences': [{'raw'}, …]}"
_WITHOUT = "a list 'annotations' of {'filename', 'text_output'}"


class CaptionsError(ValueError):
    """A file of captions, or a folder of their images, that is not what it should be."""


def read_file(path: Path) -> tuple[str, tuple[CaptionedImage, ...]]:
    """Read a JSON file of either schema, see `captions.read_captions`.

    Returns:
        The name of the set, and its images without paths.

    Raises:
        CaptionsError: see there.
    """
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
    twice = [name for name, n in Counter(each.file_name for each in images).items() if n > 1]
    if twice:
        raise CaptionsError(f"{path}: listed more than once: {', '.join(twice[:5])}; keep one each")
    return name, images


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CaptionsError(f"there is no file {path}; give the JSON file of a caption set")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # also of bytes that are no UTF-8
        raise CaptionsError(f"{path} is no JSON ({error}); download it again") from error
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
    if split.lower() not in PARTS:
        raise CaptionsError(f"{where}: split {split!r} is not one of {', '.join(PARTS)}")
    if not isinstance(sentences, list) or not sentences:
        raise CaptionsError(f"{where} has no sentences; expected {_WITH_SPLITS}")
    return CaptionedImage(
        file_name=file_name,
        captions=tuple(_text_in(sentence, "raw", where) for sentence in sentences),
        source=name,
        split=PARTS[split.lower()],
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
