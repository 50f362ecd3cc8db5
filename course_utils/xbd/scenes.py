"""Scenes of xBD on disk: which files belong together."""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, fields
from pathlib import Path

from course_utils.xbd.levels import XbdError, XbdMissingError

SPLITS = ("train", "tier3", "test", "hold")
ENDINGS = {"images": ".png", "labels": ".json", "targets": "_target.png"}  # by folder
# the event has no dot and no leading underscore, which leaves out ".x.png.part" and "._x.png"
FILE_NAME = re.compile(r"(([A-Za-z0-9][\w-]*)_[0-9]{8})_(pre|post)_disaster(_target\.png|\.\w+)")
LAYOUT = "<split>/{images,labels,targets}/<event>_<8 digits>_{pre,post}_disaster{.png,.json}"


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

    def require(self, part: str) -> Path:
        """Give the file of a part, such as "post_label".

        Args:
            part: "pre_" or "post_", then "image", "label" or "target".

        Raises:
            XbdMissingError: the scene lacks it.
            XbdError: there is no part of that name.
        """
        if part not in PARTS:
            raise XbdError(f"expected a part among {', '.join(PARTS)}, got {part!r}")
        path = getattr(self, part)
        if path is None:
            there = [str(other) for name in PARTS if (other := getattr(self, name))]
            raise XbdMissingError(
                f"scene {self.name} of split {self.split} has no {part}, it has only "
                f"{', '.join(there) or 'nothing'}; add the file, or leave out scenes whose "
                f"{part} is None"
            )
        return path


PARTS = tuple(field.name for field in fields(XbdScene) if field.default is None)


def find_scenes(root: Path | str, *, split: str | None = None) -> list[XbdScene]:
    """List the scenes in a folder of the official layout; no file is opened.

    The layout is ``<split>/images/<event>_<8 digits>_pre_disaster.png``, the same with ``post``,
    the like in ``labels`` (``.json``) and ``targets`` (``_disaster_target.png``). Any folder that
    holds ``images``, ``labels`` or ``targets`` is a split. Files with other names are passed over.

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
    advice = f"set COURSE_XBD to the folder that holds {LAYOUT}; notebook 06 says where to get it"
    if not root.is_dir():
        kind = XbdError if root.exists() else XbdMissingError
        raise kind(f"{root} is no folder; {advice}")
    folders = _split_folders(root)
    if not folders:
        raise XbdMissingError(f"looked for xBD scenes in {root} and found no split; {advice}")
    if split is not None:
        chosen = [pair for pair in folders if pair[0] == split]
        if not chosen:
            names = ", ".join(str(name) for name, _ in folders)
            raise XbdError(f"{root} has no split {split!r}, only {names}; choose one of these")
        folders = chosen
    scenes = [scene for name, folder in folders for scene in _scenes_of(folder, name)]
    if not scenes:
        places = ", ".join(str(folder) for _, folder in folders)
        raise XbdMissingError(f"looked for xBD scenes in {places} and found none; {advice}")
    return sorted(scenes, key=lambda scene: (scene.name, scene.split or ""))


def _split_folders(root: Path) -> list[tuple[str | None, Path]]:
    """List (name, folder) of what holds images, labels or targets: the root, what lies in it."""
    inner = sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] not in "._"
    )
    found: list[tuple[str | None, Path]] = []
    if not ENDINGS.keys().isdisjoint(inner):
        found.append((root.name if root.name in SPLITS else None, root))
    return found + [(name, root / name) for name in inner if _holds_parts(root / name)]


def _holds_parts(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ENDINGS)


def _scenes_of(folder: Path, split: str | None) -> list[XbdScene]:
    events: dict[str, str] = {}
    parts: dict[str, dict[str, Path]] = defaultdict(dict)
    for kind, ending in ENDINGS.items():
        if not (folder / kind).is_dir():
            continue
        with os.scandir(folder / kind) as entries:
            for entry in entries:
                match = FILE_NAME.fullmatch(entry.name)
                if match and match[4] == ending and entry.is_file():
                    events[match[1]] = match[2]
                    parts[match[1]][f"{match[3]}_{kind[:-1]}"] = Path(entry.path)
    return [XbdScene(name, event, split, **parts[name]) for name, event in events.items()]
