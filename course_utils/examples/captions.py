"""Captioned images: RSICD, UCM-Captions, Sydney-Captions and RSICap."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from course_utils import hub
from course_utils.examples.caption_files import (
    RSICAP,
    RSICD,
    SYDNEY,
    UCM,
    CaptionsError,
    read_file,
    ucmerced_stem,
)
from course_utils.examples.hub_sets import (
    Progress,
    key_of,
    name_in_lock,
    open_repository,
    unpack_captions,
)
from course_utils.examples.records import CaptionedImage, CaptionSet
from course_utils.images import SUFFIXES
from course_utils.runtime import cache_folder, resolve_path
from course_utils.texts import text

LOCK_NAMES = {"rsicd": RSICD, "ucm_captions": UCM, "sydney_captions": SYDNEY, "rsicap": RSICAP}
FILE_NAMES = ("dataset_rsicd.json", "dataset.json", "captions.json")
IMAGE_FOLDERS = ("RSICD_images", "UCM_images", "Sydney_images", "imgs", "images")


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
            for in the folder ``COURSE_MODELS``; RSICD, which alone is on the hub as plain files,
            then there too, and written to the cache in its makers' layout, once.
        images: see `read_captions`.
        cache: ``COURSE_CACHE`` or ``outputs/cache`` by default.
        progress: wraps the loop over the images that are written, given their number.

    Raises:
        ValueError: there is nothing of the kind, or it is not what it should be.
        OSError: the cache cannot be written.
    """
    path, images = resolve_path(root), images if images is None else resolve_path(images)
    if path.exists():
        return read_captions(path, images=images)
    name = name_in_lock(root, LOCK_NAMES)
    if name is None:
        raise CaptionsError(
            f"{str(root)!r} is no path (looked at {path}) and none of {', '.join(LOCK_NAMES)}"
        )
    artifact = hub.read_lock()[name]
    try:
        return read_captions(hub.locate(artifact.name).root, images=images)
    except hub.ArtifactError:
        if artifact.id is None:
            raise
    key = key_of([artifact.id, artifact.revision, artifact.mirrors])
    folder = cache_folder(cache) / "captions" / f"{artifact.name}-{key}"
    if not (folder / f"dataset_{artifact.name}.json").is_file():  # written last
        found, _ = open_repository(artifact, cache_folder(cache))
        unpack_captions(found, folder, dataset=artifact.name, progress=progress)
    return read_captions(folder, images=images)


def read_captions(path: str | Path, *, images: str | Path | None = None) -> CaptionSet:
    """Read the sentences of a caption set, and find its images.

    Two schemas: ``{"dataset", "images": [{"filename", "split", "sentences": [{"raw"}]}]}`` of
    RSICD, UCM-Captions and Sydney-Captions, and of sets made like them; and
    ``{"annotations": [{"filename", "text_output"}]}`` of RSICap. The sentences are the ``raw`` ones
    (``tokens`` are spelled otherwise here and there). The part for validation may be called
    ``val``, ``valid`` or ``validation``.

    Args:
        path: the JSON file, or a folder that has it under its usual name.
        images: a folder with the images, searched with all folders below; by default what lies
            beside the file under a usual name. For UCM-Captions it may be UC Merced in its own
            layout, see `caption_files.ucmerced_stem`. Endings may differ (``.tif`` in the file,
            ``.jpg`` in the folder).

    Returns:
        The images in the order of the file, with sentences only where there is no folder.

    Raises:
        CaptionsError: there is no such file or folder, broken JSON, another schema, an image that
            is listed twice, an empty sentence, an unknown split, a folder with none of the images.

    Source:
        RSICD: Lu et al. 2018 (arXiv:1712.07835). UCM-Captions, Sydney-Captions: Qu et al. 2016,
        CITS. RSICap: Hu et al. 2023 (arXiv:2307.15266). No licence is stated; for research.
    """
    path = _json_file(Path(path).expanduser())
    name, found = read_file(path)
    notes = []
    folder = _image_folder(path, images)
    if folder is not None:
        files = _files_by_stem(folder)
        found = tuple(replace(each, path=_find(each, files)) for each in found)
    missing = [each.file_name for each in found if not each.has_image]
    if images is not None and len(missing) == len(found):
        raise CaptionsError(
            f"{folder} has none of the {len(found)} images of {name}, such as {missing[0]}; "
            "give the folder that holds them"
        )
    if len(missing) == len(found):
        notes.append(text("captions.no_images", name=name))
    elif missing:
        values = {"num": len(missing), "total": len(found), "files": ", ".join(missing[:3])}
        notes.append(text("captions.missing", name=name, **values))
    if name == UCM:
        notes.append(text("captions.ucm_rule"))
    if repeated := sum(len(set(each.captions)) < len(each.captions) for each in found):
        notes.append(text("captions.repeated", name=name, num=repeated, total=len(found)))
    return CaptionSet(name, found, tuple(notes))


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


def _image_folder(path: Path, images: str | Path | None) -> Path | None:
    if images is None:
        beside = (path.parent / name for name in IMAGE_FOLDERS)
        return next((folder for folder in beside if folder.is_dir()), None)
    folder = Path(images).expanduser()
    if not folder.is_dir():
        raise CaptionsError(
            f"there is no folder {folder} of images (an archive has to be extracted first); "
            "give another, or leave it out to read sentences only"
        )
    return folder


def _files_by_stem(folder: Path) -> dict[str, list[Path]]:
    """List the images of a folder and below by name without ending; links are not followed."""
    files: dict[str, list[Path]] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for path in (Path(parent, name) for name in sorted(names)):
            is_image = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
            if is_image and not path.is_symlink():
                files.setdefault(path.stem.lower(), []).append(path)
    return files


def _find(image: CaptionedImage, files: dict[str, list[Path]]) -> Path | None:
    """Find an image by its name, ending as listed if possible; a name never leads elsewhere."""
    name = PurePosixPath(image.file_name.replace("\\", "/"))
    found: Sequence[Path] = files.get(name.stem.lower(), ())
    if not found and image.source == UCM:
        found = files.get(ucmerced_stem(image.file_name), ())
    same = [path for path in found if path.suffix.lower() == name.suffix.lower()]
    return next(iter([*same, *found]), None)
