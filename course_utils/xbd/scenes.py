"""Scenes of xBD on disk: where xBD is, which files belong together, and their images."""

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from course_utils import hub
from course_utils.images import ImageError, load_image
from course_utils.runtime import xbd_folder
from course_utils.xbd.labels import Label, Metadata, XbdError, XbdMissingError, read_label, reading

VARIABLE = "COURSE_XBD"
SPLITS = ("train", "tier3", "test", "hold")
ENDINGS = {  # by folder; of two files of an image the first counts
    "images": (".png", ".webp"),
    "labels": (".json",),
    "targets": ("_target.png",),
}
# the event has no dot and no leading underscore, which leaves out ".x.png.part" and "._x.png"
FILE_NAME = re.compile(r"(([A-Za-z0-9][\w-]*)_[0-9]{8})_(pre|post)_disaster(_target\.png|\.\w+)")
LAYOUT = "<split>/{images,labels,targets}/<event>_<8 digits>_{pre,post}_disaster{.png,.json}"
_ARCHIVE_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_PARTS = "images_part_"  # a zip file cut into pieces, as one mirror has it


@dataclass(frozen=True)
class XbdScene:
    """One place before and after a disaster, as files; what is not there is None."""

    name: str  # "guatemala-volcano_00000008"
    event: str  # "guatemala-volcano"
    split: str | None  # name of the folder; None if that is no official split but the root itself
    pre_image: Path | None = None
    post_image: Path | None = None
    pre_label: Path | None = None
    post_label: Path | None = None
    pre_target: Path | None = None  # official mask, 0 background, 1 building
    post_target: Path | None = None  # official mask, 0 background, 1 … 4 damage; none in tier3


def find_scenes(root: Path | str, *, split: str | None = None) -> list[XbdScene]:
    """List the scenes in a folder of the official layout; no file is opened.

    The layout is ``<split>/images/<event>_<8 digits>_pre_disaster.png``, the same with ``post``,
    the like in ``labels`` (``.json``) and ``targets`` (``_disaster_target.png``). Any folder that
    holds ``images``, ``labels`` or ``targets`` is a split. Images may be ``.webp`` in place of
    ``.png``. Files with other names are passed over.

    Args:
        root: the folder above the splits, or a single split.
        split: list this one only.

    Returns:
        Every scene of which any file is there, by name, then split.

    Raises:
        XbdMissingError: no such folder, or no scene in it (of that split).
        XbdError: no folder but a file, or no split of that name.

    Source:
        xBD (Gupta et al. 2019, arXiv 1911.09296), CC BY-NC-SA 4.0; 11,034 scenes of 19 events in
        train (2,799), tier3 (6,369), test (933), hold (933).
    """
    root = Path(root).expanduser().absolute()
    advice = f"set {VARIABLE} to the folder that holds {LAYOUT}; notebook 06 says where to get it"
    if not root.is_dir():
        kind = XbdError if root.exists() else XbdMissingError
        raise kind(f"{root} is no folder; {advice}")
    folders = [(root.name if root.name in SPLITS else None, root)]
    folders += [(path.name, path) for path in sorted(root.iterdir()) if path.name[0] not in "._"]
    folders = [(name, path) for name, path in folders if any((path / k).is_dir() for k in ENDINGS)]
    if not folders:
        raise XbdMissingError(f"looked for xBD scenes in {root} and found no split; {advice}")
    chosen = [(name, path) for name, path in folders if split in (None, name)]
    if not chosen:
        names = ", ".join(str(name) for name, _ in folders)
        raise XbdError(f"{root} has no split {split!r}, only {names}; choose one of these")
    scenes = [scene for name, folder in chosen for scene in _scenes_of(folder, name)]
    if not scenes:
        places = ", ".join(str(folder) for _, folder in chosen)
        raise XbdMissingError(f"looked for xBD scenes in {places} and found none; {advice}")
    return sorted(scenes, key=lambda scene: (scene.name, scene.split or ""))


def _scenes_of(folder: Path, split: str | None) -> list[XbdScene]:
    files: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for kind, endings in ENDINGS.items():
        for entry in os.scandir(folder / kind) if (folder / kind).is_dir() else ():
            match = FILE_NAME.fullmatch(entry.name)
            if match and match[4] in endings and entry.is_file():
                parts, part = files[match[1], match[2]], f"{match[3]}_{kind[:-1]}"
                if part not in parts or match[4] == endings[0]:
                    parts[part] = Path(entry.path)
    return [XbdScene(name, event, split, **parts) for (name, event), parts in files.items()]


@dataclass(frozen=True, eq=False)  # pixel arrays have no truth value, so pairs are not compared
class ImagePair:
    """The images of a scene with what their label files say; a label that is not there is None."""

    scene: XbdScene
    pre: UInt8[np.ndarray, "h w 3"]
    post: UInt8[np.ndarray, "h w 3"]
    pre_label: Label | None
    post_label: Label | None


def read_pair(scene: XbdScene) -> ImagePair:
    """Read both images of a scene and the labels that it has.

    Raises:
        XbdMissingError: the scene lacks an image, or a file went away.
        XbdError: a file cannot be read, an image has not the size that its label says, or the two
            images differ in size.
    """
    images, labels = [], []
    for when in ("pre", "post"):
        image, label = getattr(scene, f"{when}_image"), getattr(scene, f"{when}_label")
        if image is None:
            raise XbdMissingError(
                f"scene {scene.name} of split {scene.split} has no {when}_image; add the file, or "
                f"leave out scenes whose {when}_image is None"
            )
        labels.append(label and read_label(label))
        images.append(read_image(image, metadata=labels[-1] and labels[-1].metadata))
    if images[0].shape != images[1].shape:
        sizes = f"{_size(images[0])} before and {_size(images[1])} after"
        raise XbdError(f"{scene.name}: the images have different sizes, {sizes}; restore them")
    return ImagePair(scene, *images, *labels)


def read_image(
    path: Path | str | None, *, metadata: Metadata | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image of a scene as bytes, channels last.

    Args:
        path: ``<event>_<8 digits>_{pre,post}_disaster.png``, or ``.webp``.
        metadata: of its label, whose width and height the image must have (1024 x 1024 in xBD).

    Raises:
        XbdMissingError: no such file, or the scene's None.
        XbdError: truncated, no image, or of another size than its label says.
    """
    try:
        with reading(path, "image"):
            pixels = np.array(load_image(path, name=str(path)))
    except ImageError as error:
        raise XbdError(str(error)) from error
    expected = (metadata.height, metadata.width) if metadata else (None, None)
    if any(side not in (None, found) for side, found in zip(expected, pixels.shape, strict=False)):
        raise XbdError(
            f"{path}: expected {expected[1]} x {expected[0]} pixels as its label says, got "
            f"{_size(pixels)}; polygons would miss their buildings: restore the original image"
        )
    return pixels


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


@dataclass(frozen=True)
class XbdData:
    """The real xBD, or some scenes of it, as found; the licence has to be shown with it."""

    root: Path  # for find_scenes
    origin: str  # who named the folder: "argument", "COURSE_XBD" or "COURSE_MODELS"
    num_scenes: int
    license: str
    source: str
    notes: tuple[str, ...] = ()  # what a learner should know, say, of archives not yet extracted


def open_xbd(root: Path | str | None = None) -> XbdData:
    """Find the real xBD; nothing is downloaded or extracted.

    The places, in order: ``root``; ``COURSE_XBD``; ``xbd`` in the folder ``COURSE_MODELS``. The
    first that is named decides: a wrong path is not passed over.

    Args:
        root: the folder above the splits, or a single split.

    Returns:
        Where it is, how many scenes it has, and its licence.

    Raises:
        XbdMissingError: no place is named, or the named one has no scene; the message says how to
            get xBD, and how to extract archives that lie there.

    Source:
        xBD (Gupta et al. 2019, arXiv 1911.09296), CC BY-NC-SA 4.0.
    """
    artifact = hub.read_lock()["xbd"]
    found, origin = xbd_folder(root), "argument" if root else VARIABLE
    if found is None:
        try:
            found, origin = hub.locate("xbd").root, "COURSE_MODELS"
        except hub.ArtifactError as error:
            raise XbdMissingError(f"{error}\n{_how_to_get(artifact)}") from error
    advice = _how_to_extract(found)
    try:
        num_scenes = len(find_scenes(found))
    except XbdMissingError as error:
        raise XbdMissingError(f"{origin}: {error}\n{advice or _how_to_get(artifact)}") from error
    notes = (advice,) if advice else ()
    return XbdData(found, origin, num_scenes, artifact.license, artifact.source, notes)


def _how_to_extract(folder: Path) -> str:
    """Say what to do with the archives that lie in a folder; "" if there are none."""
    files = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    if archives := sorted(name for name in files if name.lower().endswith(_ARCHIVE_ENDINGS)):
        return (
            f"archives lie in {folder} ({', '.join(archives)}); if they are not extracted yet: "
            f"for step in extract_archives([root / name for name in {archives}], root): ..."
        )
    if num_pieces := sum(name.startswith(_PARTS) for name in files):
        return (
            f"{num_pieces} pieces of an archive lie in {folder}; join them first "
            f"(cat {_PARTS}* > xbd.zip), then extract xbd.zip with extract_archives"
        )
    return ""


def _how_to_get(artifact: hub.Artifact) -> str:
    commands = [
        "  hf download --repo-type dataset {} --revision {} --local-dir FOLDER".format(
            *name.split("@")
        )
        for name in artifact.mirrors
    ]
    return "\n".join(
        [
            f"Only five tiles of xBD ship with the course ({artifact.license}). To get all, "
            "register at xview2.org, download the archives and extract them with "
            "extract_archives, or use a copy on the hub, which may vanish:",
            *commands,
            f"Then set {VARIABLE} to the folder that holds train/, test/ and so on. Notebook 06 "
            "also runs without: it shows the procedural world instead and says so.",
        ]
    )
